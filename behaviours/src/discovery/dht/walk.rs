//! A lookup of our own (Kademlia, §2.3) that some peers have no part in. Pure.
//!
//! libp2p-kad asks whoever is nearest to the target. Those who crowd around a key are near to all of its region, and tell of
//! each other only: it would ask twenty of them and nobody else.

use std::collections::{BTreeMap, HashSet};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::{KBucketDistance, KBucketKey};

/// Peers that are looked for, as many as hold a record.
const WANTED: usize = 8;
/// Questions at a time, as in the paper.
const ALPHA: usize = 3;
/// Questions of one lookup: a network of ten thousand needs three rounds.
const MAX_QUESTIONS: usize = 20;
/// Peers remembered; the farthest are forgotten.
const MAX_KNOWN: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Asked,
    Answered,
}

#[derive(Debug)]
struct Known {
    peer: PeerId,
    addrs: Vec<Multiaddr>,
    state: State,
}

/// One lookup.
#[derive(Debug)]
pub(super) struct Walk {
    target: PeerId,
    place: KBucketKey<PeerId>,
    known: BTreeMap<KBucketDistance, Known>,
    /// Who did not answer is not asked again, whoever tells of it.
    failed: HashSet<PeerId>,
    asking: usize,
    questions: usize,
}

impl Walk {
    pub(super) fn new(target: PeerId, start: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>) -> Self {
        let place = KBucketKey::from(target);
        let mut walk = Self { target, place, known: BTreeMap::new(), failed: HashSet::new(), asking: 0, questions: 0 };
        start.into_iter().for_each(|(peer, addrs)| walk.learn(peer, addrs));
        walk
    }

    /// Whose neighbours are asked for.
    pub(super) fn target(&self) -> PeerId {
        self.target
    }

    /// Whom to ask now, and where.
    pub(super) fn next(&mut self) -> Option<(PeerId, Vec<Multiaddr>)> {
        if self.asking >= ALPHA || self.questions >= MAX_QUESTIONS {
            return None;
        }
        let known = self.known.values_mut().take(WANTED).find(|known| known.state == State::New)?;
        known.state = State::Asked;
        self.asking += 1;
        self.questions += 1;
        Some((known.peer, known.addrs.clone()))
    }

    /// `peer` has told of these.
    pub(super) fn told(&mut self, peer: &PeerId, closer: impl IntoIterator<Item = (PeerId, Vec<Multiaddr>)>) {
        if self.ended(peer, State::Answered) {
            closer.into_iter().for_each(|(peer, addrs)| self.learn(peer, addrs));
        }
    }

    /// `peer` does not answer.
    pub(super) fn failed(&mut self, peer: &PeerId) {
        if self.ended(peer, State::New) {
            self.known.remove(&self.place.distance(&KBucketKey::from(*peer)));
            self.failed.insert(*peer);
        }
    }

    fn ended(&mut self, peer: &PeerId, state: State) -> bool {
        let place = self.place.distance(&KBucketKey::from(*peer));
        let Some(known) = self.known.get_mut(&place).filter(|known| known.state == State::Asked) else { return false };
        known.state = state;
        self.asking = self.asking.saturating_sub(1);
        true
    }

    fn learn(&mut self, peer: PeerId, addrs: Vec<Multiaddr>) {
        if self.failed.contains(&peer) {
            return;
        }
        let place = self.place.distance(&KBucketKey::from(peer));
        self.known.entry(place).or_insert(Known { peer, addrs, state: State::New });
        while self.known.len() > MAX_KNOWN
            && self.known.last_key_value().is_some_and(|(_, known)| known.state != State::Asked)
        {
            self.known.pop_last();
        }
    }

    /// Nobody more is asked.
    pub(super) fn stop(&mut self) {
        self.questions = MAX_QUESTIONS;
    }

    /// Nobody is being asked, and nobody is left to be asked.
    pub(super) fn is_over(&self) -> bool {
        let open = |known: &Known| known.state == State::New;
        let left = self.questions < MAX_QUESTIONS && self.known.values().take(WANTED).any(open);
        self.asking == 0 && !left
    }

    /// The nearest of those who have answered.
    pub(super) fn found(self) -> impl Iterator<Item = (PeerId, Vec<Multiaddr>)> {
        let answered = self.known.into_values().filter(|known| known.state == State::Answered);
        answered.take(WANTED).map(|known| (known.peer, known.addrs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nearest(to: &PeerId, all: &[PeerId], count: usize) -> Vec<PeerId> {
        let place = KBucketKey::from(*to);
        let mut all = all.to_vec();
        all.sort_by_key(|peer| place.distance(&KBucketKey::from(*peer)));
        all.truncate(count);
        all
    }

    fn bare(peers: &[PeerId]) -> Vec<(PeerId, Vec<Multiaddr>)> {
        peers.iter().map(|peer| (*peer, Vec::new())).collect()
    }

    /// Each knows a few by chance and its neighbours; the target's are found, without those who do not answer.
    #[test]
    fn the_nearest_that_answer_are_found() {
        let all: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(600).collect();
        let target = PeerId::random();
        let right = nearest(&target, &all, 2 * WANTED);
        let silent: Vec<PeerId> = right.iter().copied().step_by(3).collect();
        let tells = |peer: &PeerId| [nearest(peer, &all, 20), nearest(&target, &all[..300], 4)].concat();
        let mut walk = Walk::new(target, bare(&all[..20]));
        let mut questions = 0;
        while !walk.is_over() {
            let asked: Vec<PeerId> = std::iter::from_fn(|| walk.next()).map(|(peer, _)| peer).collect();
            assert!(!asked.is_empty() && asked.len() <= ALPHA);
            questions += asked.len();
            for peer in asked {
                if silent.contains(&peer) { walk.failed(&peer) } else { walk.told(&peer, bare(&tells(&peer))) }
            }
        }
        assert!(questions <= MAX_QUESTIONS, "{questions}");
        let found: Vec<PeerId> = walk.found().map(|(peer, _)| peer).collect();
        let wanted: Vec<PeerId> = right.into_iter().filter(|peer| !silent.contains(peer)).collect();
        let hit = wanted.iter().take(4).filter(|peer| found.contains(peer)).count();
        assert!(hit >= 3, "{hit} of the nearest four");
        assert!(found.iter().all(|peer| !silent.contains(peer)));
    }

    #[test]
    fn what_is_told_unasked_or_without_end_is_bounded() {
        let (one, other) = (PeerId::random(), PeerId::random());
        let mut walk = Walk::new(PeerId::random(), bare(&[one]));
        walk.told(&other, bare(&[other]));
        assert_eq!(walk.next().map(|(peer, _)| peer), Some(one));
        assert!(walk.next().is_none() && !walk.is_over());
        let many: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(1_000).collect();
        walk.told(&one, bare(&many));
        assert!(walk.known.len() <= MAX_KNOWN);
        while let Some((peer, _)) = walk.next() {
            walk.told(&peer, bare(&std::iter::repeat_with(PeerId::random).take(20).collect::<Vec<_>>()));
        }
        assert!(walk.is_over() && walk.questions <= MAX_QUESTIONS && walk.known.len() <= MAX_KNOWN);
    }

    #[test]
    fn a_walk_that_is_stopped_ends_with_what_it_has() {
        let peers: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(6).collect();
        let mut walk = Walk::new(PeerId::random(), bare(&peers));
        let asked: Vec<PeerId> = std::iter::from_fn(|| walk.next()).map(|(peer, _)| peer).collect();
        walk.told(&asked[0], []);
        walk.stop();
        assert!(walk.next().is_none() && !walk.is_over(), "two are still being asked");
        asked[1..].iter().for_each(|peer| walk.failed(peer));
        assert!(walk.is_over());
        assert_eq!(walk.found().map(|(peer, _)| peer).collect::<Vec<_>>(), asked[..1]);
    }

    #[test]
    fn who_fails_is_not_asked_again() {
        let (one, other) = (PeerId::random(), PeerId::random());
        let mut walk = Walk::new(PeerId::random(), bare(&[one, other]));
        let asked: Vec<PeerId> = std::iter::from_fn(|| walk.next()).map(|(peer, _)| peer).collect();
        assert_eq!(asked.len(), 2);
        walk.failed(&one);
        walk.told(&other, bare(&[one]));
        assert!(walk.is_over());
        assert_eq!(walk.found().map(|(peer, _)| peer).collect::<Vec<_>>(), [other]);
    }
}
