//! P16: messages that are on the disk when their sender hears of it.
//!
//! `cargo bench -p p2pnode-benches --bench durable [-- --quick]`. The reference writes each message to a file of the same
//! disk and waits for fsync, one after the other.

use std::{
    fs::File,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use p2pnode::{Limits, MailLimits, Node, Paths, presets};
use p2pnode_benches::{
    figures::{Figures, Target},
    median, run,
    scratch::Scratch,
};

/// Who send at the same time.
const SENDERS: u32 = 64;

/// Bytes of a message.
const BODY: usize = 100;

/// Messages per second, one fsync each.
fn plain(folder: &Path, time: Duration) -> anyhow::Result<f64> {
    let mut file = File::create(folder.join("plain"))?;
    let (started, mut count) = (Instant::now(), 0.0);
    while started.elapsed() < time {
        file.write_all(&[7; BODY])?;
        file.sync_data()?;
        count += 1.0;
    }
    Ok(count / started.elapsed().as_secs_f64())
}

/// Messages per second that are kept for a peer that is away, with [`SENDERS`] at once.
async fn kept(node: &Node, to: &str, time: Duration) -> anyhow::Result<f64> {
    let started = Instant::now();
    let senders = (0..SENDERS).map(|_| {
        let (node, to) = (node.clone(), to.to_owned());
        tokio::spawn(async move {
            let mut count = 0.0;
            while started.elapsed() < time {
                let Some(mail) = node.mail() else { anyhow::bail!("it keeps no mail") };
                mail.send(to.as_str(), "m".repeat(BODY)).await?;
                count += 1.0;
            }
            Ok(count)
        })
    });
    let mut sum = 0.0;
    for sender in senders.collect::<Vec<_>>() {
        sum += sender.await??;
    }
    Ok(sum / started.elapsed().as_secs_f64())
}

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let (rounds, time) = if figures.quick { (3, Duration::from_millis(300)) } else { (7, Duration::from_secs(1)) };
    let home = Scratch::new()?;
    let make = |name: &str| -> anyhow::Result<_> {
        let most = u64::MAX / 2;
        let mail =
            MailLimits { outbox: most, conversation_messages: most, conversation_bytes: most, ..MailLimits::default() };
        let limits = Limits { mail, ..Limits::default() };
        let paths = Paths::in_folder(home.path())?;
        Ok(Node::builder(presets::Loopback).paths(paths).swarm("bench").name(name).limits(limits))
    };
    // Known and away: nothing but keeping is measured.
    let (node, away) = (make("fern")?.start().await?, make("moss")?.start().await?);
    node.wait_until(Duration::from_secs(20), |peers| !peers.is_empty()).await;
    let to = away.peer_id().to_string();
    away.shutdown().await;
    let (mut one, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let folder = home.path().to_owned();
        one.push(tokio::task::spawn_blocking(move || plain(&folder, time)).await??);
        ours.push(kept(&node, &to, time).await?);
    }
    node.shutdown().await;
    let (one, ours) = (median(&one), median(&ours));
    figures.say(format!(
        "{BODY} B, on the disk when the sender hears of it: one fsync each {one:.0}/s; {SENDERS} senders of a node {ours:.0}/s"
    ))?;
    figures.row("P16", "durable messages/s, 64 senders ÷ one fsync each", (ours / one, ""), Target::AtLeast(20.0))?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    run("durable", measure)
}
