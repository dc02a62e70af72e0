//! Who may begin a handshake, and who must make room. Pure.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::super::host::Host;

/// Connections accepted from the system that wait for a place: a file descriptor each, nothing else. More would wait
/// for longer than a dialler does.
pub(super) const MAX_WAITING: usize = 256;

/// A handshake over loopback takes 5 ms, so nobody who means well is cut off by this on a quiet machine.
const MIN_GRACE: Duration = Duration::from_millis(50);

/// Before any handshake was seen, and on a machine so busy that they take long: whoever needs more is given it only
/// while there is room.
const MAX_GRACE: Duration = Duration::from_secs(1);

/// A host with only one handshake under way may be far off: three round trips by satellite.
const LONE_GRACE: Duration = Duration::from_millis(1_500);

/// How much longer than the slowest of the last ones a handshake may take.
const SLACK: u32 = 4;

/// Finished handshakes remembered.
const REMEMBERED: usize = 16;

/// One inbound connection before and during its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Ticket(u64);

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Begin this handshake.
    Admit(Ticket),
    /// Hang up on this one; it holds its place until [`State::left`].
    Evict(Ticket),
    /// Ask again then.
    Wait(Instant),
    /// Nobody waits, or somebody is about to leave.
    Nothing,
}

#[derive(Debug)]
struct Inside {
    ticket: Ticket,
    host: Host,
    since: Instant,
    evicted: bool,
}

#[derive(Debug)]
pub(super) struct State {
    places: usize,
    inside: Vec<Inside>,
    waiting: VecDeque<(Ticket, Host)>,
    last: u64,
    /// How long the last handshakes that succeeded took.
    took: VecDeque<Duration>,
}

impl State {
    pub(super) fn new(places: usize) -> Self {
        Self { places, inside: Vec::new(), waiting: VecDeque::new(), last: 0, took: VecDeque::new() }
    }

    /// A new connection, and one that is to be dropped because too many wait: the oldest of the host that has most.
    pub(super) fn arrive(&mut self, host: Host) -> (Ticket, Option<Ticket>) {
        self.last += 1;
        let ticket = Ticket(self.last);
        self.waiting.push_back((ticket, host));
        if self.waiting.len() <= MAX_WAITING {
            return (ticket, None);
        }
        let mut counts: HashMap<Host, usize> = HashMap::new();
        for (_, host) in &self.waiting {
            *counts.entry(*host).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let loser = self.waiting.iter().position(|(_, host)| counts.get(host) == Some(&most));
        (ticket, loser.and_then(|at| self.waiting.remove(at)).map(|(ticket, _)| ticket))
    }

    /// What is to be done now; ask until it is [`Step::Wait`] or [`Step::Nothing`].
    pub(super) fn next(&mut self, now: Instant) -> Step {
        let counts = self.counts();
        let count = |host: &Host| counts.get(host).copied().unwrap_or_default();
        // The first in the line, of the host that has fewest.
        let newcomer = self.waiting.iter().enumerate().min_by_key(|(at, (_, host))| (count(host), *at));
        let Some((at, &(ticket, host))) = newcomer else { return Step::Nothing };
        if self.inside.len() < self.places {
            self.waiting.remove(at);
            self.inside.push(Inside { ticket, host, since: now, evicted: false });
            return Step::Admit(ticket);
        }
        if self.inside.iter().filter(|inside| inside.evicted).count() >= self.waiting.len() {
            return Step::Nothing;
        }
        let grace = self.grace();
        let oldest_of_busiest = self
            .inside
            .iter_mut()
            .filter(|inside| !inside.evicted)
            .min_by_key(|inside| (std::cmp::Reverse(count(&inside.host)), inside.since, inside.ticket));
        let Some(loser) = oldest_of_busiest else { return Step::Nothing };
        let held = count(&loser.host);
        let due = loser.since + if held > 1 { grace } else { grace.max(LONE_GRACE) };
        // Among equals, patience; against a host that takes more than its part, none.
        if held < count(&host) + 2 && now < due {
            return Step::Wait(due);
        }
        loser.evicted = true;
        Step::Evict(loser.ticket)
    }

    /// Its handshake is over, well or not.
    pub(super) fn left(&mut self, ticket: Ticket, succeeded: bool, now: Instant) {
        let Some(at) = self.inside.iter().position(|inside| inside.ticket == ticket) else { return };
        let inside = self.inside.swap_remove(at);
        if succeeded {
            self.took.push_back(now.saturating_duration_since(inside.since));
            if self.took.len() > REMEMBERED {
                self.took.pop_front();
            }
        }
    }

    pub(super) fn is_evicted(&self, ticket: Ticket) -> bool {
        self.inside.iter().any(|inside| inside.ticket == ticket && inside.evicted)
    }

    /// How long a handshake is left in peace while others of its host wait.
    fn grace(&self) -> Duration {
        let slowest = self.took.iter().max();
        slowest.map_or(MAX_GRACE, |slowest| slowest.saturating_mul(SLACK).clamp(MIN_GRACE, MAX_GRACE))
    }

    /// Handshakes under way by host, without those that are about to leave.
    fn counts(&self) -> HashMap<Host, usize> {
        let mut counts = HashMap::new();
        for inside in self.inside.iter().filter(|inside| !inside.evicted) {
            *counts.entry(inside.host).or_default() += 1;
        }
        counts
    }
}
