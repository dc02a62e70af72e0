//! Ways to call, and how they are measured: one alone, and many at once.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use libp2p::PeerId;
use p2pnode_behaviours::rpc;

use crate::{cpu, echo, median, server::Server};

/// Something that gives bytes back.
pub trait Way: Clone + Send + Sync + 'static {
    /// One round trip.
    fn call(&self, body: Bytes) -> impl Future<Output = anyhow::Result<Bytes>> + Send;
}

impl Way for echo::Caller {
    async fn call(&self, body: Bytes) -> anyhow::Result<Bytes> {
        Ok(Self::call(self, body).await?)
    }
}

/// One of our roads to a peer.
#[derive(Debug, Clone)]
pub struct Road(pub rpc::Client, pub PeerId);

impl Way for Road {
    async fn call(&self, body: Bytes) -> anyhow::Result<Bytes> {
        let request = rpc::Request { args: body, ..rpc::Request::new("echo") };
        Ok(self.0.call(self.1, request).await?.result)
    }
}

/// Calls that were made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Made {
    /// How many.
    pub calls: f64,
    /// In so many seconds.
    pub took: f64,
    /// The median round trip, in µs.
    pub p50_us: f64,
}

/// `many` calls at once, of `size` bytes there and back, one after the other each, for a time.
///
/// # Errors
/// A call fails, or brings something else back.
pub async fn call<W: Way>(way: &W, many: usize, size: usize, time: Duration) -> anyhow::Result<Made> {
    let started = Instant::now();
    let deadline = started + time;
    let workers = (0..many).map(|_| {
        let (way, body) = (way.clone(), Bytes::from(vec![7; size]));
        tokio::spawn(async move {
            let (mut spans, mut at) = (Vec::new(), Instant::now());
            while at < deadline {
                anyhow::ensure!(way.call(body.clone()).await? == body, "something else came back");
                let now = Instant::now();
                spans.push((now - at).as_secs_f64() * 1e6);
                at = now;
            }
            Ok(spans)
        })
    });
    let mut spans = Vec::new();
    for worker in workers.collect::<Vec<_>>() {
        spans.extend(worker.await??);
    }
    let took = started.elapsed().as_secs_f64();
    Ok(Made { calls: f64::from(u32::try_from(spans.len()).context("fewer calls")?), took, p50_us: median(&spans) })
}

/// What the rounds of one way have shown.
#[derive(Debug, Default, Clone)]
pub struct Samples {
    p50_us: Vec<f64>,
    rate: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Samples {
    /// Adds calls, and the CPU time that all processes spent on them.
    pub fn add(&mut self, made: Made, spent: Duration) {
        self.p50_us.push(made.p50_us);
        self.rate.push(made.calls / made.took);
        self.cpu_us.push(spent.as_secs_f64() * 1e6 / made.calls);
    }

    /// Measures once more; `servers` answer.
    ///
    /// # Errors
    /// A call fails, or a server is gone.
    pub async fn round<W: Way>(
        &mut self,
        way: &W,
        (many, size, time): (usize, usize, Duration),
        servers: &mut [&mut Server],
    ) -> anyhow::Result<()> {
        let before = all(servers)?;
        let made = call(way, many, size, time).await?;
        self.add(made, all(servers)? - before);
        Ok(())
    }

    /// Median round trip, in µs.
    pub fn p50(&self) -> f64 {
        median(&self.p50_us)
    }

    /// Calls per second.
    pub fn rate(&self) -> f64 {
        median(&self.rate)
    }

    /// CPU time per call of all processes together, in µs.
    pub fn cpu(&self) -> f64 {
        median(&self.cpu_us)
    }
}

fn all(servers: &mut [&mut Server]) -> anyhow::Result<Duration> {
    servers.iter_mut().try_fold(cpu(), |sum, server| Ok(sum + server.cpu()?))
}
