//! Whom to dial of those whom the local network shows. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use rand::{Rng, RngExt};

use crate::upkeep::meter::Meter;

/// Peers remembered; anybody in the local network can invent more. The one seen first goes first.
pub(super) const MAX_PEERS: usize = 256;

/// Addresses kept per peer: a host with a few interfaces and protocols.
const MAX_ADDRESSES: usize = 8;

/// Dials under way: a flood of invented peers must not keep the real one waiting, nor fill the pending connections.
pub(super) const MAX_DIALS: usize = 4;

/// Dials per second.
pub(super) const DIALS_PER_SECOND: f64 = 2.0;

/// Failed dials after which a peer is left alone until it is seen anew.
const MAX_FAILURES: u32 = 5;

/// First and longest pause after a failed dial.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// A peer that does not speak our protocols is not looked at for this time.
const FORGOTTEN: Duration = Duration::from_secs(600);

#[derive(Debug)]
struct Known {
    addresses: Vec<Multiaddr>,
    seen: u64,
    failures: u32,
    /// When to dial; none while connected, dialling or given up.
    dial_at: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct State {
    known: HashMap<PeerId, Known>,
    forgotten: HashMap<PeerId, Instant>,
    dialling: HashSet<PeerId>,
    connected: HashSet<PeerId>,
    clock: u64,
    budget: Meter,
}

impl State {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            known: HashMap::new(),
            forgotten: HashMap::new(),
            dialling: HashSet::new(),
            connected: HashSet::new(),
            clock: 0,
            budget: Meter::new(DIALS_PER_SECOND, DIALS_PER_SECOND, now),
        }
    }

    /// The network shows `peer` at `addr`. Returns whether that is news worth telling.
    pub(super) fn discovered(&mut self, peer: PeerId, addr: Multiaddr, now: Instant) -> bool {
        if self.is_forgotten(&peer, now) {
            return false;
        }
        self.make_room(&peer);
        self.clock += 1;
        let idle = !self.connected.contains(&peer) && !self.dialling.contains(&peer);
        let known = self.known.entry(peer).or_insert(Known {
            addresses: Vec::new(),
            seen: self.clock,
            failures: 0,
            dial_at: None,
        });
        known.seen = self.clock;
        if known.addresses.contains(&addr) || known.addresses.len() >= MAX_ADDRESSES {
            return false;
        }
        known.addresses.push(addr);
        known.failures = 0;
        known.dial_at = idle.then_some(now);
        true
    }

    pub(super) fn expired(&mut self, peer: &PeerId, addr: &Multiaddr) {
        let Some(known) = self.known.get_mut(peer) else { return };
        known.addresses.retain(|a| a != addr);
        if known.addresses.is_empty() {
            self.known.remove(peer);
        }
    }

    /// Whom to dial now. The latest first: after a flood of invented peers the real one need not wait for all of them.
    pub(super) fn next(&mut self, now: Instant) -> Option<(PeerId, Vec<Multiaddr>)> {
        if self.dialling.len() >= MAX_DIALS || !self.budget.has(1.0, now) {
            return None;
        }
        let due = self.known.iter_mut().filter(|(_, known)| known.dial_at.is_some_and(|at| at <= now));
        let (peer, known) = due.max_by_key(|(_, known)| known.seen)?;
        known.dial_at = None;
        let found = (*peer, known.addresses.clone());
        self.dialling.insert(found.0);
        self.budget.take(1.0, now);
        Some(found)
    }

    /// When `next` may have somebody; none if only an event can change that.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.dialling.len() >= MAX_DIALS {
            return None;
        }
        let due = self.known.values().filter_map(|known| known.dial_at).min()?;
        Some(due.max(self.budget.ready_at(1.0)).max(now))
    }

    pub(super) fn connected(&mut self, peer: PeerId) {
        self.dialling.remove(&peer);
        self.connected.insert(peer);
        if let Some(known) = self.known.get_mut(&peer) {
            known.dial_at = None;
            known.failures = 0;
        }
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.connected.remove(peer);
    }

    pub(super) fn failed(&mut self, peer: &PeerId, now: Instant, rng: &mut impl Rng) {
        if !self.dialling.remove(peer) {
            return;
        }
        let Some(known) = self.known.get_mut(peer) else { return };
        known.failures += 1;
        if known.failures < MAX_FAILURES {
            let pause = BACKOFF.0.saturating_mul(1 << (known.failures - 1)).min(BACKOFF.1);
            known.dial_at = Some(now + pause.mul_f64(rng.random_range(0.8..1.2)));
        }
    }

    /// `peer` is not one of ours.
    pub(super) fn forget(&mut self, peer: PeerId, now: Instant) {
        self.known.remove(&peer);
        if self.forgotten.len() >= MAX_PEERS {
            self.forgotten.retain(|_, until| *until > now);
        }
        if self.forgotten.len() >= MAX_PEERS
            && let Some(first) = self.forgotten.iter().min_by_key(|(_, until)| **until).map(|(peer, _)| *peer)
        {
            self.forgotten.remove(&first);
        }
        self.forgotten.insert(peer, now + FORGOTTEN);
    }

    fn is_forgotten(&self, peer: &PeerId, now: Instant) -> bool {
        self.forgotten.get(peer).is_some_and(|until| *until > now)
    }

    fn make_room(&mut self, newcomer: &PeerId) {
        if self.known.len() < MAX_PEERS || self.known.contains_key(newcomer) {
            return;
        }
        let connected = &self.connected;
        let first = self.known.iter().min_by_key(|(peer, known)| (connected.contains(*peer), known.seen));
        if let Some(first) = first.map(|(peer, _)| *peer) {
            self.known.remove(&first);
        }
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
