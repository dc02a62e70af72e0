//! Who can make a node log can fill its disk: lines of one kind come at a bounded pace, the rest is counted.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use tracing::{Event, Level, Subscriber, callsite::Identifier};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Writer},
    },
    registry::LookupSpan,
};

/// Lines that one place of the program may write at once, and per second from then on.
#[derive(Debug, Clone, Copy)]
struct Pace {
    burst: f64,
    per_second: f64,
}

/// Warnings and errors: whoever is attacked is told so, and 100,000 bad frames remain a page.
const WARNINGS: Pace = Pace { burst: 20.0, per_second: 2.0 };

/// What is asked for with `-v` is read by somebody.
const DETAILS: Pace = Pace { burst: 500.0, per_second: 100.0 };

/// What one place of the program has written.
#[derive(Debug)]
struct Class {
    left: f64,
    at: Instant,
    left_out: u64,
}

impl Class {
    fn new(pace: Pace, now: Instant) -> Self {
        Self { left: pace.burst, at: now, left_out: 0 }
    }

    /// Whether a line may be written, and how many before it were not.
    fn admit(&mut self, pace: Pace, now: Instant) -> Option<u64> {
        let since = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = pace.burst.min(self.left + since * pace.per_second);
        self.at = now;
        if self.left < 1.0 {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.left -= 1.0;
        Some(std::mem::take(&mut self.left_out))
    }
}

/// Lines as `tracing` formats them, at a bounded pace for each place that writes them.
#[derive(Debug)]
pub(super) struct Paced {
    lines: Format,
    /// As many as the program has places that log.
    classes: Mutex<HashMap<Identifier, Class>>,
}

impl Paced {
    pub(super) fn new(lines: Format) -> Self {
        Self { lines, classes: Mutex::default() }
    }
}

impl<S, N> FormatEvent<S, N> for Paced
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, cx: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (place, now) = (event.metadata(), Instant::now());
        let pace = if *place.level() <= Level::WARN { WARNINGS } else { DETAILS };
        let admitted = {
            let mut classes = self.classes.lock().unwrap_or_else(PoisonError::into_inner);
            classes.entry(place.callsite()).or_insert_with(|| Class::new(pace, now)).admit(pace, now)
        };
        let Some(left_out) = admitted else { return Ok(()) };
        self.lines.format_event(cx, writer.by_ref(), event)?;
        if left_out > 0 {
            writeln!(writer, "  ({left_out} more lines like this were left out before it)")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_becomes_a_page_and_what_is_left_out_is_counted() {
        let start = Instant::now();
        let mut class = Class::new(WARNINGS, start);
        let (mut written, mut counted) = (0, 0);
        for n in 0..100_000_u64 {
            // Within 100 seconds.
            if let Some(left_out) = class.admit(WARNINGS, start + Duration::from_millis(n)) {
                (written, counted) = (written + 1, counted + left_out);
            }
        }
        assert!((200..=221).contains(&written), "{written} lines");
        assert_eq!(written + counted + class.left_out, 100_000);
    }

    #[test]
    fn what_comes_now_and_then_is_written() {
        let start = Instant::now();
        let mut class = Class::new(WARNINGS, start);
        for n in 0..1_000 {
            assert_eq!(class.admit(WARNINGS, start + Duration::from_secs(n)), Some(0));
        }
    }
}
