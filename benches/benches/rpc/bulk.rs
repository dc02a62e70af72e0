//! Large bodies, and streams.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{AsyncReadExt as _, StreamExt};
use libp2p::PeerId;
use p2pnode_behaviours::rpc;
use p2pnode_benches::{echo, median};
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

use crate::{
    calls::{Way, together},
    server::{BODY, COUNT, ITEMS, say},
};

/// Bytes of a large body: what still fits a frame.
const LARGE: usize = 64 * 1024;

/// Large calls in flight.
const AT_ONCE: usize = 16;

/// Streams read one after the other in a round.
const STREAMS: u32 = 20;

/// MB/s of calls with large bodies, both directions together.
async fn throughput(way: &Way, time: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let calls = together(way, AT_ONCE, LARGE, time).await?;
    let bytes = 2.0 * LARGE as f64 * f64::from(u32::try_from(calls).context("fewer calls")?);
    Ok(bytes / 1e6 / started.elapsed().as_secs_f64())
}

/// The same, with small calls beside it, one after the other: the slowest of a hundred of them, in ms.
async fn beside(way: &Way, time: Duration) -> anyhow::Result<f64> {
    let large = {
        let way = way.clone();
        tokio::spawn(async move { together(&way, AT_ONCE, LARGE, time).await })
    };
    let (body, mut spans) = (Bytes::from(vec![7; BODY]), Vec::new());
    while !large.is_finished() {
        let at = Instant::now();
        way.call(body.clone()).await?;
        spans.push(at.elapsed().as_secs_f64() * 1e3);
    }
    large.await??;
    spans.sort_by(f64::total_cmp);
    spans.get(spans.len() * 99 / 100).copied().context("small calls")
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
        if count != COUNT {
            bail!("{count} items of {COUNT}");
        }
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
        if count != COUNT {
            bail!("{count} items of {COUNT}");
        }
    }
    Ok(f64::from(STREAMS * COUNT) / started.elapsed().as_secs_f64())
}

pub(crate) async fn measure(
    raw: &Way,
    fast: &rpc::Client,
    control: &mut libp2p_stream::Control,
    peer: PeerId,
    rounds: usize,
    time: Duration,
) -> anyhow::Result<()> {
    let ours = Way::Rpc(fast.clone(), peer);
    let (mut raw_mb, mut our_mb, mut small) = (Vec::new(), Vec::new(), Vec::new());
    let (mut raw_rate, mut our_rate) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        raw_mb.push(throughput(raw, time).await?);
        our_mb.push(throughput(&ours, time).await?);
        small.push(beside(&ours, time).await?);
        raw_rate.push(raw_items(control, peer).await?);
        our_rate.push(items(fast, peer).await?);
    }
    let (raw_mb, our_mb, small) = (median(&raw_mb), median(&our_mb), median(&small));
    let (raw_rate, our_rate) = (median(&raw_rate), median(&our_rate));
    say(&format!(
        "{LARGE} B there and back, {AT_ONCE} in flight: raw substream {raw_mb:.0} MB/s, fast road {our_mb:.0} MB/s"
    ))?;
    say(&format!("{COUNT} items of {BODY} B: raw substream {raw_rate:.0}/s, fast road {our_rate:.0}/s"))?;
    let lines = [
        ("P6 MB/s ÷ raw substream", our_mb / raw_mb, ">= 0.9", our_mb >= 0.9 * raw_mb),
        ("P6 small call beside, p99 ms", small, "<= 5", small <= 5.0),
        ("P7 items/s ÷ raw substream", our_rate / raw_rate, ">= 0.8", our_rate >= 0.8 * raw_rate),
    ];
    for (what, value, target, met) in lines {
        say(&format!("{what:<28} {value:>7.2}   target {target:<8} {}", if met { "met" } else { "missed" }))?;
    }
    Ok(())
}
