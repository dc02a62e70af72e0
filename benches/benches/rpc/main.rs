//! P1, P2, P3, P6, P7: calls, large bodies and streams beside bare TCP and beside a raw libp2p substream, in one run, two
//! processes, loopback TCP.
//!
//! `cargo bench -p p2pnode-benches --bench rpc [-- --quick] [-- calls|bodies|items]`. Medians over alternating rounds; ratios are what counts.

mod bulk;
mod calls;

use std::time::Duration;

use p2pnode_benches::{ends::Ends, figures::Figures, run, server, told};

use crate::{
    bulk::{Bodies, Streams},
    calls::Both,
};

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let Ends { mut server, tcp, raw, fast, classic, stock, .. } = Ends::new().await?;
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
            streams.round(&stock, &fast).await?;
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
