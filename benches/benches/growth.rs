//! P10 and P18: what a look-up, a broadcast and a quiet node cost in simulated swarms of 100, 300 and 1,000.
//!
//! `cargo bench -p p2pnode-benches --bench growth [-- --quick]`; quick are 30 and 60 nodes. The simulator must be there:
//! `cargo build --release --locked -p p2pnode-simulator`. 10,000 nodes would need some 40 GiB.

use anyhow::Context;
use p2pnode_benches::{
    figures::{Figures, Target},
    run,
    sim::Report,
};

/// What it costs, and in which figure of a run it shows.
const COSTS: [(&str, &str); 6] = [
    ("hops of a look-up", "dht.lookup_hops.avg"),
    ("requests of a look-up", "dht.lookup_requests.avg"),
    ("hops of a broadcast", "gossip.hops.avg"),
    ("presence of a quiet node, B/s", "quiet.presence_bytes_per_s"),
    ("all traffic of a quiet node, B/s", "quiet.sent_bytes_per_s"),
    ("connections of a quiet node", "quiet.connections"),
];

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let sizes: &[u32] = if figures.quick { &[30, 60] } else { &[100, 300, 1_000] };
    let mut reports = Vec::new();
    for nodes in sizes {
        let report = Report::of("growth-100", &["--nodes", &nodes.to_string()])?;
        figures.say(format!("{}: {:.0} virtual seconds in {:.0} s", report.again, report.virtual_s, report.wall_s))?;
        reports.push(report);
    }
    let (first, last) = (reports.first().context("a run")?, reports.last().context("a run")?);
    let copies = last.figure("gossip.duplicates_per_msg")?;
    let what = format!("copies too many of a broadcast among {}", last.nodes);
    figures.row("P10", &what, (copies, ""), Target::AtMost(5.5))?;
    // What grows like the logarithm of the number of nodes.
    let log = f64::from(last.nodes).ln() / f64::from(first.nodes).ln();
    for (what, name) in COSTS {
        let values = reports.iter().map(|report| report.figure(name)).collect::<anyhow::Result<Vec<_>>>()?;
        let told: Vec<String> = values.iter().map(|value| format!("{value:.2}")).collect();
        figures.say(format!("{what}, {sizes:?} nodes: {}", told.join(", ")))?;
        let grown = values.last().zip(values.first()).map_or(f64::NAN, |(last, first)| last / first);
        let what = format!("{what}: {} nodes ÷ {}", last.nodes, first.nodes);
        figures.row("P18", &what, (grown, ""), Target::AtMost(log))?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    run("growth", measure)
}
