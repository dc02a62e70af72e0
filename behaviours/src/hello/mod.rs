//! Which swarms do we share, and who are you: `/p2pnode/hello/1`.
//!
//! Both ends of a new connection say hello. The request names the sender's swarms blinded by a fresh nonce, so that only
//! a peer that knows a swarm id learns that the sender is in it; names of open swarms go in plain unless hidden. The
//! reply carries, for each swarm both are in, the replier's signed card and up to 32 cards of other members, which is
//! how newcomers find the rest. A hello from a member whose last greeting is older than a second is answered with one
//! of our own: that is how a changed card travels.

mod behaviour;
mod config;
mod protocol;
mod state;

pub use behaviour::Behaviour;
pub use config::Config;
pub use state::{Event, Introduction, Member};
