//! Delegation: an asker asks a planner, and the planner's ask handler asks a worker before it answers. Who asks
//! hears acks and progress of the one asked: the asker sees that the planner is at it while the worker works.
//!
//! Run it with `cargo run -p p2pnode --example delegation`.

use std::{error::Error, path::Path, time::Duration};

use futures::StreamExt;
use p2pnode::{Ask, AskEvent, Builder, HandlerError, Node, Paths, presets};

/// A node of this example's own swarm, with its own folder. Real programs use `presets::Lan` and set no paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm()).name(name))
}

fn swarm() -> String {
    format!("delegation-{}", std::process::id())
}

/// Asks one member and tells what it hears; for the answer alone there is `answer`, as the planner uses it.
async fn ask(node: &Node, target: &str, question: &str) -> Result<String, String> {
    let peer = node.peer(target).await.map_err(|error| error.to_string())?;
    let asked = node.ask(swarm(), question).only([peer.id]).first().timeout(Duration::from_secs(10));
    let mut asked = asked.await.map_err(|error| error.to_string())?;
    while let Some(event) = asked.next().await {
        match event {
            AskEvent::Ack { peer, .. } => println!("{} hears: {} is at it", node.name(), peer.name),
            AskEvent::Progress { peer, text, .. } => println!("{} hears: {}: {text}", node.name(), peer.name),
            AskEvent::Reply { result, .. } => return Ok(result.as_str().unwrap_or_default().to_owned()),
            AskEvent::Failed { error, .. } => return Err(error.message),
            _ => {}
        }
    }
    Err(format!("no answer from {target}"))
}

/// The worker knows how long one thing takes.
async fn estimate(cx: Ask, task: String) -> Result<String, HandlerError> {
    cx.ack().await?;
    match task.as_str() {
        "dig" => Ok("2 hours".into()),
        "plant" => Ok("1 hour".into()),
        other => Err(HandlerError::new(format!("nobody here knows how to {other}"))),
    }
}

/// The planner takes a question apart, asks whoever has the skill about each part, and puts the answers together.
async fn plan(cx: Ask, task: String) -> Result<String, HandlerError> {
    let node = cx.node().ok_or_else(|| HandlerError::new("the node is stopping"))?;
    let worker = node.peer("cap:gardening").await?;
    let mut plan = Vec::new();
    for step in task.split(" and ") {
        cx.progress(format!("asking about `{step}`")).await?;
        let time = node.ask(swarm(), step).only([worker.id]).answer::<String>().await?;
        plan.push(format!("{step}: {}", time.value));
    }
    Ok(plan.join(", "))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let worker = node("worker", folder.path())?.capability("gardening").ask(estimate).start().await?;
    let planner = node("planner", folder.path())?.ask(plan).start().await?;
    let asker = node("asker", folder.path())?.start().await?;

    let answer = ask(&asker, "planner", "dig and plant").await?;
    println!("asker: the plan is {answer}");
    let failure = ask(&asker, "planner", "fly").await;
    println!("asker: flying fails: {}", failure.as_ref().err().map_or("no", String::as_str));
    for node in [&asker, &planner, &worker] {
        node.shutdown().await;
    }
    let as_expected = answer == "dig: 2 hours, plant: 1 hour" && failure.is_err_and(|e| e.ends_with("fly"));
    if as_expected { Ok(()) } else { Err("not as expected".into()) }
}
