use bytes::Bytes;
use libp2p_identity::PeerId;
use p2pnode_wire::{
    event::{self as wire, EventError},
    ids::{EventId, SwarmId},
};

use super::state::Refused;

/// What gossip tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A new event whose signature, layout, swarm and number hold. Whether its author is a member is for others to say.
    Event {
        /// In which swarm.
        swarm: SwarmId,
        /// The event.
        event: Box<wire::Event>,
        /// The bytes as they came: what is stored and passed on.
        raw: Bytes,
        /// Its id.
        id: EventId,
        /// The neighbour that brought it.
        source: PeerId,
    },
    /// A peer takes part in a swarm's gossip.
    Subscribed {
        /// Who.
        peer: PeerId,
        /// In which swarm, which need not be one of ours.
        swarm: SwarmId,
    },
    /// A peer no longer takes part.
    Unsubscribed {
        /// Who.
        peer: PeerId,
        /// In which swarm.
        swarm: SwarmId,
    },
    /// An event was not delivered. Copies of known events are not told.
    Refused {
        /// In which swarm.
        swarm: SwarmId,
        /// Who brought it.
        source: PeerId,
        /// Why.
        why: Refused,
        /// Of [`Refused::Replay`]: the bytes, whose signature was not looked at. Who keeps the events of the feed can tell
        /// whether it is the old one again, or another one in its place.
        raw: Option<Bytes>,
    },
    /// A neighbour was too slow: it has missed events, and must catch up otherwise.
    Lost {
        /// Who.
        peer: PeerId,
        /// How many.
        events: usize,
    },
    /// An event of our own that waited for its turn could not be sent.
    Unsent {
        /// Which.
        id: EventId,
        /// In which swarm.
        swarm: SwarmId,
        /// Why.
        error: PublishError,
    },
}

/// Why an event of our own is not sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// It is none.
    #[error(transparent)]
    Invalid(#[from] EventError),
    /// It belongs to another swarm.
    #[error("the event belongs to another swarm")]
    Swarm,
    /// This node is not in the swarm.
    #[error("this node is not in the swarm")]
    NotJoined,
    /// Published before.
    #[error("the event was published before")]
    Known,
    /// Nobody of this swarm is connected.
    #[error("nobody of this swarm is connected")]
    NobodyThere,
    /// All neighbours are too slow.
    #[error("every neighbour is too slow to take it")]
    Slow,
    /// Too many events wait.
    #[error("too many events of this node wait to be sent")]
    Full,
}
