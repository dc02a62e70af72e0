//! What presence tells of members, beside what connections show.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use p2pnode_behaviours::presence::Status;
use p2pnode_wire::ids::SwarmId;

use super::{Availability, Change, Entry, Peer, PeerState, Peers};

/// A member that only presence tells of may be dialled to see whether it lives when it was not heard of for so long.
const UNHEARD: Duration = Duration::from_secs(600);

/// What presence tells of a member.
pub(super) struct Presence {
    pub(super) status: Status,
    pub(super) name: String,
    /// The number of its newest card.
    pub(super) card: u64,
    /// One or two.
    pub(super) swarms: Vec<SwarmId>,
}

impl Presence {
    fn of(told: &Told) -> Self {
        Self { status: told.status, name: String::new(), card: 0, swarms: vec![told.swarm] }
    }

    /// True if it has said something itself.
    fn take(&mut self, told: Told) -> bool {
        self.status = told.status;
        if !self.swarms.contains(&told.swarm) {
            self.swarms.push(told.swarm);
        }
        let Some((name, card)) = told.alive else { return false };
        (self.name, self.card) = (name, self.card.max(card));
        true
    }

    pub(super) fn state(&self) -> PeerState {
        match self.status {
            Status::Online => PeerState::Online,
            Status::Suspect => PeerState::Suspect,
            Status::Offline | Status::Left => PeerState::Offline,
        }
    }
}

/// A member of which presence alone tells: of a large swarm most are such, so that they are kept small.
pub(super) struct Bare {
    pub(super) presence: Presence,
    pub(super) since: Instant,
    pub(super) last_seen: Instant,
}

/// Something that presence tells.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) swarm: SwarmId,
    pub(crate) status: Status,
    /// Its name and the number of its newest card, when it has said so itself.
    pub(crate) alive: Option<(String, u64)>,
}

impl Peers {
    /// Presence tells of a member. What a connection shows counts more.
    pub(crate) fn told(&mut self, peer: PeerId, told: Told, now: Instant) -> Option<Change> {
        let reference = self.reference(peer);
        let Some(entry) = self.entries.get_mut(&peer) else {
            self.told_of(peer, told, now);
            return None;
        };
        let status = told.status;
        let presence = entry.presence.get_or_insert_with(|| Presence::of(&told));
        if presence.take(told) {
            entry.last_seen = now;
        }
        let connected = !entry.connections.is_empty();
        let before = entry.state;
        match status {
            Status::Online => {
                entry.set(PeerState::Online, now);
                (entry.failures, entry.recheck) = (0, None);
                let back = before != PeerState::Online && entry.card.is_some();
                (back && !std::mem::replace(&mut entry.told, true)).then_some(Change::Joined(peer))
            }
            Status::Suspect if before == PeerState::Online && !connected => {
                entry.set(PeerState::Suspect, now);
                entry.told = false;
                Some(Change::Suspect(peer))
            }
            Status::Offline if before != PeerState::Offline && !connected => {
                entry.set(PeerState::Offline, now);
                (entry.told, entry.recheck) = (false, None);
                Some(Change::Offline(peer))
            }
            Status::Left if before != PeerState::Offline => {
                entry.set(PeerState::Offline, now);
                (entry.told, entry.recheck) = (false, None);
                Some(Change::Left(reference))
            }
            Status::Suspect | Status::Offline | Status::Left => None,
        }
    }

    /// Presence tells of somebody who has not greeted this node.
    fn told_of(&mut self, peer: PeerId, told: Told, now: Instant) {
        if !self.bare.contains_key(&peer) {
            if self.bare.len() >= self.limit {
                self.bare.retain(|_, bare| bare.presence.state() != PeerState::Offline);
            }
            let known = self.names.contains_key(&told.swarm) && told.status == Status::Online;
            if !known || self.bare.len() >= self.limit {
                return;
            }
        }
        let fresh = || Bare { presence: Presence::of(&told), since: now, last_seen: now };
        let bare = self.bare.entry(peer).or_insert_with(fresh);
        let before = bare.presence.state();
        if bare.presence.take(told) {
            bare.last_seen = now;
        }
        if bare.presence.state() != before {
            bare.since = now;
        }
    }

    /// A neighbour thinks the same about all of a swarm.
    pub(crate) fn agreed(&mut self, swarm: SwarmId, now: Instant) {
        if self.names.contains_key(&swarm) {
            self.agreed.insert(swarm, now);
        }
    }

    pub(crate) fn state_of(&self, peer: &PeerId) -> Option<PeerState> {
        let bare = || self.bare.get(peer).map(|bare| bare.presence.state());
        self.entries.get(peer).map(|entry| entry.state).or_else(bare)
    }

    /// Whether one more dial that fails is a reason to say that it does not answer.
    pub(crate) fn is_doubtful(&self, peer: &PeerId) -> bool {
        let suspect = |entry: &Entry| entry.state == PeerState::Suspect;
        self.entries.get(peer).map_or_else(|| self.bare.contains_key(peer), suspect)
    }

    pub(crate) fn is_watched(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(Entry::is_watched)
    }

    /// Members that presence takes for there, that can be dialled, and of whom nothing was heard for long.
    pub(crate) fn unheard(&self, now: Instant) -> Vec<PeerId> {
        let unheard = |e: &Entry| now.saturating_duration_since(e.last_seen) >= UNHEARD;
        let fit = |e: &Entry| e.is_watched() && e.connections.is_empty() && unheard(e);
        let mut fitting: Vec<PeerId> = self.entries.iter().filter(|(_, e)| fit(e)).map(|(peer, _)| *peer).collect();
        fitting.sort();
        fitting
    }

    /// Members that are there under that name, as others tell; their cards are not known.
    pub(crate) fn told_as(&self, swarm: &SwarmId, name: &str) -> Vec<PeerId> {
        let fits = |bare: &Bare| {
            let presence = &bare.presence;
            presence.name == name && presence.state() == PeerState::Online && presence.swarms.contains(swarm)
        };
        let mut told: Vec<PeerId> = self.bare.iter().filter(|(_, bare)| fits(bare)).map(|(peer, _)| *peer).collect();
        told.sort();
        told
    }

    pub(super) fn show_bare(&self, id: PeerId, bare: &Bare, now: Instant) -> Peer {
        let Bare { presence, last_seen, .. } = bare;
        Peer {
            id,
            name: presence.name.clone(),
            state: presence.state(),
            rtt: None,
            path: None,
            swarms: self.swarm_names(presence.swarms.iter()),
            capabilities: Vec::new(),
            endpoints: Vec::new(),
            role: String::new(),
            description: String::new(),
            team: None,
            availability: Availability::Online,
            load: None,
            agent: String::new(),
            addresses: Vec::new(),
            last_seen: now.saturating_duration_since(self.last_seen(Some(presence), *last_seen)),
            ephemeral: false,
            card_known: false,
        }
    }

    /// Whoever has no connection is watched by others: it was there when a neighbour last thought so.
    pub(super) fn last_seen(&self, presence: Option<&Presence>, itself: Instant) -> Instant {
        let there = presence.filter(|presence| presence.status == Status::Online);
        let agreed = there.into_iter().flat_map(|p| p.swarms.iter().filter_map(|swarm| self.agreed.get(swarm)));
        agreed.copied().chain([itself]).max().unwrap_or(itself)
    }
}
