//! P9: a question answered by everybody, 50 and 100 nodes in one process.
//!
//! `cargo bench -p p2pnode-benches --bench ask [-- --quick]`. `cargo test -p p2pnode-tests --test conversations --
//! --ignored fifty` does the same with fifty processes.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use futures::StreamExt;
use libp2p::Multiaddr;
use p2pnode::{Ask, AskEvent, Limits, Node};
use p2pnode_benches::{
    calm,
    figures::{Figures, Target},
    median, run,
};
use p2pnode_simulator::memory;

const LIMIT: Duration = Duration::from_secs(60);

async fn crowd(count: usize) -> anyhow::Result<Vec<Node>> {
    let mut nodes: Vec<Node> = Vec::new();
    for index in 0..=count {
        let listen: Multiaddr = "/memory/0".parse()?;
        let mut seeds = Vec::new();
        for other in nodes.iter().rev().take(1).chain(nodes.first()) {
            seeds.push(other.listen_addrs().first().context("it listens")?.to_string().parse()?);
        }
        let mut limits = Limits::default();
        // The rounds follow one another faster than anybody asks.
        limits.gossip.own.events = 1_000.0;
        limits.gossip.per_author.events = 1_000.0;
        limits.gossip.per_source.events = 1e5;
        let builder = Node::builder(|b: p2pnode::Builder| b.mdns(false).local(false).transport(memory))
            .limits(limits)
            .listen(listen)
            .swarm("bench")
            .name(format!("n{index}"))
            .bootstrap(seeds);
        // The first one asks.
        let builder = if index == 0 {
            builder
        } else {
            builder.ask(|cx: Ask, task: String| async move {
                cx.ack().await?;
                Ok(task)
            })
        };
        nodes.push(builder.start().await?);
    }
    let asker = nodes.first().context("an asker")?;
    let all = asker.wait_until(LIMIT, |peers| peers.len() >= count).await;
    ensure!(all, "the asker knows {} of {count}", asker.peers().len());
    Ok(nodes)
}

/// Milliseconds until the first ack, and until the last reply.
async fn ask(nodes: &[Node], count: usize) -> anyhow::Result<(f64, f64)> {
    let asker = nodes.first().context("an asker")?;
    let mut silent: HashSet<String> = nodes.iter().skip(1).map(|node| node.peer_id().to_string()).collect();
    let started = Instant::now();
    let mut asked = asker.ask("bench", "who is there?").replies(count).timeout(LIMIT).await?;
    let (mut first, mut last, mut replies) = (None, 0.0, 0);
    while let Some(event) = asked.next().await {
        let now = started.elapsed().as_secs_f64() * 1e3;
        match event {
            AskEvent::Ack { .. } => drop(first.get_or_insert(now)),
            AskEvent::Reply { peer, .. } => {
                silent.remove(&peer.id.to_string());
                (replies, last) = (replies + 1, now);
            }
            _ => {}
        }
    }
    for node in nodes.iter().filter(|node| silent.contains(&node.peer_id().to_string())) {
        eprintln!("silent: {} with {} connections, {} peers", node.name(), connected(node), node.peers().len());
    }
    ensure!(replies == count, "{replies} of {count} answered");
    Ok((first.context("an ack")?, last))
}

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let rounds = if figures.quick { 3 } else { 15 };
    for (count, most) in [(50, 1_000.0), (100, 2_000.0)] {
        let nodes = crowd(count).await?;
        // Connections as they are in a swarm at rest.
        calm().await?;
        let (mut first, mut last) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let (ack, reply) = ask(&nodes, count).await?;
            // What gossip says of it later belongs to this round.
            calm().await?;
            first.push(ack);
            last.push(reply);
        }
        let connections: Vec<usize> = nodes.iter().map(connected).collect();
        let (most_of_others, own) = (connections.iter().skip(1).max().copied(), connections.first().copied());
        figures.say(format!(
            "{count} nodes of one process, medians of {rounds}: first ack {:.0} ms; connections: asker {}, others at most {}",
            median(&first),
            own.unwrap_or(0),
            most_of_others.unwrap_or(0),
        ))?;
        let what = format!("ask answered by all of {count}, last reply");
        figures.row("P9", &what, (median(&last), "ms"), Target::AtMost(most))?;
    }
    Ok(())
}

fn connected(node: &Node) -> usize {
    node.peers().iter().filter(|peer| peer.path.is_some()).count()
}

fn main() -> anyhow::Result<()> {
    run("ask", measure)
}
