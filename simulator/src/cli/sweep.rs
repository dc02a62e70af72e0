//! One scenario over several values of a parameter.

use std::{fmt::Write, path::PathBuf, process::ExitCode};

use clap::Args;
use p2pnode_simulator::sweep_svg;
use serde_json::{Value, json};

use super::{child, fail, load, pair, say, tell};

#[derive(Args)]
pub(crate) struct SweepArgs {
    /// Built-in name or file
    scenario: String,
    /// What varies: `nodes=100,200,500`, or a key such as `network.loss=0,0.01,0.05`
    #[arg(long, value_name = "KEY=A,B,…")]
    param: String,
    /// Seed of all runs
    #[arg(long)]
    seed: Option<u64>,
    /// Sets a key of the scenario in all runs
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Columns: metrics, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "METRIC,…")]
    metrics: Vec<String>,
    /// Draws the first metric as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Prints one JSON array instead of the table
    #[arg(long)]
    json: bool,
}

/// What is shown of a report, if it was measured.
const COLUMNS: &[&str] = &[
    "dht.lookup_hops.avg",
    "dht.lookup_requests.avg",
    "dht.lookup_ms.p50",
    "gossip.delivery_ms.p50",
    "gossip.delivery_ms.p99",
    "gossip.delivery_ratio",
    "gossip.duplicates_per_msg",
    "ask.last_reply_ms.p50",
    "join.ready_ms.p50",
    "node.connections.avg",
    "node.dials.avg",
    "process.rss_per_node_kib",
    "wall_s",
];

pub(super) fn sweep(args: &SweepArgs) -> ExitCode {
    let Some((key, values)) = args.param.split_once('=') else {
        return fail(&format!("--param {}: KEY=A,B,…", args.param));
    };
    let key = if key == "nodes" { "nodes.count" } else { key };
    let mut rows: Vec<(String, Value)> = Vec::new();
    for value in values.split(',').map(str::trim) {
        let mut words: Vec<String> = args.set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]).collect();
        words.extend(["--set".to_owned(), format!("{key}={value}")]);
        words.extend(args.seed.iter().flat_map(|seed| ["--seed".to_owned(), seed.to_string()]));
        // Before anything runs for minutes.
        let set: Result<Vec<_>, _> =
            args.set.iter().cloned().chain([format!("{key}={value}")]).map(|s| pair(&s)).collect();
        if let Err(error) = set.and_then(|set| load(&args.scenario, &set)) {
            return fail(&error);
        }
        tell(&format!("{key} = {value}"));
        match child::report(&args.scenario, &words) {
            Ok(report) => rows.push((value.to_owned(), report)),
            Err(error) => {
                tell(&format!("error: {key} = {value}: {error}"));
                return ExitCode::FAILURE;
            }
        }
    }
    let asked: Vec<&str> = args.metrics.iter().map(String::as_str).collect();
    let wanted = if asked.is_empty() { COLUMNS } else { asked.as_slice() };
    let measured = |metric: &&&str| rows.iter().any(|(_, report)| metric_of(report, metric).is_some());
    let columns: Vec<&str> = wanted.iter().filter(measured).copied().collect();
    if args.json {
        let all: Vec<Value> = rows.iter().map(|(value, report)| json!({ "value": value, "report": report })).collect();
        return say(&format!("{}\n", Value::from(all)));
    }
    let mut out = format!("{key:<14}");
    for column in &columns {
        let _ = write!(out, "  {column}");
    }
    out.push('\n');
    for (value, report) in &rows {
        let _ = write!(out, "{value:<14}");
        for column in &columns {
            let number = metric_of(report, column).map_or_else(|| "-".to_owned(), |number| format!("{number:.3}"));
            let _ = write!(out, "  {number:>width$}", width = column.len());
        }
        out.push('\n');
    }
    if let Some(path) = &args.svg {
        let points = |column: &&str| -> Vec<(f64, f64)> {
            let point = |(value, report): &(String, Value)| Some((value.parse().ok()?, metric_of(report, column)?));
            rows.iter().filter_map(point).collect()
        };
        let drawn = columns.first().map(|column| sweep_svg(key, column, &points(column)));
        match drawn.map(|svg| std::fs::write(path, svg)) {
            Some(Ok(())) => {
                let _ = write!(out, "\n{} written\n", path.display());
            }
            Some(Err(error)) => tell(&format!("error: {}: {error}", path.display())),
            None => tell("error: nothing was measured that could be drawn"),
        }
    }
    say(&out)
}

fn metric_of(report: &Value, metric: &str) -> Option<f64> {
    if let Some(number) = report["numbers"].get(metric) {
        return number.as_f64();
    }
    let (samples, stat) = metric.rsplit_once('.')?;
    report["metrics"].get(samples)?.get(stat)?.as_f64()
}
