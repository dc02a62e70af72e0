//! Delivers one signed message and brings back its acknowledgement: `/p2pnode/mail/1`.
//!
//! Work for agents takes minutes, so an ask is delivered, acknowledged, and answered later by a message of its own.
//! Signatures are verified where the bytes arrive, on the connection's task.

mod behaviour;
mod protocol;

pub use behaviour::{Behaviour, DeliverError, Event, Ticket};
