//! Conversations: signed events that everybody in a swarm sees. A broadcast opens one; who takes it acks, reports
//! progress, and replies in it; an emitted event is one by itself.
//!
//! The event loop owns [`Feeds`] and [`Order`] and hands each event on, once and in the order of its feed.

mod back;
mod broadcast;
mod conversation;
mod emit;
mod event;
mod feed;
mod on;
mod order;
mod seen;

pub(crate) use back::{Talk, announce, reach};
pub use broadcast::Broadcast;
pub(crate) use broadcast::encode_args;
pub use conversation::Conversation;
pub use emit::{Emit, Sent, Subscription};
pub(crate) use event::Heard;
pub use event::{ConversationEvent, Said};
pub(crate) use feed::{Draft, Feeds, Published};
pub use on::Hook;
pub(crate) use order::Order;
pub(crate) use seen::Keeper;

use p2pnode_behaviours::gossip;
use p2pnode_wire::{event::Event, limits, subject::SubjectError, talk::Meta};

/// Whether an event is for those who are there only: its author lives for one command.
pub(crate) fn is_live(event: &Event) -> bool {
    event.meta.as_deref().is_some_and(|meta| Meta::decode(meta).live)
}

/// Why something could not be said to a swarm.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// This node is not in a swarm of that name.
    #[error("this node is not in a swarm \"{0}\"")]
    UnknownSwarm(String),
    /// It is larger than an event may be.
    #[error("it has {size} bytes; an event may have {max}", max = limits::EVENT_MAX)]
    TooLarge {
        /// Bytes of the event.
        size: usize,
    },
    /// The arguments cannot be encoded.
    #[error("the arguments cannot be encoded: {0}")]
    Arguments(String),
    /// The subject is none.
    #[error(transparent)]
    Subject(#[from] SubjectError),
    /// This node says more than others take: 20 events a second, a hundred at once.
    #[error("this node publishes faster than others take it (20 a second); it may try again in a second")]
    TooFast,
    /// This node takes no part in gossip: a one-command node that was not told to.
    #[error("this node takes no part in gossip")]
    NoGossip,
    /// The node has stopped.
    #[error("the node is shutting down")]
    Shutdown,
}

impl PublishError {
    pub(crate) fn of(error: &gossip::PublishError, size: usize) -> Self {
        use gossip::PublishError as E;
        match error {
            E::Full | E::Slow => Self::TooFast,
            E::Invalid(_) => Self::TooLarge { size },
            _ => Self::NoGossip,
        }
    }
}
