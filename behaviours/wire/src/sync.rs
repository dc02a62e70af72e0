//! Catching up: two members of a swarm compare what they keep of each feed, and one gives the other what it lacks.
//!
//! The asker sends a digest of what it keeps. If it differs from the other's, the answer lists feeds, from which the asker
//! sees what it lacks and asks for that. What it has more than the other is the other's business: it hears that the
//! digests differ, and asks back.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    bin,
    ids::{EventId, PeerKey, SwarmId},
    limits,
    msgpack::{self, DecodeError},
};

/// Ranges of one feed: who has more gaps takes nothing more that would make another one.
pub const RANGES: usize = 64;
/// Ranges of all feeds of one answer, but for the last feed.
pub const RANGES_PER_REPLY: usize = 2_048;
/// Ranges asked for at once.
pub const WANTS: usize = 256;

/// Numbers of events: `from` and those after it, below `to`.
pub type Range = (u64, u64);

/// What somebody keeps of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeedState {
    /// Whose feed.
    pub author: PeerKey,
    /// Which of its runs.
    pub epoch: u64,
    /// What is kept: ranges, rising and apart. At most [`RANGES`].
    pub held: Vec<Range>,
    /// Retention has removed what is below.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cut: u64,
    /// The last event of `held`, which stands for all before it: who has another one at that place has another history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<EventId>,
    /// The author has signed another history, which parts from `held` at or after this number: the proof comes along with
    /// the events of this place and the next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork: Option<u64>,
}

/// Events somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Want {
    /// Whose feed.
    pub author: PeerKey,
    /// Which of its runs.
    pub epoch: u64,
    /// The first one.
    pub from: u64,
    /// The one after the last.
    pub to: u64,
}

/// A question about one swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncRequest {
    /// 1.
    pub v: u8,
    /// Which swarm.
    pub swarm: SwarmId,
    /// Digest of what the asker keeps.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 32],
    /// What it wants. Empty: it wants to know what there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub want: Vec<Want>,
    /// List feeds after this one only, where the last answer did not hold all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<(PeerKey, u64)>,
    /// The other one has just asked us: it need not ask back.
    #[serde(default, skip_serializing_if = "is_false")]
    pub back: bool,
}

/// The answer.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SyncReply {
    /// Digest of what the answerer keeps.
    #[serde(with = "serde_bytes")]
    pub digest: [u8; 32],
    /// Its feeds by author and run, if the digests differ and nothing was wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub feeds: Vec<FeedState>,
    /// Signed events that were wanted.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "bin::list")]
    pub events: Vec<Bytes>,
    /// There are more feeds, or more of what was wanted.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

impl std::fmt::Debug for SyncReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { feeds, events, more, .. } = self;
        write!(f, "SyncReply({} feeds, {} events, more: {more})", feeds.len(), events.len())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_false(flag: &bool) -> bool {
    !*flag
}

fn unexpected<T>(what: &str) -> Result<T, DecodeError> {
    Err(DecodeError::Unexpected(what.into()))
}

impl SyncRequest {
    /// What is there?
    pub fn compare(swarm: SwarmId, digest: [u8; 32]) -> Self {
        Self { v: 1, swarm, digest, want: Vec::new(), after: None, back: false }
    }

    /// MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        msgpack::encode(self)
    }

    /// Reads.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let this: Self = msgpack::decode(bytes)?;
        if this.v != 1 || this.want.len() > WANTS || this.want.iter().any(|want| want.from >= want.to) {
            return unexpected("another version, too many ranges, or an empty one");
        }
        Ok(this)
    }
}

impl SyncReply {
    /// MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        msgpack::encode(self)
    }

    /// Reads. Events are not verified yet.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let this: Self = msgpack::decode(bytes)?;
        if this.feeds.len() > limits::SYNC_FEEDS || this.events.len() > limits::SYNC_EVENTS {
            return unexpected("too many feeds or events");
        }
        if !this.feeds.iter().all(FeedState::is_sound) {
            return unexpected("ranges of a feed that are empty, or not in order");
        }
        Ok(this)
    }
}

impl FeedState {
    fn is_sound(&self) -> bool {
        let rising = self.held.windows(2).all(|pair| matches!(pair, [(_, to), (from, _)] if to < from));
        rising && self.held.len() <= RANGES && self.held.iter().all(|(from, to)| from < to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(held: &[Range]) -> FeedState {
        FeedState {
            author: PeerKey([7; 32]),
            epoch: u64::MAX,
            held: held.to_vec(),
            cut: 0,
            head: Some(EventId([8; 32])),
            fork: Some(7),
        }
    }

    #[test]
    fn both_come_back() {
        let want = vec![Want { author: PeerKey([1; 32]), epoch: 9, from: 3, to: 5 }];
        let after = Some((PeerKey([2; 32]), 8));
        let request = SyncRequest { want, after, back: true, ..SyncRequest::compare(SwarmId([3; 32]), [4; 32]) };
        assert_eq!(SyncRequest::decode(&request.encode()), Ok(request));
        let events = vec![Bytes::from_static(b"signed")];
        let reply = SyncReply { digest: [5; 32], feeds: vec![feed(&[(0, 3), (7, 8)])], events, more: true };
        assert_eq!(SyncReply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn the_largest_list_of_feeds_is_within_the_bounds() {
        let held: Vec<Range> =
            (0..(RANGES_PER_REPLY / limits::SYNC_FEEDS) as u64).map(|n| ((2 * n) << 40, (2 * n + 1) << 40)).collect();
        let feeds = vec![FeedState { cut: u64::MAX, ..feed(&held) }; limits::SYNC_FEEDS];
        let reply = SyncReply { feeds, ..SyncReply::default() };
        assert_eq!(SyncReply::decode(&reply.encode()), Ok(reply));
    }

    #[test]
    fn unsound_ranges_are_refused() {
        let many: Vec<Range> = (0..=RANGES as u64).map(|n| (2 * n, 2 * n + 1)).collect();
        for held in [&[(3, 3)][..], &[(0, 2), (2, 3)], &[(4, 5), (0, 1)], &many] {
            let reply = SyncReply { feeds: vec![feed(held)], ..SyncReply::default() };
            assert!(SyncReply::decode(&reply.encode()).is_err(), "{held:?}");
        }
        let want = vec![Want { author: PeerKey([1; 32]), epoch: 9, from: 5, to: 5 }];
        let request = SyncRequest { want, ..SyncRequest::compare(SwarmId([3; 32]), [4; 32]) };
        assert!(SyncRequest::decode(&request.encode()).is_err());
    }
}
