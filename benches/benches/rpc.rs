//! P1, P2, P3: calls beside bare TCP and beside a raw libp2p substream, in one run, two processes, loopback TCP.
//!
//! `cargo bench -p p2pnode-benches --bench rpc [-- --quick]`. Medians over alternating rounds; ratios are what counts.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{AsyncReadExt as _, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise, swarm::NetworkBehaviour, swarm::SwarmEvent, tcp,
    yamux,
};
use p2pnode_behaviours::rpc;
use p2pnode_benches::echo;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

const RAW: StreamProtocol = StreamProtocol::new("/bench/raw/1");

/// Bytes of arguments and of the result.
const BODY: usize = 100;

/// Calls in flight in the second half of each round.
const MANY: usize = 256;

#[derive(NetworkBehaviour)]
struct Behaviour {
    rpc: rpc::Behaviour,
    raw: libp2p_stream::Behaviour,
}

fn swarm(fast: bool) -> anyhow::Result<(Swarm<Behaviour>, rpc::Client)> {
    let service = Arc::new(|call: rpc::Incoming| {
        // As a node does it: each call on a task of its own.
        tokio::spawn(async move { call.reply.ok(call.request.args) });
    });
    let (rpc, client) = rpc::Behaviour::new(rpc::Config { fast, ..rpc::Config::default() }, service);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)?
        .with_behaviour(|_| Behaviour { rpc, raw: libp2p_stream::Behaviour::new() })?
        .with_swarm_config(|c| c.with_idle_connection_timeout(Duration::from_secs(600)))
        .build();
    Ok((swarm, client))
}

/// CPU time of this process so far, user and system.
fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The other process: prints its addresses, then its CPU time for each line it reads.
async fn server() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bare = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (reader, writer) = stream.into_split();
            tokio::spawn(echo::serve(reader, writer));
        }
    });
    let (mut swarm, _) = swarm(true)?;
    let mut incoming = swarm.behaviour().raw.new_control().accept(RAW)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            let (reader, writer) = stream.split();
            tokio::spawn(echo::serve(reader.compat(), writer.compat_write()));
        }
    });
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    say(&format!("{bare} {address} {}", swarm.local_peer_id()))?;
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    tokio::task::spawn_blocking(|| -> anyhow::Result<()> {
        for line in std::io::stdin().lines() {
            line?;
            say(&cpu().as_nanos().to_string())?;
        }
        Ok(())
    })
    .await?
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

struct Server {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    fn start() -> anyhow::Result<(Self, String)> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--server")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut server = Self { child, lines };
        let line = server.line()?;
        Ok((server, line))
    }

    fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim().to_owned())
    }

    fn cpu(&mut self) -> anyhow::Result<Duration> {
        writeln!(self.child.stdin.as_mut().context("a pipe")?)?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One way to call.
#[derive(Clone)]
enum Way {
    Echo(echo::Caller),
    Rpc(rpc::Client, PeerId),
}

impl Way {
    async fn call(&self, body: Bytes) -> anyhow::Result<Bytes> {
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
struct Samples {
    p50_us: Vec<f64>,
    rate: Vec<f64>,
    cpu_us: Vec<f64>,
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// One at a time: the median round trip in µs.
async fn alone(way: &Way, time: Duration) -> anyhow::Result<f64> {
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

/// Many at once: calls in all.
async fn together(way: &Way, time: Duration) -> anyhow::Result<u64> {
    let deadline = Instant::now() + time;
    let workers = (0..MANY).map(|_| {
        let (way, body) = (way.clone(), Bytes::from(vec![7; BODY]));
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

async fn round(way: &Way, server: &mut Server, time: Duration, samples: &mut Samples) -> anyhow::Result<()> {
    samples.p50_us.push(alone(way, time).await?);
    let (own, theirs, started) = (cpu(), server.cpu()?, Instant::now());
    let calls = together(way, time).await?;
    let took = started.elapsed().as_secs_f64();
    let spent = (cpu() - own) + (server.cpu()? - theirs);
    let calls = f64::from(u32::try_from(calls).context("fewer calls")?);
    samples.rate.push(calls / took);
    samples.cpu_us.push(spent.as_secs_f64() * 1e6 / calls);
    Ok(())
}

/// A client Swarm connected with the server, driven in the background.
async fn connect(
    fast: bool,
    address: &Multiaddr,
    peer: PeerId,
) -> anyhow::Result<(rpc::Client, libp2p_stream::Control)> {
    let (mut swarm, client) = swarm(fast)?;
    let control = swarm.behaviour().raw.new_control();
    swarm.dial(address.clone())?;
    while !swarm.is_connected(&peer) {
        swarm.next().await;
    }
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    Ok((client, control))
}

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
    let ways = [
        ("bare TCP", Way::Echo(echo::Caller::new(reader, writer))),
        ("raw substream", Way::Echo(echo::Caller::new(raw_reader.compat(), raw_writer.compat_write()))),
        ("fast road", Way::Rpc(fast, peer)),
        ("classic road", Way::Rpc(classic, peer)),
    ];
    let (rounds, time) = if quick { (3, Duration::from_millis(300)) } else { (7, Duration::from_secs(1)) };
    let mut samples = vec![Samples::default(); ways.len()];
    for _ in 0..rounds {
        for ((_, way), samples) in ways.iter().zip(&mut samples) {
            round(way, &mut server, time, samples).await?;
        }
    }
    report(&ways.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &samples, rounds)
}

fn report(names: &[&str], samples: &[Samples], rounds: usize) -> anyhow::Result<()> {
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

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let has = |flag: &str| args.iter().any(|arg| arg == flag);
    // `cargo test --benches` runs this too: then only that it starts is of interest.
    if has("--test") || cfg!(debug_assertions) && !has("--server") && !has("--quick") {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { if has("--server") { server().await } else { measure(has("--quick")).await } })
}
