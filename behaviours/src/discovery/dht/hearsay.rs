//! Peers of the routing table that others have told of and that have not answered yet. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;

/// Who did not answer, or takes no part, is not taken again for so long: its card is good for a day, and everybody tells of it.
const NOT_AGAIN: Duration = Duration::from_secs(30 * 60);
/// Of so many that is remembered; more only fail in lookups.
const MAX_VAIN: usize = 256;

/// Who was only heard of, and who was heard of in vain.
#[derive(Debug, Default)]
pub(super) struct Hearsay {
    /// Peers in the table; with the table it is bounded.
    heard: HashSet<PeerId>,
    vain: HashMap<PeerId, Instant>,
}

impl Hearsay {
    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.heard.contains(peer)
    }

    /// Whether to believe somebody who tells of `peer`.
    pub(super) fn may(&self, peer: &PeerId, now: Instant) -> bool {
        self.vain.get(peer).is_none_or(|until| *until <= now)
    }

    pub(super) fn insert(&mut self, peer: PeerId) {
        self.heard.insert(peer);
    }

    /// It has answered.
    pub(super) fn answered(&mut self, peer: &PeerId) {
        self.heard.remove(peer);
        self.vain.remove(peer);
    }

    /// It has left the table.
    pub(super) fn left(&mut self, peer: &PeerId) {
        self.heard.remove(peer);
    }

    /// It was heard of in vain: whether it was.
    pub(super) fn in_vain(&mut self, peer: &PeerId, now: Instant) -> bool {
        if !self.heard.remove(peer) {
            return false;
        }
        if self.vain.len() >= MAX_VAIN
            && let Some(oldest) = self.vain.iter().min_by_key(|(peer, until)| (**until, **peer)).map(|(peer, _)| *peer)
        {
            self.vain.remove(&oldest);
        }
        self.vain.insert(*peer, now + NOT_AGAIN);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_are_not_believed_in_again_for_a_while() {
        let (mut hearsay, now, peer) = (Hearsay::default(), Instant::now(), PeerId::random());
        assert!(!hearsay.in_vain(&peer, now), "nobody has told of it");
        hearsay.insert(peer);
        assert!(hearsay.contains(&peer) && hearsay.in_vain(&peer, now));
        assert!(!hearsay.contains(&peer) && !hearsay.may(&peer, now));
        assert!(hearsay.may(&peer, now + NOT_AGAIN));
        hearsay.answered(&peer);
        assert!(hearsay.may(&peer, now), "it lives");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (mut hearsay, now) = (Hearsay::default(), Instant::now());
        let peers: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(2 * MAX_VAIN).collect();
        for (peer, second) in peers.iter().zip(0..) {
            hearsay.insert(*peer);
            hearsay.in_vain(peer, now + Duration::from_secs(second));
        }
        assert_eq!(hearsay.vain.len(), MAX_VAIN);
        assert!(hearsay.may(&peers[0], now) && !hearsay.may(&peers[2 * MAX_VAIN - 1], now), "the oldest go");
    }
}
