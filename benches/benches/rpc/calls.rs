//! Calls: how long one takes alone, how many there are when many are under way, and what they cost.

use std::time::Duration;

use p2pnode_benches::{
    figures::{Figures, Target},
    server::{BODY, Server},
    ways::{Samples, Way},
};

/// Calls in flight where many are.
pub(crate) const MANY: usize = 256;

/// One way, alone and in a crowd.
#[derive(Default)]
pub(crate) struct Both {
    alone: Samples,
    many: Samples,
}

impl Both {
    pub(crate) async fn round<W: Way>(&mut self, way: &W, server: &mut Server, time: Duration) -> anyhow::Result<()> {
        self.alone.round(way, (1, BODY, time), &mut [server]).await?;
        self.many.round(way, (MANY, BODY, time), &mut [server]).await
    }
}

pub(crate) fn report(figures: &mut Figures, [tcp, raw, fast, classic]: &[Both; 4]) -> anyhow::Result<()> {
    figures.say(format!("{BODY} B there and back; many is {MANY} in flight; CPU of both processes"))?;
    figures.say(format!(
        "{:<16} {:>14} {:>7} {:>14} {:>7} {:>9}",
        "", "p50 alone µs", "÷ TCP", "calls/s, many", "÷ TCP", "CPU µs"
    ))?;
    for (name, way) in [("bare TCP", tcp), ("raw substream", raw), ("fast road", fast), ("classic road", classic)] {
        figures.say(format!(
            "{name:<16} {:>14.1} {:>7.2} {:>14.0} {:>7.3} {:>9.1}",
            way.alone.p50(),
            way.alone.p50() / tcp.alone.p50(),
            way.many.rate(),
            way.many.rate() / tcp.many.rate(),
            way.many.cpu()
        ))?;
    }
    let alone = fast.alone.p50();
    figures.row("P1", "call alone ÷ bare TCP", (alone / tcp.alone.p50(), ""), Target::AtMost(2.0))?;
    figures.row("P1", "call alone ÷ raw substream", (alone / raw.alone.p50(), ""), Target::AtMost(1.1))?;
    let rate = fast.many.rate();
    figures.row("P2", "calls/s, 256 in flight ÷ raw substream", (rate / raw.many.rate(), ""), Target::AtLeast(0.85))?;
    figures.row("P2", "calls/s, 256 in flight ÷ bare TCP", (rate / tcp.many.rate(), ""), Target::AtLeast(0.5))?;
    figures.row("P2", "CPU per call, both sides", (fast.many.cpu(), "µs"), Target::AtMost(6.0))?;
    figures.row(
        "P3",
        "calls/s, 256 in flight ÷ classic road",
        (rate / classic.many.rate(), ""),
        Target::AtLeast(8.0),
    )?;
    Ok(())
}
