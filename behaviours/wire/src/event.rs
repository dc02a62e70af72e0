//! Events of signed feeds.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{ConversationId, EventId, PeerKey, SwarmId, Team},
    limits,
    msgpack::{self, DecodeError},
    sign::{Domain, SIGNATURE, SignError, Signed},
};

/// Heads of other feeds, and membership heads, in one event.
const HEADS_MAX: usize = 4;
/// Bytes of a kind.
const KIND_MAX: usize = 64;

/// Why bytes are no event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Larger than the limit.
    #[error("{0} bytes; the limit is {max}", max = limits::EVENT_MAX)]
    TooLarge(usize),
    /// The signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The payload.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field is not acceptable.
    #[error("{0}")]
    Invalid(&'static str),
}

/// An event.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// 1.
    pub v: u8,
    /// In which swarm.
    pub swarm: SwarmId,
    /// Who signs it.
    pub author: PeerKey,
    /// The author's clock when the feed was opened, rising.
    pub epoch: u64,
    /// Gapless inside the epoch.
    pub seq: u64,
    /// The previous event of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<EventId>,
    /// The author's clock.
    pub at_ms: u64,
    /// Its conversation.
    pub conversation: ConversationId,
    /// `message`, `ack`, `reply`, …
    pub kind: String,
    /// The event it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<EventId>,
    /// Heads of other feeds the author had seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen: Vec<EventId>,
    /// Membership heads the author knew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mheads: Vec<EventId>,
    /// A label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<Team>,
    /// W3C `traceparent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<String>,
    /// MessagePack map.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::bin::option")]
    pub meta: Option<Bytes>,
    /// MessagePack.
    #[serde(with = "crate::bin")]
    pub body: Bytes,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Event({} of {}, {}.{}, {} bytes)", self.kind, self.author, self.epoch, self.seq, self.body.len())
    }
}

impl Event {
    /// Signs it.
    pub fn seal(&self, key: &SigningKey) -> Signed {
        Signed::seal(Domain::Event, key, &msgpack::encode(self))
    }

    /// Reads without verifying: what may be checked cheaply first.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn peek(raw: Bytes) -> Result<(Self, Signed), EventError> {
        if raw.len() > limits::EVENT_MAX.saturating_add(SIGNATURE) {
            return Err(EventError::TooLarge(raw.len()));
        }
        let signed = Signed::parse(raw)?;
        let event: Self = msgpack::decode(&signed.payload())?;
        if event.v != 1 || event.kind.is_empty() || event.kind.len() > KIND_MAX {
            return Err(EventError::Invalid("another version, or a kind that is too long"));
        }
        if event.seen.len() > HEADS_MAX || event.mheads.len() > HEADS_MAX {
            return Err(EventError::Invalid("too many heads"));
        }
        Ok((event, signed))
    }

    /// Reads and verifies.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn open(raw: Bytes) -> Result<(Self, Signed), EventError> {
        let (event, signed) = Self::peek(raw)?;
        signed.verify(Domain::Event, &event.author)?;
        Ok((event, signed))
    }
}
