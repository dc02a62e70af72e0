//! P15: from nothing to the first answer.
//!
//! `cargo bench -p p2pnode-benches --bench start [-- --quick]`. The program must be there: `cargo build --release
//! --locked -p p2pnode-cli`.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use p2pnode::{Ask, Context, Endpoint, Node, Paths, presets};
use p2pnode_benches::{
    figures::{Figures, Target, tell},
    median, percentile, program, run,
    scratch::Scratch,
    server::Server,
    told,
};

/// Where a process of ours keeps its files.
const HOME: &str = "BENCH_HOME";

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn builder(home: &Path, name: &str) -> anyhow::Result<p2pnode::Builder> {
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(home)?).swarm("bench").name(name))
}

/// A node of its own process that serves `echo` until its input ends.
async fn serve() -> anyhow::Result<()> {
    let home = PathBuf::from(std::env::var_os(HOME).context("a folder")?);
    let echo = |_: Context, (text,): (String,)| async move { Ok(text) };
    let node = builder(&home, "server")?.endpoint(Endpoint::new("echo"), echo).start().await?;
    tell("ready")?;
    tokio::task::spawn_blocking(|| std::io::stdin().lines().for_each(drop)).await?;
    node.shutdown().await;
    Ok(())
}

/// Milliseconds from starting a process to the first answer of its node, for a node that waits for it.
async fn served() -> anyhow::Result<f64> {
    let home = Scratch::new()?;
    let caller = builder(home.path(), "caller")?.start().await?;
    let started = Instant::now();
    let (server, _) = Server::run(Command::new(std::env::current_exe()?).arg("--serve").env(HOME, home.path()))?;
    let answer: String = caller.call("server", "echo", ("there",)).timeout(PATIENCE).await?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    ensure!(answer == "there", "{answer}");
    drop(server);
    caller.shutdown().await;
    Ok(took)
}

/// Milliseconds of `p2pnode ask`, from nothing to its end with the first reply.
fn asked(home: &Path) -> anyhow::Result<f64> {
    let mut command = program::command(home, &["ask", "bench", "who is there?", "--first"])?;
    let started = Instant::now();
    let output = command.stderr(Stdio::null()).output()?;
    let took = started.elapsed().as_secs_f64() * 1e3;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success() && said.contains("I am"), "{said}");
    Ok(took)
}

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let rounds = if figures.quick { 3 } else { 21 };
    if figures.wanted("library") {
        let mut all = Vec::new();
        for _ in 0..rounds {
            all.push(served().await?);
        }
        figures.row("P15", "process start to first served call", (median(&all), "ms"), Target::AtMost(50.0))?;
        figures.row("P15", "the same, 90th of a hundred", (percentile(&all, 90), "ms"), Target::None)?;
    }
    if figures.wanted("program") {
        let home = Scratch::new()?;
        let answers = |_: Ask, _: String| async move { Ok("I am".to_owned()) };
        let node = builder(home.path(), "server")?.ask(answers).start().await?;
        let mut all = Vec::new();
        for _ in 0..rounds {
            let home = home.path().to_owned();
            all.push(tokio::task::spawn_blocking(move || asked(&home)).await??);
        }
        node.shutdown().await;
        figures.row(
            "P15",
            "`p2pnode ask`, nothing to first reply and end",
            (median(&all), "ms"),
            Target::AtMost(100.0),
        )?;
        figures.row("P15", "the same, 90th of a hundred", (percentile(&all, 90), "ms"), Target::None)?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    if told("--serve") {
        return tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(serve());
    }
    run("start", measure)
}
