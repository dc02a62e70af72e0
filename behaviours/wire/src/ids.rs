//! Identifiers and names.

use std::{fmt, str::FromStr};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;
use uuid::Uuid;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{name}\" is no name for a {what}: {reason}")]
pub struct NameError {
    /// What the name is for.
    pub what: &'static str,
    /// The text, escaped.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

const NAME_MAX: usize = 64;

fn parse_name(what: &'static str, text: &str) -> Result<String, NameError> {
    let name: String = text.nfc().collect::<String>().to_lowercase();
    let fail = |reason: String| NameError { what, name: text.escape_debug().take(100).collect(), reason };
    if name.is_empty() {
        return Err(fail("it is empty".into()));
    }
    if let Some(bad) = name.chars().find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(*c))) {
        return Err(fail(format!("{bad:?} is not one of a-z 0-9 . _ -")));
    }
    if name.len() > NAME_MAX {
        return Err(fail(format!("it has {} characters, the limit is {NAME_MAX}", name.len())));
    }
    Ok(name)
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// The name, normalised.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                parse_name($what, text).map(Self)
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    };
}

name!(
    /// Name of an open swarm: NFC, lower case, `[a-z0-9._-]{1,64}`.
    SwarmName,
    "swarm"
);
name!(
    /// A label inside a swarm, of the same form.
    Team,
    "team"
);

macro_rules! bytes32 {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub [u8; 32]);

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| IdError)?;
                bytes.try_into().map(Self).map_err(|_| IdError)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                serde_bytes::ByteArray::<32>::deserialize(deserializer).map(|bytes| Self(bytes.into_array()))
            }
        }
    };
}

/// A text that is no identifier of its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no identifier")]
pub struct IdError;

bytes32!(
    /// A swarm. Open ones: SHA-256 of a prefix and the name.
    SwarmId
);
bytes32!(
    /// A peer: its raw Ed25519 public key.
    PeerKey
);
bytes32!(
    /// An event: SHA-256 of its signed bytes.
    EventId
);

impl SwarmId {
    /// The id of an open swarm.
    pub fn open(name: &SwarmName) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"p2pnode/open/1");
        hash.update(name.as_str().as_bytes());
        Self(hash.finalize().into())
    }

    /// What only those who know the id can recognise: SHA-256 of id and nonce.
    pub fn blind(&self, nonce: &[u8; 16]) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(self.0);
        hash.update(nonce);
        hash.finalize().into()
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $type(pub Uuid);

        impl $type {
            /// A fresh one; those of one process sort by age.
            #[allow(clippy::new_without_default, reason = "a default id would be a surprise")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The last 8 hex digits: the first ones are the clock.
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text.get(24..).unwrap_or_default().to_owned()
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $type {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self).map_err(|_| IdError)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(self.0.as_bytes())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = serde_bytes::ByteArray::<16>::deserialize(deserializer)?;
                Ok(Self(Uuid::from_bytes(bytes.into_array())))
            }
        }
    };
}

uuid_id!(
    /// A conversation (UUIDv7).
    ConversationId
);
uuid_id!(
    /// A message (UUIDv7).
    MailId
);
