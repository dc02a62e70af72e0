//! A budget that refills with time. Pure.

use std::time::{Duration, Instant};

/// So much per second, and so much at once.
#[derive(Debug, Clone)]
pub(crate) struct Meter {
    rate: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Meter {
    /// A full budget.
    pub(crate) fn new(rate: f64, burst: f64, now: Instant) -> Self {
        Self { rate, burst, left: burst, at: now }
    }

    /// Whether `cost` could be taken now.
    pub(crate) fn has(&mut self, cost: f64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * self.rate).min(self.burst);
        self.at = self.at.max(now);
        self.left >= cost
    }

    /// Takes `cost` if it is there.
    pub(crate) fn take(&mut self, cost: f64, now: Instant) -> bool {
        let has = self.has(cost, now);
        if has {
            self.left -= cost;
        }
        has
    }

    /// When `cost` will be there.
    pub(crate) fn ready_at(&self, cost: f64) -> Instant {
        let missing = (cost.min(self.burst) - self.left).max(0.0);
        self.at + Duration::from_secs_f64((missing / self.rate.max(1e-6)).min(3_600.0))
    }

    /// Last used.
    pub(crate) fn used_at(&self) -> Instant {
        self.at
    }

    /// How long an empty budget takes to be full.
    pub(crate) fn refill_time(&self) -> Duration {
        Duration::from_secs_f64((self.burst / self.rate.max(1e-6)).min(3_600.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_burst_plus_rate() {
        let start = Instant::now();
        let mut meter = Meter::new(2.0, 10.0, start);
        let taken = (0..1_000).filter(|n| meter.take(1.0, start + Duration::from_millis(n * 10))).count();
        assert!((28..=30).contains(&taken), "10 at once and 2 a second for 10 s, not {taken}");
    }

    #[test]
    fn ready_when_it_says_so() {
        let start = Instant::now();
        let mut meter = Meter::new(0.5, 1.0, start);
        assert!(meter.take(1.0, start));
        let at = meter.ready_at(1.0);
        assert!(!meter.has(1.0, at - Duration::from_millis(10)));
        assert!(meter.take(1.0, at));
    }
}
