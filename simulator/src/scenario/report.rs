//! What came of a run, for people and for programs.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, json};

use super::{Metrics, Summary, Threshold};
use crate::net::Traffic;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came to its end.
    Done,
    /// Somebody stopped it.
    Stopped,
    /// A threshold was missed that ends a run.
    Aborted,
}

/// Something that lasted: a partition, churn.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// From, seconds after the work began.
    pub from_s: f64,
    /// To; none: to the end.
    pub to_s: Option<f64>,
    /// What.
    pub text: String,
}

/// One virtual second.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Seconds after the work began.
    pub at_s: f64,
    /// Nodes that are up.
    pub up: usize,
    /// Mean number of connections.
    pub connections_per_node: f64,
    /// Mean bytes each sent in this second.
    pub bytes_per_node_s: f64,
    /// Times of what arrived in this second: p50, p95, p99.
    pub delivery_ms: Option<[f64; 3]>,
}

/// What came of one threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// The metric.
    pub metric: String,
    /// What had to hold.
    pub expr: String,
    /// What was measured; none: nothing.
    pub value: Option<f64>,
    /// Whether it holds.
    pub pass: bool,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// Name of the scenario.
    pub scenario: String,
    /// Its one line.
    pub description: String,
    /// The seed.
    pub seed: u64,
    /// The command that makes this run again.
    pub again: String,
    /// Equal for equal runs; none on the wall clock.
    pub digest: Option<String>,
    /// Entries of the log, which the digest is over.
    pub events: u64,
    /// Nodes that took part.
    pub nodes: usize,
    /// Virtual time, joining included.
    pub virtual_s: f64,
    /// Real time.
    pub wall_s: f64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was measured.
    pub metrics: Metrics,
    /// Second by second.
    pub points: Vec<Point>,
    /// What lasted.
    pub bands: Vec<Band>,
    /// What was sent, by protocol.
    pub protocols: Vec<(String, Traffic)>,
    pub(crate) thresholds: BTreeMap<String, Threshold>,
    /// What came of the thresholds.
    pub verdicts: Vec<Verdict>,
}

/// The most telling metrics, in this order.
const TABLE: &[(&str, &str)] = &[
    ("gossip.delivery_ms", "gossip delivery ms"),
    ("gossip.hops", "gossip hops"),
    ("ask.first_ack_ms", "ask first ack ms"),
    ("ask.last_reply_ms", "ask last reply ms"),
    ("ask.replies", "ask replies"),
    ("dht.lookup_ms", "dht lookup ms"),
    ("dht.lookup_hops", "dht lookup hops"),
    ("dht.lookup_requests", "dht lookup requests"),
    ("dht.lookup_failures", "dht lookup, unanswered"),
    ("dht.search_ms", "dht search ms"),
    ("dht.search_requests", "dht search requests"),
    ("dht.search_failures", "dht search, unanswered"),
    ("siege.sybils_in_table", "attackers in a table"),
    ("siege.table", "peers in a table"),
    ("join.ready_ms", "join to ready ms"),
    ("join.dials", "dials to join"),
    ("newcomer.find_ms", "newcomer finds, ms"),
    ("newcomer.dials", "newcomer's dials"),
    ("rejoin_s", "rejoin s"),
    ("node.connections", "connections"),
    ("node.connections_peak", "connections, peak"),
    ("node.dials", "dials"),
    ("node.sent_bytes_per_s", "sent, bytes per s"),
];

impl Report {
    /// Holds the thresholds against what was measured.
    pub(crate) fn judge(&mut self) {
        let judged = self.thresholds.iter().map(|(metric, threshold)| {
            let value = self.metrics.get(metric);
            let pass = value.is_some_and(|value| threshold.expr.holds(value));
            Verdict { metric: metric.clone(), expr: threshold.expr.to_string(), value, pass }
        });
        self.verdicts = judged.collect();
    }

    /// Sets a threshold besides those of the scenario.
    pub fn require(&mut self, metric: String, threshold: Threshold) {
        self.thresholds.insert(metric, threshold);
        self.judge();
    }

    /// Whether all thresholds hold.
    pub fn passed(&self) -> bool {
        self.verdicts.iter().all(|verdict| verdict.pass)
    }

    /// 0: all holds; 10: a threshold is missed; 9: missed, and ended early for it; 130: stopped.
    pub fn exit(&self) -> u8 {
        match self.outcome {
            Outcome::Stopped => 130,
            Outcome::Aborted => 9,
            Outcome::Done if self.passed() => 0,
            Outcome::Done => 10,
        }
    }

    /// All metrics of the table that were measured, in order.
    pub(crate) fn rows(&self) -> Vec<(&'static str, Summary)> {
        let summaries = self.metrics.summaries();
        TABLE.iter().filter_map(|(name, title)| Some((*title, *summaries.get(name)?))).collect()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let digest = self.digest.as_deref().unwrap_or("none: the wall clock");
        let _ = writeln!(
            out,
            "  {}   seed {}   {} nodes   {:.0} s virtual in {:.1} s   digest {digest}\n",
            self.scenario, self.seed, self.nodes, self.virtual_s, self.wall_s
        );
        match self.outcome {
            Outcome::Done => {}
            Outcome::Stopped => out.push_str("  STOPPED before its end: what follows is what there was\n\n"),
            Outcome::Aborted => out.push_str("  ENDED EARLY: a threshold was missed\n\n"),
        }
        if !self.verdicts.is_empty() {
            let passed = self.verdicts.iter().filter(|verdict| verdict.pass).count();
            let _ = writeln!(out, "  THRESHOLDS{:>58} of {} passed", passed, self.verdicts.len());
            for verdict in &self.verdicts {
                let mark = if verdict.pass { '✓' } else { '✗' };
                let value = verdict.value.map_or_else(|| "not measured".to_owned(), number);
                let _ = writeln!(out, "  {mark} {:<34} {:<12} {value:>12}", verdict.metric, verdict.expr);
            }
            out.push('\n');
        }
        let rows = self.rows();
        if !rows.is_empty() {
            let _ = writeln!(
                out,
                "  {:<22} {:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}",
                "", "n", "avg", "p50", "p90", "p95", "p99", "max"
            );
            for (title, s) in rows {
                let _ = write!(out, "  {title:<22} {:>8}", s.n);
                for value in [s.avg, s.p50, s.p90, s.p95, s.p99, s.max] {
                    let _ = write!(out, " {:>9}", number(value));
                }
                out.push('\n');
            }
            out.push('\n');
        }
        let bytes: u64 = self.protocols.iter().map(|(_, traffic)| traffic.bytes).sum();
        let _ = write!(out, "  traffic   {}", size(bytes));
        for (name, traffic) in self.protocols.iter().take(5) {
            let _ = write!(out, "   {name} {:.0} %", traffic.bytes as f64 * 100.0 / bytes.max(1) as f64);
        }
        out.push('\n');
        for (name, title) in
            [("gossip.duplicates_per_msg", "duplicates per message"), ("process.rss_mib", "memory MiB")]
        {
            if let Some(value) = self.metrics.get(name) {
                let _ = write!(out, "  {title} {}", number(value));
            }
        }
        let _ = writeln!(out, "\n  repeat    {}", self.again);
        if !self.passed() {
            let missed = self.verdicts.iter().filter(|verdict| !verdict.pass).count();
            let _ = writeln!(out, "  FAIL  {missed} threshold{}", if missed == 1 { "" } else { "s" });
        }
        out
    }

    /// For programs: one object.
    pub fn json(&self) -> Value {
        let thresholds: Vec<Value> = self
            .verdicts
            .iter()
            .map(|v| json!({ "metric": v.metric, "expr": v.expr, "value": finite(v.value), "pass": v.pass }))
            .collect();
        let series: Vec<Value> = self
            .points
            .iter()
            .map(|p| {
                json!({
                    "at_s": p.at_s, "up": p.up, "connections_per_node": p.connections_per_node,
                    "bytes_per_node_s": p.bytes_per_node_s, "delivery_ms": p.delivery_ms,
                })
            })
            .collect();
        let bands: Vec<Value> =
            self.bands.iter().map(|b| json!({ "from_s": b.from_s, "to_s": b.to_s, "text": b.text })).collect();
        let protocols: BTreeMap<&str, Value> = self
            .protocols
            .iter()
            .map(|(name, t)| (name.as_str(), json!({ "bytes": t.bytes, "writes": t.writes })))
            .collect();
        json!({
            "v": 1, "scenario": self.scenario, "seed": self.seed, "again": self.again, "digest": self.digest, "events": self.events,
            "nodes": self.nodes, "virtual_s": self.virtual_s, "wall_s": self.wall_s,
            "outcome": match self.outcome {
                Outcome::Done => "done", Outcome::Stopped => "stopped", Outcome::Aborted => "aborted",
            },
            "thresholds": thresholds, "metrics": self.metrics.summaries(), "numbers": self.metrics.numbers(),
            "series": series, "bands": bands, "protocols": protocols,
            "env": { "version": env!("CARGO_PKG_VERSION"), "os": std::env::consts::OS, "arch": std::env::consts::ARCH,
                     "cores": std::thread::available_parallelism().map_or(1, usize::from) },
            "exit": self.exit(),
        })
    }

    /// `JUnit`: each threshold is a test case.
    pub fn junit(&self) -> String {
        let failures = self.verdicts.iter().filter(|verdict| !verdict.pass).count();
        let mut out = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" \
             time=\"{:.3}\">\n",
            escape(&self.scenario),
            self.verdicts.len(),
            self.wall_s
        );
        for verdict in &self.verdicts {
            let (metric, expr) = (escape(&verdict.metric), escape(&verdict.expr));
            let _ = write!(out, "  <testcase classname=\"{}\" name=\"{metric} {expr}\"", escape(&self.scenario));
            if verdict.pass {
                out.push_str("/>\n");
            } else {
                let value = verdict.value.map_or_else(|| "not measured".to_owned(), number);
                let _ = writeln!(out, "><failure message=\"{value}, not {expr}\"/></testcase>");
            }
        }
        out.push_str("</testsuite>\n");
        out
    }

    /// For a summary of CI.
    pub fn markdown(&self) -> String {
        let mut out = format!(
            "### {} (seed {})\n\n{} nodes, {:.0} s virtual in {:.1} s, digest `{}`\n\n| threshold | | measured | |\n|---|---|---|---|\n",
            self.scenario,
            self.seed,
            self.nodes,
            self.virtual_s,
            self.wall_s,
            self.digest.as_deref().unwrap_or("none")
        );
        for v in &self.verdicts {
            let value = v.value.map_or_else(|| "not measured".to_owned(), number);
            let _ =
                writeln!(out, "| {} | {} | {value} | {} |", v.metric, v.expr, if v.pass { "ok" } else { "**missed**" });
        }
        out
    }
}

/// JSON has no infinity.
fn finite(value: Option<f64>) -> Option<f64> {
    value.filter(|value| value.is_finite())
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Three or four digits that say something.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return if value.is_nan() { "none".into() } else { "never".into() };
    }
    match value.abs() {
        a if a >= 1_000.0 => format!("{value:.0}"),
        a if a >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        a if a >= 10.0 => format!("{value:.1}"),
        a if a >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

pub(super) fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.2} GB", bytes as f64 / 1e9),
    }
}
