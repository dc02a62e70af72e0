//! The order of what is found: by time, then by some bits of the id. In the file it is the number of the row, so that
//! an index over anything is in the order of time, and a search can stop at the newest hits.

use p2pnode_wire::ids::{MailId, PeerKey};

use super::rows::TIME_MAX;

/// What kind of row; each has numbers of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An event.
    Event,
    /// A message to us.
    Inbox,
    /// A message of ours.
    Outbox,
}

/// Bits below the time.
pub(crate) const BITS: u32 = 20;

/// 43 bits of time, 18 bits of the id, 2 bits of the kind. Events are ordered by the first bits of their id, as the rest
/// of their ids goes on; messages by the last ones, since the first ones are their author's clock.
pub(crate) fn rank(time_ms: u64, kind: Kind, id: &[u8]) -> i64 {
    let (bytes, tag) = match kind {
        Kind::Event => (id.first_chunk::<3>(), 0),
        Kind::Inbox => (id.last_chunk::<3>(), 1),
        Kind::Outbox => (id.last_chunk::<3>(), 2),
    };
    let bits = bytes.map_or(0, |[a, b, c]| (u64::from(*a) << 10) | (u64::from(*b) << 2) | (u64::from(*c) >> 6));
    let rank = (time_ms.min(TIME_MAX) << BITS) | (bits << 2) | tag;
    i64::try_from(rank).unwrap_or(i64::MAX)
}

/// The rank of a message to us: two authors may choose the same id.
pub(crate) fn inbox_rank(time_ms: u64, author: &PeerKey, id: &MailId) -> i64 {
    let mut bits = *id.0.as_bytes();
    bits.iter_mut().rev().zip(author.0).for_each(|(bit, other)| *bit ^= other);
    rank(time_ms, Kind::Inbox, &bits)
}

/// From one number of a kind to the next.
#[cfg(feature = "store")]
pub(crate) const STEP: i64 = 4;

/// What a number is of.
#[cfg(feature = "store")]
pub(crate) fn kind(rank: i64) -> Option<Kind> {
    match rank & 3 {
        0 => Some(Kind::Event),
        1 => Some(Kind::Inbox),
        2 => Some(Kind::Outbox),
        _ => None,
    }
}

/// The smallest number of that time.
#[cfg(feature = "store")]
pub(crate) fn floor(time_ms: u64) -> i64 {
    i64::try_from(time_ms.min(TIME_MAX + 1) << BITS).unwrap_or(i64::MAX)
}
