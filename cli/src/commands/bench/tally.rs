//! What was measured, for people and for programs.

use std::{collections::BTreeMap, time::Duration};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::output::{json::millis, render::duration, style::Glyphs};

/// From a microsecond to an hour, each to a thousandth of it: 200 KiB.
const LONGEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;

/// Columns of the drawing.
const COLUMNS: usize = 24;

/// From nearly nothing to most.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII_BARS: [char; 8] = ['.', ':', '-', '=', '+', '*', '#', '@'];

/// Spans, and what failed.
#[derive(Debug)]
pub(super) struct Tally {
    spans: Histogram<u64>,
    failures: BTreeMap<String, u64>,
}

impl Default for Tally {
    fn default() -> Self {
        let spans = Histogram::new_with_bounds(1, LONGEST_US, DIGITS).expect("bounds that hdrhistogram takes");
        Self { spans, failures: BTreeMap::new() }
    }
}

impl Tally {
    pub(super) fn add(&mut self, span: Duration) {
        self.spans.saturating_record(u64::try_from(span.as_micros()).unwrap_or(LONGEST_US).max(1));
    }

    pub(super) fn fail(&mut self, why: &str) {
        self.fail_many(why, 1);
    }

    pub(super) fn fail_many(&mut self, why: &str, count: u64) {
        *self.failures.entry(why.to_owned()).or_default() += count;
    }

    pub(super) fn done(&self) -> u64 {
        self.spans.len()
    }

    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// How often it failed why, most first; empty if it did not.
    pub(super) fn reasons(&self) -> String {
        let mut reasons: Vec<_> = self.failures.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        reasons.into_iter().map(|(why, count)| format!("{why} {}", grouped(*count))).collect::<Vec<_>>().join(", ")
    }

    fn at(&self, quantile: f64) -> Duration {
        Duration::from_micros(self.spans.value_at_quantile(quantile))
    }

    /// `p50 1.4 ms   p90 2.1 ms   p99 4.8 ms   p99.9 11 ms   max 31 ms`
    pub(super) fn percentiles(&self) -> String {
        let named = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0)];
        named.map(|(name, quantile)| format!("{name} {}", fine(self.at(quantile)))).join("   ")
    }

    /// How many took how long: columns of equal factors from the least to the most.
    pub(super) fn drawing(&self, glyphs: Glyphs) -> String {
        let (least, most) = (self.spans.min().max(1), self.spans.max().max(1));
        let mut columns = [0_u64; COLUMNS];
        let width = (most as f64 / least as f64).ln().max(f64::MIN_POSITIVE);
        for value in self.spans.iter_recorded() {
            let at = (value.value_iterated_to() as f64 / least as f64).ln() / width * COLUMNS as f64;
            columns[(at as usize).min(COLUMNS - 1)] += value.count_since_last_iteration();
        }
        let bars = if glyphs.cut.is_ascii() { ASCII_BARS } else { BARS };
        let highest = columns.iter().copied().max().unwrap_or(1).max(1);
        let bar = |count: u64| match count {
            0 => ' ',
            count => bars[((count as f64 / highest as f64 * 8.0).ceil() as usize).clamp(1, 8) - 1],
        };
        let (from, to) = (fine(Duration::from_micros(least)), fine(Duration::from_micros(most)));
        let drawn: String = columns.map(bar).iter().collect();
        format!("{drawn}  {from} {} {to} (log)", glyphs.cut)
    }

    /// Fields for programs; null where nothing was measured.
    pub(super) fn json(&self) -> Value {
        let measured = !self.spans.is_empty();
        let at = |quantile| measured.then(|| millis(self.at(quantile)));
        let mean = measured.then(|| millis(Duration::from_secs_f64(self.spans.mean() / 1e6)));
        let histogram: Vec<[u64; 2]> =
            self.spans.iter_recorded().map(|value| [value.value_iterated_to(), value.count_at_value()]).collect();
        json!({
            "min_ms": at(0.0), "mean_ms": mean, "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99),
            "p999_ms": at(0.999), "max_ms": at(1.0), "histogram": histogram,
        })
    }

    /// What failed, by reason.
    pub(super) fn failures(&self) -> &BTreeMap<String, u64> {
        &self.failures
    }
}

/// With two digits at least: `0.084 ms`, `1.4 ms`, `31 ms`.
fn fine(span: Duration) -> String {
    let ms = span.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 0.1 => format!("{ms:.3} ms"),
        ms if ms < 1.0 => format!("{ms:.2} ms"),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        _ => duration(span),
    }
}

/// `52 318`
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::style::{ASCII, UNICODE};

    #[test]
    fn numbers_in_groups() {
        assert_eq!([0, 999, 1_000, 52_318, 1_000_000].map(grouped), ["0", "999", "1 000", "52 318", "1 000 000"]);
    }

    #[test]
    fn percentiles_and_drawing_of_a_thousand() {
        let mut tally = Tally::default();
        for n in 1..=1_000 {
            tally.add(Duration::from_micros(n * 100));
        }
        assert_eq!(tally.percentiles(), "p50 50 ms   p90 90 ms   p99 99 ms   p99.9 100 ms   max 100 ms");
        let drawing = tally.drawing(UNICODE);
        assert!(drawing.ends_with("█  0.10 ms … 100 ms (log)"), "{drawing}");
        let bars = drawing.chars().take(COLUMNS).filter(|bar| BARS.contains(bar)).count();
        // Evenly spread spans leave gaps on the left of columns that grow by factors.
        assert!((20..COLUMNS).contains(&bars), "{drawing}");
        assert!(tally.drawing(ASCII).is_ascii());
        let json = tally.json();
        let counted: u64 = json["histogram"].as_array().unwrap().iter().map(|pair| pair[1].as_u64().unwrap()).sum();
        assert_eq!((counted, json["p50_ms"].as_f64().map(f64::round)), (1_000, Some(50.0)));
    }

    #[test]
    fn one_value_and_none() {
        let mut tally = Tally::default();
        assert_eq!(tally.json()["p50_ms"], Value::Null);
        tally.add(Duration::from_micros(84));
        assert!(tally.drawing(UNICODE).contains("0.084 ms … 0.084 ms"), "{}", tally.drawing(UNICODE));
        tally.fail("TIMEOUT");
        tally.fail("OVERLOADED");
        tally.fail("TIMEOUT");
        assert_eq!((tally.failed(), tally.reasons().as_str()), (3, "TIMEOUT 2, OVERLOADED 1"));
    }
}
