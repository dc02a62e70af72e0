use p2pnode_wire::ids::{PeerKey, SwarmId};
use serde::{Deserialize, Serialize};

use super::window::Window;

/// Which events a node has heard, by their numbers. Kept over a restart, it stops old events from being told anew:
/// [`Behaviour::seen`](super::Behaviour::seen), [`Behaviour::restore`](super::Behaviour::restore). At most 600 bytes per
/// author and 4,096 authors per swarm, in any format of serde.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    pub(super) swarms: Vec<(SwarmId, Vec<SeenAuthor>)>,
}

/// The feeds of one author.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenAuthor {
    pub(super) author: PeerKey,
    pub(super) feeds: Vec<Window>,
}
