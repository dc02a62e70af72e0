//! Who is known and how they are: a pure table, written by the event loop, read by every handle.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
pub use p2pnode_wire::card::Availability;
use p2pnode_wire::{
    card::{Capability, Card, EndpointInfo},
    ids::{SwarmId, SwarmName, Team},
};

/// Members gone for so long are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(600);

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

/// Whether a member can be reached, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// Connected, or heard from lately.
    Online,
    /// Its connection broke, and it has not answered since.
    Suspect,
    /// It said goodbye, or cannot be dialled.
    Offline,
}

impl PeerState {
    /// `online`, `suspect` or `offline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
        }
    }
}

/// How traffic to a peer travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// `direct`; relayed paths come with NAT traversal.
    pub kind: &'static str,
    /// `tcp`, `quic`, `memory` or `other`.
    pub transport: &'static str,
    /// The remote end of the connection.
    pub addr: Multiaddr,
}

impl Path {
    /// The path over a connection whose remote end is `addr`.
    pub fn over(addr: Multiaddr) -> Self {
        let transport = addr.iter().find_map(|part| match part {
            Protocol::QuicV1 | Protocol::Quic => Some("quic"),
            Protocol::Tcp(_) => Some("tcp"),
            Protocol::Memory(_) => Some("memory"),
            _ => None,
        });
        Self { kind: "direct", transport: transport.unwrap_or("other"), addr }
    }
}

/// A peer by id and name, as lists and events show it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerRef {
    /// Its id, proven by the connection or a signature.
    pub id: PeerId,
    /// The name it gives itself; a label, not a proof. Empty while its card is not known.
    pub name: String,
}

/// An address of a peer and how this node came to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// The address.
    pub addr: Multiaddr,
    /// `card`, `connection`, `mdns`, `local`, `identify`, …
    pub source: String,
}

/// A member of one of this node's swarms, as it was when asked.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its id.
    pub id: PeerId,
    /// The name it gives itself.
    pub name: String,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Round trip of the last ping.
    pub rtt: Option<Duration>,
    /// How it is connected, if it is.
    pub path: Option<Path>,
    /// Swarms it shares with this node.
    pub swarms: Vec<String>,
    /// What it says it can do.
    pub capabilities: Vec<Capability>,
    /// What it publishes.
    pub endpoints: Vec<EndpointInfo>,
    /// Its role, or empty.
    pub role: String,
    /// Its description, or empty.
    pub description: String,
    /// Its team, if any.
    pub team: Option<String>,
    /// Whether it takes work, by its own word.
    pub availability: Availability,
    /// How much it has to do, by its own word: 0 to 100.
    pub load: Option<u8>,
    /// Program and version.
    pub agent: String,
    /// Where it can be dialled.
    pub addresses: Vec<KnownAddress>,
    /// How long ago it was last heard from.
    pub last_seen: Duration,
    /// It lives for one command.
    pub ephemeral: bool,
}

impl Peer {
    /// Id and name.
    pub fn to_ref(&self) -> PeerRef {
        PeerRef { id: self.id, name: self.name.clone() }
    }
}

/// A swarm seen on this host, the network or the way.
#[derive(Debug, Clone)]
pub struct SwarmSeen {
    /// Its name.
    pub name: String,
    /// Nodes seen in it, this one included.
    pub nodes: usize,
    /// `local`, `mdns`, `bootstrap`, `joined`.
    pub seen_by: Vec<String>,
    /// Whether this node is in it.
    pub joined: bool,
    /// How long ago a node of it was last heard from.
    pub last_seen: Duration,
}

type Connections = Vec<(ConnectionId, Multiaddr)>;

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
        }
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
    /// Connected peers that share no swarm with us (yet).
    strangers: HashMap<PeerId, Connections>,
    seen: BTreeMap<SwarmName, Seen>,
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
        Self { names: HashMap::new(), entries: HashMap::new(), strangers: HashMap::new(), seen: BTreeMap::new(), limit }
    }

    pub(crate) fn join(&mut self, id: SwarmId, name: SwarmName) {
        self.names.insert(id, name);
    }

    pub(crate) fn connected(&mut self, peer: PeerId, connection: ConnectionId, remote: Multiaddr, now: Instant) {
        let Some(entry) = self.entries.get_mut(&peer) else {
            self.strangers.entry(peer).or_default().push((connection, remote));
            return;
        };
        entry.returned |= entry.connections.is_empty();
        entry.connections.push((connection, remote));
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
            connections.retain(|(known, _)| *known != connection);
            if connections.is_empty() {
                self.strangers.remove(peer);
            }
        }
        let entry = self.entries.get_mut(peer)?;
        entry.connections.retain(|(known, _)| *known != connection);
        if !entry.connections.is_empty() || entry.state == PeerState::Offline {
            return None;
        }
        if entry.ephemeral {
            let reference = self.reference(*peer);
            let shown = self.entries.remove(peer).is_some_and(|e| e.card.is_some());
            return shown.then_some(Change::Left(reference));
        }
        if !broken {
            let recheck = now + self.recheck_after();
            self.entries.get_mut(peer)?.recheck = Some(recheck);
            return None;
        }
        entry.recheck = Some(now + RETRY_FIRST);
        if entry.state == PeerState::Online {
            (entry.state, entry.told) = (PeerState::Suspect, false);
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
        let entry = self.entries.entry(peer).or_insert_with(|| Entry::new(now));
        entry.connections.extend(connections.into_iter().flatten());
        entry.swarms = ours;
        entry.agent = agent.to_owned();
        entry.ephemeral = ephemeral;
        (entry.state, entry.last_seen, entry.failures, entry.recheck) = (PeerState::Online, now, 0, None);
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
            self.entries.remove(&peer);
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
        let was = std::mem::replace(&mut entry.state, PeerState::Offline);
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
                (entry.state, entry.told) = (PeerState::Suspect, false);
                Some(Change::Suspect(*peer))
            }
            PeerState::Suspect if entry.failures >= OFFLINE_AFTER => {
                entry.state = PeerState::Offline;
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

    /// At most `max` members that should be dialled now to learn whether they live. Forgets those gone for long.
    pub(crate) fn due(&mut self, now: Instant, max: usize) -> Vec<PeerId> {
        self.entries.retain(|_, e| {
            let gone = e.state == PeerState::Offline && now.saturating_duration_since(e.last_seen) > FORGET_AFTER;
            !(gone && e.connections.is_empty())
        });
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

    /// Members that are there, those of one command left out.
    pub(crate) fn online(&self) -> usize {
        self.entries.values().filter(|e| e.state == PeerState::Online && !e.ephemeral).count()
    }

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
        let member = self.entries.get(peer).and_then(|e| e.connections.first());
        member.or_else(|| self.strangers.get(peer).and_then(|c| c.first())).map(|(_, remote)| remote.clone())
    }

    pub(crate) fn name_of(&self, peer: &PeerId) -> Option<&str> {
        self.entries.get(peer)?.card.as_ref().map(|card| card.name.as_str())
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

    fn show(&self, id: PeerId, entry: &Entry, now: Instant) -> Option<Peer> {
        let card = entry.card.as_ref()?;
        let connected = entry.connections.first().map(|(_, remote)| remote.clone());
        let known = card.addresses.iter().filter_map(|a| a.parse().ok());
        let mut addresses: Vec<KnownAddress> = known.map(|addr| KnownAddress { addr, source: "card".into() }).collect();
        addresses.extend(connected.iter().map(|a| KnownAddress { addr: a.clone(), source: "connection".into() }));
        Some(Peer {
            id,
            name: card.name.clone(),
            state: entry.state,
            rtt: entry.rtt,
            path: connected.map(Path::over),
            swarms: entry.swarms.iter().filter_map(|s| self.names.get(s)).map(ToString::to_string).collect(),
            capabilities: card.capabilities.clone(),
            endpoints: card.endpoints.clone(),
            role: card.role.clone(),
            description: card.description.clone(),
            team: card.team.as_ref().map(ToString::to_string),
            availability: Availability::of(card),
            load: card.load.map(|load| load.min(100)),
            agent: entry.agent.clone(),
            addresses,
            last_seen: now.saturating_duration_since(entry.last_seen),
            ephemeral: entry.ephemeral,
        })
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
        }
    }
}

#[cfg(test)]
#[path = "peers_tests.rs"]
mod tests;
