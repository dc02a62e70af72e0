//! What presence tells.

use libp2p_identity::PeerId;
use p2pnode_wire::ids::SwarmId;

/// How a member is, as far as words tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// It is there.
    Online,
    /// Somebody says that it does not answer.
    Suspect,
    /// It has not contradicted that.
    Offline,
    /// It has left.
    Left,
}

/// That a member is otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Who.
    pub peer: PeerId,
    /// In which swarm.
    pub swarm: SwarmId,
    /// How it is now.
    pub status: Status,
    /// What it calls itself, and the number of its newest card, when it said so itself.
    pub alive: Option<(String, u64)>,
}

/// What presence tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These members are otherwise than before, in the order in which it was heard.
    Changed(Vec<Change>),
    /// A neighbour thinks the same about all of a swarm as this node does.
    Agreed(SwarmId),
}
