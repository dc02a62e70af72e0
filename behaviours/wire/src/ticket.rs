//! Tickets: one string that names a swarm and says where to find it, to be pasted, mailed or shown as a QR code.
//!
//! `p2pn1`, then base32 of MessagePack and a checksum. Base32 has neither signs nor case: a double click selects all of it,
//! and in capitals a QR code takes 5.5 bits for a character instead of 8.

use std::{fmt, str::FromStr};

use bytes::Bytes;
use data_encoding::BASE32_NOPAD_NOCASE as BASE32;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest, Sha256};

use crate::{
    bin,
    ids::{PeerKey, SwarmName},
    msgpack::{self, DecodeError},
};

/// Bytes of a ticket, the checksum included. In capitals that is a QR code of 2,463 characters, which can still lose 15 %
/// (level M).
pub const TICKET_MAX: usize = 1_536;
/// Peers of a ticket: one is enough to enter a swarm, and four are rarely all away.
pub const PEERS_MAX: usize = 4;
/// Addresses of one peer: TCP and QUIC, over IPv4 and IPv6.
pub const ADDRESSES_MAX: usize = 4;
/// Bytes of an address. A circuit over a relay takes some 60, with a DNS name some 120.
pub const ADDRESS_MAX: usize = 256;

/// What a ticket begins with, before the digit of its form.
const PREFIX: &str = "p2pn";
/// The form that is written and read here.
const FORM: char = '1';
/// What stands before a ticket that is a link.
const LINK: &str = "p2pnode://join/";
/// Bytes of the checksum: of changed tickets one in four thousand million is taken for whole.
const CHECKSUM: usize = 4;
/// Goes before the MessagePack in the hash, so that this one is none of another kind.
const DOMAIN: &[u8] = b"p2pnode/ticket/1";
/// Characters of the longest ticket after the form: 5 bits each.
const TEXT_MAX: usize = (TICKET_MAX * 8).div_ceil(5);
/// Characters of base32 that are so many whole bytes.
const GROUP: usize = 8;

/// Why a text is no ticket, or why none can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The text is something else.
    #[error("no ticket: it does not begin with \"{PREFIX}{FORM}\"")]
    NotATicket,
    /// Another form, or another version of the contents.
    #[error("the ticket was made by a newer version of p2pnode")]
    Newer,
    /// A character that no ticket has.
    #[error("{character:?}, character {position}, is not one of a-z 2-7")]
    Character {
        /// Which.
        character: char,
        /// Where in the text as it was given, counted from 1.
        position: usize,
    },
    /// The MessagePack ends inside a value.
    #[error("the ticket is incomplete: was the end cut off?")]
    CutOff,
    /// Something has changed; or what is cut off is of the checksum itself.
    #[error("the checksum does not match: a character is wrong, or was the end cut off?")]
    Checksum,
    /// Larger than [`TICKET_MAX`].
    #[error("the ticket is longer than {TICKET_MAX} bytes")]
    TooLong,
    /// What it says cannot be read, though it came as it was made.
    #[error("the ticket says nothing that can be read: {0}")]
    Decode(#[from] DecodeError),
    /// A field is not acceptable.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A peer to enter a swarm by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerAddresses {
    /// Who.
    pub peer: PeerKey,
    /// Where: multiaddrs in their binary form, without `/p2p` and the peer at the end, the best one first. At most
    /// [`ADDRESSES_MAX`], of 1 to [`ADDRESS_MAX`] bytes; whether they are multiaddrs is not looked at. None: it is
    /// to be looked for.
    pub addresses: Vec<Bytes>,
}

/// A ticket to an open swarm. As text (`Display`, `FromStr`, serde) it is `p2pn1…`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    name: SwarmName,
    peers: Vec<PeerAddresses>,
}

/// A ticket as MessagePack.
#[derive(Serialize, Deserialize)]
struct Payload {
    v: u64,
    name: SwarmName,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peers: Vec<Row>,
}

/// A peer as MessagePack: an array, which has no names of fields to spell.
#[derive(Serialize, Deserialize)]
struct Row(PeerKey, #[serde(with = "bin::list")] Vec<Bytes>);

/// What all versions have.
#[derive(Deserialize)]
struct Version {
    v: u64,
}

impl Ticket {
    /// A ticket to the open swarm of that name, which may be found by those `peers`, the best one first; at most
    /// [`PEERS_MAX`]. None: the swarm is to be looked for.
    ///
    /// # Errors
    /// [`TicketError::Invalid`], [`TicketError::TooLong`].
    pub fn open(name: SwarmName, peers: Vec<PeerAddresses>) -> Result<Self, TicketError> {
        if peers.len() > PEERS_MAX {
            return Err(TicketError::Invalid("too many peers"));
        }
        if peers.iter().any(|peer| peer.addresses.len() > ADDRESSES_MAX) {
            return Err(TicketError::Invalid("too many addresses of a peer"));
        }
        let mut addresses = peers.iter().flat_map(|peer| &peer.addresses);
        if addresses.any(|address| address.is_empty() || address.len() > ADDRESS_MAX) {
            return Err(TicketError::Invalid("an address that is empty or too long"));
        }
        let ticket = Self { name, peers };
        if ticket.encode().len() > TICKET_MAX.saturating_sub(CHECKSUM) {
            return Err(TicketError::TooLong);
        }
        Ok(ticket)
    }

    /// The name of the swarm.
    pub fn name(&self) -> &SwarmName {
        &self.name
    }

    /// Peers to enter it by, the best one first.
    pub fn peers(&self) -> &[PeerAddresses] {
        &self.peers
    }

    /// MessagePack, without the checksum.
    pub fn encode(&self) -> Vec<u8> {
        let rows = self.peers.iter().map(|peer| Row(peer.peer, peer.addresses.clone()));
        msgpack::encode(&Payload { v: 1, name: self.name.clone(), peers: rows.collect() })
    }

    /// Reads what [`encode`](Self::encode) writes, and nothing else: what it does not know might be what keeps others
    /// out of a swarm.
    ///
    /// # Errors
    /// [`TicketError`], none of those about text.
    pub fn decode(bytes: &[u8]) -> Result<Self, TicketError> {
        if bytes.len() > TICKET_MAX.saturating_sub(CHECKSUM) {
            return Err(TicketError::TooLong);
        }
        match msgpack::decode::<Version>(bytes)?.v {
            0 => return Err(TicketError::Invalid("there is no version 0")),
            1 => {}
            _ => return Err(TicketError::Newer),
        }
        let Payload { name, peers, .. } = msgpack::decode(bytes)?;
        let peers = peers.into_iter().map(|Row(peer, addresses)| PeerAddresses { peer, addresses });
        let ticket = Self::open(name, peers.collect())?;
        if ticket.encode() != bytes {
            return Err(TicketError::Invalid("fields that are unknown, or not written the one way they may be"));
        }
        Ok(ticket)
    }
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&written(&self.encode()))
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ticket({}, {} peers)", self.name, self.peers.len())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let bytes = read(text)?;
        let Some((payload, found)) = bytes.split_last_chunk::<CHECKSUM>() else { return Err(TicketError::CutOff) };
        if checksum(payload) != *found {
            return Err(broken(&bytes));
        }
        Self::decode(payload)
    }
}

impl Serialize for Ticket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ticket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// The text of a ticket with that MessagePack.
fn written(payload: &[u8]) -> String {
    let text = BASE32.encode(&[payload, &checksum(payload)].concat());
    format!("{PREFIX}{FORM}{}", text.to_ascii_lowercase())
}

/// The first bytes of SHA-256 over domain and MessagePack.
fn checksum(payload: &[u8]) -> [u8; CHECKSUM] {
    let hash: [u8; 32] = Sha256::new().chain_update(DOMAIN).chain_update(payload).finalize().into();
    hash.first_chunk().copied().unwrap_or_default()
}

/// MessagePack and checksum of a text, neither looked at.
fn read(text: &str) -> Result<Vec<u8>, TicketError> {
    // Enough to tell that it is too long, however long it is.
    let most = LINK.len().saturating_add(PREFIX.len()).saturating_add(TEXT_MAX).saturating_add(2);
    let letters: Vec<(usize, char)> = (1..).zip(text.chars()).filter(|(_, c)| !is_ignored(*c)).take(most).collect();
    let ticket = after(&letters, LINK).unwrap_or(&letters);
    let body = match after(ticket, PREFIX).and_then(<[_]>::split_first) {
        Some(((_, FORM), body)) => body,
        Some(((_, '2'..='9'), _)) => return Err(TicketError::Newer),
        _ => return Err(TicketError::NotATicket),
    };
    if let Some((position, character)) = body.iter().copied().find(|(_, c)| !is_base32(*c)) {
        return Err(TicketError::Character { character, position });
    }
    if body.len() > TEXT_MAX {
        return Err(TicketError::TooLong);
    }
    let body: String = body.iter().map(|(_, c)| c).collect();
    BASE32.decode(body.as_bytes()).map_err(|_| {
        let rest = body.len().checked_rem(GROUP).unwrap_or_default();
        let whole = body.get(..body.len().saturating_sub(rest)).unwrap_or_default();
        broken(&BASE32.decode(whole.as_bytes()).unwrap_or_default())
    })
}

/// What follows `prefix`, which is in lower case.
fn after<'a>(letters: &'a [(usize, char)], prefix: &str) -> Option<&'a [(usize, char)]> {
    let (head, rest) = letters.split_at_checked(prefix.len())?;
    head.iter().map(|(_, c)| c.to_ascii_lowercase()).eq(prefix.chars()).then_some(rest)
}

/// What mail programs and terminals put into long words: spaces, line ends, hyphens and joints that are not seen.
fn is_ignored(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

fn is_base32(c: char) -> bool {
    matches!(c, 'a'..='z' | 'A'..='Z' | '2'..='7')
}

/// What has probably happened to a ticket of which that is left. MessagePack knows where it ends.
fn broken(bytes: &[u8]) -> TicketError {
    match msgpack::measure(bytes) {
        Err(DecodeError::Truncated) => TicketError::CutOff,
        _ => TicketError::Checksum,
    }
}

#[cfg(test)]
#[path = "ticket_tests.rs"]
mod tests;
