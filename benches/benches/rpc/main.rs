//! P1, P2, P3, P6, P7: calls, large bodies and streams beside bare TCP and beside a raw libp2p substream, in one run, two
//! processes, loopback TCP.
//!
//! `cargo bench -p p2pnode-benches --bench rpc [-- --quick]`. Medians over alternating rounds; ratios are what counts.

mod bulk;
mod calls;
mod server;

use std::time::Duration;

use anyhow::Context;
use futures::AsyncReadExt as _;
use libp2p::{Multiaddr, PeerId};
use p2pnode_benches::echo;
use tokio::net::TcpStream;
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

use crate::{
    calls::{Samples, Way},
    server::{RAW, Server, connect},
};

async fn measure(quick: bool) -> anyhow::Result<()> {
    let (mut server, line) = Server::start()?;
    let mut words = line.split(' ');
    let mut word = || words.next().context("three words");
    let (bare, address, peer): (String, Multiaddr, PeerId) = (word()?.into(), word()?.parse()?, word()?.parse()?);
    let stream = TcpStream::connect(bare).await?;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let (fast, mut control) = connect(true, &address, peer).await?;
    let (classic, _keep) = connect(false, &address, peer).await?;
    let raw = control.open_stream(peer, RAW).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let (raw_reader, raw_writer) = raw.split();
    let raw = Way::Echo(echo::Caller::new(raw_reader.compat(), raw_writer.compat_write()));
    let ways = [
        ("bare TCP", Way::Echo(echo::Caller::new(reader, writer))),
        ("raw substream", raw.clone()),
        ("fast road", Way::Rpc(fast.clone(), peer)),
        ("classic road", Way::Rpc(classic, peer)),
    ];
    let (rounds, time) = if quick { (3, Duration::from_millis(300)) } else { (7, Duration::from_secs(1)) };
    let mut samples = vec![Samples::default(); ways.len()];
    for _ in 0..rounds {
        for ((_, way), samples) in ways.iter().zip(&mut samples) {
            calls::round(way, &mut server, time, samples).await?;
        }
    }
    calls::report(&ways.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &samples, rounds)?;
    bulk::measure(&raw, &fast, &mut control, peer, rounds, time).await
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    // `cargo test --benches` runs this too: then only that it starts is of interest.
    if has("--test") || cfg!(debug_assertions) && !has("--server") && !has("--quick") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { if has("--server") { server::serve().await } else { measure(has("--quick")).await } })
}
