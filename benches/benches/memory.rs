//! P14: what a node occupies: alone, for each connection, for each event it keeps.
//!
//! `cargo bench -p p2pnode-benches --bench memory [-- --quick]`. The program must be there: `cargo build --release
//! --locked -p p2pnode-cli`.

use std::{path::PathBuf, process::Command, time::Duration};

use anyhow::{Context as _, ensure};
use p2pnode::{Limits, Node, Paths, Profile, presets};
use p2pnode_benches::{
    figures::{Figures, Target, tell},
    median,
    program::{Memory, Up},
    run,
    scratch::Scratch,
    server::Server,
    told,
};

/// Where a process of ours keeps its files.
const HOME: &str = "BENCH_HOME";

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// After so long what starting or connecting needed is given back.
const SETTLED: Duration = Duration::from_secs(4);

/// Connections in the first and in the second measurement.
const FEW: usize = 8;
const MANY: usize = 40;

fn builder(name: &str) -> anyhow::Result<p2pnode::Builder> {
    let home = PathBuf::from(std::env::var_os(HOME).context("a folder")?);
    let paths = Paths::in_folder(&home)?;
    Ok(Node::builder(presets::Loopback).paths(paths).swarm("bench").name(name))
}

/// Does something for each line that this process is told.
async fn each_line(mut work: impl FnMut(&str) -> anyhow::Result<()> + Send + 'static) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || std::io::stdin().lines().try_for_each(|line| work(&line?))).await?
}

/// A node of its own process: says its address, and what it occupies for each line it reads.
async fn alone() -> anyhow::Result<()> {
    let node = builder("alone")?.start().await?;
    let address = node.listen_addrs().into_iter().find(|addr| addr.to_string().contains("/tcp/")).context("TCP")?;
    tell(&format!("{address}/p2p/{}", node.peer_id()))?;
    each_line(|_| {
        let Memory { all, own } = Memory::of("self")?;
        Ok(tell(&format!("{all} {own}"))?)
    })
    .await
}

/// Nodes that connect with the address they are told: as many more as each line says.
async fn crowd() -> anyhow::Result<()> {
    let address = std::env::args().next_back().context("an address")?;
    let (runtime, mut nodes) = (tokio::runtime::Handle::current(), Vec::<Node>::new());
    tell("ready")?;
    each_line(move |line| {
        for _ in 0..line.parse()? {
            // None looks for others on this host: each is as on a host of its own.
            let name = format!("n{}", nodes.len());
            let builder = builder(&name)?.local(false).ephemeral(true).bootstrap([address.parse()?]);
            let node = runtime.block_on(builder.start())?;
            let met = node.wait_until(PATIENCE, |peers| peers.iter().any(|peer| peer.path.is_some()));
            ensure!(runtime.block_on(met), "the node is not reached");
            nodes.push(node);
        }
        Ok(tell("connected")?)
    })
    .await
}

fn process(role: &str, home: &Scratch, word: &str) -> anyhow::Result<(Server, String)> {
    Server::run(Command::new(std::env::current_exe()?).args([role, word]).env(HOME, home.path()))
}

/// What the other process occupies once it has come to rest, in KiB.
async fn occupied(node: &mut Server) -> anyhow::Result<Memory> {
    tokio::time::sleep(SETTLED).await;
    node.tell("")?;
    let line = node.line()?;
    let (all, own) = line.split_once(' ').context("two numbers")?;
    Ok(Memory { all: all.parse()?, own: own.parse()? })
}

async fn library(figures: &mut Figures, rounds: usize) -> anyhow::Result<()> {
    let (mut all, mut own, mut each) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let (here, there) = (Scratch::new()?, Scratch::new()?);
        let (mut node, address) = process("--node", &here, "")?;
        let memory = occupied(&mut node).await?;
        all.push(memory.all / 1024.0);
        own.push(memory.own / 1024.0);
        let (mut crowd, _) = process("--crowd", &there, &address)?;
        let mut grown = Vec::new();
        for more in [FEW, MANY - FEW] {
            crowd.tell(&more.to_string())?;
            crowd.line()?;
            grown.push(occupied(&mut node).await?.own);
        }
        let [few, many] = grown.as_slice() else { continue };
        each.push((many - few) / (MANY - FEW) as f64);
    }
    figures.row("P14", "library: a node alone, resident", (median(&all), "MiB"), Target::AtMost(20.0))?;
    figures.row("P14", "library: of it not in files", (median(&own), "MiB"), Target::None)?;
    figures.row("P14", "each connection, with all known of its peer", (median(&each), "KiB"), Target::AtMost(80.0))?;
    Ok(())
}

async fn program(figures: &mut Figures, rounds: usize) -> anyhow::Result<()> {
    let (mut all, mut own) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let home = Scratch::new()?;
        let up = Up::start(home.path(), &["bench"])?;
        tokio::time::sleep(SETTLED).await;
        let memory = up.memory()?;
        all.push(memory.all / 1024.0);
        own.push(memory.own / 1024.0);
    }
    figures.row("P14", "`p2pnode up` alone, resident", (median(&all), "MiB"), Target::AtMost(20.0))?;
    figures.row("P14", "`p2pnode up`: of it not in files", (median(&own), "MiB"), Target::None)?;
    Ok(())
}

/// What an event takes on the disk, and in memory while its node runs.
async fn events(figures: &mut Figures, count: u32) -> anyhow::Result<()> {
    let home = Scratch::new()?;
    let mut limits = Limits::default();
    limits.gossip.own.events = 1e6;
    limits.gossip.own.burst = 1e6;
    let paths = Paths::in_folder(home.path())?;
    let make = || {
        let profile = Profile::open(&paths, "default")?;
        let builder = Node::builder(presets::Loopback).paths(paths.clone()).profile(profile);
        anyhow::Ok(builder.swarm("bench").name("alone").limits(limits.clone()))
    };
    let (mut disk, mut memory) = (Vec::new(), Vec::new());
    // The first fills caches that are bounded.
    for events in [count, count] {
        let node = make()?.start().await?;
        let before = Memory::of("self")?.own;
        for n in 0..events {
            node.emit("bench.note", &format!("{n:0100}")).await?;
        }
        memory.push((Memory::of("self")?.own - before) / f64::from(events));
        node.shutdown().await;
        disk.push(home.size()? as f64 / 1024.0);
    }
    let grown = (disk.last().copied().unwrap_or(0.0) - disk.first().copied().unwrap_or(0.0)) / f64::from(count);
    figures.row("P14", "each kept event of 100 B, on the disk", (grown, "KiB"), Target::AtMost(1.0))?;
    figures.row(
        "P14",
        "each kept event, in memory",
        (memory.last().copied().unwrap_or(f64::NAN), "KiB"),
        Target::None,
    )?;
    Ok(())
}

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let (rounds, count) = if figures.quick { (1, 500) } else { (5, 20_000) };
    if figures.wanted("library") {
        library(figures, rounds).await?;
    }
    if figures.wanted("program") {
        program(figures, rounds).await?;
    }
    if figures.wanted("events") {
        events(figures, count).await?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    if told("--node") {
        return runtime()?.block_on(alone());
    }
    if told("--crowd") {
        return runtime()?.block_on(crowd());
    }
    run("memory", measure)
}
