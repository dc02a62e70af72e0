//! The signed self-description of a node.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{PeerKey, Team},
    limits,
    msgpack::{self, DecodeError},
    sign::{Domain, SignError, Signed},
};

/// Longest life of a card.
pub const LIFE_MS: u64 = 24 * 3_600_000;
/// Clocks may differ by so much.
pub const LEEWAY_MS: u64 = 120_000;
/// Addresses.
pub const ADDRESSES_MAX: usize = 16;
/// Capabilities, endpoints, artifacts.
pub const LIST_MAX: usize = 128;
/// Bytes of a name or role.
pub const NAME_MAX: usize = 64;

/// Why bytes are no card.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CardError {
    /// Larger than the limit.
    #[error("{0} bytes; the limit is {max}", max = limits::CARD_MAX)]
    TooLarge(usize),
    /// The signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The payload.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// It was good until then (milliseconds since 1970).
    #[error("it has expired")]
    Expired(u64),
    /// A field is not acceptable.
    #[error("{0}")]
    Invalid(&'static str),
}

/// An advertised skill.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capability {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// JSON Schema, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<String>,
    /// JSON Schema, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<String>,
}

impl Capability {
    /// One of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// Describes it.
    pub fn describe(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }
}

impl From<&str> for Capability {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

/// A published endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointInfo {
    /// Its name.
    pub name: String,
    /// For people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// JSON Schema, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_schema: Option<String>,
    /// JSON Schema, as text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_schema: Option<String>,
    /// Running it twice does no harm.
    #[serde(default)]
    pub idempotent: bool,
    /// It answers in items.
    #[serde(default)]
    pub streaming: bool,
}

impl EndpointInfo {
    /// One of that name.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

/// Whether a node takes work, by its own word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Availability {
    /// It does.
    #[default]
    Online,
    /// It has enough to do.
    Busy,
    /// It is there, but takes none.
    Offline,
}

impl Availability {
    /// `online`, `busy` or `offline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Busy => "busy",
            Self::Offline => "offline",
        }
    }

    /// What a card says; a word that is not known, or none, is no reason to leave a node alone.
    pub fn of(card: &Card) -> Self {
        card.availability.parse().unwrap_or_default()
    }
}

/// A word that is no [`Availability`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is none of online, busy, offline")]
pub struct NoAvailability;

impl std::str::FromStr for Availability {
    type Err = NoAvailability;

    fn from_str(text: &str) -> Result<Self, NoAvailability> {
        [Self::Online, Self::Busy, Self::Offline].into_iter().find(|one| one.as_str() == text).ok_or(NoAvailability)
    }
}

/// A self-description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// 1.
    pub v: u8,
    /// Who signs it.
    pub peer: PeerKey,
    /// Rising.
    pub seq: u64,
    /// Milliseconds since 1970; at most 24 hours ahead.
    pub not_after: u64,
    /// A label, not a proof.
    pub name: String,
    /// What it does in a team.
    #[serde(default)]
    pub role: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// A label.
    #[serde(default)]
    pub team: Option<Team>,
    /// `node`.
    #[serde(default)]
    pub kind: String,
    /// Of the program behind it.
    #[serde(default)]
    pub version: String,
    /// Advertised skills.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Published endpoints.
    #[serde(default)]
    pub endpoints: Vec<EndpointInfo>,
    /// Names of documents it serves.
    #[serde(default)]
    pub artifacts: Vec<String>,
    /// MIME types.
    #[serde(default)]
    pub input_modes: Vec<String>,
    /// MIME types.
    #[serde(default)]
    pub output_modes: Vec<String>,
    /// `online`, `busy`, `offline`.
    #[serde(default)]
    pub availability: String,
    /// 0 to 100.
    #[serde(default)]
    pub load: Option<u8>,
    /// Multiaddrs.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Program and version.
    #[serde(default)]
    pub agent: String,
}

impl Card {
    /// An empty card of that peer.
    pub fn new(peer: PeerKey) -> Self {
        Self {
            v: 1,
            peer,
            seq: 0,
            not_after: 0,
            name: String::new(),
            role: String::new(),
            description: String::new(),
            team: None,
            kind: String::new(),
            version: String::new(),
            capabilities: Vec::new(),
            endpoints: Vec::new(),
            artifacts: Vec::new(),
            input_modes: Vec::new(),
            output_modes: Vec::new(),
            availability: String::new(),
            load: None,
            addresses: Vec::new(),
            agent: String::new(),
        }
    }

    /// Signs it.
    pub fn seal(&self, key: &SigningKey) -> Signed {
        Signed::seal(Domain::Card, key, &msgpack::encode(self))
    }

    /// Reads and verifies; `now_ms` is the wall clock.
    ///
    /// # Errors
    /// [`CardError`].
    pub fn open(raw: Bytes, now_ms: u64) -> Result<(Self, Signed), CardError> {
        if raw.len() > limits::CARD_MAX {
            return Err(CardError::TooLarge(raw.len()));
        }
        let signed = Signed::parse(raw)?;
        let card = Self::read(&signed)?;
        card.check_time(now_ms)?;
        signed.verify(Domain::Card, &card.peer)?;
        Ok((card, signed))
    }

    /// Reads without verifying the signature, which is dear, and without [asking a clock](Self::check_time).
    ///
    /// # Errors
    /// [`CardError`].
    pub fn read(signed: &Signed) -> Result<Self, CardError> {
        let card: Self = msgpack::decode(&signed.payload())?;
        card.check()?;
        Ok(card)
    }

    /// Whether it is good at that time of the wall clock.
    ///
    /// # Errors
    /// [`CardError::Expired`], or it claims to be good for longer than [`LIFE_MS`].
    pub fn check_time(&self, now_ms: u64) -> Result<(), CardError> {
        if self.not_after.saturating_add(LEEWAY_MS) < now_ms {
            return Err(CardError::Expired(self.not_after));
        }
        if self.not_after > now_ms.saturating_add(LIFE_MS).saturating_add(LEEWAY_MS) {
            return Err(CardError::Invalid("it claims to be good for more than 24 hours"));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), CardError> {
        if self.v != 1 {
            return Err(CardError::Invalid("another version"));
        }
        if self.name.is_empty() || self.name.len() > NAME_MAX || self.role.len() > NAME_MAX {
            return Err(CardError::Invalid("a name that is empty, or a name or role that is too long"));
        }
        let lists = [self.capabilities.len(), self.endpoints.len(), self.artifacts.len()];
        if self.addresses.len() > ADDRESSES_MAX || lists.iter().any(|n| *n > LIST_MAX) {
            return Err(CardError::Invalid("a list that is too long"));
        }
        Ok(())
    }
}
