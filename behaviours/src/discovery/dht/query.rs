//! What is being looked up, and what it gives.

use std::{collections::HashSet, time::Duration};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::{self as kad, RecordKey};
use p2pnode_wire::value::{Value, ValueError};

use super::{crowd::Crowd, refresh::Lookup, spread::Look};

/// Names a lookup; its results carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryToken(pub(super) u64);

/// What a lookup cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Requests sent.
    pub requests: u32,
    /// Answered ones.
    pub answers: u32,
    /// Failed ones.
    pub failures: u32,
    /// From the first request to the end.
    pub took: Option<Duration>,
}

impl From<kad::QueryStats> for Stats {
    fn from(stats: kad::QueryStats) -> Self {
        Self {
            requests: stats.num_requests(),
            answers: stats.num_successes(),
            failures: stats.num_failures(),
            took: stats.duration(),
        }
    }
}

/// Why a value of our own is not published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PutError {
    /// It is none, or its signature does not hold.
    #[error(transparent)]
    Invalid(#[from] ValueError),
    /// Somebody else signed it.
    #[error("the value is signed by {0}, not by this node")]
    Foreign(p2pnode_wire::ids::PeerKey),
    /// A newer one is published.
    #[error("a value with this or a higher sequence number is published")]
    Old,
    /// More than this node keeps up.
    #[error("too many values and keys of this node")]
    TooMany,
}

/// What the DHT tells.
#[derive(Debug)]
pub enum Output {
    Providers { token: QueryToken, providers: Vec<(PeerId, Vec<Multiaddr>)>, last: bool },
    Value { token: QueryToken, value: Box<Value>, from: Option<PeerId> },
    Peer { token: QueryToken, peer: PeerId, addrs: Vec<Multiaddr> },
    Finished { token: QueryToken, stats: Stats, reached: usize, error: Option<String> },
    Table { peers: usize },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Own {
    Key(RecordKey),
    /// A key for which any few providers serve.
    Entrance(RecordKey),
    /// Keys that begin so, as many as there are shards.
    Spread(String),
    Value(RecordKey),
}

/// Holders that must have told of a good value before the newest of theirs is taken: somebody may have given an old one, which
/// its owner has signed as well, to a node that had none.
const AGREED: usize = 3;

/// The newest of the values that were told.
#[derive(Debug, Default)]
pub(super) struct Best {
    newest: Option<(Box<Value>, Option<PeerId>)>,
    told: usize,
}

impl Best {
    /// Somebody tells of a good value; none: this node itself.
    pub(super) fn told(&mut self, value: Value, by: Option<PeerId>) {
        self.told += 1;
        if self.newest.as_ref().is_none_or(|(known, _)| known.seq < value.seq) {
            self.newest = Some((Box::new(value), by));
        }
    }

    /// Whether enough have told.
    pub(super) fn is_sure(&self) -> bool {
        self.told >= AGREED
    }

    pub(super) fn into_value(self) -> Option<(Box<Value>, Option<PeerId>)> {
        self.newest
    }
}

#[derive(Debug)]
pub(super) enum Query {
    Providers {
        token: QueryToken,
        key: RecordKey,
        seen: HashSet<PeerId>,
        /// It ends when so many are found.
        enough: usize,
    },
    Value {
        token: QueryToken,
        key: RecordKey,
        best: Best,
    },
    Peer {
        token: QueryToken,
        peer: PeerId,
    },
    /// An announcement; with a token the first time a value is put.
    Announce {
        own: Own,
        token: Option<QueryToken>,
    },
    /// Before an announcement: whether it is of use.
    Crowded {
        key: RecordKey,
        crowd: Crowd,
    },
    /// The same for a shard.
    Look(Box<Look>),
    /// Around us or somewhere, with as many peers in the table as that.
    Refresh {
        lookup: Lookup,
        table: usize,
    },
}

impl Query {
    pub(super) fn token(&self) -> Option<QueryToken> {
        match self {
            Self::Providers { token, .. } | Self::Value { token, .. } | Self::Peer { token, .. } => Some(*token),
            Self::Announce { token, .. } => *token,
            Self::Crowded { .. } | Self::Look(_) | Self::Refresh { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use p2pnode_wire::ids::PeerKey;

    use super::*;

    #[test]
    fn the_newest_of_three_values_is_taken() {
        let value = |seq| Value { v: 1, owner: PeerKey([7; 32]), name: "motto".into(), seq, at_ms: 0, body: "".into() };
        let mut best = Best::default();
        for (seq, sure) in [(1, false), (5, false), (2, true)] {
            best.told(value(seq), None);
            assert_eq!(best.is_sure(), sure);
        }
        assert_eq!(best.into_value().map(|(value, _)| value.seq), Some(5));
        assert!(Best::default().into_value().is_none());
    }
}
