//! Calls: how long one takes alone, how many there are when many are under way, and what they cost.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use bytes::Bytes;
use libp2p::PeerId;
use p2pnode_behaviours::rpc;
use p2pnode_benches::{cpu, echo, median};

use crate::server::{BODY, Server, say};

/// Calls in flight in the second half of each round.
pub(crate) const MANY: usize = 256;

/// One way to call.
#[derive(Clone)]
pub(crate) enum Way {
    Echo(echo::Caller),
    Rpc(rpc::Client, PeerId),
}

impl Way {
    pub(crate) async fn call(&self, body: Bytes) -> anyhow::Result<Bytes> {
        match self {
            Self::Echo(caller) => Ok(caller.call(body).await?),
            Self::Rpc(client, peer) => {
                let request = rpc::Request { args: body, ..rpc::Request::new("echo") };
                Ok(client.call(*peer, request).await?.result)
            }
        }
    }
}

#[derive(Default, Clone)]
pub(crate) struct Samples {
    p50_us: Vec<f64>,
    rate: Vec<f64>,
    cpu_us: Vec<f64>,
}

/// One at a time: the median round trip in µs.
pub(crate) async fn alone(way: &Way, time: Duration) -> anyhow::Result<f64> {
    let (body, started, mut spans) = (Bytes::from(vec![7; BODY]), Instant::now(), Vec::new());
    while started.elapsed() < time {
        let at = Instant::now();
        if way.call(body.clone()).await? != body {
            bail!("another body came back");
        }
        spans.push(at.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&spans))
}

/// So many at once, of so many bytes there and back: calls in all.
pub(crate) async fn together(way: &Way, many: usize, size: usize, time: Duration) -> anyhow::Result<u64> {
    let deadline = Instant::now() + time;
    let workers = (0..many).map(|_| {
        let (way, body) = (way.clone(), Bytes::from(vec![7; size]));
        tokio::spawn(async move {
            let mut calls = 0u64;
            while Instant::now() < deadline {
                way.call(body.clone()).await?;
                calls += 1;
            }
            anyhow::Ok(calls)
        })
    });
    let mut total = 0;
    for worker in workers.collect::<Vec<_>>() {
        total += worker.await??;
    }
    Ok(total)
}

pub(crate) async fn round(way: &Way, server: &mut Server, time: Duration, samples: &mut Samples) -> anyhow::Result<()> {
    samples.p50_us.push(alone(way, time).await?);
    let (own, theirs, started) = (cpu(), server.cpu()?, Instant::now());
    let calls = together(way, MANY, BODY, time).await?;
    let took = started.elapsed().as_secs_f64();
    let spent = (cpu() - own) + (server.cpu()? - theirs);
    let calls = f64::from(u32::try_from(calls).context("fewer calls")?);
    samples.rate.push(calls / took);
    samples.cpu_us.push(spent.as_secs_f64() * 1e6 / calls);
    Ok(())
}

pub(crate) fn report(names: &[&str], samples: &[Samples], rounds: usize) -> anyhow::Result<()> {
    let [tcp, raw, fast, classic] = samples else { bail!("four ways") };
    let (p50, rate, cpu) =
        (|s: &Samples| median(&s.p50_us), |s: &Samples| median(&s.rate), |s: &Samples| median(&s.cpu_us));
    say(&format!("{BODY} B there and back, medians of {rounds} rounds, {MANY} in flight where many"))?;
    say("                p50 alone µs   ÷ TCP   calls/s many   ÷ TCP   CPU µs per call, both sides")?;
    for (name, s) in names.iter().zip(samples) {
        say(&format!(
            "{name:<15} {:>12.1} {:>7.2} {:>14.0} {:>7.3} {:>8.1}",
            p50(s),
            p50(s) / p50(tcp),
            rate(s),
            rate(s) / rate(tcp),
            cpu(s)
        ))?;
    }
    let lines = [
        ("P1 p50 ÷ TCP", p50(fast) / p50(tcp), "<= 2", p50(fast) <= 2.0 * p50(tcp)),
        ("P1 p50 ÷ raw substream", p50(fast) / p50(raw), "<= 1.1", p50(fast) <= 1.1 * p50(raw)),
        ("P2 calls/s ÷ raw substream", rate(fast) / rate(raw), ">= 0.85", rate(fast) >= 0.85 * rate(raw)),
        ("P2 calls/s ÷ TCP", rate(fast) / rate(tcp), ">= 0.5", rate(fast) >= 0.5 * rate(tcp)),
        ("P2 CPU µs per call", cpu(fast), "<= 6", cpu(fast) <= 6.0),
        ("P3 calls/s ÷ classic road", rate(fast) / rate(classic), ">= 8", rate(fast) >= 8.0 * rate(classic)),
    ];
    for (what, value, target, met) in lines {
        say(&format!("{what:<28} {value:>7.2}   target {target:<8} {}", if met { "met" } else { "missed" }))?;
    }
    Ok(())
}
