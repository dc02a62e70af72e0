//! What the Swarm is made of. The only place that derives a behaviour; only the event loop drives it.

mod behaviour;
mod executor;
mod transport;
#[cfg(feature = "websocket")]
mod web;

pub(crate) use behaviour::{Behaviour, BehaviourEvent};
pub use executor::executor;
pub(crate) use transport::build as build_transport;
pub use transport::{BoxedTransport, multiplexer};
