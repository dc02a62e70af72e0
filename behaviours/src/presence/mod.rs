//! Who of a swarm is there, known everywhere in seconds: `/p2pnode/presence/1`.
//!
//! Nobody probes members at random: a probe of somebody without a connection would cost one. Each node watches those it
//! is connected with. A connection that breaks and cannot be made again, or a neighbour that does not answer, makes it a
//! *witness*: it says so, signed, and what is new goes from neighbour to neighbour. The suspect has a few seconds to
//! contradict, with a higher incarnation; whoever does not is offline, by everybody's own clock. Words about oneself
//! (there, left) go the same way. Nothing is said while nothing changes, but for a comparison with one neighbour every
//! half minute, which repairs what was lost and gives a newcomer the list.
//!
//! In the manner of SWIM (Das, Gupta and Motivala, 2002) with suspicion, and of Lifeguard (Dadgar, Phillips and Currey,
//! 2018) where a node that has lost many neighbours at once doubts itself first.

mod accuse;
mod behaviour;
mod config;
mod event;
mod handler;
mod neighbour;
mod protocol;
mod state;
mod table;

pub use behaviour::Behaviour;
pub use config::Config;
pub use event::{Change, Event, Status};
