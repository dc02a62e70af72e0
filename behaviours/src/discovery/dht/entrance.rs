//! Keys that lead into a swarm: what this node knows by itself about the need for its announcement. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use libp2p_kad::{KBucketDistance, KBucketKey, RecordKey};
use rand::{Rng, RngExt};

/// Who has met so many members was led in by others, and so will be those who come next: its own announcement can wait
/// until it knows more of them.
const MET: usize = 8;

/// So long, on the average.
const WAIT: Duration = Duration::from_secs(30);

/// Members remembered as nearer to the key, and as farther.
const REMEMBERED: usize = 32;

/// What to do about an announcement that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Not yet.
    Later(Instant),
    /// Enough members that this node has met are nearer to the key: they announce it.
    Served,
    /// Others may know.
    Unknown,
}

#[derive(Debug)]
struct Entrance {
    place: KBucketKey<RecordKey>,
    own: KBucketDistance,
    not_before: Instant,
    nearer: HashSet<PeerId>,
    farther: HashSet<PeerId>,
}

/// The swarms of this node. As many as it announces.
#[derive(Debug, Default)]
pub(super) struct Entrances(HashMap<RecordKey, Entrance>);

impl Entrances {
    pub(super) fn add(&mut self, key: RecordKey, own: &PeerId, now: Instant, rng: &mut impl Rng) {
        self.0.entry(key).or_insert_with_key(|key| {
            let place = KBucketKey::new(key.clone());
            let own = place.distance(&KBucketKey::from(*own));
            let not_before = now + WAIT.mul_f64(rng.random_range(0.5..1.5));
            Entrance { place, own, not_before, nearer: HashSet::new(), farther: HashSet::new() }
        });
    }

    pub(super) fn remove(&mut self, key: &RecordKey) {
        self.0.remove(key);
    }

    /// `peer` has shown that it is a member.
    pub(super) fn met(&mut self, key: &RecordKey, peer: PeerId) {
        let Some(entrance) = self.0.get_mut(key) else { return };
        let is_nearer = entrance.place.distance(&KBucketKey::from(peer)) < entrance.own;
        let into = if is_nearer { &mut entrance.nearer } else { &mut entrance.farther };
        if into.len() < REMEMBERED {
            into.insert(peer);
        }
    }

    /// `peer` is gone.
    pub(super) fn lost(&mut self, peer: &PeerId) {
        for entrance in self.0.values_mut() {
            entrance.nearer.remove(peer);
            entrance.farther.remove(peer);
        }
    }

    /// Whether to announce `key`, of which holders tell `full` providers.
    ///
    /// The `full` members nearest to a key never know as many that are nearer, so that they do announce it, whatever all
    /// others think.
    pub(super) fn verdict(&self, key: &RecordKey, full: usize, now: Instant) -> Verdict {
        let Some(Entrance { nearer, farther, not_before, .. }) = self.0.get(key) else { return Verdict::Unknown };
        if nearer.len() >= full {
            Verdict::Served
        } else if now < *not_before && nearer.len() + farther.len() >= MET {
            Verdict::Later(*not_before)
        } else {
            Verdict::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    const FULL: usize = 8;

    /// A key, and peers by their distance from it, the nearest first.
    fn around(count: usize) -> (RecordKey, Vec<PeerId>) {
        let key = RecordKey::new(&"garden");
        let place = KBucketKey::new(key.clone());
        let mut peers: Vec<PeerId> = (0..count).map(|_| PeerId::random()).collect();
        peers.sort_by_key(|peer| place.distance(&KBucketKey::from(*peer)));
        (key, peers)
    }

    fn entrances(key: &RecordKey, own: &PeerId, now: Instant) -> Entrances {
        let mut entrances = Entrances::default();
        entrances.add(key.clone(), own, now, &mut StdRng::seed_from_u64(1));
        entrances
    }

    #[test]
    fn the_nearest_announce_and_the_others_leave_it_to_them() {
        let (key, peers) = around(100);
        let now = Instant::now() + 2 * WAIT;
        for (rank, own) in peers.iter().enumerate() {
            let mut entrances = entrances(&key, own, now - 2 * WAIT);
            peers.iter().filter(|peer| *peer != own).for_each(|peer| entrances.met(&key, *peer));
            let wanted = if rank < FULL { Verdict::Unknown } else { Verdict::Served };
            assert_eq!(entrances.verdict(&key, FULL, now), wanted, "the {rank}th");
        }
    }

    #[test]
    fn who_was_led_in_waits_and_who_is_among_the_first_does_not() {
        let (key, peers) = around(MET + 1);
        let now = Instant::now();
        let mut entrances = entrances(&key, &peers[0], now);
        for peer in &peers[1..MET] {
            entrances.met(&key, *peer);
            assert_eq!(entrances.verdict(&key, FULL, now), Verdict::Unknown);
        }
        entrances.met(&key, peers[MET]);
        let Verdict::Later(until) = entrances.verdict(&key, FULL, now) else { panic!("is led in") };
        assert!(until > now);
        assert_eq!(entrances.verdict(&key, FULL, until), Verdict::Unknown);
    }

    #[test]
    fn members_that_are_gone_serve_no_more() {
        let (key, peers) = around(FULL + 1);
        let now = Instant::now();
        let mut entrances = entrances(&key, &peers[FULL], now - 2 * WAIT);
        peers[..FULL].iter().for_each(|peer| entrances.met(&key, *peer));
        assert_eq!(entrances.verdict(&key, FULL, now), Verdict::Served);
        entrances.lost(&peers[0]);
        assert_eq!(entrances.verdict(&key, FULL, now), Verdict::Unknown);
    }
}
