//! The wall clock of a node: for expiry, display, and numbers that rise over restarts. Time-outs never depend on it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The system's clock, or one that is wrong by a fixed time, as many clocks are. Default: the system's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clock {
    ahead: Duration,
    behind: Duration,
}

impl Clock {
    /// One that shows a later time than the system's.
    pub fn ahead(by: Duration) -> Self {
        Self { ahead: by, behind: Duration::ZERO }
    }

    /// One that shows an earlier time than the system's.
    pub fn behind(by: Duration) -> Self {
        Self { ahead: Duration::ZERO, behind: by }
    }

    /// Milliseconds since 1970; 0 before that.
    pub fn now_ms(self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let shown = now.saturating_add(self.ahead).saturating_sub(self.behind);
        u64::try_from(shown.as_millis()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_may_be_wrong() {
        let day = Duration::from_secs(86_400);
        let now = Clock::default().now_ms();
        assert!(Clock::ahead(day).now_ms() >= now + 86_400_000);
        assert!(Clock::behind(day).now_ms() <= Clock::default().now_ms() - 86_400_000);
        assert_eq!(Clock::behind(Duration::MAX).now_ms(), 0);
    }
}
