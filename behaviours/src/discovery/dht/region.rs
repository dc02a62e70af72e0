//! Keys that somebody surrounds with identities of his own. Pure.
//!
//! Whoever tries keys until their peer ids lie next to a key is asked for it by everybody, and says nothing. But ids of
//! honest nodes lie as they fall: eight of them within a hundredth of the space that eight should take were put there. Then
//! a record goes to, and is asked from, the nodes of the whole region in which its holders would lie.

use libp2p_identity::PeerId;
use libp2p_kad::{KBucketDistance, KBucketKey, RecordKey};

/// So many times nearer than nodes should be is no chance: of eight, one time in ten thousand.
const ALARM: f64 = 6.0;
/// Peers that are near together are no crowd if they are fewer.
pub(super) const CROWD: usize = 4;
/// But to two of them nobody listens who say that a key has providers enough.
pub(super) const PAIR: usize = 2;
/// And no more of the nearest are looked at: as many as hold a record.
const HOLDERS: usize = 8;
/// Honest nodes that the region has.
const REGION: f64 = 8.0;
/// Parts of the region that are looked through: one half of it, a quarter, an eighth. In what is left are those who crowd.
const PARTS: u8 = 3;
/// Neighbours by which the size of the network is judged.
const NEIGHBOURS: std::ops::RangeInclusive<usize> = 4..=16;
/// Draws for an id in a part: enough for one that holds a thousandth of all ids, as in a network of some thousands.
const DRAWS: usize = 8_192;

/// A share of the space of keys: 1 is all of it.
fn share(distance: KBucketDistance) -> f64 {
    let high = (distance.0 >> 192).low_u64();
    (high as f64 + 1.0) / 2_f64.powi(64)
}

/// How many nodes there are, 0 if too few are known, by the distances of those that a node knows: of its neighbours it knows nearly all. Rather too
/// many: where some are not known it would find crowds that are none.
pub(super) fn size(distances: impl Iterator<Item = KBucketDistance>) -> f64 {
    let mut distances: Vec<KBucketDistance> = distances.collect();
    distances.sort_unstable();
    let nth = |n: usize| Some((n - 1) as f64 / share(*distances.get(n - 1)?));
    let mut all: Vec<f64> = NEIGHBOURS.filter_map(nth).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() * 3 / 4).copied().unwrap_or(0.0)
}

/// Whether `least` peers or more are nearer to a key than they would be by chance, in a network of `size` nodes. Not if that is 0: unknown.
pub(super) fn is_crowded(distances: impl Iterator<Item = KBucketDistance>, size: f64, least: usize) -> bool {
    let mut distances: Vec<KBucketDistance> = distances.collect();
    distances.sort_unstable();
    let near = distances.iter().take(HOLDERS).enumerate().skip(least.saturating_sub(1));
    size > 0.0 && near.into_iter().any(|(at, distance)| share(*distance) * size * ALARM < (at + 1) as f64)
}

/// What surrounds a key at the distance at which nodes would be without a crowd.
#[derive(Debug)]
pub(super) struct Region {
    key: KBucketKey<RecordKey>,
    /// Bits that all of it have in common with the key.
    common: u8,
}

impl Region {
    pub(super) fn new(key: &RecordKey, size: f64) -> Self {
        Self { key: KBucketKey::new(key.clone()), common: (size / REGION).max(1.0).log2() as u8 }
    }

    /// Ids around which to look, one in each part of it.
    pub(super) fn targets(&self) -> Vec<PeerId> {
        let parts = (0..PARTS).map(|part| self.common.saturating_add(part));
        let target = |bits: u8| {
            let place = u32::from(u8::MAX - bits);
            let is_there = |id: &PeerId| self.place(id) == Some(place);
            std::iter::repeat_with(PeerId::random).take(DRAWS).find(is_there)
        };
        parts.filter_map(target).collect()
    }

    /// Whether a peer is nearer to the key than all of its parts: there is the crowd.
    pub(super) fn is_inside(&self, peer: &PeerId) -> bool {
        let inner = u32::from(u8::MAX - self.common.saturating_add(PARTS - 1));
        self.place(peer).is_none_or(|place| place < inner)
    }

    fn place(&self, peer: &PeerId) -> Option<u32> {
        self.key.distance(&KBucketKey::from(*peer)).ilog2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peers(count: usize) -> Vec<PeerId> {
        std::iter::repeat_with(PeerId::random).take(count).collect()
    }

    fn around<'a>(key: &'a KBucketKey<RecordKey>, peers: &'a [PeerId]) -> impl Iterator<Item = KBucketDistance> + 'a {
        peers.iter().map(|peer| key.distance(&KBucketKey::from(*peer)))
    }

    #[test]
    fn chance_is_no_crowd_and_trials_are() {
        let honest = peers(1_000);
        let (mut alarms, mut sizes) = (0, Vec::new());
        for number in 0..500 {
            let key = KBucketKey::new(RecordKey::new(&format!("key {number}")));
            let own = KBucketKey::new(RecordKey::new(&format!("node {number}")));
            let size = size(around(&own, &honest));
            sizes.push(size);
            alarms += usize::from(is_crowded(around(&key, &honest), size, CROWD));
        }
        sizes.sort_by(f64::total_cmp);
        assert!((500.0..2_000.0).contains(&sizes[250]), "{}", sizes[250]);
        assert!(alarms <= 25, "{alarms} of 500 keys");
        let key = KBucketKey::new(RecordKey::new(&"attacked"));
        let mut tried = peers(20_000);
        tried.sort_by_key(|peer| key.distance(&KBucketKey::from(*peer)));
        assert!(is_crowded(around(&key, &tried[..8]), sizes[250], CROWD));
        assert!(is_crowded(around(&key, &tried[..2]), sizes[250], PAIR), "two that lie");
    }

    #[test]
    fn few_nodes_are_no_crowd() {
        let key = KBucketKey::new(RecordKey::new(&"key"));
        assert!(!is_crowded(around(&key, &peers(2)), 1e9, CROWD));
        assert!(!is_crowded(around(&key, &peers(30)), size(around(&key, &peers(3))), CROWD), "the size is not known");
    }

    #[test]
    fn parts_are_of_the_region_and_not_next_to_the_key() {
        let key = RecordKey::new(&"key");
        let place = KBucketKey::new(key.clone());
        let far = |id: &PeerId| place.distance(&KBucketKey::from(*id)).ilog2();
        let region = Region::new(&key, 1_024.0);
        let found: Vec<Option<u32>> = region.targets().iter().map(far).collect();
        assert_eq!(found, [Some(248), Some(247), Some(246)]);
        assert!(region.targets().iter().all(|id| !region.is_inside(id)));
        let inside = |id: &PeerId| far(id).is_some_and(|place| place < 246);
        let ids = peers(4_000);
        assert!(ids.iter().all(|id| region.is_inside(id) == inside(id)) && ids.iter().any(|id| region.is_inside(id)));
        assert_eq!(Region::new(&key, 0.0).targets().len(), 3, "a network of unknown size is one region");
    }
}
