//! Endpoints: functions of this node that peers may call.

mod args;
mod context;
mod handler;
mod into_args;
mod read;
mod registry;
mod runner;
mod schema;

pub use args::{ArgsError, Arguments};
pub use context::Context;
pub use handler::{DynHandler, Endpoint, Erased, Handler, HandlerError};
pub use into_args::{IntoArgs, Kwargs};
pub use registry::{EndpointError, Registration};
pub(crate) use registry::{Endpoints, share};
pub(crate) use runner::{Access, Admission, Refused, Runner};
pub use schema::{Parameter, parameters};
