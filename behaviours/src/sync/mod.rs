//! Catching up: what one member keeps of a swarm's events and another lacks, asked for and given.
//!
//! Carries questions and answers ([`p2pnode_wire::sync`]); what is kept, and what of it a peer may see, is known by whoever
//! owns the behaviour.

mod protocol;

use crate::exchange;
pub use crate::exchange::ExchangeError;
use protocol::CatchUp;

/// Asks members what they keep, and tells what they ask.
pub type Behaviour = exchange::Behaviour<CatchUp>;
/// A member asks.
pub type Asked = exchange::Asked<CatchUp>;
/// Where the answer to one question goes.
pub type Ticket = exchange::Ticket<CatchUp>;
