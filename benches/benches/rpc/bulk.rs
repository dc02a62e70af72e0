//! Large bodies, and streams.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use futures::{AsyncReadExt as _, StreamExt};
use libp2p::PeerId;
use p2pnode_behaviours::rpc;
use p2pnode_benches::{
    echo,
    figures::{Figures, Target},
    median, percentile,
    server::{BODY, COUNT, ITEMS},
    ways::{Road, Way, call},
};
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

/// Bytes of a large body.
const LARGE: usize = 64 * 1024;

/// Large calls in flight.
const AT_ONCE: usize = 16;

/// Streams read one after the other in a round.
const STREAMS: u32 = 20;

/// MB/s of calls with large bodies, both directions together.
async fn throughput<W: Way>(way: &W, time: Duration) -> anyhow::Result<f64> {
    let made = call(way, AT_ONCE, LARGE, time).await?;
    Ok(2.0 * LARGE as f64 * made.calls / 1e6 / made.took)
}

/// The same, with small calls beside it, one after the other: their round trips, in ms.
async fn beside<W: Way>(way: &W, time: Duration) -> anyhow::Result<Vec<f64>> {
    let large = {
        let way = way.clone();
        tokio::spawn(async move { call(&way, AT_ONCE, LARGE, time).await })
    };
    let (body, mut spans) = (Bytes::from(vec![7; BODY]), Vec::new());
    while !large.is_finished() {
        let at = Instant::now();
        way.call(body.clone()).await?;
        spans.push(at.elapsed().as_secs_f64() * 1e3);
    }
    large.await??;
    Ok(spans)
}

/// Items per second of a stream that is read as fast as it comes.
async fn items(client: &rpc::Client, peer: PeerId) -> anyhow::Result<f64> {
    let started = Instant::now();
    for _ in 0..STREAMS {
        let mut items = client.stream(peer, rpc::Request::new("items")).await?;
        let mut count = 0;
        while let Some(item) = items.next().await {
            count += u32::from(item?.len() == BODY);
        }
        ensure!(count == COUNT, "{count} items of {COUNT}");
    }
    Ok(f64::from(STREAMS * COUNT) / started.elapsed().as_secs_f64())
}

async fn raw_items(control: &mut libp2p_stream::Control, peer: PeerId) -> anyhow::Result<f64> {
    let stream = control.open_stream(peer, ITEMS).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let (reader, writer) = stream.split();
    let mut reader = echo::Reader::new(reader.compat(), writer.compat_write());
    let started = Instant::now();
    for _ in 0..STREAMS {
        let count = reader.items().await?;
        ensure!(count == COUNT, "{count} items of {COUNT}");
    }
    Ok(f64::from(STREAMS * COUNT) / started.elapsed().as_secs_f64())
}

/// Calls with large bodies.
#[derive(Default)]
pub(crate) struct Bodies {
    raw: Vec<f64>,
    ours: Vec<f64>,
    raw_small: Vec<f64>,
    our_small: Vec<f64>,
}

impl Bodies {
    pub(crate) async fn round(&mut self, raw: &echo::Caller, fast: &Road, time: Duration) -> anyhow::Result<()> {
        self.raw.push(throughput(raw, time).await?);
        self.ours.push(throughput(fast, time).await?);
        self.raw_small.push(percentile(&beside(raw, time).await?, 99));
        self.our_small.push(percentile(&beside(fast, time).await?, 99));
        Ok(())
    }

    pub(crate) fn report(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let (raw, ours) = (median(&self.raw), median(&self.ours));
        figures.say(format!(
            "{LARGE} B there and back, {AT_ONCE} in flight: raw substream {raw:.0} MB/s, fast road {ours:.0} MB/s"
        ))?;
        figures.row("P6", "64 KiB bodies, MB/s ÷ raw substream", (ours / raw, ""), Target::AtLeast(0.9))?;
        let small = median(&self.our_small);
        figures.row("P6", "small call beside them, p99", (small, "ms"), Target::AtMost(5.0))?;
        figures.row("P6", "the same ÷ raw substream", (small / median(&self.raw_small), ""), Target::None)?;
        Ok(())
    }
}

/// Streams of small items.
#[derive(Default)]
pub(crate) struct Streams {
    raw: Vec<f64>,
    ours: Vec<f64>,
}

impl Streams {
    pub(crate) async fn round(&mut self, stock: &(libp2p_stream::Control, PeerId), fast: &Road) -> anyhow::Result<()> {
        // On the runtime's threads, as a program reads them.
        let ((mut control, peer), Road(client, node)) = (stock.clone(), fast.clone());
        self.raw.push(tokio::spawn(async move { raw_items(&mut control, peer).await }).await??);
        self.ours.push(tokio::spawn(async move { items(&client, node).await }).await??);
        Ok(())
    }

    pub(crate) fn report(&self, figures: &mut Figures) -> anyhow::Result<()> {
        let (raw, ours) = (median(&self.raw), median(&self.ours));
        figures.say(format!("{COUNT} items of {BODY} B: raw substream {raw:.0}/s, fast road {ours:.0}/s"))?;
        figures.row("P7", "items/s of a stream ÷ raw substream", (ours / raw, ""), Target::AtLeast(0.8))?;
        Ok(())
    }
}
