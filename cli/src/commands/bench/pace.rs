//! When the next one is due. It takes the time, so that it can be tried without waiting.

use std::time::{Duration, Instant};

/// Hands out what is to be done, until there was enough.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    /// Between two, if they are due at fixed times.
    step: Option<Duration>,
    ends: Option<Instant>,
    most: Option<u64>,
    given: u64,
}

impl Pace {
    /// `rate` per second, or each as soon as somebody is free; for a time, or until so many were given.
    pub(super) fn new(start: Instant, rate: Option<f64>, time: Option<Duration>, most: Option<u32>) -> Self {
        Self {
            start,
            step: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            ends: time.and_then(|time| start.checked_add(time)),
            most: most.map(u64::from),
            given: 0,
        }
    }

    /// When nothing more is due.
    pub(super) fn ends(&self) -> Option<Instant> {
        self.ends
    }

    /// Whether they are due at fixed times.
    pub(super) fn is_open(&self) -> bool {
        self.step.is_some()
    }

    /// How many were handed out.
    pub(super) fn given(&self) -> u64 {
        self.given
    }

    /// What was due by now and was not handed out.
    pub(super) fn missed(&self, now: Instant) -> u64 {
        let Some(step) = self.step else { return 0 };
        let until = self.ends.map_or(now, |ends| ends.min(now));
        let due = (until.saturating_duration_since(self.start).as_secs_f64() / step.as_secs_f64()).ceil() as u64;
        due.min(self.most.unwrap_or(u64::MAX)).saturating_sub(self.given)
    }

    /// Its number, and when it is due, which may be long ago: then all before it were slow, and it counts from there.
    /// None when there was enough.
    pub(super) fn next(&mut self, now: Instant) -> Option<(u64, Instant)> {
        if self.most.is_some_and(|most| self.given >= most) {
            return None;
        }
        let due = match self.step {
            None => now,
            // Not a sum of roundings: the number times the step.
            Some(step) => self.start + Duration::from_secs_f64(step.as_secs_f64() * self.given as f64),
        };
        // What was due in time is done, however late it is.
        if self.ends.is_some_and(|ends| due >= ends) {
            return None;
        }
        let number = self.given;
        self.given += 1;
        Some((number, due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_closed_loop_begins_when_somebody_is_free() {
        let start = Instant::now();
        let mut pace = Pace::new(start, None, Some(SECOND), None);
        assert_eq!(pace.next(start), Some((0, start)));
        let later = start + SECOND / 2;
        assert_eq!(pace.next(later), Some((1, later)));
        assert_eq!(pace.next(start + SECOND), None);
    }

    #[test]
    fn an_open_loop_counts_from_when_it_was_due() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Some(10.0), Some(SECOND), None);
        // Nobody was free for three seconds: all that were due meanwhile are, and count from then.
        let late = start + 3 * SECOND;
        let due: Vec<Duration> = std::iter::from_fn(|| pace.next(late)).map(|(_, due)| due - start).collect();
        assert_eq!(due, (0..10).map(|n| n * SECOND / 10).collect::<Vec<_>>());
    }

    #[test]
    fn what_was_due_and_is_not_begun_is_known() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Some(10.0), Some(SECOND), None);
        assert_eq!(pace.next(start).map(|(number, _)| number), Some(0));
        assert_eq!((pace.missed(start + SECOND / 4), pace.missed(start + 5 * SECOND), pace.given()), (2, 9, 1));
        assert_eq!(Pace::new(start, None, Some(SECOND), None).missed(start + SECOND), 0);
    }

    #[test]
    fn it_ends_with_the_number() {
        let start = Instant::now();
        let mut pace = Pace::new(start, Some(1_000.0), None, Some(3));
        assert_eq!(std::iter::from_fn(|| pace.next(start)).count(), 3);
        let mut both = Pace::new(start, None, Some(SECOND), Some(3));
        assert_eq!(both.next(start + 2 * SECOND), None);
    }
}
