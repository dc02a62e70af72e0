//! Values in the DHT, signed by their owner.

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ids::PeerKey,
    limits,
    msgpack::{self, DecodeError},
    sign::{Domain, SignError, Signed},
};

/// Longest name.
const NAME_MAX: usize = 128;

/// Why bytes are no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ValueError {
    /// Larger than the limit.
    #[error("{0} bytes; the limit is {max}", max = limits::VALUE_MAX)]
    TooLarge(usize),
    /// The signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The payload.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The name or version.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A value.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Value {
    /// 1.
    pub v: u8,
    /// Who signs it.
    pub owner: PeerKey,
    /// Its name, of the owner's choice.
    pub name: String,
    /// Rising.
    pub seq: u64,
    /// The owner's clock.
    pub at_ms: u64,
    /// Opaque.
    #[serde(with = "crate::bin")]
    pub body: Bytes,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value({}/{}, seq {}, {} bytes)", self.owner, self.name, self.seq, self.body.len())
    }
}

impl Value {
    /// Signs it.
    pub fn seal(&self, key: &SigningKey) -> Signed {
        Signed::seal(Domain::Value, key, &msgpack::encode(self))
    }

    /// Reads and verifies.
    ///
    /// # Errors
    /// [`ValueError`].
    pub fn open(raw: Bytes) -> Result<(Self, Signed), ValueError> {
        if raw.len() > limits::VALUE_MAX {
            return Err(ValueError::TooLarge(raw.len()));
        }
        let signed = Signed::parse(raw)?;
        let value: Self = msgpack::decode(&signed.payload())?;
        if value.v != 1 || value.name.is_empty() || value.name.len() > NAME_MAX {
            return Err(ValueError::Invalid("another version, or a name that is empty or too long"));
        }
        signed.verify(Domain::Value, &value.owner)?;
        Ok((value, signed))
    }
}

/// Where a value lies.
pub fn key(owner: &PeerKey, name: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(owner.0);
    hash.update(name.as_bytes());
    format!("/p2pnode/value/{}", HEXLOWER.encode(&hash.finalize()))
}
