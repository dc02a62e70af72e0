//! Whether others reach this node, and with which relays it reserves a place. Pure.

use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p_core::{Multiaddr, multiaddr::Protocol, transport::ListenerId};
use libp2p_identity::PeerId;

use super::{
    config::{Config, Relay},
    report::{Mapping, Observed, Reachability, Report, Reservation, Tested, Upnp},
};
use crate::upkeep::{ip_of, is_loopback, is_private, is_public, is_relayed};

/// Who sees us where: a few of each transport show what the router does; the newest count.
const MAX_SEEN: usize = 32;

/// Members that carry circuits. Two are needed; the rest are for when these are gone.
const MAX_RELAYS: usize = 32;

/// Addresses of ours that somebody has tried, the newest ones.
const MAX_TESTED: usize = 16;

/// Our own addresses that are remembered: a host has a dozen.
const MAX_OWN: usize = 64;

/// A relay that refused or was lost is asked again after this time, doubling.
const RETRY_FIRST: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_secs(600);

/// A peer outside has told where it sees us.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) by: PeerId,
    /// Its own address.
    pub(super) from: IpAddr,
    pub(super) addr: Multiaddr,
    /// We had dialled it from a port we listen on, so that the router's port is the one of our address.
    pub(super) reused: bool,
}

/// Over which transports this node listens, other than for this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ports {
    tcp: bool,
    udp: bool,
}

impl Ports {
    /// Whether there is one that a dial of `addr` may go from.
    pub(super) fn covers(self, addr: &Multiaddr) -> bool {
        if is_udp(addr) { self.udp } else { self.tcp }
    }
}

#[derive(Debug, Default)]
struct Candidate {
    addr: Option<Multiaddr>,
    connected: bool,
    offers: bool,
    failures: u32,
    not_before: Option<Instant>,
    listener: Option<ListenerId>,
    accepted: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Listen there; tell [`State::began`] how.
    Reserve { relay: PeerId, addr: Multiaddr },
    /// Others may be told of this address.
    Vouch(Multiaddr),
    /// No more.
    Retract(Multiaddr),
}

#[derive(Debug)]
pub(super) struct State {
    own: PeerId,
    relays: usize,
    always: bool,
    server: bool,
    listen: Vec<Multiaddr>,
    confirmed: Vec<Multiaddr>,
    vouched: Vec<Multiaddr>,
    seen: VecDeque<Seen>,
    tested: VecDeque<Tested>,
    candidates: HashMap<PeerId, Candidate>,
    pub(super) upnp: Upnp,
}

impl State {
    pub(super) fn new(own: PeerId, config: &Config) -> Self {
        let server = config.relay == Relay::Server;
        Self {
            own,
            relays: if config.relay == Relay::Auto && config.probe { config.relays } else { 0 },
            always: config.always_reserve,
            server,
            listen: Vec::new(),
            confirmed: Vec::new(),
            vouched: Vec::new(),
            seen: VecDeque::new(),
            tested: VecDeque::new(),
            candidates: HashMap::new(),
            upnp: if config.upnp { Upnp::Searching } else { Upnp::Off },
        }
    }

    // What happens.

    pub(super) fn listens(&mut self, addr: &Multiaddr) {
        if !is_relayed(addr) && !self.listen.contains(addr) && self.listen.len() < MAX_OWN {
            self.listen.push(addr.clone());
        }
    }

    pub(super) fn listens_no_more(&mut self, addr: &Multiaddr) {
        self.listen.retain(|known| known != addr);
    }

    pub(super) fn confirmed(&mut self, addr: &Multiaddr) {
        let new = !is_relayed(addr) && !self.confirmed.contains(addr) && !self.vouched.contains(addr);
        if new && self.confirmed.len() < MAX_OWN {
            self.confirmed.push(addr.clone());
        }
    }

    pub(super) fn expired(&mut self, addr: &Multiaddr) {
        self.confirmed.retain(|known| known != addr);
    }

    /// The newest word of each peer counts, for TCP and UDP apart.
    pub(super) fn seen(&mut self, seen: Seen) {
        if !is_public(&seen.addr) || !is_public_ip(seen.from) {
            return;
        }
        self.seen.retain(|old| old.by != seen.by || is_udp(&old.addr) != is_udp(&seen.addr));
        if self.seen.len() >= MAX_SEEN {
            self.seen.pop_front();
        }
        self.seen.push_back(seen);
    }

    pub(super) fn tested(&mut self, tested: Tested) {
        self.tested.retain(|old| old.addr != tested.addr);
        if self.tested.len() >= MAX_TESTED {
            self.tested.pop_front();
        }
        self.tested.push_back(tested);
    }

    /// A member is connected that offers circuits, or does not any more.
    pub(super) fn offers(&mut self, relay: PeerId, addr: Option<Multiaddr>, offers: bool) {
        let known = self.candidates.contains_key(&relay);
        if !known && (!offers || self.candidates.len() >= MAX_RELAYS && !self.forget_one()) {
            return;
        }
        let candidate = self.candidates.entry(relay).or_default();
        (candidate.connected, candidate.offers) = (true, offers);
        candidate.addr = addr.or_else(|| candidate.addr.take());
    }

    fn forget_one(&mut self) -> bool {
        let idle = self.candidates.iter().filter(|(_, known)| known.listener.is_none() && !known.connected);
        let worst = idle.max_by_key(|(_, known)| known.failures).map(|(relay, _)| *relay);
        worst.is_some_and(|relay| self.candidates.remove(&relay).is_some())
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        if let Some(candidate) = self.candidates.get_mut(peer) {
            candidate.connected = false;
        }
    }

    pub(super) fn began(&mut self, relay: &PeerId, listener: ListenerId) {
        if let Some(candidate) = self.candidates.get_mut(relay) {
            (candidate.listener, candidate.accepted) = (Some(listener), false);
        }
    }

    /// A relay has given a place, or given it again. The listener to be removed if it is not needed any more.
    ///
    /// Only then: libp2p-relay (0.22) panics when a place is given for which there is no listener any more, and right
    /// after an answer none is under way.
    pub(super) fn accepted(&mut self, relay: &PeerId) -> Option<ListenerId> {
        let wanted = self.wanted();
        let candidate = self.candidates.get_mut(relay)?;
        (candidate.accepted, candidate.failures, candidate.not_before) = (true, 0, None);
        if wanted == 0 { candidate.listener } else { None }
    }

    /// A place is gone, or was not given.
    pub(super) fn lost(&mut self, listener: ListenerId, now: Instant) {
        let Some(candidate) = self.candidates.values_mut().find(|known| known.listener == Some(listener)) else {
            return;
        };
        let wait = RETRY_FIRST.saturating_mul(1 << candidate.failures.min(8)).min(RETRY_MAX);
        candidate.not_before = Some(now + wait);
        candidate.failures = candidate.failures.saturating_add(1);
        (candidate.listener, candidate.accepted) = (None, false);
    }

    // What follows.

    /// The next thing to do, if there is one.
    pub(super) fn next(&mut self, now: Instant) -> Option<Step> {
        self.vouch().or_else(|| self.reserve(now))
    }

    /// When to ask again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        if self.held() >= self.wanted() {
            return None;
        }
        self.candidates.values().filter(|known| known.is_free()).filter_map(|known| known.not_before).min()
    }

    /// A relay's own addresses count without a test: its owner says that others reach them. The best there are.
    fn vouch(&mut self) -> Option<Step> {
        if !self.server {
            return None;
        }
        let best = self.listen.iter().map(reach).max()?;
        let good: Vec<&Multiaddr> = self.listen.iter().filter(|addr| reach(addr) == best).collect();
        if let Some(at) = self.vouched.iter().position(|addr| !good.contains(&addr)) {
            return Some(Step::Retract(self.vouched.swap_remove(at)));
        }
        let new = good.into_iter().find(|addr| !self.vouched.contains(addr))?.clone();
        self.confirmed.retain(|addr| *addr != new);
        self.vouched.push(new.clone());
        Some(Step::Vouch(new))
    }

    fn reserve(&mut self, now: Instant) -> Option<Step> {
        if self.held() >= self.wanted() {
            return None;
        }
        let free = self.candidates.iter().filter(|(_, known)| known.is_free());
        let due = free.filter(|(_, known)| known.not_before.is_none_or(|at| at <= now));
        // Not everybody takes the same ones.
        let best = due.min_by_key(|(relay, known)| (!known.connected, known.failures, distance(&self.own, relay)));
        let (relay, known) = best?;
        Some(Step::Reserve { relay: *relay, addr: known.addr.clone()? })
    }

    pub(super) fn ports(&self) -> Ports {
        let any = |udp| self.listen.iter().any(|addr| !is_loopback(addr) && is_udp(addr) == udp);
        Ports { tcp: any(false), udp: any(true) }
    }

    fn wanted(&self) -> usize {
        if self.always || self.reachability() == Reachability::Private { self.relays } else { 0 }
    }

    fn held(&self) -> usize {
        self.candidates.values().filter(|known| known.listener.is_some()).count()
    }

    pub(super) fn reachability(&self) -> Reachability {
        if !self.confirmed.is_empty() {
            return Reachability::Public;
        }
        let failed = self.tested.iter().any(|tested| tested.error.is_some());
        if failed || self.is_behind_router() { Reachability::Private } else { Reachability::Unknown }
    }

    fn is_behind_router(&self) -> bool {
        self.seen.iter().any(|seen| self.is_translated(seen))
    }

    fn is_translated(&self, seen: &Seen) -> bool {
        ip_of(&seen.addr).is_some_and(|ip| !self.listen.iter().any(|own| ip_of(own) == Some(ip)))
    }

    /// Whether members may ask this node to dial them: somebody must, and one with a public address can tell.
    pub(super) fn serves(&self) -> bool {
        !self.confirmed.is_empty() || self.listen.iter().any(is_public)
    }

    /// Whether others reach it over circuits only: it asks the DHT and does not answer in it.
    fn is_relayed_only(&self) -> bool {
        self.reachability() == Reachability::Private && self.candidates.values().any(|known| known.accepted)
    }

    fn mapping(&self, udp: bool) -> Option<Mapping> {
        let all: Vec<&Seen> = self.seen.iter().filter(|seen| is_udp(&seen.addr) == udp).collect();
        if all.is_empty() {
            return None;
        }
        if !all.iter().any(|seen| self.is_translated(seen)) {
            return Some(Mapping::None);
        }
        let told: Vec<&Seen> = all.into_iter().filter(|seen| seen.reused).collect();
        let first = told.first()?;
        let others: Vec<&&Seen> = told.iter().filter(|seen| seen.from != first.from).collect();
        Some(match others.as_slice() {
            [] => Mapping::One,
            others if others.iter().all(|seen| place(&seen.addr) == place(&first.addr)) => Mapping::Same,
            _ => Mapping::Differs,
        })
    }

    pub(super) fn report(&self) -> Report {
        let observed = |seen: &Seen| Observed { by: seen.by, from: seen.from, addr: seen.addr.clone() };
        let held = self.candidates.iter().filter(|(_, known)| known.listener.is_some());
        let mut reservations: Vec<Reservation> =
            held.map(|(relay, known)| Reservation { relay: *relay, accepted: known.accepted }).collect();
        reservations.sort_by_key(|reservation| reservation.relay);
        Report {
            reachability: self.reachability(),
            confirmed: self.confirmed.clone(),
            tcp: self.mapping(false),
            udp: self.mapping(true),
            observed: self.seen.iter().map(observed).collect(),
            tested: self.tested.iter().cloned().collect(),
            reservations,
            upnp: self.upnp.clone(),
            relayed_only: self.is_relayed_only(),
            relays: self.server,
        }
    }
}

impl Candidate {
    fn is_free(&self) -> bool {
        self.offers && self.listener.is_none() && self.addr.is_some()
    }
}

/// The wider, the better.
fn reach(addr: &Multiaddr) -> u8 {
    match addr {
        addr if is_public(addr) => 3,
        addr if is_loopback(addr) => 1,
        addr if is_private(addr) => 2,
        _ => 0,
    }
}

fn is_udp(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Udp(_)))
}

fn is_public_ip(ip: IpAddr) -> bool {
    is_public(&Multiaddr::from(ip))
}

/// Address and port.
fn place(addr: &Multiaddr) -> (Option<IpAddr>, Option<u16>) {
    let port = addr.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    (ip_of(addr), port)
}

/// An order of relays that is another one for each node. The last bytes of an id are of the key, and as good as random.
fn distance(own: &PeerId, relay: &PeerId) -> Vec<u8> {
    own.to_bytes().iter().zip(relay.to_bytes()).map(|(own, relay)| own ^ relay).collect()
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
