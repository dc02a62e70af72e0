//! Greetings: which swarms both are in, and who they are.

use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    limits,
    msgpack::{self, DecodeError},
};

/// A hello.
pub const HELLO_MAX: usize = 8 * 1024;
/// A reply: a card of ours and 32 of others, for the first swarm; fewer for further ones.
pub const HELLO_REPLY_MAX: usize = 640 * 1024;
/// Swarms, names, or cards in one message.
pub const LIST_MAX: usize = 32;
/// Bytes of an agent text.
pub const AGENT_MAX: usize = 64;

/// Said first by both ends of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// 1.
    pub v: u8,
    /// Program and version.
    pub agent: String,
    /// Fresh.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
    /// SHA-256 of each swarm id and the nonce.
    #[serde(with = "crate::bin::hashes")]
    pub swarms: Vec<[u8; 32]>,
    /// Open swarms, unless hidden.
    #[serde(default)]
    pub names: Vec<String>,
    /// Lives for one command.
    #[serde(default)]
    pub ephemeral: bool,
    /// Cards of other members that are welcome, at most. Left out: as many as fit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<u8>,
    /// The number of the sender's card: who knows an older one may greet back to have this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub card: Option<u64>,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloReply {
    /// 1.
    pub v: u8,
    /// Program and version.
    pub agent: String,
    /// Fresh.
    #[serde(with = "serde_bytes")]
    pub nonce: [u8; 16],
    /// SHA-256 of each swarm id and this nonce.
    #[serde(with = "crate::bin::hashes")]
    pub swarms: Vec<[u8; 32]>,
    /// Open swarms, unless hidden.
    #[serde(default)]
    pub names: Vec<String>,
    /// Lives for one command.
    #[serde(default)]
    pub ephemeral: bool,
    /// One for each swarm both are in.
    #[serde(default)]
    pub shared: Vec<Shared>,
}

/// What members of one swarm tell each other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shared {
    /// SHA-256 of the swarm id and the *request's* nonce.
    #[serde(with = "serde_bytes")]
    pub swarm: [u8; 32],
    /// The replier's signed card.
    #[serde(with = "crate::bin")]
    pub card: Bytes,
    /// Signed cards of other members.
    #[serde(with = "crate::bin::list", default)]
    pub known: Vec<Bytes>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shared({} bytes of card, {} known)", self.card.len(), self.known.len())
    }
}

fn read<T: DeserializeOwned>(bytes: &[u8], max: usize) -> Result<T, DecodeError> {
    if bytes.len() > max {
        return Err(DecodeError::Unexpected(format!("{} bytes; the limit is {max}", bytes.len())));
    }
    msgpack::decode(bytes)
}

fn check(v: u8, agent: &str, lists: &[usize]) -> Result<(), DecodeError> {
    if v != 1 || agent.len() > AGENT_MAX || lists.iter().any(|n| *n > LIST_MAX) {
        return Err(DecodeError::Unexpected("another version, or a list or text that is too long".into()));
    }
    Ok(())
}

impl Hello {
    /// MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        msgpack::encode(self)
    }

    /// Reads and checks the limits.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let hello: Self = read(bytes, HELLO_MAX)?;
        check(hello.v, &hello.agent, &[hello.swarms.len(), hello.names.len()])?;
        Ok(hello)
    }
}

impl HelloReply {
    /// MessagePack; cards of others that would go over [`HELLO_REPLY_MAX`] are left out.
    pub fn encode(&self) -> Vec<u8> {
        let mut room = HELLO_REPLY_MAX.saturating_sub(HELLO_MAX.saturating_mul(2));
        let mut reply = self.clone();
        for shared in &mut reply.shared {
            room = room.saturating_sub(shared.card.len().saturating_add(128));
        }
        for shared in &mut reply.shared {
            shared.known.retain(|card| {
                let cost = card.len().saturating_add(8);
                let fits = cost <= room;
                room = room.saturating_sub(if fits { cost } else { 0 });
                fits
            });
        }
        msgpack::encode(&reply)
    }

    /// Reads and checks the limits.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let reply: Self = read(bytes, HELLO_REPLY_MAX)?;
        check(reply.v, &reply.agent, &[reply.swarms.len(), reply.names.len(), reply.shared.len()])?;
        let too_large = |card: &Bytes| card.len() > limits::CARD_MAX;
        if reply.shared.iter().any(|s| s.known.len() > LIST_MAX || too_large(&s.card) || s.known.iter().any(too_large))
        {
            return Err(DecodeError::Unexpected("a card that is too large, or too many of them".into()));
        }
        Ok(reply)
    }
}
