//! Endpoints: functions of this node that peers may call.

mod args;
mod context;
mod handler;
mod registry;
mod runner;
mod schema;

pub use args::{ArgsError, Arguments, IntoArgs, Kwargs};
pub use context::Context;
pub use handler::{DynHandler, Endpoint, Erased, Handler, HandlerError};
pub(crate) use registry::Endpoints;
pub use registry::{EndpointError, Registration};
pub(crate) use runner::{Access, Admission, Refused, Runner};
pub use schema::{Parameter, parameters};
