//! What happens with time: looking around, rechecking, signing anew.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use p2pnode_behaviours::upkeep::{Source, ip_of, is_loopback, is_relayed, is_web};
use p2pnode_wire::key;
use rand::{RngExt, seq::SliceRandom};
use tokio::sync::mpsc;

use super::EventLoop;
use crate::{
    acquaintances::DIALLED,
    addr::BootstrapAddr,
    node::{Shared, lock},
    peers::PeerState,
    registry::Entry,
};

/// Nodes of this host are looked for so often; a newcomer looks at once, so this only repairs.
const SCAN_EVERY: Duration = Duration::from_secs(5);
const COMMAND_SCAN: Duration = Duration::from_millis(500);

/// Nodes of this host dialled at once: the rest is introduced by these.
const SCAN_DIALS: usize = 25;

/// The same for a one-command node: as many as it may have connections.
pub(super) const COMMAND_DIALS: usize = 64;

/// Members without a connection looked up again per tick.
const RECHECKS: usize = 2;

/// The card is signed anew so often; it is good for 24 hours.
const CARD_EVERY: Duration = Duration::from_secs(8 * 3_600);

/// How busy the node is, in steps of so many percent, is looked at so often: a card that changes all the time would be most
/// of what members tell each other.
pub(super) const LOAD_EVERY: Duration = Duration::from_secs(15);
const LOAD_STEP: u8 = 25;

/// Members are looked up in the DHT so often while few are known; then the pauses double. Such a search costs sixteen
/// requests, most of which have to dial: every half minute, it was most of what a quiet node did.
pub(super) const MEMBERS_SOON: Duration = Duration::from_secs(30);
const MEMBERS_CALM: Duration = Duration::from_secs(900);

/// Who knows so many members looks for more only now and then, lest two halves of a swarm stay apart: first after so long.
const MEMBERS_KNOWN: usize = 8;
const MEMBERS_LATER: Duration = Duration::from_secs(240);

/// Providers of our swarm dialled per look-up, and by one who knows members: each of two tells of the rest.
const MEMBERS_DIALS: usize = 8;
const MEMBERS_MORE: usize = 2;

/// Addresses in a card.
pub(super) const CARD_ADDRESSES: usize = 16;

/// Addresses of all bootstrap peers together.
const MAX_SEEDS: usize = 256;

/// Names are asked of the resolver again so often: a seed may have moved.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);

impl EventLoop {
    pub(super) fn tick(&mut self, now: Instant) {
        self.hear_overdue(now);
        self.say_deferred(now);
        if now >= self.next_scan {
            // Nobody of this host dials a node that lives for one command: it must look itself.
            self.next_scan = now + if self.setup.ephemeral { COMMAND_SCAN } else { SCAN_EVERY };
            self.scan();
        }
        let due = lock(&self.setup.shared.peers).due(now, RECHECKS);
        for peer in due {
            self.dial(peer, "unheard of for long");
        }
        self.check_some(now);
        if now >= self.next_load {
            self.next_load = now + LOAD_EVERY;
            self.weigh();
        }
        if now >= self.next_card || self.generation != self.setup.endpoints.generation() {
            self.sign_card();
        }
        if self.setup.dht && now >= self.next_members {
            self.look_for_members(now);
        }
        self.queries.expire(now);
        self.greetings.expire();
        if let (Some(keeper), Some(gossip)) = (self.keeper.as_mut(), self.setup.swarm.behaviour().gossip.as_ref()) {
            keeper.tick(gossip, now);
        }
    }

    /// Tells of the load when it has changed by much: a new card goes to all neighbours.
    fn weigh(&mut self) {
        let load = self.setup.endpoints.load().max(self.setup.answerer.load());
        let step = load / LOAD_STEP * LOAD_STEP;
        if step != self.setup.about.load {
            self.setup.about.load = step;
            self.sign_card();
        }
    }

    /// Dials nodes of this host that are in one of our swarms, and notes the other swarms.
    fn scan(&mut self) {
        let Some(registry) = &self.setup.registry else { return };
        let registry = registry.clone();
        let now = Instant::now();
        // Who lives for one command has no second look.
        let most = if self.setup.ephemeral { COMMAND_DIALS } else { SCAN_DIALS };
        let mut dials = 0;
        let mut listing = std::mem::take(&mut self.host);
        let read = registry.refresh(&mut listing, now);
        // Not all the same ones first.
        listing.entries.shuffle(&mut rand::rng());
        let entries = listing.entries.iter().filter(|entry| entry.peer != self.setup.identity.peer_id());
        let mates: Vec<&Entry> = entries.filter(|entry| self.note_local(entry, now)).collect();
        mates.iter().for_each(|entry| self.named(entry.peer));
        if read {
            // Who is not dialled now may be wanted later, by its name.
            mates.iter().for_each(|entry| self.learn_local(entry));
        }
        for entry in mates {
            if dials >= most || self.has_enough() {
                break;
            }
            let needed = !self.setup.swarm.is_connected(&entry.peer) && !self.is_reachable(&entry.peer);
            // As it is now: it may be gone, or listen elsewhere.
            if needed && let Some(entry) = registry.find(&entry.peer) {
                dials += 1;
                self.dial_local(&entry);
            }
        }
        self.host = listing;
    }

    fn is_reachable(&self, peer: &PeerId) -> bool {
        let peers = lock(&self.setup.shared.peers);
        peers.get(peer, Instant::now()).is_some_and(|p| p.state == PeerState::Online)
    }

    /// Whether the node is in one of our swarms.
    fn note_local(&self, entry: &Entry, now: Instant) -> bool {
        let mut peers = lock(&self.setup.shared.peers);
        let ours = self.setup.swarms.all();
        let names: Vec<_> = entry.swarms.iter().filter_map(|name| name.parse().ok()).collect();
        for name in &names {
            peers.saw_swarm(name, entry.peer, "local", now);
        }
        names.iter().any(|name| ours.iter().any(|(_, own)| own == name))
    }

    /// One address: of several dialled at once, each would cost both ends a handshake, and those that are dropped
    /// may take the places of the one that is kept.
    fn learn_local(&mut self, entry: &Entry) {
        let is_tcp = |addr: &&Multiaddr| !is_web(addr) && addr.iter().any(|part| matches!(part, Protocol::Tcp(_)));
        if let Some(addr) = entry.addresses.iter().find(is_tcp).or(entry.addresses.first()) {
            let addr = loopback(addr);
            self.setup.rules.trust(&addr);
            self.behaviour().upkeep.learn(entry.peer, &addr, Source::Local, None);
        }
    }

    pub(super) fn dial_local(&mut self, entry: &Entry) {
        self.learn_local(entry);
        lock(&self.setup.shared.progress).local(entry.peer);
        self.dial(entry.peer, "on this host");
    }

    /// Those of the last run: where they were they may be still.
    pub(super) fn greet_acquaintances(&mut self) {
        let known = std::mem::take(&mut self.setup.acquaintances);
        for one in &known {
            for addr in &one.addresses {
                self.behaviour().upkeep.learn(one.peer, addr, Source::Card, None);
            }
            if one.in_table {
                self.behaviour().discovery.hear_of(one.peer, one.addresses.iter().cloned());
            }
        }
        for one in known.iter().filter(|one| one.is_member()).take(DIALLED) {
            self.dial(one.peer, "was a member before");
        }
    }

    /// How a peer was found, for `swarms`.
    pub(super) fn how_found(&mut self, peer: &PeerId) -> &'static str {
        let sources = self.behaviour().upkeep.addresses(peer);
        let has = |wanted: &dyn Fn(&Source) -> bool| sources.iter().any(|(_, source)| wanted(source));
        if has(&|s| matches!(s, Source::Local)) {
            "local"
        } else if has(&|s| matches!(s, Source::Mdns)) {
            "mdns"
        } else if has(&|s| matches!(s, Source::User)) {
            "bootstrap"
        } else {
            "swarm"
        }
    }

    /// Discovery dials whom it finds.
    pub(super) fn found(&mut self, peer: PeerId, addrs: &[Multiaddr]) {
        for addr in addrs {
            self.behaviour().upkeep.learn(peer, addr, Source::Mdns, None);
        }
        lock(&self.setup.shared.progress).introduced(peer);
    }

    /// Addresses behind what the user wrote, as of now. QUIC waits until TCP has failed once: two connections with one
    /// seed would be one too many.
    pub(super) fn bootstrap(&mut self, seed: &str, resolved: Vec<Multiaddr>) {
        for addr in resolved {
            self.setup.rules.trust(&addr);
            let quic = addr.iter().any(|part| matches!(part, Protocol::Udp(_)));
            let tcp_too = self.seeds.values().any(|(known, _)| known == seed);
            if !(quic && tcp_too) {
                self.add_seed(seed, addr);
            }
        }
    }

    fn add_seed(&mut self, seed: &str, addr: Multiaddr) {
        if self.seeds.contains_key(&addr) || self.seeds.len() >= MAX_SEEDS {
            return;
        }
        self.seeds.insert(addr.clone(), (seed.to_owned(), false));
        self.behaviour().discovery.bootstrap(addr);
    }

    pub(super) fn seed_reached(&mut self, addr: &Multiaddr, peer: PeerId) {
        let Some((seed, failed)) = self.seeds.get_mut(addr) else { return };
        *failed = false;
        lock(&self.setup.shared.progress).bootstrap_connected(seed, peer);
        self.behaviour().upkeep.learn(peer, addr, Source::User, None);
        self.setup.shared.touch();
    }

    pub(super) fn seed_failed(&mut self, addr: &Multiaddr, reason: &str) {
        let Some((seed, failed)) = self.seeds.get_mut(addr) else { return };
        let first = !std::mem::replace(failed, true);
        let seed = seed.clone();
        if let Some(quic) = quic_of(addr).filter(|_| first) {
            self.setup.rules.trust(&quic);
            self.add_seed(&seed, quic);
        }
        if self.seeds.values().filter(|(known, _)| *known == seed).all(|(_, failed)| *failed) {
            lock(&self.setup.shared.progress).bootstrap_failed(&seed, reason);
            self.setup.shared.touch();
        }
    }

    /// Signs the card anew, tells connected members, and keeps the registry's entry in step.
    pub(super) fn sign_card(&mut self) {
        self.generation = self.setup.endpoints.generation();
        self.next_card = Instant::now() + CARD_EVERY;
        let addresses = self.card_addresses();
        let texts = addresses.iter().map(ToString::to_string).collect();
        let before = lock(&self.setup.shared.own).card.clone();
        let seq = before.as_ref().map(|card| card.seq);
        let (card, signed) = self.setup.about.card(&self.setup.identity, self.setup.endpoints.published(), texts, seq);
        self.say_present(&card, before.as_ref());
        lock(&self.setup.shared.own).card = Some(card);
        self.behaviour().hello.set_card(signed.into_raw());
        if !self.setup.ephemeral {
            self.announce_here(self.own_addresses());
            self.provide();
        }
        self.setup.shared.touch();
    }

    /// Where this node itself listens; loopback last.
    pub(super) fn own_addresses(&self) -> Vec<Multiaddr> {
        let mut addresses = lock(&self.setup.shared.own).listen.clone();
        // Nobody dials a link-local address without knowing the link.
        addresses.retain(|addr| !matches!(ip_of(addr), Some(IpAddr::V6(ip)) if ip.is_unicast_link_local()));
        addresses.retain(|addr| !is_relayed(addr));
        addresses.sort_by_key(is_loopback);
        addresses.truncate(CARD_ADDRESSES);
        addresses
    }

    fn announce_here(&mut self, addresses: Vec<Multiaddr>) {
        let Some(registry) = &self.setup.registry else { return };
        if addresses.is_empty() || self.goodbye.is_some() {
            return;
        }
        let swarms = self.setup.swarms.names();
        let entry = Entry::new(self.setup.identity.peer_id(), &self.setup.about.name, swarms, addresses);
        let outcome = match self.announcement.as_mut() {
            Some(announcement) => announcement.update(&entry),
            None => registry.announce(&entry).map(|announcement| self.announcement = Some(announcement)),
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "nodes of this host will not find this one");
        }
    }

    /// Announces our swarms and capabilities in the DHT.
    fn provide(&mut self) {
        if !self.setup.dht {
            return;
        }
        let capabilities: Vec<String> = self.setup.about.capabilities.iter().map(|c| c.name.clone()).collect();
        for (swarm, _) in self.setup.swarms.all().iter() {
            let discovery = &mut self.setup.swarm.behaviour_mut().discovery;
            discovery.provide_entrance(&key::swarm(swarm));
            discovery.provide(&key::name(swarm, &self.setup.about.name));
            for capability in &capabilities {
                discovery.provide_spread(&key::capability_base(swarm, capability));
            }
        }
    }

    /// Members that nobody has introduced: those who announce our swarm in the DHT.
    fn look_for_members(&mut self, now: Instant) {
        let known = self.knows_members();
        if self.dht_ready().is_err() {
            self.next_members = now + Duration::from_secs(1);
            return;
        }
        let spread = rand::rng().random_range(0.5..1.5);
        if known && self.members_pause < MEMBERS_LATER {
            self.members_pause = MEMBERS_LATER;
            self.next_members = now + MEMBERS_LATER.mul_f64(spread);
            return;
        }
        self.members_pause = if known { MEMBERS_CALM.min(self.members_pause * 2) } else { MEMBERS_SOON };
        self.next_members = now + self.members_pause.mul_f64(spread);
        for (swarm, _) in self.setup.swarms.all().iter() {
            self.look_up_members(&key::swarm(swarm));
        }
    }

    fn knows_members(&self) -> bool {
        lock(&self.setup.shared.peers).online() >= MEMBERS_KNOWN
    }

    /// Members that a search for them may dial.
    pub(super) fn members_wanted(&self) -> usize {
        if self.knows_members() { MEMBERS_MORE } else { MEMBERS_DIALS }
    }
}

/// The QUIC address of a seed whose TCP address does not answer.
fn quic_of(addr: &Multiaddr) -> Option<Multiaddr> {
    let tcp = !is_web(addr) && addr.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    let quic = addr.iter().flat_map(|part| match part {
        Protocol::Tcp(port) => vec![Protocol::Udp(port), Protocol::QuicV1],
        other => vec![other],
    });
    tcp.then(|| quic.collect())
}

/// The same port on loopback: reachable whatever the interfaces do.
fn loopback(addr: &Multiaddr) -> Multiaddr {
    addr.iter()
        .map(|part| match part {
            Protocol::Ip4(_) => Protocol::Ip4(std::net::Ipv4Addr::LOCALHOST),
            Protocol::Ip6(_) => Protocol::Ip6(std::net::Ipv6Addr::LOCALHOST),
            other => other,
        })
        .collect()
}

/// Resolves bootstrap addresses beside the loop, again and again: names may move, resolvers may hang.
pub(super) fn resolve_bootstrap(
    mut addrs: Vec<BootstrapAddr>,
    shared: Shared,
    resolved: mpsc::Sender<(String, Vec<Multiaddr>)>,
) {
    if addrs.is_empty() {
        return;
    }
    // The first ones are dialled first: not by everybody the same ones.
    addrs.shuffle(&mut rand::rng());
    tokio::spawn(async move {
        while !shared.stopped.is_cancelled() {
            for addr in &addrs {
                match addr.resolve().await {
                    Ok(found) => {
                        if resolved.send((addr.to_string(), found)).await.is_err() {
                            return;
                        }
                    }
                    Err(error) => {
                        lock(&shared.progress).bootstrap_failed(&addr.to_string(), &error.to_string());
                        shared.touch();
                    }
                }
            }
            let _ = tokio::time::timeout(RESOLVE_EVERY, shared.stopped.cancelled()).await;
        }
    });
}
