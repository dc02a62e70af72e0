//! Which address of a peer is tried next, and when. Pure.

use std::{
    task::Waker,
    time::{Duration, Instant},
};

use libp2p_core::{Multiaddr, multiaddr::Protocol};

use super::super::address::{is_loopback, is_private};

/// How long an attempt on this host or in a private network goes on alone: thirty times what a handshake takes there.
const NEAR: Duration = Duration::from_millis(150);
/// The same for other addresses: the "Connection Attempt Delay" of RFC 8305 §5.
const FAR: Duration = Duration::from_millis(250);

/// What is tried first: the nearer network, and TCP before QUIC, whose handshake and connection cost more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    reach: Reach,
    quic: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    Host,
    Private,
    Public,
    Relayed,
}

impl Rank {
    pub(super) fn of(addr: &Multiaddr) -> Self {
        let has = |wanted: fn(&Protocol<'_>) -> bool| addr.iter().any(|part| wanted(&part));
        let reach = if has(|part| matches!(part, Protocol::P2pCircuit)) {
            Reach::Relayed
        } else if is_loopback(addr) {
            Reach::Host
        } else if is_private(addr) {
            Reach::Private
        } else {
            Reach::Public
        };
        Self { reach, quic: has(|part| matches!(part, Protocol::QuicV1 | Protocol::Quic)) }
    }

    /// How long an attempt of this rank goes on alone.
    fn alone(self) -> Duration {
        if self.reach <= Reach::Private { NEAR } else { FAR }
    }
}

/// One address of a dial.
#[derive(Debug)]
struct Attempt {
    id: u64,
    rank: Rank,
    running: bool,
    /// Of the task that waits with it. None until it was polled once: all addresses of a dial come before any is tried.
    waker: Option<Waker>,
}

/// What an attempt is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Begin.
    Start,
    /// Ask again after this time, or when woken.
    Wait(Duration),
    /// Ask again when woken: others come first.
    Later,
}

/// The attempts to reach one peer; as many as its dials have addresses.
#[derive(Debug, Default)]
pub(super) struct Group {
    attempts: Vec<Attempt>,
    /// The last one begun.
    last: Option<(Instant, Rank)>,
}

impl Group {
    pub(super) fn add(&mut self, id: u64, rank: Rank) {
        self.attempts.push(Attempt { id, rank, running: false, waker: None });
    }

    /// Whether the attempt `id` may begin now.
    pub(super) fn ask(&mut self, id: u64, waker: &Waker, now: Instant) -> Verdict {
        let Some(own) = self.attempts.iter_mut().find(|attempt| attempt.id == id) else { return Verdict::Start };
        if own.waker.replace(waker.clone()).is_none() {
            waker.wake_by_ref();
            return Verdict::Later;
        }
        let waiting = self.attempts.iter().filter(|attempt| !attempt.running && attempt.waker.is_some());
        if waiting.min_by_key(|attempt| (attempt.rank, attempt.id)).is_some_and(|first| first.id != id) {
            return Verdict::Later;
        }
        if self.attempts.iter().any(|attempt| attempt.running)
            && let Some((since, rank)) = self.last
        {
            let left = (since + rank.alone()).saturating_duration_since(now);
            if !left.is_zero() {
                return Verdict::Wait(left);
            }
        }
        self.start(id, now);
        Verdict::Start
    }

    fn start(&mut self, id: u64, now: Instant) {
        for attempt in &mut self.attempts {
            if attempt.id == id {
                attempt.running = true;
                self.last = Some((now, attempt.rank));
            } else if let Some(waker) = &attempt.waker {
                waker.wake_by_ref();
            }
        }
    }

    /// The attempt `id` is over. True if none is left.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        self.attempts.retain(|attempt| attempt.id != id);
        self.attempts.iter().filter_map(|attempt| attempt.waker.as_ref()).for_each(Waker::wake_by_ref);
        self.attempts.is_empty()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
