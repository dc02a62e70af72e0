//! Who is in one swarm, as far as words tell; pure.

use std::{collections::BTreeMap, time::Instant};

use bytes::Bytes;
use p2pnode_wire::{
    ids::{PeerKey, SwarmId},
    presence::{BUCKETS, Buckets, Listed, Says, Word, bucket_of},
};

use super::{Config, event::Status};

/// Witnesses of one suspicion that count: the second one shortens it.
pub(super) const WITNESSES: usize = 2;

/// Who has suspected a member lately; more do not count before the first of them may again.
const ACCUSERS: usize = 4;

/// A witness counts once in this time for one member.
pub(super) const ACCUSE_EVERY: std::time::Duration = std::time::Duration::from_secs(30);

/// A member's own last word that it is there.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) incarnation: u64,
    pub(super) card: u64,
    pub(super) raw: Bytes,
}

/// That it does not answer, in the incarnation of its last word.
#[derive(Debug, Clone)]
pub(super) struct Suspicion {
    pub(super) witnesses: Vec<(PeerKey, Bytes)>,
    /// When it was heard of first.
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) status: Status,
    /// Since when.
    pub(super) since: Instant,
    pub(super) alive: Option<Said>,
    pub(super) left: Option<(u64, Bytes)>,
    pub(super) suspicion: Option<Suspicion>,
    accusers: Vec<(PeerKey, Instant)>,
}

impl Entry {
    /// Nothing was said of it yet.
    fn new(now: Instant) -> Self {
        Self { status: Status::Left, since: now, alive: None, left: None, suspicion: None, accusers: Vec::new() }
    }

    /// The incarnation that its own words tell.
    pub(super) fn incarnation(&self) -> u64 {
        let left = self.left.as_ref().map_or(0, |(incarnation, _)| *incarnation);
        self.alive.as_ref().map_or(0, |alive| alive.incarnation).max(left)
    }

    /// Taken for there: as long as nothing is decided, too.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.status, Status::Online | Status::Suspect)
    }

    fn listed(&self, peer: PeerKey) -> Option<Listed> {
        let alive = self.alive.as_ref().filter(|_| self.is_there())?;
        Some(Listed { peer, incarnation: alive.incarnation, card: alive.card })
    }

    /// Whether a word of this witness counts now.
    pub(super) fn admits(&self, witness: &PeerKey, now: Instant) -> bool {
        let recent = |at: &Instant| now.saturating_duration_since(*at) < ACCUSE_EVERY;
        let mut known = self.accusers.iter().filter(|(_, at)| recent(at));
        known.clone().count() < ACCUSERS && !known.any(|(known, _)| known == witness)
    }

    fn accused_by(&mut self, witness: PeerKey, now: Instant) {
        self.accusers.retain(|(_, at)| now.saturating_duration_since(*at) < ACCUSE_EVERY);
        self.accusers.push((witness, now));
    }
}

/// What a word is worth, before its signature is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// It changes something.
    New,
    /// Known, or of no consequence.
    Known,
    /// Whoever says so has missed what is known here.
    Stale,
}

/// By itself: what comes is a part of what was read at once, kilobytes of it, which would stay in memory as long as this one word.
fn kept(raw: &[u8]) -> Bytes {
    Bytes::copy_from_slice(raw)
}

/// A swarm.
#[derive(Debug)]
pub(super) struct Table {
    swarm: SwarmId,
    own: PeerKey,
    limit: usize,
    entries: BTreeMap<PeerKey, Entry>,
    buckets: Buckets,
    /// While it is full: nobody further away from the swarm's id has a place.
    edge: Option<[u8; 32]>,
}

impl Table {
    pub(super) fn new(swarm: SwarmId, own: PeerKey, config: &Config) -> Self {
        let limit = config.members.max(1);
        Self { swarm, own, limit, entries: BTreeMap::new(), buckets: [0; BUCKETS], edge: None }
    }

    pub(super) fn get(&self, peer: &PeerKey) -> Option<&Entry> {
        self.entries.get(peer)
    }

    #[cfg(test)]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&PeerKey, &Entry)> {
        self.entries.iter()
    }

    /// Those taken for there, summed up. Of a swarm that is too large for the table, this node only if others have it, too.
    pub(super) fn buckets(&self) -> Buckets {
        let mut buckets = self.buckets;
        let own = self.entries.get(&self.own).and_then(|entry| entry.listed(self.own));
        if let Some(own) = own.filter(|_| !self.has_place(&self.own))
            && let Some(bucket) = buckets.get_mut(bucket_of(&self.own))
        {
            *bucket ^= own.hash();
        }
        buckets
    }

    /// Changes an entry, with what the digest says of it.
    pub(super) fn change<T>(&mut self, peer: &PeerKey, change: impl FnOnce(&mut Entry) -> T) -> Option<T> {
        let entry = self.entries.get_mut(peer)?;
        let before = entry.listed(*peer);
        let result = change(entry);
        let after = entry.listed(*peer);
        self.digest(before, after);
        Some(result)
    }

    fn digest(&mut self, before: Option<Listed>, after: Option<Listed>) {
        if before == after {
            return;
        }
        for listed in before.into_iter().chain(after) {
            if let Some(bucket) = self.buckets.get_mut(bucket_of(&listed.peer)) {
                *bucket ^= listed.hash();
            }
        }
    }

    /// Those taken for there in the buckets of `mask`.
    pub(super) fn listed(&self, mask: u64) -> impl Iterator<Item = Listed> {
        let inside = move |peer: &PeerKey| mask >> bucket_of(peer) & 1 == 1;
        let here = move |peer: &PeerKey| inside(peer) && (*peer != self.own || self.has_place(peer));
        self.entries.iter().filter(move |(peer, _)| here(peer)).filter_map(|(peer, entry)| entry.listed(*peer))
    }

    /// What `word` would change. Words of this node about itself are the state's business.
    pub(super) fn judge(&self, word: &Word, now: Instant) -> Worth {
        let Some(entry) = self.entries.get(&word.subject) else {
            // Nothing is known of whom it suspects.
            let suspect = matches!(word.says, Says::Suspect { .. });
            return if suspect || !self.has_place(&word.subject) { Worth::Known } else { Worth::New };
        };
        let known = entry.incarnation();
        match &word.says {
            Says::Alive { card, .. } => match &entry.alive {
                _ if word.incarnation > known => Worth::New,
                _ if word.incarnation < known || entry.left.is_some() => Worth::Stale,
                Some(alive) if *card > alive.card => Worth::New,
                // A suspect is what its own word does not say.
                _ if entry.status != Status::Online => Worth::Stale,
                _ => Worth::Known,
            },
            Says::Left if word.incarnation < known => Worth::Stale,
            Says::Left if entry.left.is_some() && word.incarnation == known => Worth::Known,
            Says::Left => Worth::New,
            Says::Suspect { .. } if word.incarnation < known || entry.left.is_some() => Worth::Stale,
            // Its word that it is there must come first.
            Says::Suspect { .. } if word.incarnation > known => Worth::Known,
            Says::Suspect { witness } => {
                let enough = entry.suspicion.as_ref().is_some_and(|s| s.witnesses.len() >= WITNESSES);
                if enough || !entry.is_there() || !entry.admits(witness, now) { Worth::Known } else { Worth::New }
            }
        }
    }

    /// Takes a verified word that is [`Worth::New`]. True if the member is there, or to be suspected, otherwise than before.
    pub(super) fn take(&mut self, word: &Word, raw: &[u8], now: Instant) -> bool {
        if !self.entries.contains_key(&word.subject) {
            self.make_room();
            self.entries.insert(word.subject, Entry::new(now));
            self.find_edge();
        }
        let taken = self.change(&word.subject, |entry| {
            let before = entry.status;
            match &word.says {
                Says::Alive { card, .. } => {
                    let risen = entry.incarnation() < word.incarnation || entry.alive.is_none();
                    entry.alive = Some(Said { incarnation: word.incarnation, card: *card, raw: kept(raw) });
                    if risen {
                        (entry.left, entry.suspicion, entry.status) = (None, None, Status::Online);
                    }
                }
                Says::Left => {
                    entry.left = Some((word.incarnation, kept(raw)));
                    (entry.alive, entry.suspicion, entry.status) = (None, None, Status::Left);
                }
                Says::Suspect { witness } => {
                    entry.accused_by(*witness, now);
                    let fresh = || Suspicion { witnesses: Vec::new(), since: now };
                    entry.suspicion.get_or_insert_with(fresh).witnesses.push((*witness, kept(raw)));
                    entry.status = Status::Suspect;
                }
            }
            if entry.status != before {
                entry.since = now;
            }
            entry.status != before
        });
        taken.unwrap_or_default()
    }

    /// How far a member is from the swarm's id.
    fn distance(&self, peer: &PeerKey) -> [u8; 32] {
        let mut distance = self.swarm.0;
        distance.iter_mut().zip(peer.0).for_each(|(byte, other)| *byte ^= other);
        distance
    }

    /// Whether somebody who is not known would be kept.
    pub(super) fn has_place(&self, peer: &PeerKey) -> bool {
        self.edge.is_none_or(|edge| self.distance(peer) < edge)
    }

    /// Whoever is gone goes first, then who is furthest.
    fn make_room(&mut self) {
        if self.entries.len() < self.limit {
            return;
        }
        let others = || self.entries.iter().filter(|(peer, _)| **peer != self.own);
        let gone = others().filter(|(_, entry)| !entry.is_there()).min_by_key(|(_, entry)| entry.since);
        let furthest = || others().max_by_key(|(peer, _)| self.distance(peer));
        if let Some(peer) = gone.or_else(furthest).map(|(peer, _)| *peer) {
            self.remove(&peer);
        }
    }

    fn find_edge(&mut self) {
        let others = || self.entries.keys().filter(|peer| **peer != self.own);
        let full = self.entries.len() >= self.limit;
        self.edge = if full { others().map(|peer| self.distance(peer)).max() } else { None };
    }

    fn remove(&mut self, peer: &PeerKey) {
        if let Some(entry) = self.entries.remove(peer) {
            self.digest(entry.listed(*peer), None);
        }
    }

    /// Forgets those gone since before `since`.
    pub(super) fn sweep(&mut self, since: Instant) {
        let gone = |entry: &Entry| !entry.is_there() && entry.since < since;
        // Nobody of these is in the digest.
        self.entries.retain(|_, entry| !gone(entry));
        self.find_edge();
    }
}
