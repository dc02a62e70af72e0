//! A schedule: a rule for points in time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::{ScheduleError, cron::Cron, solar::Solar};

/// The longest text of a schedule, in bytes. The longest sensible one has half of that; peers send them.
pub const MAX_TEXT: usize = 128;

/// The shortest time between two runs that a peer may ask for. What this node's own user writes is his own affair.
pub const PEER_PERIOD: Duration = Duration::from_secs(60);

/// A schedule is accepted only if it runs within this time: a leap year.
pub(super) const HORIZON: Duration = Duration::from_secs(366 * 86_400);

/// The shortest period: a finer one is a loop, not a schedule.
const SHORTEST: Duration = Duration::from_millis(1);

/// The longest jitter: more than a day moves a daily job past its next run.
const LONGEST_JITTER: Duration = Duration::from_secs(86_400);

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Every(Duration),
    Cron(Cron),
    Solar(Solar),
}

/// A rule for points in time, with the zone its wall-clock times are in, and a jitter.
///
/// Made by [`every`](super::every), [`cron`](super::cron()), [`solar`](super::solar()), or read from text: see
/// [`Schedule::parse`]. Its text, as [`Display`](std::fmt::Display) gives it and serde writes it, reads back to an equal
/// schedule, unless it was given a time zone that has no name, or a text of nearly [`MAX_TEXT`] got one from the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    pub(super) kind: Kind,
    pub(super) tz: Option<TimeZone>,
    pub(super) jitter: Duration,
}

impl Schedule {
    /// Errors unless the period has 1 ms to 366 days; parts of milliseconds are cut off.
    pub(super) fn every(period: Duration) -> Result<Self, ScheduleError> {
        let period = Duration::from_millis(u64::try_from(period.as_millis()).unwrap_or(u64::MAX));
        match period {
            _ if period < SHORTEST => Err(ScheduleError::value("period", "a period must be longer than zero")),
            _ if period > HORIZON => Err(ScheduleError::value("period", "a period has at most 366 days")),
            _ => Ok(Self::of(Kind::Every(period))),
        }
    }

    pub(super) fn of(kind: Kind) -> Self {
        Self { kind, tz: None, jitter: Duration::ZERO }
    }

    pub(super) fn with_jitter(self, jitter: Duration) -> Result<Self, ScheduleError> {
        let jitter = Duration::from_millis(u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX));
        let longest = match self.kind {
            Kind::Every(period) => period.min(LONGEST_JITTER),
            Kind::Cron(_) | Kind::Solar(_) => LONGEST_JITTER,
        };
        if jitter > longest {
            return Err(ScheduleError::value("jitter", "a jitter is at most the period, and at most a day"));
        }
        Ok(Self { jitter, ..self })
    }

    /// The time zone for a schedule that names none. The default is UTC.
    #[must_use]
    pub fn or_tz(mut self, default: &TimeZone) -> Self {
        self.tz.get_or_insert_with(|| default.clone());
        self
    }

    /// The time zone that times of this schedule are meant, and should be shown, in.
    #[must_use]
    pub fn time_zone(&self) -> &TimeZone {
        const UTC: &TimeZone = &TimeZone::UTC;
        self.tz.as_ref().unwrap_or(UTC)
    }

    /// Each run comes up to so much later than its time. Zero by default.
    #[must_use]
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The period, if this is a schedule of the kind `every`.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        match self.kind {
            Kind::Every(period) => Some(period),
            Kind::Cron(_) | Kind::Solar(_) => None,
        }
    }

    /// The first run later than `after`, without jitter. For `every` that is one period later.
    ///
    /// None if there is no such time: `cron` ends with the year 2100, and all with the times jiff can express.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        match &self.kind {
            Kind::Every(period) => after.checked_add(SignedDuration::try_from(*period).ok()?).ok(),
            Kind::Cron(cron) => cron.next(after, self.time_zone()),
            Kind::Solar(solar) => solar.next(after),
        }
    }

    /// All runs later than `after`, without jitter, in order.
    pub fn upcoming(&self, after: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.next(after), |last| self.next(*last))
    }

    /// The first run, when the schedule is taken into use.
    ///
    /// # Errors
    /// [`ScheduleError::NeverRuns`] if there is none within 366 days.
    pub fn first_run(&self, now: Timestamp) -> Result<Timestamp, ScheduleError> {
        let soon = |at: &Timestamp| at.duration_since(now).unsigned_abs() <= HORIZON;
        self.next(now).filter(soon).ok_or_else(|| ScheduleError::NeverRuns { schedule: self.to_string() })
    }

    /// As [`first_run`](Self::first_run), for a schedule that a peer asks for.
    ///
    /// # Errors
    /// [`ScheduleError::TooOften`] if runs can be nearer to each other than [`PEER_PERIOD`].
    pub fn first_run_for_peer(&self, now: Timestamp) -> Result<Timestamp, ScheduleError> {
        let too_often = match &self.kind {
            Kind::Every(period) => *period < PEER_PERIOD,
            Kind::Cron(cron) => cron.has_seconds(),
            Kind::Solar(_) => false,
        };
        if too_often {
            return Err(ScheduleError::TooOften { schedule: self.to_string() });
        }
        self.first_run(now)
    }
}
