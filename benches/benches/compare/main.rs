//! P4, P5: calls beside other systems, in alternating rounds: bare TCP, a raw libp2p substream, our two roads, NATS and
//! synapse-p2p.
//!
//! `benches/compare/run [--quick]` fetches what it needs and runs this. `NATS_SERVER` names the broker's program,
//! `SYNAPSE_PYTHON` a Python that has synapse-p2p 2.5.0.

mod nats;
mod synapse;

use std::time::Duration;

use p2pnode_benches::{
    ends::Ends,
    figures::{Figures, Target},
    run,
    server::{self, BODY},
    told,
    ways::Samples,
};

use crate::{nats::Nats, synapse::Synapse};

/// Calls in flight.
const FLIGHTS: [usize; 3] = [1, 64, 256];

const NAMES: [&str; 6] = ["bare TCP", "raw substream", "fast road", "classic road", "NATS", "synapse-p2p"];
const FAST: usize = 2;
const NATS: usize = 4;
const SYNAPSE: usize = 5;

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let (rounds, time) = if figures.quick { (3, Duration::from_millis(300)) } else { (5, Duration::from_secs(1)) };
    let mut ends = Ends::new().await?;
    let mut nats = Nats::start().await?;
    let mut synapse = Synapse::start()?;
    // By calls in flight, then by way.
    let mut samples: [[Samples; NAMES.len()]; FLIGHTS.len()] = Default::default();
    for _ in 0..rounds {
        for (many, [tcp, raw, fast, classic, over_nats, over_synapse]) in FLIGHTS.into_iter().zip(&mut samples) {
            let load = (many, BODY, time);
            tcp.round(&ends.tcp, load, &mut [&mut ends.server]).await?;
            raw.round(&ends.raw, load, &mut [&mut ends.server]).await?;
            fast.round(&ends.fast, load, &mut [&mut ends.server]).await?;
            classic.round(&ends.classic, load, &mut [&mut ends.server]).await?;
            nats.round(over_nats, load).await?;
            synapse.round(over_synapse, load)?;
        }
    }
    for (many, samples) in FLIGHTS.into_iter().zip(&samples) {
        figures.say(format!(
            "{BODY} B there and back, {many} in flight, medians of {rounds} rounds; CPU of all processes"
        ))?;
        figures.say(format!(
            "{:<16} {:>10} {:>7} {:>10} {:>7} {:>9}",
            "", "p50 µs", "÷ TCP", "calls/s", "÷ TCP", "CPU µs"
        ))?;
        let Some(tcp) = samples.first() else { continue };
        for (name, way) in NAMES.iter().zip(samples) {
            figures.say(format!(
                "{name:<16} {:>10.1} {:>7.2} {:>10.0} {:>7.3} {:>9.1}",
                way.p50(),
                way.p50() / tcp.p50(),
                way.rate(),
                way.rate() / tcp.rate(),
                way.cpu()
            ))?;
        }
    }
    let [alone, some, many] = &samples;
    let ratio = |samples: &[Samples; NAMES.len()], other: usize| match (samples.get(FAST), samples.get(other)) {
        (Some(ours), Some(theirs)) => ours.rate() / theirs.rate(),
        _ => f64::NAN,
    };
    figures.row("P4", "calls/s ÷ NATS, one at a time", (ratio(alone, NATS), ""), Target::AtLeast(1.0))?;
    figures.row("P4", "calls/s ÷ NATS, 64 in flight", (ratio(some, NATS), ""), Target::AtLeast(1.0))?;
    figures.row("P4", "calls/s ÷ NATS, 256 in flight", (ratio(many, NATS), ""), Target::AtLeast(2.0))?;
    figures.row("P5", "calls/s ÷ synapse-p2p, one at a time", (ratio(alone, SYNAPSE), ""), Target::AtLeast(10.0))?;
    figures.row("P5", "calls/s ÷ synapse-p2p, 64 in flight", (ratio(some, SYNAPSE), ""), Target::AtLeast(20.0))?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    if told("--server") {
        return runtime()?.block_on(server::serve());
    }
    if told("--nats") {
        return runtime()?.block_on(nats::answer());
    }
    run("compare", measure)
}
