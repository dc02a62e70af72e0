//! Two nodes on the wall clock: the smallest honest run.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use p2pnode::{Ask, BoxedTransport, Context, Endpoint, Multiaddr, Node, rpc::Road};
use serde::Serialize;

use crate::transport::memory;

/// What a run of [`hello`] showed.
#[derive(Debug, Clone, Serialize)]
pub struct HelloReport {
    /// Nodes that took part.
    pub nodes: usize,
    /// From the start of the second node until it knew the first, milliseconds.
    pub joined_ms: f64,
    /// Calls made, each answered.
    pub calls: u64,
    /// Of these, over the fast road.
    pub fast_calls: u64,
    /// Time of all calls, one after the other, milliseconds.
    pub calls_ms: f64,
    /// From a question to its reply, milliseconds.
    pub ask_ms: f64,
}

/// Environment of a node in a simulation: the memory transport, and nothing of this host.
fn in_memory(listen: Option<Multiaddr>) -> impl FnOnce(p2pnode::Builder) -> p2pnode::Builder {
    move |builder| {
        let builder =
            builder.mdns(false).local(false).dht(true).transport(|keypair| -> BoxedTransport { memory(keypair) });
        match listen {
            Some(addr) => builder.listen(addr),
            None => builder,
        }
    }
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1_000.0
}

/// Two nodes: the second joins the first, calls it `calls` times, and asks it once.
///
/// # Errors
/// A node does not start, they do not find each other within 10 s, or an answer is wrong.
pub async fn hello(calls: u64) -> anyhow::Result<HelloReport> {
    // Any port of the memory transport that is free in this process.
    let listen: Multiaddr = "/memory/0".parse()?;
    let server = Node::builder(in_memory(Some(listen)))
        .swarm("garden")
        .name("server")
        .endpoint(Endpoint::new("double"), |_: Context, (n,): (u64,)| async move { Ok(n.wrapping_mul(2)) })
        .ask(|cx: Ask, task: String| async move {
            cx.ack().await?;
            Ok(task.to_uppercase())
        })
        .start()
        .await?;
    let addr = server.listen_addrs().first().context("the server listens")?.clone();
    let started = Instant::now();
    let client = Node::builder(in_memory(None))
        .swarm("garden")
        .name("client")
        .bootstrap([addr.to_string().parse()?])
        .start()
        .await?;
    let known = client.wait_until(Duration::from_secs(10), |peers| peers.iter().any(|p| p.name == "server")).await;
    ensure!(known, "the nodes did not find each other within 10 s");
    let joined_ms = ms(started);
    let calls_ms = call(&client, calls).await?;
    let fast_calls = client.stats().fast_calls;
    let ask_ms = ask(&client).await?;
    client.shutdown().await;
    server.shutdown().await;
    Ok(HelloReport { nodes: 2, joined_ms, calls, fast_calls, calls_ms, ask_ms })
}

async fn call(client: &Node, calls: u64) -> anyhow::Result<f64> {
    let started = Instant::now();
    for n in 0..calls {
        let reply = client.call::<u64>("server", "double", (n,)).details().await?;
        ensure!(reply.value == n.wrapping_mul(2), "{n} doubled is not {}", reply.value);
        ensure!(reply.road == Road::Fast, "call {n} took the classic road");
    }
    Ok(ms(started))
}

async fn ask(client: &Node) -> anyhow::Result<f64> {
    let started = Instant::now();
    let mut asked = client.ask("garden", "who is there?").first().linger(Duration::ZERO).await?;
    let outcome = asked.outcome().await.context("the ask ended without an outcome")?;
    ensure!(outcome.replies == 1, "{} replies", outcome.replies);
    Ok(ms(started))
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn two_real_nodes_meet_call_and_ask() {
        let report = super::hello(25).await.expect("a run");
        assert_eq!((report.nodes, report.calls, report.fast_calls), (2, 25, 25));
    }
}
