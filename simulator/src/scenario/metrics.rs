//! What was measured: samples by name, and numbers by name.

use std::collections::BTreeMap;

use serde::Serialize;

/// Samples in order of their size, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Summary {
    /// How many.
    pub n: usize,
    /// Mean.
    pub avg: f64,
    /// Least.
    pub min: f64,
    /// Half of them are at most this.
    pub p50: f64,
    /// Nine of ten are at most this.
    pub p90: f64,
    /// 95 of 100 are at most this.
    pub p95: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// Most.
    pub max: f64,
}

impl Summary {
    /// None without samples.
    pub fn of(samples: &[f64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        // The nearest rank: always a sample that was there.
        let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len()) - 1];
        Some(Self {
            n: sorted.len(),
            avg: sorted.iter().sum::<f64>() / sorted.len() as f64,
            min,
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            max,
        })
    }

    /// One of its numbers, by name.
    pub fn stat(&self, name: &str) -> Option<f64> {
        Some(match name {
            "n" => self.n as f64,
            "avg" | "mean" => self.avg,
            "min" => self.min,
            "p50" => self.p50,
            "p90" => self.p90,
            "p95" => self.p95,
            "p99" => self.p99,
            "max" => self.max,
            _ => return None,
        })
    }
}

/// All that was measured in one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    samples: BTreeMap<&'static str, Vec<f64>>,
    numbers: BTreeMap<&'static str, f64>,
}

impl Metrics {
    pub(crate) fn sample(&mut self, name: &'static str, value: f64) {
        self.samples.entry(name).or_default().push(value);
    }

    /// Takes these samples instead of those it has.
    pub(crate) fn replace(&mut self, name: &'static str, values: Vec<f64>) {
        self.samples.insert(name, values);
    }

    /// Takes what `other` has measured.
    pub(crate) fn extend(&mut self, other: &Self) {
        for (name, values) in &other.samples {
            self.samples.entry(name).or_default().extend(values);
        }
        self.numbers.extend(&other.numbers);
    }

    pub(crate) fn number(&mut self, name: &'static str, value: f64) {
        self.numbers.insert(name, value);
    }

    /// The samples of that name, as they came.
    pub fn samples(&self, name: &str) -> &[f64] {
        self.samples.get(name).map_or(&[], Vec::as_slice)
    }

    /// `gossip.delivery_ratio`, or `gossip.delivery_ms.p99`.
    pub fn get(&self, name: &str) -> Option<f64> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let (samples, stat) = name.rsplit_once('.')?;
        Summary::of(self.samples(samples))?.stat(stat)
    }

    /// All samples, summed up.
    pub fn summaries(&self) -> BTreeMap<&'static str, Summary> {
        self.samples.iter().filter_map(|(name, samples)| Some((*name, Summary::of(samples)?))).collect()
    }

    /// All numbers.
    pub fn numbers(&self) -> &BTreeMap<&'static str, f64> {
        &self.numbers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples() {
        let samples: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let summary = Summary::of(&samples).expect("samples");
        assert_eq!((summary.min, summary.p50, summary.p99, summary.max, summary.n), (1.0, 50.0, 99.0, 100.0, 100));
        assert_eq!(Summary::of(&[7.0]).map(|s| (s.p50, s.p99)), Some((7.0, 7.0)));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn names() {
        let mut metrics = Metrics::default();
        metrics.sample("gossip.delivery_ms", 5.0);
        metrics.number("wall_s", 2.0);
        assert_eq!(metrics.get("gossip.delivery_ms.max"), Some(5.0));
        assert_eq!(metrics.get("wall_s"), Some(2.0));
        assert_eq!(metrics.get("gossip.delivery_ms.p42"), None);
        assert_eq!(metrics.get("nothing.max"), None);
    }
}
