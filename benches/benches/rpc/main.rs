//! P1, P2, P3, P6, P7: calls, large bodies and streams beside bare TCP and beside a raw libp2p substream, in one run, two
//! processes, loopback TCP.
//!
//! `cargo bench -p p2pnode-benches --bench rpc [-- --quick] [-- calls|bodies|items]`. Medians over alternating rounds; ratios are what counts.

mod bulk;
mod calls;

use std::time::Duration;

use anyhow::Context;
use futures::AsyncReadExt as _;
use libp2p::{Multiaddr, PeerId};
use p2pnode_benches::{
    echo,
    figures::Figures,
    run,
    server::{self, RAW, Server, connect},
    told,
    ways::Road,
};
use tokio::net::TcpStream;
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

use crate::{
    bulk::{Bodies, Streams},
    calls::Both,
};

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let (mut server, line) = Server::start()?;
    let mut words = line.split(' ');
    let mut word = || words.next().context("three words");
    let (bare, address, peer): (String, Multiaddr, PeerId) = (word()?.into(), word()?.parse()?, word()?.parse()?);
    let stream = TcpStream::connect(bare).await?;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let tcp = echo::Caller::new(reader, writer);
    let (fast, mut control) = connect(true, &address, peer).await?;
    let (classic, _keep) = connect(false, &address, peer).await?;
    let (fast, classic) = (Road(fast, peer), Road(classic, peer));
    let raw = control.open_stream(peer, RAW).await.map_err(|e| anyhow::anyhow!("{e}"))?;
    let (raw_reader, raw_writer) = raw.split();
    let raw = echo::Caller::new(raw_reader.compat(), raw_writer.compat_write());
    let (rounds, time) = if figures.quick { (3, Duration::from_millis(300)) } else { (7, Duration::from_secs(1)) };
    if figures.wanted("calls") {
        let mut ways: [Both; 4] = Default::default();
        let [over_tcp, over_raw, over_fast, over_classic] = &mut ways;
        for _ in 0..rounds {
            over_tcp.round(&tcp, &mut server, time).await?;
            over_raw.round(&raw, &mut server, time).await?;
            over_fast.round(&fast, &mut server, time).await?;
            over_classic.round(&classic, &mut server, time).await?;
        }
        calls::report(figures, &ways)?;
    }
    if figures.wanted("bodies") {
        let mut bodies = Bodies::default();
        for _ in 0..rounds {
            bodies.round(&raw, &fast, time).await?;
        }
        bodies.report(figures)?;
    }
    if figures.wanted("items") {
        let mut streams = Streams::default();
        for _ in 0..rounds {
            streams.round(&control, &fast).await?;
        }
        streams.report(figures)?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if told("--server") {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        return runtime.block_on(server::serve());
    }
    run("rpc", measure)
}
