//! Scenarios of the simulator. It is a program of its own: virtual time is of a process, and so are the counters of libp2p.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use serde::Deserialize;

use crate::program;

/// What `p2psim run --json` tells of a run, as far as it is used here.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// Nodes of the scenario.
    pub nodes: u32,
    /// Virtual seconds.
    pub virtual_s: f64,
    /// Seconds by the wall clock.
    pub wall_s: f64,
    metrics: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    numbers: BTreeMap<String, Option<f64>>,
    /// Command that does the same.
    pub again: String,
}

impl Report {
    /// Runs a built-in scenario with these options. Whether its thresholds hold is for the simulator's tests.
    ///
    /// # Errors
    /// There is no simulator, or the scenario does not run.
    pub fn of(scenario: &str, options: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new(program::built("p2psim", "P2PSIM_BIN", "p2pnode-simulator")?);
        command.args(["run", scenario, "--json", "--no-progress"]).args(options);
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        // 10: it ran, and a threshold is missed.
        let ran = matches!(output.status.code(), Some(0 | 10));
        ensure!(ran, "p2psim run {scenario} {}: {}", options.join(" "), output.status);
        Self::read(&output.stdout).with_context(|| format!("the report of p2psim run {scenario}"))
    }

    fn read(json: &[u8]) -> anyhow::Result<Self> {
        Ok(serde_json::from_slice(json)?)
    }

    /// A figure by the name that thresholds have: `gossip.hops.avg`, or `quiet.connections`.
    ///
    /// # Errors
    /// The run has not measured it.
    pub fn figure(&self, name: &str) -> anyhow::Result<f64> {
        let part = || {
            let (metric, part) = name.rsplit_once('.')?;
            self.metrics.get(metric)?.get(part).copied()
        };
        self.numbers.get(name).copied().or_else(part).flatten().with_context(|| format!("{name} was not measured"))
    }
}

/// Hops of a look-up in full tables, k = 20 and alpha = 3: fitted to an oracle at 100, 1,000 and 10,000 nodes; the slope is that
/// of Stutzbach and Rejaie, "Improving Lookup Performance over a Widely-Deployed DHT", 2006.
pub fn hops(nodes: u32) -> f64 {
    0.523f64.mul_add(f64::from(nodes).log10(), 0.32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_found_by_its_name_or_missed() {
        let json = br#"{"nodes": 20, "virtual_s": 1.5, "wall_s": 0.1, "again": "p2psim run x", "more": [],
            "metrics": {"gossip.hops": {"n": 3, "avg": 2.5, "max": null}}, "numbers": {"quiet.connections": 9.5, "none": null}}"#;
        let report = Report::read(json).expect("a report");
        let figure = |name| report.figure(name).ok();
        assert_eq!(figure("gossip.hops.avg"), Some(2.5));
        assert_eq!(figure("quiet.connections"), Some(9.5));
        for missing in ["gossip.hops", "gossip.hops.p50", "gossip.hops.max", "none", "other.avg"] {
            assert_eq!(figure(missing), None, "{missing}");
        }
    }

    #[test]
    fn theory_is_that_of_the_oracle() {
        for (nodes, oracle) in [(100, 1.33), (1_000, 1.89), (10_000, 2.42)] {
            assert!((hops(nodes) - oracle).abs() < 0.05, "{nodes}: {}", hops(nodes));
        }
    }
}
