//! One schedule being carried out: a pure machine.
//!
//! Its owner sleeps until [`Plan::wake_at`], asks [`Plan::due`] what to start, starts it, and tells [`Plan::finished`] how
//! it went; after each of these it asks for [`Plan::wake_at`] again. Sleeps should be cut into pieces of a minute or so:
//! the clock on the wall may be changed meanwhile.
//!
//! The clock may jump. Forward, it is as if the node had slept: [`CatchUp`] decides, and the plan looks at 100 times at
//! most, however far it went. Backward, `every` keeps its rhythm, and `cron` and `solar` go by the new clock, except that
//! the eight latest times that were run are not run again: the daily job of this morning is not repeated, and nothing
//! waits for a date that was never real.

mod options;
mod pace;

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use rand::Rng;

pub use self::options::{CatchUp, Cause, Counts, LastRun, Options, Overlap, Run, RunId, Saved};
use self::pace::{Late, Pace};
use super::Schedule;

/// Runs of one plan at a time: more means that they do not end.
const MAX_RUNNING: usize = 64;

/// Runs that wait for the one before them, with [`Overlap::Queue`]. The sixteenth is hardly news.
const MAX_QUEUED: usize = 16;

/// What can wait at all: missed runs, queued ones, and the one at start.
const MAX_WAITING: usize = pace::MAX_LATE + MAX_QUEUED + 1;

/// A run that is at most so late is on time: start-up, a busy machine, a short sleep.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

#[derive(Debug, Clone, Copy)]
struct Running {
    id: RunId,
    started: Timestamp,
}

/// One schedule being carried out. See the module for how to drive it.
#[derive(Debug)]
pub struct Plan {
    options: Options,
    pace: Pace,
    /// Start one after the other.
    waiting: VecDeque<(Timestamp, Cause)>,
    running: Vec<Running>,
    last_id: u64,
    paused: bool,
    counts: Counts,
    last: Option<LastRun>,
}

impl Plan {
    /// A plan for a schedule that is new, from `now` on.
    pub fn new(schedule: Schedule, options: Options, now: Timestamp, rng: &mut impl Rng) -> Self {
        let mut plan = Self::idle(Pace::new(schedule, now, rng), options);
        if plan.runs_at_start() {
            plan.wait(now, Cause::Start);
        }
        plan
    }

    fn idle(pace: Pace, options: Options) -> Self {
        let (waiting, running) = (VecDeque::new(), Vec::new());
        let (counts, last) = (Counts::default(), None);
        Self { options, pace, waiting, running, last_id: 0, paused: false, counts, last }
    }

    /// A plan that goes on where [`Plan::saved`] left off: what was due since is missed, and caught up with as the options
    /// say. Runs that had not ended are forgotten. If the schedule is another one by now, only the account is kept.
    pub fn restore(schedule: Schedule, options: Options, saved: Saved, now: Timestamp, rng: &mut impl Rng) -> Self {
        let same = saved.schedule == schedule.to_string();
        let mut pace = Pace::new(schedule, now, rng);
        if same {
            pace.resume(saved.seen, saved.next, saved.recent, now, rng);
        }
        let Saved { last_id, paused, counts, last, .. } = saved;
        let mut plan = Self { last_id, paused, counts, last, ..Self::idle(pace, options) };
        if plan.runs_at_start() && !plan.paused {
            plan.restart(now, rng);
        }
        plan
    }

    /// The run at start stands for what is due right now, and for one missed run.
    fn restart(&mut self, now: Timestamp, rng: &mut impl Rng) {
        let late = self.pace.late(now, rng);
        if self.options.catch_up == CatchUp::All {
            self.catch_up(&late);
        } else {
            self.counts.missed += late.count();
        }
        self.pace.start_over(now, rng);
        self.wait(now, Cause::Start);
    }

    /// What to keep while the node is down. Cheap; take it after each run, and at the end.
    #[must_use]
    pub fn saved(&self) -> Saved {
        let (last_id, paused, counts, last) = (self.last_id, self.paused, self.counts, self.last);
        let schedule = self.pace.schedule().to_string();
        let (seen, next, recent) = self.pace.saved();
        Saved { schedule, seen, next, recent, last_id, paused, counts, last }
    }

    /// What to start now: nothing mostly, several after a sleep. Call it at [`Plan::wake_at`], or whenever.
    pub fn due(&mut self, now: Timestamp, rng: &mut impl Rng) -> Vec<Run> {
        self.pace.observe(now, rng);
        if self.paused {
            return Vec::new();
        }
        let late = self.pace.late(now, rng);
        let current = self.sort(&late, now);
        let overtakes = current.filter(|_| self.options.overlap == Overlap::Allow);
        let mut runs: Vec<Run> = self.next_waiting(now).into_iter().collect();
        match (current, overtakes) {
            (_, Some(due)) => runs.extend(self.start_or_skip(due, now)),
            (Some(due), None) => runs.extend(self.take_turn(due, now)),
            (None, None) => {}
        }
        runs
    }

    /// Puts what was missed where it belongs, and returns the run that is on time, if one is.
    fn sort(&mut self, late: &Late, now: Timestamp) -> Option<Timestamp> {
        let last = late.last()?;
        let on_time = !late.is_cut && now.duration_since(last.at) <= GRACE;
        match self.options.catch_up {
            CatchUp::None => self.counts.missed += late.count() - u64::from(on_time),
            CatchUp::One if on_time => self.counts.missed += late.count() - 1,
            CatchUp::One => {
                self.counts.missed += late.count() - 1;
                self.make_up_for(last.due);
            }
            CatchUp::All if on_time && late.times.len() == 1 => {}
            // The last one as well: it must not overtake the others.
            CatchUp::All => {
                self.catch_up(late);
                return None;
            }
        }
        on_time.then(|| self.pace.remember(last.due)).map(|()| last.due)
    }

    fn catch_up(&mut self, late: &Late) {
        self.counts.missed += late.beyond;
        for time in &late.times {
            self.make_up_for(time.due);
        }
    }

    fn make_up_for(&mut self, due: Timestamp) {
        self.pace.remember(due);
        self.wait(due, Cause::CatchUp);
    }

    fn wait(&mut self, due: Timestamp, cause: Cause) {
        if self.waiting.len() < MAX_WAITING {
            self.waiting.push_back((due, cause));
        } else {
            self.counts.missed += 1;
        }
    }

    fn next_waiting(&mut self, now: Timestamp) -> Option<Run> {
        let (due, cause) = if self.running.is_empty() { self.waiting.pop_front()? } else { return None };
        Some(self.start(due, cause, now))
    }

    /// For [`Overlap::Skip`] and [`Overlap::Queue`].
    fn take_turn(&mut self, due: Timestamp, now: Timestamp) -> Option<Run> {
        let is_free = self.running.is_empty() && self.waiting.is_empty();
        if is_free {
            return Some(self.start(due, Cause::Due, now));
        }
        let queued = self.waiting.iter().filter(|(_, cause)| *cause == Cause::Due).count();
        if self.options.overlap == Overlap::Queue && queued < MAX_QUEUED {
            self.wait(due, Cause::Due);
        } else {
            self.counts.skipped += 1;
        }
        None
    }

    fn start_or_skip(&mut self, due: Timestamp, now: Timestamp) -> Option<Run> {
        if self.running.len() >= MAX_RUNNING {
            self.counts.skipped += 1;
            return None;
        }
        Some(self.start(due, Cause::Due, now))
    }

    fn start(&mut self, due: Timestamp, cause: Cause, now: Timestamp) -> Run {
        self.last_id += 1;
        let id = RunId(self.last_id);
        self.running.push(Running { id, started: now });
        self.counts.runs += 1;
        Run { id, due, cause }
    }

    /// A run out of turn. None if 64 are running.
    pub fn trigger(&mut self, now: Timestamp) -> Option<Run> {
        (self.running.len() < MAX_RUNNING).then(|| self.start(now, Cause::Manual, now))
    }

    /// The run `id` has ended. False if it is not known, or had ended before.
    pub fn finished(&mut self, id: RunId, ok: bool, now: Timestamp) -> bool {
        let Some(at) = self.running.iter().position(|running| running.id == id) else { return false };
        let started = self.running.swap_remove(at).started;
        self.counts.failures += u64::from(!ok);
        self.last = Some(LastRun { started, ended: now.max(started), ok });
        true
    }

    /// When [`Plan::due`] has something to say; a time in the past means now. None while it is paused, or if there is no
    /// further run until one ends.
    #[must_use]
    pub fn wake_at(&self) -> Option<Timestamp> {
        if self.paused {
            return None;
        }
        let turn = self.waiting.front().filter(|_| self.running.is_empty()).map(|(due, _)| *due);
        turn.into_iter().chain(self.pace.next_at()).min()
    }

    /// The next time of the schedule, without jitter, and even if it is paused.
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.pace.next_due()
    }

    /// Starts nothing until [`Plan::resume`]. What runs goes on; what waits is dropped.
    pub fn pause(&mut self) {
        self.paused = true;
        self.waiting.clear();
    }

    /// Goes on from `now`: what was due meanwhile was not wanted, and is not counted.
    pub fn resume(&mut self, now: Timestamp, rng: &mut impl Rng) {
        if self.paused {
            self.paused = false;
            self.pace.start_over(now, rng);
        }
    }

    /// Whether it is paused.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// How many runs have been started and not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.len()
    }

    /// The account so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// The run that ended last.
    #[must_use]
    pub fn last_run(&self) -> Option<LastRun> {
        self.last
    }

    /// The schedule.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        self.pace.schedule()
    }

    fn runs_at_start(&self) -> bool {
        self.options.run_at_start.unwrap_or(self.pace.schedule().period().is_some())
    }
}

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod tests;
