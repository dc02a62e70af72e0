//! Who is known and how they are: a pure table, written by the event loop, read by every handle.

mod peer;
mod told;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, swarm::ConnectionId};
use p2pnode_behaviours::{presence::Status, upkeep::is_relayed};
use p2pnode_wire::{
    card::Card,
    ids::{SwarmId, SwarmName, Team},
};
pub use peer::{Availability, KnownAddress, Peer, PeerRef, PeerState, SwarmSeen};

pub(crate) use told::Told;
use told::{Bare, Presence};

use crate::path::{Connection, Connections, Path, best};

/// Members gone for so long are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// They are looked for so often.
const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// A member without a connection is looked up again after so long.
const RECHECK_AFTER: Duration = Duration::from_secs(60);

/// In a larger swarm so many known members are dialled again per [`RECHECK_AFTER`], the one not seen for longest first:
/// to each its minute would be a dial a second at fifty members, and eight at five hundred.
const RECHECKS: usize = 10;

/// With more members than this without a connection fewer are dialled, down to [`FEW_RECHECKS`]: each of them is dialled
/// by all others too.
const MANY_UNCONNECTED: usize = 12;
const FEW_RECHECKS: usize = 2;

/// A lost member is dialled again after so long, doubling up to [`RECHECK_AFTER`].
const RETRY_FIRST: Duration = Duration::from_millis(200);

/// Dials in a row that must fail before a suspect counts as offline.
const OFFLINE_AFTER: u32 = 2;

/// Other swarms seen on the way; names are free to invent, so the list is short.
const MAX_SWARMS_SEEN: usize = 256;

struct Entry {
    state: PeerState,
    card: Option<Card>,
    signed: Bytes,
    agent: String,
    swarms: BTreeSet<SwarmId>,
    connections: Connections,
    rtt: Option<Duration>,
    last_seen: Instant,
    ephemeral: bool,
    failures: u32,
    recheck: Option<Instant>,
    /// Since it connected it has not shown its card: what it shows is new, whatever its number says.
    returned: bool,
    /// Whether those who watch were told last that it is there.
    told: bool,
    /// What presence tells of it. While it takes it for there, failed dials alone do not make it offline.
    presence: Option<Presence>,
    /// Since when its state is what it is.
    since: Instant,
    /// Why no direct connection came about when one was tried last.
    not_punched: Option<String>,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            state: PeerState::Online,
            card: None,
            signed: Bytes::new(),
            agent: String::new(),
            swarms: BTreeSet::new(),
            connections: Vec::new(),
            rtt: None,
            last_seen: now,
            ephemeral: false,
            failures: 0,
            recheck: None,
            returned: true,
            told: false,
            presence: None,
            since: now,
            not_punched: None,
        }
    }

    fn set(&mut self, state: PeerState, now: Instant) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }

    /// Presence takes it for there, or has not decided yet.
    fn is_watched(&self) -> bool {
        self.presence.as_ref().is_some_and(|p| matches!(p.status, Status::Online | Status::Suspect))
    }

    fn name(&self) -> &str {
        let card = self.card.as_ref().map(|card| card.name.as_str());
        card.or(self.presence.as_ref().map(|presence| presence.name.as_str())).unwrap_or_default()
    }
}

/// What a change of the table means to those who watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    Joined(PeerId),
    /// Its card is new.
    Updated(PeerId),
    Suspect(PeerId),
    Offline(PeerId),
    /// It said goodbye, or its one command has ended.
    Left(PeerRef),
}

/// The table.
pub(crate) struct Peers {
    names: HashMap<SwarmId, SwarmName>,
    entries: HashMap<PeerId, Entry>,
    /// Those who have not greeted this node.
    bare: HashMap<PeerId, Bare>,
    /// Connected peers that share no swarm with us (yet).
    strangers: HashMap<PeerId, Connections>,
    seen: BTreeMap<SwarmName, Seen>,
    /// When a neighbour last thought the same about all of a swarm.
    agreed: HashMap<SwarmId, Instant>,
    /// When those gone for long are forgotten again.
    next_sweep: Option<Instant>,
    limit: usize,
}

struct Seen {
    nodes: BTreeSet<PeerId>,
    by: BTreeSet<&'static str>,
    last: Instant,
}

impl Peers {
    /// Remembers at most `limit` of them.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            names: HashMap::new(),
            entries: HashMap::new(),
            bare: HashMap::new(),
            next_sweep: None,
            strangers: HashMap::new(),
            seen: BTreeMap::new(),
            agreed: HashMap::new(),
            limit,
        }
    }

    pub(crate) fn join(&mut self, id: SwarmId, name: SwarmName) {
        self.names.insert(id, name);
    }

    pub(crate) fn connected(&mut self, peer: PeerId, connection: ConnectionId, remote: Multiaddr, now: Instant) {
        let Some(entry) = self.entries.get_mut(&peer) else {
            let others = self.strangers.entry(peer).or_default();
            others.push(Connection::new(connection, remote, others));
            return;
        };
        entry.returned |= entry.connections.is_empty();
        entry.connections.push(Connection::new(connection, remote, &entry.connections));
        (entry.last_seen, entry.failures, entry.recheck) = (now, 0, None);
    }

    /// `broken`: not closed by us as idle. The last connection of a member that breaks makes it suspect.
    pub(crate) fn disconnected(
        &mut self,
        peer: &PeerId,
        connection: ConnectionId,
        broken: bool,
        now: Instant,
    ) -> Option<Change> {
        if let Some(connections) = self.strangers.get_mut(peer) {
            connections.retain(|known| known.id != connection);
            if connections.is_empty() {
                self.strangers.remove(peer);
            }
        }
        let entry = self.entries.get_mut(peer)?;
        entry.connections.retain(|known| known.id != connection);
        if !entry.connections.is_empty() || entry.state == PeerState::Offline {
            return None;
        }
        if entry.ephemeral {
            let reference = self.reference(*peer);
            let shown = self.entries.remove(peer).is_some_and(|e| e.card.is_some());
            return shown.then_some(Change::Left(reference));
        }
        if !broken {
            // Others watch it, and tell.
            let recheck = if entry.is_watched() { None } else { Some(now + self.recheck_after()) };
            self.entries.get_mut(peer)?.recheck = recheck;
            return None;
        }
        entry.recheck = Some(now + RETRY_FIRST);
        if entry.state == PeerState::Online {
            entry.set(PeerState::Suspect, now);
            entry.told = false;
            return Some(Change::Suspect(*peer));
        }
        None
    }

    /// A peer has proven that it is in these swarms.
    #[allow(clippy::too_many_arguments, reason = "one greeting, field by field")]
    pub(crate) fn greeted(
        &mut self,
        peer: PeerId,
        shared: &[SwarmId],
        card: Option<(Card, Bytes)>,
        agent: &str,
        ephemeral: bool,
        now: Instant,
    ) -> Option<Change> {
        let ours: BTreeSet<SwarmId> = shared.iter().filter(|id| self.names.contains_key(*id)).copied().collect();
        if ours.is_empty() {
            return None;
        }
        if !self.entries.contains_key(&peer) {
            self.make_room();
        }
        let connections = self.strangers.remove(&peer);
        let bare = self.bare.remove(&peer);
        let entry = self.entries.entry(peer).or_insert_with(|| Entry::new(now));
        if let Some(bare) = bare {
            entry.presence = Some(bare.presence);
        }
        entry.connections.extend(connections.into_iter().flatten());
        entry.swarms = ours;
        entry.agent = agent.to_owned();
        entry.ephemeral = ephemeral;
        entry.set(PeerState::Online, now);
        (entry.last_seen, entry.failures, entry.recheck) = (now, 0, None);
        let (card, signed) = card?;
        // Of two greetings under way the older may arrive last. The number is a time: of one that was away it may be lower,
        // as its clock was put right.
        if !std::mem::take(&mut entry.returned) && entry.card.as_ref().is_some_and(|known| known.seq > card.seq) {
            return None;
        }
        let changed = entry.card.as_ref() != Some(&card);
        entry.card = Some(card);
        entry.signed = signed;
        match std::mem::replace(&mut entry.told, true) {
            true => changed.then_some(Change::Updated(peer)),
            false => Some(Change::Joined(peer)),
        }
    }

    fn make_room(&mut self) {
        if self.entries.len() < self.limit {
            return;
        }
        let oldest = self.entries.iter().filter(|(_, e)| e.connections.is_empty()).min_by_key(|(_, e)| e.last_seen);
        if let Some(peer) = oldest.map(|(peer, _)| *peer) {
            let Some(Entry { presence: Some(presence), since, last_seen, .. }) = self.entries.remove(&peer) else {
                return;
            };
            self.bare.insert(peer, Bare { presence, since, last_seen });
        }
    }

    /// When a member without a connection is dialled to learn whether it still lives.
    fn recheck_after(&self) -> Duration {
        let unconnected = self.entries.values().filter(|entry| entry.connections.is_empty()).count();
        let a_minute = (RECHECKS * MANY_UNCONNECTED / unconnected.max(1)).clamp(FEW_RECHECKS, RECHECKS);
        RECHECK_AFTER.max(RECHECK_AFTER * u32::try_from(unconnected / a_minute).unwrap_or(u32::MAX))
    }

    /// The peer is no longer of interest, wherever it is.
    pub(crate) fn forget(&mut self, peer: &PeerId) -> Option<Change> {
        let reference = self.reference(*peer);
        self.bare.remove(peer);
        let known = self.entries.remove(peer)?;
        // What is left of its connections ends as that of a stranger.
        if !known.connections.is_empty() {
            self.strangers.insert(*peer, known.connections);
        }
        Some(Change::Left(reference))
    }

    /// The peer said goodbye.
    pub(crate) fn left(&mut self, peer: &PeerId) -> Option<Change> {
        let reference = self.reference(*peer);
        let entry = self.entries.get_mut(peer)?;
        entry.recheck = None;
        entry.told = false;
        let was = entry.state;
        entry.set(PeerState::Offline, Instant::now());
        (was != PeerState::Offline).then_some(Change::Left(reference))
    }

    pub(crate) fn dial_failed(&mut self, peer: &PeerId, now: Instant) -> Option<Change> {
        let entry = self.entries.get_mut(peer)?;
        if !entry.connections.is_empty() {
            return None;
        }
        entry.failures = entry.failures.saturating_add(1);
        let wait = RETRY_FIRST.saturating_mul(1 << entry.failures.min(9)).min(RECHECK_AFTER);
        entry.recheck = Some(now + wait);
        match entry.state {
            PeerState::Online => {
                entry.set(PeerState::Suspect, now);
                entry.told = false;
                Some(Change::Suspect(*peer))
            }
            // Whom presence takes for there others reach, or it will say so.
            PeerState::Suspect if entry.failures >= OFFLINE_AFTER && !entry.is_watched() => {
                entry.set(PeerState::Offline, now);
                Some(Change::Offline(*peer))
            }
            PeerState::Suspect | PeerState::Offline => None,
        }
    }

    pub(crate) fn rtt(&mut self, peer: &PeerId, rtt: Duration, now: Instant) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.rtt = Some(rtt);
            entry.last_seen = now;
        }
    }

    /// A hole was tried in vain.
    pub(crate) fn not_punched(&mut self, peer: &PeerId, reason: String) {
        if let Some(entry) = self.entries.get_mut(peer) {
            entry.not_punched = Some(reason);
        }
    }

    /// Why there is only a circuit with `peer`.
    pub(crate) fn why_relayed(&self, peer: &PeerId) -> Option<String> {
        self.entries.get(peer)?.not_punched.clone()
    }

    /// At most `max` members that should be dialled now to learn whether they live. Forgets those gone for long.
    pub(crate) fn due(&mut self, now: Instant, max: usize) -> Vec<PeerId> {
        if self.next_sweep.is_none_or(|at| at <= now) {
            self.next_sweep = Some(now + SWEEP_EVERY);
            self.expire(now);
        }
        let mut due: Vec<_> = self.entries.iter_mut().filter(|(_, e)| e.recheck.is_some_and(|at| at <= now)).collect();
        due.sort_by_key(|(_, e)| e.recheck);
        due.truncate(max);
        due.into_iter()
            .map(|(peer, entry)| {
                // Until the dial ends, one way or the other.
                entry.recheck = Some(now + RECHECK_AFTER);
                *peer
            })
            .collect()
    }

    fn expire(&mut self, now: Instant) {
        let gone = |state, since| state == PeerState::Offline && now.saturating_duration_since(since) > FORGET_AFTER;
        self.entries.retain(|_, e| !(gone(e.state, e.last_seen.max(e.since)) && e.connections.is_empty()));
        self.bare.retain(|_, bare| !gone(bare.presence.state(), bare.since));
    }

    /// Members this node has met and that are there, those of one command left out.
    pub(crate) fn online(&self) -> usize {
        self.entries.values().filter(|e| e.state == PeerState::Online && !e.ephemeral).count()
    }

    /// Whether it has greeted this node.
    pub(crate) fn is_member(&self, peer: &PeerId) -> bool {
        self.entries.contains_key(peer)
    }

    /// Whether it has shown its card on a connection that is open.
    pub(crate) fn is_here(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(|e| !e.connections.is_empty() && e.card.is_some() && !e.returned)
    }

    pub(crate) fn is_offline(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(|entry| entry.state == PeerState::Offline)
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        self.entries.get(peer).is_some_and(|e| !e.connections.is_empty()) || self.strangers.contains_key(peer)
    }

    /// The remote end of a connection with `peer`.
    pub(crate) fn remote_of(&self, peer: &PeerId) -> Option<Multiaddr> {
        self.best_of(peer).map(|connection| connection.remote.clone())
    }

    /// The path of a call that went over the connection with this remote end. Of a circuit that the peer began the call
    /// knows the peer's id alone.
    pub(crate) fn path_over(&self, peer: &PeerId, remote: &Multiaddr) -> Path {
        let member = self.entries.get(peer).map(|entry| &entry.connections);
        let all = member.or_else(|| self.strangers.get(peer)).into_iter().flatten();
        let is_it = |one: &&Connection| one.remote == *remote || (is_relayed(remote) && is_relayed(&one.remote));
        all.into_iter().find(is_it).map_or_else(|| Path::over(remote.clone()), Connection::path)
    }

    fn best_of(&self, peer: &PeerId) -> Option<&Connection> {
        let member = self.entries.get(peer).and_then(|e| best(&e.connections));
        member.or_else(|| self.strangers.get(peer).and_then(|connections| best(connections)))
    }

    pub(crate) fn name_of(&self, peer: &PeerId) -> Option<&str> {
        let bare = || self.bare.get(peer).map(|bare| bare.presence.name.as_str());
        self.entries.get(peer).map(Entry::name).or_else(bare).filter(|name| !name.is_empty())
    }

    pub(crate) fn reference(&self, peer: PeerId) -> PeerRef {
        PeerRef { id: peer, name: self.name_of(&peer).unwrap_or_default().to_owned() }
    }

    /// Members of `swarm`, or of one team of it, whose card is known and who are not offline.
    pub(crate) fn reachable(&self, swarm: &SwarmId, team: Option<&Team>) -> Vec<PeerId> {
        let in_team = |card: &Card| team.is_none_or(|team| card.team.as_ref() == Some(team));
        let in_swarm =
            self.entries.iter().filter(|(_, e)| e.card.as_ref().is_some_and(in_team) && e.swarms.contains(swarm));
        in_swarm.filter(|(_, e)| e.state != PeerState::Offline && !e.ephemeral).map(|(peer, _)| *peer).collect()
    }

    pub(crate) fn swarms_of(&self, peer: &PeerId) -> Vec<SwarmId> {
        self.entries.get(peer).map(|e| e.swarms.iter().copied().collect()).unwrap_or_default()
    }

    /// Members whose card is known, with it and how long ago they were heard from; not those of one command.
    pub(crate) fn remembered(&self) -> Vec<(PeerId, Bytes, Duration)> {
        let now = Instant::now();
        let known = self.entries.iter().filter(|(_, entry)| !entry.signed.is_empty() && !entry.ephemeral);
        let one = |(peer, entry): (&PeerId, &Entry)| {
            (*peer, entry.signed.clone(), now.saturating_duration_since(entry.last_seen))
        };
        known.map(one).collect()
    }

    /// Members whose card is known, by name then id.
    pub(crate) fn snapshot(&self, now: Instant) -> Vec<Peer> {
        let mut peers: Vec<Peer> = self.entries.iter().filter_map(|(id, e)| self.show(*id, e, now)).collect();
        peers.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        peers
    }

    pub(crate) fn get(&self, peer: &PeerId, now: Instant) -> Option<Peer> {
        self.entries.get(peer).and_then(|entry| self.show(*peer, entry, now))
    }

    /// The same with those of whom presence alone tells.
    pub(crate) fn everybody(&self, now: Instant) -> Vec<Peer> {
        let bare = self.bare.iter().map(|(id, bare)| self.show_bare(*id, bare, now));
        let mut peers: Vec<Peer> =
            self.entries.iter().filter_map(|(id, e)| self.show(*id, e, now)).chain(bare).collect();
        peers.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        peers
    }

    fn show(&self, id: PeerId, entry: &Entry, now: Instant) -> Option<Peer> {
        let card = entry.card.as_ref()?;
        let path = best(&entry.connections).map(Connection::path);
        let known = card.addresses.iter().filter_map(|a| a.parse().ok());
        let mut addresses: Vec<KnownAddress> = known.map(|addr| KnownAddress { addr, source: "card".into() }).collect();
        addresses.extend(path.iter().map(|path| KnownAddress { addr: path.addr.clone(), source: "connection".into() }));
        let there = entry.presence.as_ref().filter(|_| entry.state == PeerState::Online);
        Some(Peer {
            id,
            name: card.name.clone(),
            state: entry.state,
            rtt: entry.rtt,
            path,
            swarms: self.swarm_names(entry.swarms.iter()),
            capabilities: card.capabilities.clone(),
            endpoints: card.endpoints.clone(),
            role: card.role.clone(),
            description: card.description.clone(),
            team: card.team.as_ref().map(ToString::to_string),
            availability: Availability::of(card),
            load: card.load.map(|load| load.min(100)),
            agent: entry.agent.clone(),
            addresses,
            last_seen: now.saturating_duration_since(self.last_seen(there, entry.last_seen)),
            ephemeral: entry.ephemeral,
            card_known: true,
        })
    }

    fn swarm_names<'a>(&self, swarms: impl Iterator<Item = &'a SwarmId>) -> Vec<String> {
        swarms.filter_map(|swarm| self.names.get(swarm)).map(ToString::to_string).collect()
    }

    /// Somebody is in a swarm of that name.
    pub(crate) fn saw_swarm(&mut self, name: &SwarmName, peer: PeerId, by: &'static str, now: Instant) {
        if !self.seen.contains_key(name) && self.seen.len() >= MAX_SWARMS_SEEN {
            return;
        }
        let fresh = || Seen { nodes: BTreeSet::new(), by: BTreeSet::new(), last: now };
        let seen = self.seen.entry(name.clone()).or_insert_with(fresh);
        if seen.nodes.len() < self.limit {
            seen.nodes.insert(peer);
        }
        seen.by.insert(by);
        seen.last = now;
    }

    pub(crate) fn swarms_seen(&self, own: bool, now: Instant) -> Vec<SwarmSeen> {
        let joined: BTreeSet<&SwarmName> = self.names.values().collect();
        let names: BTreeSet<&SwarmName> = self.seen.keys().chain(joined.iter().copied().filter(|_| own)).collect();
        let show = |name: &SwarmName| {
            let (seen, joined) = (self.seen.get(name), own && joined.contains(name));
            SwarmSeen {
                name: name.to_string(),
                nodes: seen.map_or(0, |s| s.nodes.len()) + usize::from(joined),
                seen_by: seen.into_iter().flat_map(|s| s.by.iter().map(ToString::to_string)).collect(),
                joined,
                last_seen: seen.map_or(Duration::ZERO, |s| now.saturating_duration_since(s.last)),
            }
        };
        names.into_iter().map(show).collect()
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;

    /// A member of that name that is there.
    pub(crate) fn peer(name: &str) -> Peer {
        Peer {
            id: PeerId::random(),
            name: name.into(),
            state: PeerState::Online,
            rtt: None,
            path: None,
            swarms: Vec::new(),
            capabilities: Vec::new(),
            endpoints: Vec::new(),
            role: String::new(),
            description: String::new(),
            team: None,
            availability: Availability::Online,
            load: None,
            agent: String::new(),
            addresses: Vec::new(),
            last_seen: Duration::ZERO,
            ephemeral: false,
            card_known: true,
        }
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
