//! Whether an event is good, cheapest question first. Pure.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    hash::Hash,
    time::Instant,
};

use bytes::Bytes;
use libp2p_identity::PeerId;
use p2pnode_wire::{
    event::Event,
    ids::{EventId, PeerKey, SwarmId},
    sign::Domain,
};

use super::{
    config::{Budget, Config},
    protocol::{MAX_EVENT, signed_id},
    seen::Seen,
    window::Windows,
};
use crate::upkeep::meter::Meter;

/// Ids remembered: 2 MiB, a minute of a busy swarm. gossipsub forgets its own after a minute.
const MAX_KNOWN: usize = 32_768;

/// Neighbours and authors whose budget is remembered. Only those used within the last seconds matter.
const MAX_METERS: usize = 4_096;

/// Members whose events are not counted as those of strangers.
const MAX_MEMBERS: usize = 4_096;

/// Swarms this node is in.
pub(super) const MAX_SWARMS: usize = 32;

/// What happens to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is passed on.
    Accept,
    /// It is dropped; nobody is to blame.
    Ignore,
    /// It is dropped, and the neighbour that sent it must have known that it is bad.
    Reject,
}

/// Why an event is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Larger than the limit.
    #[error("too large")]
    Size,
    /// No event.
    #[error("not an event")]
    Layout,
    /// Of another swarm than its topic.
    #[error("an event of another swarm than its topic")]
    Swarm,
    /// Of a swarm this node has left.
    #[error("an event of a swarm that this node is not in")]
    Elsewhere,
    /// Seen before.
    #[error("known")]
    Known,
    /// The neighbour brings too much.
    #[error("more than a neighbour may bring")]
    Source,
    /// The neighbour brings too much of authors whom nobody knows.
    #[error("more than a neighbour may bring of strangers")]
    Strangers,
    /// The number was seen before, or is too old to tell.
    #[error("its number was seen before, or is too old to tell")]
    Replay,
    /// Not signed by its author.
    #[error("its signature does not hold")]
    Signature,
    /// The author publishes too much.
    #[error("more than an author may publish")]
    Author,
}

impl Refused {
    /// Reject only what the sender must have known to be wrong.
    pub(super) fn verdict(self) -> Verdict {
        match self {
            Self::Size | Self::Layout | Self::Swarm | Self::Signature => Verdict::Reject,
            Self::Elsewhere | Self::Known | Self::Source | Self::Strangers | Self::Replay | Self::Author => {
                Verdict::Ignore
            }
        }
    }
}

/// An event that passed.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) swarm: SwarmId,
    pub(super) event: Event,
    pub(super) raw: Bytes,
    pub(super) id: EventId,
}

#[derive(Debug)]
struct Meters<K> {
    budget: Budget,
    meters: HashMap<K, (Meter, Meter)>,
}

impl<K: Eq + Hash + Copy> Meters<K> {
    fn new(budget: Budget) -> Self {
        Self { budget, meters: HashMap::new() }
    }

    fn take(&mut self, key: K, bytes: usize, now: Instant) -> bool {
        self.make_room(&key, now);
        let budget = self.budget;
        let (events, data) = self.meters.entry(key).or_insert_with(|| {
            (Meter::new(budget.events, budget.burst, now), Meter::new(budget.bytes, budget.bytes_burst, now))
        });
        let bytes = bytes as f64;
        // Both or none: an event that is too large for now must not use up the events.
        data.has(bytes, now) && events.take(1.0, now) && data.take(bytes, now)
    }

    fn make_room(&mut self, newcomer: &K, now: Instant) {
        if self.meters.len() < MAX_METERS || self.meters.contains_key(newcomer) {
            return;
        }
        self.meters.retain(|_, (m, _)| now.saturating_duration_since(m.used_at()) < m.refill_time());
        if self.meters.len() < MAX_METERS {
            return;
        }
        let oldest = self.meters.iter().min_by_key(|(_, (meter, _))| meter.used_at()).map(|(key, _)| *key);
        if let Some(oldest) = oldest {
            self.meters.remove(&oldest);
        }
    }
}

/// Ids seen lately.
#[derive(Debug, Default)]
struct Known {
    ids: HashSet<EventId>,
    order: VecDeque<EventId>,
}

impl Known {
    fn insert(&mut self, id: EventId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// The checks of one node.
#[derive(Debug)]
pub(super) struct State {
    swarms: HashMap<SwarmId, Windows>,
    /// Of swarms this node was in before.
    left: Vec<(SwarmId, Windows)>,
    known: Known,
    /// Of these, the ones that came directly, and not yet by gossip.
    direct: Known,
    members: HashSet<PeerKey>,
    strangers: Meters<PeerId>,
    sources: Meters<PeerId>,
    authors: Meters<PeerKey>,
}

impl State {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            swarms: HashMap::new(),
            left: Vec::new(),
            known: Known::default(),
            direct: Known::default(),
            members: HashSet::new(),
            strangers: Meters::new(config.strangers),
            sources: Meters::new(config.per_source),
            authors: Meters::new(config.per_author),
        }
    }

    /// False when this node is in too many.
    pub(super) fn join(&mut self, swarm: SwarmId) -> bool {
        if self.swarms.len() >= MAX_SWARMS && !self.swarms.contains_key(&swarm) {
            return false;
        }
        let before = self.left.iter().position(|(left, _)| *left == swarm);
        let windows = before.map(|at| self.left.swap_remove(at).1).unwrap_or_default();
        self.swarms.entry(swarm).or_insert(windows);
        true
    }

    pub(super) fn leave(&mut self, swarm: &SwarmId) {
        if let Some(windows) = self.swarms.remove(swarm) {
            self.put_by(*swarm, windows);
        }
    }

    fn put_by(&mut self, swarm: SwarmId, windows: Windows) {
        if self.left.len() >= MAX_SWARMS {
            self.left.remove(0);
        }
        self.left.push((swarm, windows));
    }

    pub(super) fn seen(&self) -> Seen {
        let left = self.left.iter().map(|(swarm, windows)| (swarm, windows));
        Seen { swarms: self.swarms.iter().chain(left).map(|(swarm, windows)| (*swarm, windows.seen())).collect() }
    }

    pub(super) fn restore(&mut self, seen: Seen, now: Instant) {
        for (swarm, authors) in seen.swarms.into_iter().take(2 * MAX_SWARMS) {
            if let Some(windows) = self.swarms.get_mut(&swarm) {
                windows.restore(authors, now);
            } else {
                let mut windows = Windows::default();
                windows.restore(authors, now);
                self.put_by(swarm, windows);
            }
        }
    }

    pub(super) fn newest_epoch(&self, swarm: &SwarmId, author: &PeerKey) -> Option<u64> {
        self.swarms.get(swarm)?.newest_epoch(author)
    }

    pub(super) fn know(&mut self, author: PeerKey) {
        if self.members.len() < MAX_MEMBERS {
            self.members.insert(author);
        }
    }

    pub(super) fn forget(&mut self, author: &PeerKey) {
        self.members.remove(author);
    }

    pub(super) fn is_in(&self, swarm: &SwarmId) -> bool {
        self.swarms.contains_key(swarm)
    }

    pub(super) fn swarms(&self) -> impl Iterator<Item = &SwarmId> {
        self.swarms.keys()
    }

    /// An event of our own, so that it is not delivered when it comes back. False if it is known already.
    pub(super) fn published(&mut self, event: &Event, id: EventId, now: Instant) -> bool {
        if let Some(windows) = self.swarms.get_mut(&event.swarm) {
            windows.add(event.author, event.epoch, event.seq, now);
        }
        self.known.insert(id)
    }

    /// An accepted event came directly: its first copy by gossip is still to be passed on.
    pub(super) fn came_directly(&mut self, id: EventId) {
        self.direct.insert(id);
    }

    /// Whether this is the first copy by gossip of an event that came directly.
    pub(super) fn is_to_pass_on(&mut self, id: &EventId) -> bool {
        self.direct.ids.remove(id)
    }

    /// Checks what `source` brought for the swarm of `topic`.
    pub(super) fn check(
        &mut self,
        topic: SwarmId,
        source: PeerId,
        data: Bytes,
        now: Instant,
    ) -> Result<Accepted, Refused> {
        let size = data.len();
        if size > MAX_EVENT {
            return Err(Refused::Size);
        }
        let (event, signed) = Event::peek(data).map_err(|_| Refused::Layout)?;
        if event.swarm != topic {
            return Err(Refused::Swarm);
        }
        let windows = self.swarms.get(&topic).ok_or(Refused::Elsewhere)?;
        let id = signed_id(&signed);
        if self.known.ids.contains(&id) {
            return Err(Refused::Known);
        }
        if !self.members.contains(&event.author) && !self.strangers.take(source, size, now) {
            return Err(Refused::Strangers);
        }
        if !self.sources.take(source, size, now) {
            return Err(Refused::Source);
        }
        if !windows.is_new(&event.author, event.epoch, event.seq) {
            return Err(Refused::Replay);
        }
        signed.verify(Domain::Event, &event.author).map_err(|_| Refused::Signature)?;
        // From here on the author is who it says it is, and may be charged.
        if !self.authors.take(event.author, size, now) {
            return Err(Refused::Author);
        }
        self.known.insert(id);
        if let Some(windows) = self.swarms.get_mut(&topic) {
            windows.add(event.author, event.epoch, event.seq, now);
        }
        Ok(Accepted { swarm: topic, event, raw: signed.into_raw(), id })
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
