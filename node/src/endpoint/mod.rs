//! Endpoints: functions of this node that peers may call.

mod args;
mod context;
mod handler;
mod into_args;
mod items;
mod read;
mod registry;
mod runner;
mod schema;

pub use args::{ArgsError, Arguments};
pub use context::Context;
pub(crate) use handler::Run;
pub use handler::{DynHandler, DynStreamHandler, Endpoint, Erased, Handler, HandlerError, StreamOf};
pub use into_args::{IntoArgs, Kwargs};
pub use items::{ItemSender, Outlet};
pub use registry::{EndpointError, Registration};
pub(crate) use registry::{Endpoints, share};
pub(crate) use runner::{Access, Admission, Refused, Runner};
pub use schema::{Parameter, parameters};
