//! P11, P12 and P17: look-ups in the DHT, and members who come late, among 1,000 simulated nodes.
//!
//! `cargo bench -p p2pnode-benches --bench routing [-- --quick]`; quick are 60 nodes. The simulator must be there:
//! `cargo build --release --locked -p p2pnode-simulator`.

use p2pnode_benches::{
    figures::{Figures, Target},
    run,
    sim::{self, Report},
};

/// Requests of a look-up of the closest twenty in full tables, by the same oracle as [`sim::hops`].
const IDEAL: f64 = 22.0;

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let few = ["--nodes", "60"];
    let report = Report::of("dht-1000", if figures.quick { &few } else { &[] })?;
    let nodes = report.nodes;
    figures.say(format!(
        "{}: {nodes} nodes, {:.0} virtual seconds in {:.0} s, {:.0} MiB",
        report.again,
        report.virtual_s,
        report.wall_s,
        report.figure("process.rss_mib")?
    ))?;
    let found = report.figure("dht.lookup_success_ratio")?.min(report.figure("dht.search_success_ratio")?);
    figures.row("P11", "look-ups and searches that find, the worse of both", (found, ""), Target::AtLeast(0.995))?;
    let hops = report.figure("dht.lookup_hops.avg")?;
    figures.row(
        "P11",
        &format!("hops of a look-up among {nodes} ÷ theory"),
        (hops / sim::hops(nodes), ""),
        Target::AtMost(1.1),
    )?;
    let requests = report.figure("dht.lookup_requests.avg")?;
    figures.row("P11", "requests of a look-up ÷ ideal", (requests / IDEAL, ""), Target::AtMost(2.3))?;
    let provider = report.figure("find.requests.avg")?;
    figures.row("P11", "requests until a provider is found", (provider, ""), Target::AtMost(10.0))?;
    let found = report.figure("newcomer.find_ms.max")?;
    // Three round trips of twice the median of 30 ms each, and a second.
    figures.row("P12", &format!("newcomer among {nodes} finds a member"), (found, "ms"), Target::AtMost(1_180.0))?;
    let dials = report.figure("newcomer.dials.avg")?;
    figures.row("P12", &format!("dials of a newcomer among {nodes}"), (dials, ""), Target::AtMost(25.0))?;
    let each = report.figure("process.rss_per_node_kib")? / 1024.0;
    figures.row("P17", &format!("memory of a node, {nodes} in one process"), (each, "MiB"), Target::AtMost(3.0))?;
    figures.row("P17", &format!("wall time of {nodes} nodes"), (report.wall_s, "s"), Target::AtMost(300.0))?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    run("routing", measure)
}
