//! Addresses of peers: who told us, whether they worked, which to try first.

use std::{
    cmp::Reverse,
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p_core::{Multiaddr, multiaddr::Protocol};
use libp2p_identity::PeerId;

use super::address::{AddressRules, first_hop, is_inside, is_loopback, is_private};

/// Peers whose addresses are remembered; the one not used for longest goes first. 1,024 is every member of a swarm
/// with full lists, at about 1 KiB each.
pub const MAX_PEERS: usize = 1_024;

/// Addresses per peer: a host with several interfaces, protocols and a relay has about six.
pub const MAX_PER_PEER: usize = 10;

/// Addresses given to one dial: more only delay its failure.
pub const MAX_PER_DIAL: usize = 8;

/// An address that failed this often in a row is forgotten, unless the user gave it.
const MAX_FAILURES: u8 = 5;

/// An address that worked within this time counts as working.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// Where an address comes from, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The user gave it.
    User,
    /// The registry of nodes on this host.
    Local,
    /// We have been connected there.
    Observed,
    /// Multicast DNS.
    Mdns,
    /// The peer's signed card.
    Card,
    /// The peer's identify message.
    Identify,
    /// An answer of the DHT: a third party's word.
    Kad,
}

impl Source {
    /// Given by the user or by this host: dialled whatever its range.
    fn is_trusted(self) -> bool {
        matches!(self, Self::User | Self::Local)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Local => "local",
            Self::Observed => "observed",
            Self::Mdns => "mdns",
            Self::Card => "card",
            Self::Identify => "identify",
            Self::Kad => "dht",
        })
    }
}

#[derive(Debug, Clone)]
struct Known {
    addr: Multiaddr,
    source: Source,
    worked: Option<Instant>,
    failures: u8,
}

#[derive(Debug, Default)]
struct Entry {
    addresses: Vec<Known>,
    used: u64,
}

/// A bounded address book. Pure: time is passed in, and nothing is dialled.
#[derive(Debug)]
pub struct Book {
    own: PeerId,
    rules: AddressRules,
    peers: HashMap<PeerId, Entry>,
    clock: u64,
}

impl Book {
    /// An empty book of the node `own`.
    pub fn new(own: PeerId, rules: AddressRules) -> Self {
        Self { own, rules, peers: HashMap::new(), clock: 0 }
    }

    /// Remembers that `peer` may be at `addr`. `teller` is the remote address of the peer that said so, if one did.
    ///
    /// A private or loopback address is not believed from somebody outside: it would make us dial inside our own
    /// network. Returns whether the address is in the book now.
    pub fn learn(&mut self, peer: PeerId, addr: &Multiaddr, source: Source, teller: Option<&Multiaddr>) -> bool {
        let Some(addr) = bare(addr, &peer) else { return false };
        if peer == self.own || !self.believes(&addr, source, teller) || self.rules.allows(&addr).is_err() {
            return false;
        }
        self.make_room(&peer);
        self.clock += 1;
        let entry = self.peers.entry(peer).or_default();
        entry.used = self.clock;
        entry.add(addr, source)
    }

    fn believes(&self, addr: &Multiaddr, source: Source, teller: Option<&Multiaddr>) -> bool {
        if source.is_trusted() {
            self.rules.trust(addr);
            return true;
        }
        let Some(teller) = teller else { return true };
        // Of a circuit it is the relay that is dialled.
        let dialled = first_hop(addr);
        if is_loopback(&dialled) {
            let is_here = is_loopback(teller) && is_inside(teller);
            if is_here {
                self.rules.trust(addr);
            }
            return is_here;
        }
        !is_private(&dialled) || is_inside(teller)
    }

    /// A connection with `peer` was made by dialling `addr`.
    pub fn worked(&mut self, peer: PeerId, addr: &Multiaddr, now: Instant) {
        self.learn(peer, addr, Source::Observed, None);
        self.with(&peer, addr, |known| {
            known.worked = Some(now);
            known.failures = 0;
        });
    }

    /// Dialling `peer` at `addr` failed.
    pub fn failed(&mut self, peer: &PeerId, addr: &Multiaddr) {
        self.with(peer, addr, |known| {
            known.worked = None;
            known.failures = known.failures.saturating_add(1);
        });
        let Some(entry) = self.peers.get_mut(peer) else { return };
        entry.addresses.retain(|known| known.failures < MAX_FAILURES || known.source.is_trusted());
        if entry.addresses.is_empty() {
            self.peers.remove(peer);
        }
    }

    /// Somebody else answered at `addr`.
    pub fn remove(&mut self, peer: &PeerId, addr: &Multiaddr) {
        let Some(addr) = bare(addr, peer) else { return };
        if let Some(entry) = self.peers.get_mut(peer) {
            entry.addresses.retain(|known| known.addr != addr);
        }
    }

    /// Forgets everything about `peer`.
    pub fn forget(&mut self, peer: &PeerId) {
        self.peers.remove(peer);
    }

    /// Where to dial `peer`, best first: what worked lately, then by source.
    pub fn candidates(&mut self, peer: &PeerId, now: Instant) -> Vec<Multiaddr> {
        self.clock += 1;
        let Some(entry) = self.peers.get_mut(peer) else { return Vec::new() };
        entry.used = self.clock;
        let mut known: Vec<&Known> = entry.addresses.iter().filter(|k| self.rules.allows(&k.addr).is_ok()).collect();
        known.sort_by_key(|known| known.rank(now));
        known.into_iter().take(MAX_PER_DIAL).map(|known| known.addr.clone()).collect()
    }

    /// What is known of `peer`, with the source of each address.
    pub fn addresses(&self, peer: &PeerId) -> Vec<(Multiaddr, Source)> {
        let entry = self.peers.get(peer).map(|entry| entry.addresses.as_slice()).unwrap_or_default();
        entry.iter().map(|known| (known.addr.clone(), known.source)).collect()
    }

    /// Peers with at least one address.
    pub fn peers(&self) -> impl Iterator<Item = &PeerId> {
        self.peers.keys()
    }

    fn with(&mut self, peer: &PeerId, addr: &Multiaddr, change: impl FnOnce(&mut Known)) {
        let Some(addr) = bare(addr, peer) else { return };
        let entry = self.peers.get_mut(peer);
        if let Some(known) = entry.and_then(|entry| entry.addresses.iter_mut().find(|known| known.addr == addr)) {
            change(known);
        }
    }

    /// Peers the user or this host named go last.
    fn make_room(&mut self, newcomer: &PeerId) {
        if self.peers.len() < MAX_PEERS || self.peers.contains_key(newcomer) {
            return;
        }
        let oldest = self.peers.iter().min_by_key(|(_, entry)| (entry.is_trusted(), entry.used)).map(|(peer, _)| *peer);
        if let Some(oldest) = oldest {
            self.peers.remove(&oldest);
        }
    }
}

impl Known {
    fn rank(&self, now: Instant) -> (Reverse<bool>, u8, Source) {
        let fresh = self.worked.is_some_and(|at| now.duration_since(at) < FRESH);
        (Reverse(fresh), self.failures, self.source)
    }
}

impl Entry {
    fn is_trusted(&self) -> bool {
        self.addresses.iter().any(|known| known.source.is_trusted())
    }

    fn add(&mut self, addr: Multiaddr, source: Source) -> bool {
        if let Some(known) = self.addresses.iter_mut().find(|known| known.addr == addr) {
            known.source = known.source.min(source);
            return true;
        }
        let newcomer = Known { addr, source, worked: None, failures: 0 };
        if self.addresses.len() < MAX_PER_PEER {
            self.addresses.push(newcomer);
            return true;
        }
        // The worst goes: what worked stays before what did not, then by source.
        let order = |known: &Known| (known.worked.is_none(), known.failures, known.source);
        let Some(worst) = self.addresses.iter_mut().max_by_key(|known| order(known)) else { return false };
        if order(worst) < order(&newcomer) {
            return false;
        }
        *worst = newcomer;
        true
    }
}

/// `addr` without the final `/p2p/<peer>`; none if it names another peer or exceeds any sensible length.
/// `addr` without the peer id at its end. None if it is of somebody else, or too long to be remembered.
pub(crate) fn bare(addr: &Multiaddr, peer: &PeerId) -> Option<Multiaddr> {
    /// Bytes: a relayed address with two peer ids and a name has about 160.
    const MAX_LEN: usize = 256;
    if addr.len() > MAX_LEN {
        return None;
    }
    let mut addr = addr.clone();
    match addr.iter().last() {
        Some(Protocol::P2p(named)) if named != *peer => None,
        Some(Protocol::P2p(_)) => {
            addr.pop();
            Some(addr)
        }
        _ => Some(addr),
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
