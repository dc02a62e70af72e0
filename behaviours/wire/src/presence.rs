//! Presence: members of a swarm tell each other who is there, who has left, and who does not answer any more.
//!
//! Words are signed and small, and are passed on as they came. Frames carry them between two members, and the comparisons
//! by which each finds what it has missed. A frame of no bytes asks whether the other end is there; it answers with another.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{
    bin,
    card::NAME_MAX,
    ids::{PeerKey, SwarmId},
    msgpack::{self, DecodeError},
    sign::{Domain, Signed},
};

/// Bytes of a signed word.
pub const WORD_MAX: usize = 512;
/// Words of one frame: verifying all of them takes some milliseconds.
pub const WORDS_MAX: usize = 64;
/// Parts into which the members of a swarm are divided for comparing, by the first byte of their keys.
pub const BUCKETS: usize = 64;
/// Members in one list, or wanted at once.
pub const LISTED_MAX: usize = 1_024;
/// A frame.
pub const FRAME_MAX: usize = 64 * 1024;

/// Bytes of a member in a list: key, incarnation, number of the card.
const LISTED: usize = 48;
/// Bytes of a key.
const KEY: usize = 32;

/// What is said of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// In which swarm.
    pub swarm: SwarmId,
    /// Of whom.
    pub subject: PeerKey,
    /// Of which of its lives; a member that is called gone answers with a higher one.
    pub incarnation: u64,
    /// What.
    pub says: Says,
}

/// What a word says of its subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Says {
    /// It is there. Signed by the subject.
    Alive {
        /// What it calls itself.
        name: String,
        /// The number of its newest card.
        card: u64,
    },
    /// It has left. Signed by the subject.
    Left,
    /// It does not answer.
    Suspect {
        /// Who says so, and signs it: another member.
        witness: PeerKey,
    },
}

/// A word as it travels, behind its signature.
#[derive(Serialize, Deserialize)]
struct Payload {
    v: u8,
    kind: Kind,
    swarm: SwarmId,
    peer: PeerKey,
    incarnation: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    card: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    witness: Option<PeerKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Alive,
    Left,
    Suspect,
}

fn unexpected<T>(what: &str) -> Result<T, DecodeError> {
    Err(DecodeError::Unexpected(what.into()))
}

impl Word {
    /// Whose signature it must carry.
    pub fn signer(&self) -> &PeerKey {
        match &self.says {
            Says::Suspect { witness } => witness,
            Says::Alive { .. } | Says::Left => &self.subject,
        }
    }

    /// Signs it with the key of its [`signer`](Self::signer).
    pub fn seal(&self, key: &SigningKey) -> Signed {
        let (kind, name, card, witness) = match &self.says {
            Says::Alive { name, card } => (Kind::Alive, Some(name.clone()), Some(*card), None),
            Says::Left => (Kind::Left, None, None, None),
            Says::Suspect { witness } => (Kind::Suspect, None, None, Some(*witness)),
        };
        let Self { swarm, subject: peer, incarnation, .. } = *self;
        let payload = Payload { v: 1, kind, swarm, peer, incarnation, name, card, witness };
        Signed::seal(Domain::Presence, key, &msgpack::encode(&payload))
    }

    /// Reads a word whose signature is not verified yet; see [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn read(signed: &Signed) -> Result<Self, DecodeError> {
        if signed.raw().len() > WORD_MAX {
            return unexpected("a word that is too long");
        }
        let payload: Payload = msgpack::decode(&signed.payload())?;
        let Payload { v, kind, swarm, peer: subject, incarnation, name, card, witness } = payload;
        if v != 1 {
            return unexpected("another version");
        }
        let says = match (kind, name, card, witness) {
            (Kind::Alive, Some(name), Some(card), None) if (1..=NAME_MAX).contains(&name.len()) => {
                Says::Alive { name, card }
            }
            (Kind::Left, None, None, None) => Says::Left,
            (Kind::Suspect, None, None, Some(witness)) if witness != subject => Says::Suspect { witness },
            _ => return unexpected("a word that says nothing, or too much"),
        };
        Ok(Self { swarm, subject, incarnation, says })
    }

    /// Whether `signed`, from which it was read, is signed by whom it must be. Some 60 µs.
    pub fn verify(&self, signed: &Signed) -> bool {
        signed.verify(Domain::Presence, self.signer()).is_ok()
    }
}

/// A member in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// Who.
    pub peer: PeerKey,
    /// Which of its lives.
    pub incarnation: u64,
    /// The number of its newest card.
    pub card: u64,
}

impl Listed {
    /// What stands for this member in a digest: the first four bytes of SHA-256 over its bytes in a list.
    pub fn hash(&self) -> u32 {
        let hash: [u8; 32] = Sha256::digest(self.to_bytes()).into();
        hash.first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
    }

    /// Key, incarnation and number of the card, big-endian.
    fn to_bytes(self) -> [u8; LISTED] {
        let mut bytes = [0; LISTED];
        let parts = self.peer.0.iter().copied().chain(self.incarnation.to_be_bytes()).chain(self.card.to_be_bytes());
        bytes.iter_mut().zip(parts).for_each(|(to, from)| *to = from);
        bytes
    }

    fn from_bytes(bytes: &[u8; LISTED]) -> Option<Self> {
        let (peer, numbers) = bytes.split_first_chunk::<KEY>()?;
        let (incarnation, card) = numbers.split_first_chunk::<8>()?;
        let card = card.first_chunk::<8>()?;
        let (incarnation, card) = (u64::from_be_bytes(*incarnation), u64::from_be_bytes(*card));
        Some(Self { peer: PeerKey(*peer), incarnation, card })
    }
}

/// The bucket of a member.
pub fn bucket_of(peer: &PeerKey) -> usize {
    peer.0.first().map_or(0, |first| usize::from(*first)) & (BUCKETS - 1)
}

/// Members that are there, summed up: of each bucket the exclusive or of [`Listed::hash`].
pub type Buckets = [u32; BUCKETS];

/// What members send each other.
#[derive(Clone, PartialEq, Eq)]
pub enum Frame {
    /// Signed words, at most [`WORDS_MAX`].
    Words(Vec<Bytes>),
    /// "This is who I think is there": the other end answers with [`Same`](Self::Same) or a [`List`](Self::List).
    Digest {
        /// Which swarm.
        swarm: SwarmId,
        /// All of its members, summed up.
        buckets: Box<Buckets>,
    },
    /// "I think so too."
    Same {
        /// Which swarm.
        swarm: SwarmId,
    },
    /// Whom the sender takes for there, of some of the buckets that differ.
    List {
        /// Which swarm.
        swarm: SwarmId,
        /// The buckets that are listed, the first one in the lowest bit.
        covered: u64,
        /// Their members, at most [`LISTED_MAX`].
        members: Vec<Listed>,
        /// Other buckets differ, too.
        more: bool,
    },
    /// "Give me your words about these."
    Want {
        /// Which swarm.
        swarm: SwarmId,
        /// Whom, at most [`LISTED_MAX`].
        peers: Vec<PeerKey>,
    },
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Words(words) => write!(f, "Words({})", words.len()),
            Self::Digest { .. } => f.write_str("Digest"),
            Self::Same { .. } => f.write_str("Same"),
            Self::List { members, more, .. } => write!(f, "List({}, more: {more})", members.len()),
            Self::Want { peers, .. } => write!(f, "Want({})", peers.len()),
        }
    }
}

/// A frame as it travels.
#[derive(Default, Serialize, Deserialize)]
struct Carried {
    v: u8,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swarm: Option<SwarmId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "bin::list")]
    words: Vec<Bytes>,
    /// Four bytes each, big-endian.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bin::option")]
    buckets: Option<Bytes>,
    #[serde(default)]
    #[serde(skip_serializing_if = "is_zero")]
    covered: u64,
    /// 48 bytes each.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bin::option")]
    members: Option<Bytes>,
    /// 32 bytes each.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "bin::option")]
    peers: Option<Bytes>,
    #[serde(default, skip_serializing_if = "is_false")]
    more: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// `bytes` in pieces of `N`; none if something is left over, or there are more than `most`.
fn pieces<const N: usize>(bytes: Option<&Bytes>, most: usize) -> Option<Vec<[u8; N]>> {
    let chunks = bytes?.chunks_exact(N);
    if !chunks.remainder().is_empty() || chunks.len() > most {
        return None;
    }
    chunks.map(|chunk| chunk.first_chunk().copied()).collect()
}

impl Frame {
    /// MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        let empty = |kind: &str, swarm: Option<&SwarmId>| Carried {
            v: 1,
            kind: kind.to_owned(),
            swarm: swarm.copied(),
            ..Carried::default()
        };
        let carried = match self {
            Self::Words(words) => Carried { words: words.clone(), ..empty("words", None) },
            Self::Digest { swarm, buckets } => {
                let bytes: Vec<u8> = buckets.iter().flat_map(|bucket| bucket.to_be_bytes()).collect();
                Carried { buckets: Some(bytes.into()), ..empty("digest", Some(swarm)) }
            }
            Self::Same { swarm } => empty("same", Some(swarm)),
            Self::List { swarm, covered, members, more } => {
                let bytes: Vec<u8> = members.iter().flat_map(|listed| listed.to_bytes()).collect();
                let (covered, more) = (*covered, *more);
                Carried { covered, members: Some(bytes.into()), more, ..empty("list", Some(swarm)) }
            }
            Self::Want { swarm, peers } => {
                let bytes: Vec<u8> = peers.iter().flat_map(|peer| peer.0).collect();
                Carried { peers: Some(bytes.into()), ..empty("want", Some(swarm)) }
            }
        };
        msgpack::encode(&carried)
    }

    /// Reads. The words are not read yet.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let carried: Carried = msgpack::decode(bytes)?;
        if carried.v != 1 {
            return unexpected("another version");
        }
        carried.open().map_or_else(|| unexpected("a frame that is none, or is too long"), Ok)
    }
}

impl Carried {
    fn open(self) -> Option<Frame> {
        match self.kind.as_str() {
            "words" => {
                let fit = self.words.len() <= WORDS_MAX && self.words.iter().all(|word| word.len() <= WORD_MAX);
                fit.then_some(Frame::Words(self.words))
            }
            "digest" => {
                let hashes = pieces::<4>(self.buckets.as_ref(), BUCKETS)?.into_iter().map(u32::from_be_bytes);
                let buckets = hashes.collect::<Box<[u32]>>().try_into().ok()?;
                Some(Frame::Digest { swarm: self.swarm?, buckets })
            }
            "same" => Some(Frame::Same { swarm: self.swarm? }),
            "list" => {
                let members = pieces::<LISTED>(self.members.as_ref(), LISTED_MAX)?;
                let members: Vec<Listed> = members.iter().filter_map(Listed::from_bytes).collect();
                let inside = |listed: &Listed| self.covered.wrapping_shr(bucket_bit(&listed.peer)) & 1 == 1;
                let covered = members.iter().all(inside);
                let Self { swarm, covered: mask, more, .. } = self;
                covered.then_some(Frame::List { swarm: swarm?, covered: mask, members, more })
            }
            "want" => {
                let peers = pieces::<KEY>(self.peers.as_ref(), LISTED_MAX)?.into_iter().map(PeerKey).collect();
                Some(Frame::Want { swarm: self.swarm?, peers })
            }
            _ => None,
        }
    }
}

/// The bit of a member's bucket.
fn bucket_bit(peer: &PeerKey) -> u32 {
    u32::try_from(bucket_of(peer)).unwrap_or_default()
}

#[cfg(test)]
#[path = "presence_tests.rs"]
mod tests;
