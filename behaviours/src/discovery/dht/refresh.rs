//! When to look around in the DHT. Pure.
//!
//! Kademlia's own bootstrap, every bucket every five minutes, was the largest steady cost of a node. But without any
//! lookups a network that was cut in two stays in two.

use std::{
    ops::Range,
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use libp2p_kad::KBucketKey;
use rand::{Rng, RngExt, seq::IteratorRandom};

/// After the first lookup; then the pauses double.
const FIRST: Duration = Duration::from_secs(30);
/// Between lookups when all is well.
const CALM: Duration = Duration::from_secs(15 * 60);
/// Of a pause, drawn, so that those who have come together do not look around together.
const SPREAD: Range<f64> = 0.5..1.5;
/// Between lookups while the network may be cut.
const ALERT: Duration = Duration::from_secs(30);
/// So long after the losses.
const LOSS: Duration = Duration::from_secs(120);
/// Losses are counted over this time: all neighbours behind a cut are noticed within two pings.
const COUNTED: Duration = Duration::from_secs(30);
/// One of so many members lost within it means more than the coming and going of every day. Of two halves, one at least
/// loses half.
const SHARE: usize = 3;
/// Lookups in a row that meet nobody new before all are taken to be known. After one of a thousand nodes the paths were
/// 3 % longer.
const VAIN: u8 = 2;
/// The network is known well enough to announce in, or it answers slowly.
const SETTLING: Duration = Duration::from_secs(3);

/// The nearest buckets are filled by the lookup of our own id: where one peer is left, one bucket farther there are two,
/// then four, eight.
const OWN_BUCKETS: u8 = 3;

/// Draws for an id in a bucket: enough for one that holds a thousandth of all ids.
const DRAWS: usize = 4_096;

/// What to look up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Our own id: the nearest, to be known to them.
    Own,
    /// Somewhere: where the table lacks peers, if it does.
    Random,
}

/// The rhythm of lookups.
#[derive(Debug)]
pub(super) struct Refresh {
    /// Our own id has not been looked up yet.
    newcomer: bool,
    settled: Option<Instant>,
    next: Option<Instant>,
    pause: Duration,
    vain: u8,
    alert_until: Option<Instant>,
    losses: (Instant, usize),
}

impl Refresh {
    pub(super) fn new(now: Instant) -> Self {
        Self { newcomer: false, settled: None, next: None, pause: FIRST, vain: 0, alert_until: None, losses: (now, 0) }
    }

    /// The table has got its first peer.
    pub(super) fn first_peer(&mut self, now: Instant) {
        self.newcomer = true;
        self.settled = Some(now + SETTLING);
        self.next = Some(now);
        self.pause = FIRST;
        self.vain = 0;
    }

    /// A lookup is over, and the table has got so many peers meanwhile; none if nobody answered.
    pub(super) fn looked(&mut self, lookup: Lookup, new: Option<usize>, now: Instant, rng: &mut impl Rng) {
        match lookup {
            Lookup::Own => self.settled = self.settled.map(|at| at.min(now)),
            // Where all are known already, as in a swarm of fifty, looking again soon would be a few dials for nothing. Who
            // comes later looks us up.
            Lookup::Random if new == Some(0) && !self.is_alert(now) => {
                self.vain = self.vain.saturating_add(1);
                if self.vain >= VAIN {
                    self.pause = CALM;
                    self.next = Some(now + CALM.mul_f64(rng.random_range(SPREAD)));
                }
            }
            Lookup::Random if new.is_some_and(|new| new > 0) => self.vain = 0,
            Lookup::Random => {}
        }
    }

    fn is_alert(&self, now: Instant) -> bool {
        self.alert_until.is_some_and(|at| now < at)
    }

    /// Whether we know our neighbourhood. What is announced before reaches the wrong peers, and has to be announced
    /// again.
    pub(super) fn is_settled(&self, now: Instant) -> bool {
        self.settled.is_some_and(|at| at <= now)
    }

    /// A member is gone, perhaps with half of the network; `left` are online.
    pub(super) fn member_lost(&mut self, left: usize, now: Instant) {
        let (since, count) = &mut self.losses;
        if now.saturating_duration_since(*since) >= COUNTED {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        if *count * SHARE < left + *count {
            return;
        }
        self.alert_until = Some(now + LOSS);
        if let Some(next) = self.next {
            self.next = Some(next.min(now + ALERT));
        }
    }

    pub(super) fn next(&mut self, now: Instant, rng: &mut impl Rng) -> Option<Lookup> {
        if self.next.is_none_or(|at| at > now) {
            return None;
        }
        let pause = if self.is_alert(now) {
            ALERT.mul_f64(rng.random_range(0.8..1.2))
        } else {
            let pause = self.pause;
            self.pause = CALM.min(pause * 2);
            pause.mul_f64(rng.random_range(SPREAD))
        };
        self.next = Some(now + pause);
        Some(if std::mem::take(&mut self.newcomer) { Lookup::Own } else { Lookup::Random })
    }

    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let settled = self.settled.filter(|at| *at > now);
        self.next.into_iter().chain(settled).min()
    }
}

/// A bucket that a lookup may fill: any that lacks peers, the farthest (`u8::MAX`) included, down to those that are nearly
/// empty for want of peers so near. `buckets` gives places and peers of those that are not empty.
pub(super) fn thin(buckets: &[(u8, usize)], full: usize, rng: &mut impl Rng) -> Option<u8> {
    let nearest = buckets.iter().map(|(place, _)| *place).min()?;
    let held = |place: u8| buckets.iter().find(|(at, _)| *at == place).map_or(0, |(_, peers)| *peers);
    let first = nearest.saturating_add(OWN_BUCKETS);
    (first..=u8::MAX).filter(|place| held(*place) < full).choose(rng)
}

/// An id in the bucket `place` of the node `own`, or about there.
pub(super) fn id_in(place: u8, own: &PeerId) -> PeerId {
    let own = KBucketKey::from(*own);
    let is_there = |id: &PeerId| own.distance(&KBucketKey::from(*id)).ilog2() == Some(place.into());
    std::iter::repeat_with(PeerId::random).take(DRAWS).find(is_there).unwrap_or_else(PeerId::random)
}

#[cfg(test)]
#[path = "refresh_tests.rs"]
mod tests;
