//! When to dial which configured address. Pure.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use libp2p_core::{Multiaddr, multiaddr::Protocol};
use libp2p_identity::PeerId;
use rand::{Rng, RngExt};

/// Configured addresses. A list that a person keeps has fewer; each costs a dial per minute while it does not answer.
pub(crate) const MAX_ADDRESSES: usize = 64;

/// Pause after the first failed dial; it doubles.
const FIRST: Duration = Duration::from_secs(1);
/// Longest pause ordinarily.
const CAP: Duration = Duration::from_secs(60);
/// Longest pause while no member of our swarms is known.
const CAP_ALONE: Duration = Duration::from_secs(10);
/// Longest pause while nobody at all is connected, or when the address answered lately: a restart is found in 10 s.
const CAP_URGENT: Duration = Duration::from_secs(5);
/// "Lately".
const LATELY: Duration = Duration::from_secs(600);

/// A connection that lived shorter was closed as idle, by the other side perhaps: it is not dialled again at once.
const STABLE: Duration = Duration::from_secs(60);
/// First and longest pause after a connection that was closed as idle. It doubles each time.
const IDLE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(600));
/// The first one of a node that knows members: it needs the address no more, but must not lose sight of it.
const IDLE_LED_IN: Duration = Duration::from_secs(60);

/// Addresses dialled at once; the others follow after this time, if they are needed then.
const AT_ONCE: usize = 3;
const FOLLOW: Duration = Duration::from_secs(1);
/// With so many members an address that has not answered yet is not needed.
const LED_IN: usize = 8;

/// An address that turned out to be this node is tried again after this time: names move.
const OWN: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Waiting(Instant),
    Dialling,
    Connected(Instant),
}

#[derive(Debug)]
struct Entry {
    addr: Multiaddr,
    /// Named in the address, or learned by connecting.
    peer: Option<PeerId>,
    phase: Phase,
    failures: u32,
    /// Connections closed as idle in a row.
    idle: u32,
    answered: Option<Instant>,
}

/// An address to dial now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dial {
    pub(super) index: usize,
    pub(super) addr: Multiaddr,
}

#[derive(Debug, Default)]
pub(super) struct State {
    entries: Vec<Entry>,
    /// As many as there are connections.
    connected: HashSet<PeerId>,
    members: usize,
}

impl State {
    /// Dials `addr` until it answers. False when there are too many.
    pub(super) fn add(&mut self, addr: Multiaddr, now: Instant) -> bool {
        if self.entries.iter().any(|entry| entry.addr == addr) {
            return true;
        }
        if self.entries.len() >= MAX_ADDRESSES {
            return false;
        }
        let peer = peer_in(&addr);
        let known = peer.is_some_and(|peer| self.connected.contains(&peer));
        let turn = u32::try_from(self.entries.len() / AT_ONCE).unwrap_or(u32::MAX);
        let phase = if known { Phase::Connected(now) } else { Phase::Waiting(now + FOLLOW.saturating_mul(turn)) };
        self.entries.push(Entry { addr, peer, phase, failures: 0, idle: 0, answered: None });
        true
    }

    /// How many members of our swarms are known.
    pub(super) fn members(&mut self, count: usize, now: Instant) {
        let before = std::mem::replace(&mut self.members, count);
        if count == 0 && before > 0 {
            self.hurry(CAP_ALONE, now);
        } else if count >= LED_IN && before < LED_IN {
            for entry in self.entries.iter_mut().filter(|entry| entry.answered.is_none()) {
                if let Phase::Waiting(at) = entry.phase {
                    entry.phase = Phase::Waiting(at.max(now + CAP));
                }
            }
        }
    }

    /// What to dial now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Dial> {
        let due = |entry: &Entry| matches!(entry.phase, Phase::Waiting(at) if at <= now);
        let index = self.entries.iter().position(due)?;
        let entry = self.entries.get_mut(index)?;
        entry.phase = Phase::Dialling;
        Some(Dial { index, addr: entry.addr.clone() })
    }

    /// When `next` has something.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let waits = self.entries.iter().filter_map(|entry| match entry.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Dialling | Phase::Connected(_) => None,
        });
        waits.min()
    }

    /// A connection with `peer` stands; `dial` is the index of the dial it came from, if it was one of ours. Returns the
    /// address that has just been reached.
    pub(super) fn connected(&mut self, peer: PeerId, dial: Option<usize>, now: Instant) -> Option<&Multiaddr> {
        self.connected.insert(peer);
        for (index, entry) in self.entries.iter_mut().enumerate() {
            if Some(index) == dial {
                entry.peer = Some(peer);
            } else if entry.peer != Some(peer) || entry.phase == Phase::Dialling {
                continue;
            }
            if !matches!(entry.phase, Phase::Connected(_)) {
                entry.phase = Phase::Connected(now);
            }
            entry.failures = 0;
            entry.answered = Some(now);
        }
        self.entries.get(dial?).map(|entry| &entry.addr)
    }

    /// `peer` answered the dial of this index, but the connection was not let in. True if it is connected otherwise.
    pub(super) fn answered(&mut self, index: usize, peer: PeerId, now: Instant) -> bool {
        let connected = self.connected.contains(&peer);
        if let Some(entry) = self.entries.get_mut(index).filter(|_| connected) {
            entry.peer = Some(peer);
            entry.phase = Phase::Connected(now);
        }
        connected
    }

    /// The dial of this index failed. Returns the address and how often in a row it has failed.
    pub(super) fn failed(
        &mut self,
        index: usize,
        itself: bool,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<(&Multiaddr, u32)> {
        let (cap, led_in) = (self.cap(index, now), self.members >= LED_IN);
        let entry = self.entries.get_mut(index)?;
        if let Some(peer) = entry.peer
            && self.connected.contains(&peer)
        {
            // It came to us while we dialled it.
            entry.phase = Phase::Connected(now);
            return None;
        }
        let pause = match entry.answered {
            _ if itself => OWN,
            None if led_in => CAP,
            _ => FIRST.saturating_mul(1 << entry.failures.min(10)).min(cap),
        };
        entry.failures = entry.failures.saturating_add(1);
        entry.phase = Phase::Waiting(now + jitter(pause, rng));
        Some((&entry.addr, entry.failures))
    }

    /// The last connection with `peer` is gone. `idle`: because nobody here needed it.
    pub(super) fn disconnected(&mut self, peer: &PeerId, idle: bool, now: Instant, rng: &mut impl Rng) {
        self.connected.remove(peer);
        let alone = self.connected.is_empty();
        let idle_first = if self.members > 0 { IDLE_LED_IN } else { IDLE.0 };
        for entry in self.entries.iter_mut().filter(|entry| entry.peer == Some(*peer)) {
            let Phase::Connected(since) = entry.phase else { continue };
            entry.answered = Some(now);
            let short = now.saturating_duration_since(since) < STABLE;
            entry.idle = if idle || short { entry.idle.saturating_add(1) } else { 0 };
            let pause = match entry.idle {
                _ if alone => FIRST,
                0 => FIRST / 2,
                times => idle_first.saturating_mul(1 << (times - 1).min(10)).min(IDLE.1),
            };
            entry.phase = Phase::Waiting(now + jitter(pause, rng));
        }
        if alone {
            self.hurry(CAP_URGENT, now);
        }
    }

    /// Configured addresses, and whether their peer is connected.
    pub(super) fn addresses(&self) -> impl Iterator<Item = (&Multiaddr, bool)> {
        self.entries.iter().map(|entry| (&entry.addr, matches!(entry.phase, Phase::Connected(_))))
    }

    /// No entry waits longer than `cap` from now.
    fn hurry(&mut self, cap: Duration, now: Instant) {
        for entry in &mut self.entries {
            if let Phase::Waiting(at) = entry.phase {
                entry.phase = Phase::Waiting(at.min(now + cap));
            }
        }
    }

    fn cap(&self, index: usize, now: Instant) -> Duration {
        let answered = self.entries.get(index).and_then(|entry| entry.answered);
        let lately = answered.is_some_and(|at| now.saturating_duration_since(at) < LATELY);
        if self.connected.is_empty() || lately {
            CAP_URGENT
        } else if self.members == 0 {
            CAP_ALONE
        } else {
            CAP
        }
    }
}

fn peer_in(addr: &Multiaddr) -> Option<PeerId> {
    match addr.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// ± 20 %, so that nodes that lost the same peer do not come back in step.
fn jitter(pause: Duration, rng: &mut impl Rng) -> Duration {
    pause.mul_f64(rng.random_range(0.8..1.2))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
