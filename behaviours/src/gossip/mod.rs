//! Signed events of swarms, passed on by gossipsub.
//!
//! gossipsub carries bytes; who wrote them is in the bytes ([`wire::event`](crate::wire::event)). Its own signatures are
//! off: it would verify every copy before it looks whether the message is known, five times the work.

mod behaviour;
mod config;
mod event;
mod outbox;
mod protocol;
mod seen;
mod state;
#[cfg(test)]
mod testing;
mod window;

pub use behaviour::Behaviour;
pub use config::{Budget, Config};
pub use event::{Event, PublishError};
pub use seen::Seen;
pub use state::{Refused, Verdict};
