//! The fast road: many calls on one substream per direction.
//!
//! [`state`] decides what frames mean, [`inbox`] keeps items for their reader, [`link`] is what callers and handlers share of it, [`pipe`] moves bytes,
//! [`handler`] runs both inside the connection's task, [`behaviour`] opens links and finds them again.

mod behaviour;
mod bodies;
mod handler;
mod inbox;
mod link;
mod pipe;
mod state;

pub use behaviour::describe_dial_error;
pub(crate) use behaviour::{Behaviour, Links, Route};
pub(crate) use handler::Shared;
pub(crate) use inbox::{Inbox, Reader, Taken};
pub(crate) use link::{Counters, Inbound, Link, NotStarted};
pub(crate) use state::Gone;
