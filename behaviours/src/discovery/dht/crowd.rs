//! Whether a key has providers enough without us. Pure.

use libp2p_identity::PeerId;
use libp2p_kad::{KBucketDistance, KBucketKey, RecordKey};

/// Holders that must agree: one that lies must not keep us silent.
const HOLDERS: usize = 2;

/// Answers after which enough was asked: those on the way to the key, who know of no provider but themselves, and some of
/// the eight that hold it.
const MAX_ANSWERS: usize = 8;

/// What holders of a key say about its providers.
///
/// They keep the twenty nearest to the key, and tell some of them, libp2p-kad (0.49) as many as the replication factor.
/// Where all that are told are nearer than we are, an announcement of ours is sixteen requests for little, and in a swarm
/// of five hundred all of them go to the same eight nodes.
#[derive(Debug)]
pub(super) struct Crowd {
    key: KBucketKey<RecordKey>,
    own: KBucketDistance,
    /// As many providers are a full answer.
    full: usize,
    /// Full answers with none as far as we are.
    holders: usize,
    answers: usize,
}

impl Crowd {
    pub(super) fn new(key: RecordKey, own: &PeerId, full: usize) -> Self {
        let key = KBucketKey::new(key);
        let own = key.distance(&KBucketKey::from(*own));
        Self { key, own, full, holders: 0, answers: 0 }
    }

    /// One of them answers. True when enough was asked.
    pub(super) fn told<'a>(&mut self, providers: impl IntoIterator<Item = &'a PeerId>) -> bool {
        let distance = |provider: &PeerId| self.key.distance(&KBucketKey::from(*provider));
        let (mut told, mut nearer) = (0, 0);
        for provider in providers {
            told += 1;
            nearer += usize::from(distance(provider) < self.own);
        }
        self.answers += 1;
        self.holders += usize::from(told >= self.full && nearer == told);
        self.is_complete() || self.answers >= MAX_ANSWERS
    }

    /// Whether the key does without us.
    pub(super) fn is_complete(&self) -> bool {
        self.holders >= HOLDERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: usize = 8;

    fn nearest_first(key: &RecordKey, count: usize) -> Vec<PeerId> {
        let place = KBucketKey::new(key.clone());
        let mut peers: Vec<PeerId> = (0..count).map(|_| PeerId::random()).collect();
        peers.sort_by_key(|peer| place.distance(&KBucketKey::from(*peer)));
        peers
    }

    #[test]
    fn who_is_farther_than_all_that_are_told_need_not_announce() {
        let key = RecordKey::new(&"garden");
        let peers = nearest_first(&key, FULL + 2);
        let mut far = Crowd::new(key.clone(), &peers[FULL + 1], FULL);
        assert!(!far.told(&peers[..FULL]));
        assert!(!far.is_complete(), "one holder may lie");
        assert!(far.told(&peers[1..=FULL]));
        assert!(far.is_complete());
        let mut near = Crowd::new(key, &peers[FULL], FULL);
        for _ in 0..2 {
            near.told(peers[..FULL].iter().chain(&peers[FULL + 1..]));
        }
        assert!(!near.is_complete(), "nearer than one that is kept");
    }

    #[test]
    fn few_providers_or_no_holders_are_not_enough() {
        let key = RecordKey::new(&"garden");
        let peers = nearest_first(&key, FULL);
        let mut few = Crowd::new(key.clone(), &peers[FULL - 1], FULL);
        for itself in &peers[..FULL - 1] {
            few.told([itself]);
        }
        assert!(!few.is_complete(), "who tells of itself is no holder");
        let mut nobody = Crowd::new(key, &peers[0], FULL);
        let ended = (1..).find(|_| nobody.told(&[]));
        assert_eq!(ended, Some(MAX_ANSWERS));
        assert!(!nobody.is_complete());
    }
}
