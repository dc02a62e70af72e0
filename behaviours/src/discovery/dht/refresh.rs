//! When to look around in the DHT. Pure.
//!
//! Kademlia's own bootstrap, every bucket every five minutes, was the largest steady cost of a node. But without any
//! lookups a network that was cut in two stays in two.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

/// Between lookups when all is well.
const CALM: Duration = Duration::from_secs(15 * 60);
/// Between lookups while the network is new to us, or has lost somebody.
const ALERT: Duration = Duration::from_secs(30);
/// So long after the start.
const NEW: Duration = Duration::from_secs(300);
/// So long after a member was lost.
const LOSS: Duration = Duration::from_secs(120);

/// What to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Our own id: who is near.
    Own,
    /// Somewhere.
    Random,
}

/// The rhythm of lookups.
#[derive(Debug)]
pub(super) struct Refresh {
    own: bool,
    next: Option<Instant>,
    alert_until: Instant,
}

impl Refresh {
    pub(super) fn new(now: Instant) -> Self {
        Self { own: false, next: None, alert_until: now + NEW }
    }

    /// The table has got its first peer.
    pub(super) fn first_peer(&mut self, now: Instant) {
        self.own = true;
        self.next = Some(now);
    }

    /// A member is gone, perhaps with half of the network.
    pub(super) fn member_lost(&mut self, now: Instant) {
        self.alert_until = self.alert_until.max(now + LOSS);
        if let Some(next) = self.next {
            self.next = Some(next.min(now + ALERT));
        }
    }

    pub(super) fn next(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Lookup> {
        if self.next.is_none_or(|at| at > now) {
            return None;
        }
        let pause = if now < self.alert_until {
            ALERT.mul_f64(rng.random_range(0.8..1.2))
        } else {
            CALM.mul_f64(rng.random_range(0.5..1.5))
        };
        self.next = Some(now + pause);
        Some(if std::mem::take(&mut self.own) { Lookup::Own } else { Lookup::Random })
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
