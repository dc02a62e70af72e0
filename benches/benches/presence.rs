//! P12 and P13: what a join and a quiet node cost in a simulated swarm of 1,000.
//!
//! `cargo bench -p p2pnode-benches --bench presence [-- --quick]`; quick are 100 nodes. The simulator must be there:
//! `cargo build --release --locked -p p2pnode-simulator`.

use p2pnode_benches::{
    figures::{Figures, Target},
    run,
    sim::Report,
};

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let report = Report::of(if figures.quick { "presence-100" } else { "presence-1000" }, &[])?;
    let nodes = report.nodes;
    figures.say(format!(
        "{}: {nodes} nodes, {:.0} virtual seconds in {:.0} s",
        report.again, report.virtual_s, report.wall_s
    ))?;
    for (name, what) in [
        ("crash", "a crash is known to 99 %"),
        ("leave", "a leave is known to 99 %"),
        ("vanish", "a silent host is known to 99 %"),
        ("join", "who is back is known to 99 %"),
    ] {
        let known = report.figure(&format!("presence.{name}_known_ms.max"))? / 1e3;
        figures.say(format!("{what} after {known:.2} s"))?;
    }
    figures.say(format!("falsely offline: {:.0}", report.figure("presence.false_offline")?))?;
    let each = report.figure("join.cpu_ms_per_node")?;
    let what = format!("CPU of a join, all that {nodes} nodes do for it");
    figures.row("P12", &what, (each, "ms"), Target::AtMost(200.0))?;
    for (name, what, unit, most) in [
        ("sent_bytes_per_s", "bytes a second", "B", 600.0),
        ("cpu_ms_per_s", "CPU a second", "ms", 0.3),
        ("connections", "connections", "", 32.0),
    ] {
        let what = format!("quiet node among {nodes}, {what}");
        figures.row("P13", &what, (report.figure(&format!("quiet.{name}"))?, unit), Target::AtMost(most))?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    run("presence", measure)
}
