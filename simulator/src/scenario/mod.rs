//! Scenarios: what is run, from a file, and what came of it.

mod book;
mod builtin;
mod engine;
mod file;
mod html;
mod metrics;
mod report;
mod sybils;
mod threshold;
mod units;

pub use builtin::{BUILTIN, Builtin, TEMPLATE};
pub use engine::{Options, Progress, Watcher, run};
pub use file::{Dist, Event, Join, Layers, Nats, Network, Nodes, Pattern, Role, Scenario, Workload, Wrong};
pub use html::html;
pub use metrics::{Metrics, Summary};
pub use report::{Band, Outcome, Point, Report, Verdict};
pub use sybils::Sybils;
pub use threshold::{Expr, Threshold};
pub use units::{Bandwidth, Churn, Rate, Size, Span, Turnover};
