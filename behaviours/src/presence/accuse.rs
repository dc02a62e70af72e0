//! When this node says that somebody does not answer; pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use p2pnode_wire::{
    ids::{PeerKey, SwarmId},
    presence::{Says, Word},
};
use rand::Rng;

use super::{
    state::State,
    table::{ACCUSE_EVERY, WITNESSES},
};

/// Members lost within this time count together.
const AT_ONCE: Duration = Duration::from_secs(10);

/// So many, and at least half of the neighbours: then it is rather this node that is cut off.
const MANY: usize = 3;

/// And it waits so long before it says so of further ones.
const DOUBT: Duration = Duration::from_secs(5);

/// Members that this node has accused lately, or is about to. Enough for all neighbours there can be.
const REMEMBERED: usize = 512;

/// Whom this node has accused.
#[derive(Debug, Default)]
pub(super) struct Accusations {
    /// When.
    made: BTreeMap<PeerKey, Instant>,
    /// Who is to be accused when, unless it turns up.
    doubted: BTreeMap<PeerKey, Instant>,
}

impl Accusations {
    /// It is there.
    pub(super) fn forget(&mut self, peer: &PeerKey) {
        self.doubted.remove(peer);
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.doubted.values().min().copied()
    }

    /// Whether so many are lost at once that the reason is near.
    fn is_doubtful(&self, neighbours: usize, now: Instant) -> bool {
        let recent = |at: &&Instant| now.saturating_duration_since(**at) < AT_ONCE;
        let lost = self.made.values().filter(recent).count() + self.doubted.len();
        lost >= MANY && lost >= neighbours
    }
}

impl State {
    /// A member was lost: it does not answer, or its connection broke and cannot be made again.
    pub(super) fn suspect(&mut self, peer: PeerKey, now: Instant, rng: &mut impl Rng) {
        let neighbours = self.neighbours.len();
        let Accusations { made, doubted } = &mut self.accusations;
        made.retain(|_, at| now.saturating_duration_since(*at) < ACCUSE_EVERY);
        if made.contains_key(&peer) || doubted.contains_key(&peer) || made.len() + doubted.len() >= REMEMBERED {
            return;
        }
        if self.accusations.is_doubtful(neighbours, now) {
            self.accusations.doubted.insert(peer, now + DOUBT);
        } else {
            self.accuse(peer, now, rng);
        }
    }

    /// Those who have not turned up meanwhile.
    pub(super) fn accuse_due(&mut self, now: Instant, rng: &mut impl Rng) {
        let due =
            |doubted: &BTreeMap<PeerKey, Instant>| doubted.iter().find(|(_, at)| **at <= now).map(|(peer, _)| *peer);
        while let Some(peer) = due(&self.accusations.doubted) {
            self.accusations.doubted.remove(&peer);
            self.accuse(peer, now, rng);
        }
    }

    fn accuse(&mut self, peer: PeerKey, now: Instant, rng: &mut impl Rng) {
        self.accusations.made.insert(peer, now);
        for swarm in self.swarms.keys().copied().collect::<Vec<_>>() {
            if let Some(word) = self.accusation(swarm, peer) {
                let raw = word.seal(&self.key).into_raw();
                self.take(&word, &raw, None, now, rng);
            }
        }
    }

    /// What would be said; nothing of those who are gone, or of whom others have said it.
    fn accusation(&self, swarm: SwarmId, peer: PeerKey) -> Option<Word> {
        let entry = self.swarms.get(&swarm)?.get(&peer).filter(|entry| entry.is_there())?;
        let said = entry.suspicion.as_ref().is_some_and(|suspicion| {
            let own = suspicion.witnesses.iter().any(|(witness, _)| *witness == self.own);
            own || suspicion.witnesses.len() >= WITNESSES
        });
        let incarnation = entry.alive.as_ref().filter(|_| !said)?.incarnation;
        let says = Says::Suspect { witness: self.own };
        Some(Word { swarm, subject: peer, incarnation, says })
    }
}
