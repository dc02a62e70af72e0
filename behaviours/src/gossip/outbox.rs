//! Paces what this node publishes. Pure.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use p2pnode_wire::ids::{EventId, SwarmId};

use super::config::Budget;
use crate::upkeep::meter::Meter;

/// An event of our own.
#[derive(Debug, Clone)]
pub(super) struct Waiting {
    pub(super) swarm: SwarmId,
    pub(super) raw: Bytes,
    pub(super) id: EventId,
}

/// Events of our own that are sent when the budget allows: others would drop what comes faster.
#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Waiting>,
    limit: usize,
    events: Meter,
    bytes: Meter,
}

impl Outbox {
    pub(super) fn new(budget: Budget, limit: usize, now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            limit,
            events: Meter::new(budget.events, budget.burst, now),
            bytes: Meter::new(budget.bytes, budget.bytes_burst, now),
        }
    }

    /// False when too many wait.
    pub(super) fn push(&mut self, event: Waiting) -> bool {
        let room = self.waiting.len() < self.limit;
        if room {
            self.waiting.push_back(event);
        }
        room
    }

    /// Whether nothing waits and the budget has room for `bytes`.
    pub(super) fn is_free(&mut self, bytes: usize, now: Instant) -> bool {
        self.waiting.is_empty() && self.events.has(1.0, now) && self.bytes.has(bytes as f64, now)
    }

    /// Charges an event that is sent at once.
    pub(super) fn charge(&mut self, bytes: usize, now: Instant) {
        self.events.take(1.0, now);
        self.bytes.take(bytes as f64, now);
    }

    /// What to send now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Waiting> {
        let bytes = self.waiting.front()?.raw.len();
        if !self.events.has(1.0, now) || !self.bytes.has(bytes as f64, now) {
            return None;
        }
        self.charge(bytes, now);
        self.waiting.pop_front()
    }

    /// When `next` has something.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        let bytes = self.waiting.front()?.raw.len() as f64;
        Some(self.events.ready_at(1.0).max(self.bytes.ready_at(bytes)))
    }

    pub(super) fn forget(&mut self, swarm: &SwarmId) {
        self.waiting.retain(|event| event.swarm != *swarm);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sends_no_faster_than_others_accept() {
        let start = Instant::now();
        let budget = Budget { events: 20.0, burst: 100.0, bytes: 1e9, bytes_burst: 1e9 };
        let mut outbox = Outbox::new(budget, 1_000, start);
        let event = |n: u8| Waiting { swarm: SwarmId([0; 32]), raw: Bytes::from(vec![n]), id: EventId([n; 32]) };
        (0..250).for_each(|n| assert!(outbox.push(event(n))));
        let mut at = start;
        let mut sent = Vec::new();
        while let Some(next) = outbox.wake_at() {
            at = at.max(next) + Duration::from_millis(1);
            while let Some(event) = outbox.next(at) {
                sent.push(event.raw[0]);
            }
        }
        assert_eq!(sent, (0..250).collect::<Vec<u8>>(), "in order, and all of them");
        let took = at - start;
        assert!(took >= Duration::from_millis(7_400), "100 at once, 150 more at 20 a second: {took:?}");
        assert!(took < Duration::from_secs(9), "{took:?}");
    }

    #[test]
    fn says_when_it_is_full() {
        let now = Instant::now();
        let budget = Budget { events: 1.0, burst: 1.0, bytes: 1e9, bytes_burst: 1e9 };
        let mut outbox = Outbox::new(budget, 2, now);
        let event = Waiting { swarm: SwarmId([0; 32]), raw: Bytes::new(), id: EventId([0; 32]) };
        assert!(outbox.is_free(0, now));
        assert!(outbox.push(event.clone()) && outbox.push(event.clone()));
        assert!(!outbox.push(event));
        outbox.forget(&SwarmId([0; 32]));
        assert_eq!(outbox.wake_at(), None);
    }
}
