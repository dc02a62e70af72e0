//! A trading team: a job that runs every so often looks first whether the market is open, and only then asks the
//! analysts. What they say is kept: a desk that comes late has all of it.
//!
//! Run it with `cargo run -p p2pnode --example trading_team`.

use std::{error::Error, path::Path, time::Duration};

use p2pnode::{
    Ask, Builder, HandlerError, Node, Paths,
    jiff::{Timestamp, civil::Weekday, tz::TimeZone},
    presets,
    schedule::every,
    store::EventQuery,
};

/// A node of this example's own swarm, with its own folder. Real programs use `presets::Lan` and set no paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm()).name(name))
}

fn swarm() -> String {
    format!("trading-{}", std::process::id())
}

/// New York, 9:30 to 16:00, Monday to Friday. Holidays are left to the reader.
fn market_is_open(now: Timestamp) -> Result<bool, HandlerError> {
    let zone = TimeZone::get("America/New_York").map_err(|error| HandlerError::new(error.to_string()))?;
    let there = now.to_zoned(zone);
    let weekend = matches!(there.weekday(), Weekday::Saturday | Weekday::Sunday);
    let minute = u32::from(there.hour().unsigned_abs()) * 60 + u32::from(there.minute().unsigned_abs());
    Ok(!weekend && (570..960).contains(&minute))
}

/// The job: nothing while the market is closed.
async fn look(node: Node, now: Timestamp) -> Result<(), HandlerError> {
    if !market_is_open(now)? {
        println!("{now}: closed, nobody is asked");
        return Ok(());
    }
    let failed = |error: p2pnode::AnswerError| HandlerError::new(error.to_string());
    let answer = node.ask("", "what of oil?").answer::<String>().await.map_err(failed)?;
    println!("{now}: open, {} says: {}", answer.peer.name, answer.value);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let analyst = node("analyst", folder.path())?.ask(|_: Ask, task: String| async move { Ok(format!("{task} hold")) });
    let analyst = analyst.start().await?;
    let desk = node("desk", folder.path())?.start().await?;
    if !desk.wait_until(Duration::from_secs(20), |peers| !peers.is_empty()).await {
        return Err("the analyst was not found".into());
    }

    // A real desk takes `Timestamp::now()`; this one has a Saturday and a Monday in a second.
    let days: [Timestamp; 2] = ["2026-11-21T15:00:00Z".parse()?, "2026-11-23T15:00:00Z".parse()?];
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let job = desk.periodic(every(Duration::from_millis(300)), move |node| {
        look(node, days[turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 2])
    })?;
    while job.counts().runs < 4 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    drop(job);

    let late = node("late-desk", folder.path())?.start().await?;
    let history = late.history().ok_or("it keeps nothing")?;
    let all = || EventQuery { limit: 100, ..EventQuery::default() };
    while history.events(all()).await?.len() < 2 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    println!("the late desk has {} entries of what was said before it came", history.events(all()).await?.len());
    for node in [late, desk, analyst] {
        node.shutdown().await;
    }
    Ok(())
}
