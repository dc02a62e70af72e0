//! Signed bytes: `signature (64) ‖ payload`. The receiver verifies and hashes the received bytes, never a re-encoding.

use std::fmt;

use bytes::{Bytes, BytesMut};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest, Sha256};

use crate::ids::PeerKey;

/// Bytes of a signature.
pub const SIGNATURE: usize = 64;

/// What is signed; its text goes before the payload, so that a signature of one kind is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Domain {
    /// An event of a feed.
    Event,
    /// A self-description.
    Card,
    /// A direct message.
    Mail,
    /// A value in the DHT.
    Value,
    /// A word about who is there.
    Presence,
}

impl Domain {
    /// The text.
    pub fn as_bytes(self) -> &'static [u8] {
        match self {
            Self::Event => b"p2pnode/event/1",
            Self::Card => b"p2pnode/card/1",
            Self::Mail => b"p2pnode/mail/1",
            Self::Value => b"p2pnode/value/1",
            Self::Presence => b"p2pnode/presence/1",
        }
    }
}

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// Shorter than a signature.
    #[error("too short to be signed")]
    TooShort,
    /// The key is no point on the curve.
    #[error("the author's key is not valid")]
    Key,
    /// The signature is not the author's, or the bytes have changed.
    #[error("the signature does not hold")]
    Signature,
}

/// Signed bytes as they travel.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed {
    raw: Bytes,
}

impl Signed {
    /// Signs a payload.
    pub fn seal(domain: Domain, key: &SigningKey, payload: &[u8]) -> Self {
        let signature = key.sign(&tagged(domain, payload));
        let mut raw = BytesMut::with_capacity(SIGNATURE.saturating_add(payload.len()));
        raw.extend_from_slice(&signature.to_bytes());
        raw.extend_from_slice(payload);
        Self { raw: raw.freeze() }
    }

    /// Takes received bytes; nothing is verified yet.
    ///
    /// # Errors
    /// [`SignError::TooShort`].
    pub fn parse(raw: Bytes) -> Result<Self, SignError> {
        if raw.len() < SIGNATURE { Err(SignError::TooShort) } else { Ok(Self { raw }) }
    }

    /// The payload.
    pub fn payload(&self) -> Bytes {
        self.raw.slice(SIGNATURE..)
    }

    /// The bytes as they travel.
    pub fn raw(&self) -> &Bytes {
        &self.raw
    }

    /// The bytes as they travel.
    pub fn into_raw(self) -> Bytes {
        self.raw
    }

    /// Verifies strictly: no weak keys, no malleable signatures.
    ///
    /// # Errors
    /// [`SignError`].
    pub fn verify(&self, domain: Domain, author: &PeerKey) -> Result<(), SignError> {
        let key = VerifyingKey::from_bytes(&author.0).map_err(|_| SignError::Key)?;
        let (signature, payload) = self.raw.split_first_chunk::<SIGNATURE>().ok_or(SignError::TooShort)?;
        let signature = Signature::from_bytes(signature);
        key.verify_strict(&tagged(domain, payload), &signature).map_err(|_| SignError::Signature)
    }

    /// SHA-256 of the bytes as they travel.
    pub fn id(&self) -> [u8; 32] {
        Sha256::digest(&self.raw).into()
    }
}

fn tagged(domain: Domain, payload: &[u8]) -> Vec<u8> {
    [domain.as_bytes(), payload].concat()
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed({} bytes)", self.raw.len())
    }
}
