//! The next time of a schedule, and which times have come, on a clock that may jump.

use std::{collections::VecDeque, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rand::{Rng, RngExt};

use super::super::Schedule;

/// Times that are looked at one by one after a sleep or a jump. The rest is jumped over, so that a year takes no longer
/// than a day.
pub(super) const MAX_LATE: usize = 100;

/// Times that were run, and are not run again if the clock is set back. A daily job is safe for a week; one that runs each
/// minute waits for eight minutes at most.
const REMEMBERED: usize = 8;

/// Clocks are set back by less all the time, when they are kept in step with others.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// A time of the schedule, and when to run for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Time {
    pub(super) due: Timestamp,
    /// Later by the jitter.
    pub(super) at: Timestamp,
}

/// Times that have come since it was last asked, oldest first.
#[derive(Debug, Default)]
pub(super) struct Late {
    pub(super) times: Vec<Time>,
    /// There were more, which are not listed.
    pub(super) is_cut: bool,
    /// How many more, as far as they were counted.
    pub(super) beyond: u64,
}

impl Late {
    pub(super) fn last(&self) -> Option<Time> {
        self.times.last().copied()
    }

    pub(super) fn count(&self) -> u64 {
        self.times.len() as u64 + self.beyond
    }
}

#[derive(Debug)]
pub(super) struct Pace {
    schedule: Schedule,
    next: Option<Time>,
    /// The latest times that were run, oldest first.
    recent: VecDeque<Timestamp>,
    /// The latest time of the clock, since it was last set back.
    seen: Timestamp,
}

impl Pace {
    pub(super) fn new(schedule: Schedule, now: Timestamp, rng: &mut impl Rng) -> Self {
        let mut pace = Self { schedule, next: None, recent: VecDeque::new(), seen: now };
        pace.start_over(now, rng);
        pace
    }

    /// Goes on from what [`Pace::saved`] gave.
    pub(super) fn resume(
        &mut self,
        seen: Timestamp,
        next: Option<Timestamp>,
        recent: Vec<Timestamp>,
        now: Timestamp,
        rng: &mut impl Rng,
    ) {
        self.recent = recent.into_iter().take(REMEMBERED).collect();
        self.next = next.map(|due| self.with_jitter(due, rng));
        self.seen = seen;
        self.observe(now, rng);
        // What was kept may be damaged: it must not stop the schedule.
        let farthest = self.following(now);
        if self.next.is_none() || self.next_due() > farthest {
            self.start_over(now, rng);
        }
    }

    pub(super) fn saved(&self) -> (Timestamp, Option<Timestamp>, Vec<Timestamp>) {
        (self.seen, self.next_due(), self.recent.iter().copied().collect())
    }

    pub(super) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.next.map(|next| next.due)
    }

    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.next.map(|next| next.at)
    }

    /// Whatever was due before `now` is nothing to us.
    pub(super) fn start_over(&mut self, now: Timestamp, rng: &mut impl Rng) {
        self.seen = now;
        self.next = self.following(now).map(|due| self.with_jitter(due, rng));
    }

    /// Looks at the clock, which may have been set back.
    pub(super) fn observe(&mut self, now: Timestamp, rng: &mut impl Rng) {
        if now.saturating_add(TOLERANCE).unwrap_or(Timestamp::MAX) >= self.seen {
            self.seen = self.seen.max(now);
            return;
        }
        let left = self.next.map(|next| next.due.duration_since(self.seen));
        self.start_over(now, rng);
        if let (Some(period), Some(left)) = (self.schedule.period(), left) {
            // What remained of the period remains.
            let left = left.clamp(SignedDuration::ZERO, signed(period));
            self.next = now.checked_add(left).ok().map(|due| self.with_jitter(due, rng));
        }
    }

    /// Takes all times that have come.
    pub(super) fn late(&mut self, now: Timestamp, rng: &mut impl Rng) -> Late {
        let mut late = Late::default();
        while let Some(time) = self.next.filter(|time| time.at <= now) {
            if late.times.len() == MAX_LATE {
                late.beyond = self.jump_over(time.due, now, rng);
                late.is_cut = true;
                break;
            }
            late.times.push(time);
            self.next = self.following(time.due).map(|due| self.with_jitter(due, rng));
        }
        late
    }

    /// To the first time after `now`, from one before, in the rhythm of `every`. Returns how many are passed over.
    fn jump_over(&mut self, due: Timestamp, now: Timestamp, rng: &mut impl Rng) -> u64 {
        let Some(period) = self.schedule.period() else {
            self.start_over(now, rng);
            return 1;
        };
        let nanos = signed(period).as_nanos();
        let passed = now.duration_since(due).as_nanos() / nanos + 1;
        let next = i64::try_from(due.as_nanosecond() + passed * nanos - now.as_nanosecond()).ok();
        let next = next.and_then(|left| now.checked_add(SignedDuration::from_nanos(left)).ok());
        self.next = next.map(|due| self.with_jitter(due, rng));
        u64::try_from(passed).unwrap_or_default()
    }

    /// The next time after `after` that has not been run. `every` has no times of its own that could come again.
    fn following(&self, after: Timestamp) -> Option<Timestamp> {
        if self.schedule.period().is_some() {
            return self.schedule.next(after);
        }
        self.schedule.upcoming(after).take(REMEMBERED + 1).find(|due| !self.recent.contains(due))
    }

    /// There is a run for this time: not again, if the clock is set back.
    pub(super) fn remember(&mut self, due: Timestamp) {
        self.recent.push_back(due);
        if self.recent.len() > REMEMBERED {
            self.recent.pop_front();
        }
    }

    fn with_jitter(&self, due: Timestamp, rng: &mut impl Rng) -> Time {
        let longest = self.schedule.jitter();
        let jitter = if longest.is_zero() { Duration::ZERO } else { rng.random_range(Duration::ZERO..=longest) };
        Time { due, at: due.saturating_add(signed(jitter)).unwrap_or(due) }
    }
}

/// Periods and jitters have at most 366 days.
fn signed(time: Duration) -> SignedDuration {
    SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
}
