//! A help desk: callers know one node and one endpoint. The desk looks for a member that advertises the topic as a
//! capability and forwards the question to it with a call. Specialists come and go; nobody configures the desk.
//!
//! Run it with `cargo run -p p2pnode --example help_desk`.

use std::{error::Error, path::Path, time::Duration};

use p2pnode::{Builder, Capability, Context, Endpoint, ErrorCode, HandlerError, Node, Paths, Query, kwargs, presets};
use schemars::JsonSchema;
use serde::Deserialize;

const LIMIT: Duration = Duration::from_secs(10);

#[derive(Deserialize, JsonSchema)]
struct Question {
    topic: String,
    text: String,
}

/// A node of this example's own swarm, with its own folder. Real programs use `presets::Lan` and set no paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    let swarm = format!("help-desk-{}", std::process::id());
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm).name(name))
}

/// A node that knows about one topic.
async fn specialist(name: &'static str, topic: &str, advice: &'static str, at: &Path) -> Result<Node, Box<dyn Error>> {
    let answer = move |_: Context, (question,): (String,)| async move {
        println!("{name}: {question}");
        Ok(format!("{name} says: {advice}"))
    };
    let node = node(name, at)?.capability(Capability::new(topic)).endpoint(Endpoint::new("answer"), answer);
    Ok(node.start().await?)
}

/// Finds who knows about the topic and hands the question on.
async fn help(cx: Context, Question { topic, text }: Question) -> Result<String, HandlerError> {
    let node = cx.node().ok_or_else(|| HandlerError::new("the desk is closing"))?;
    let found = node.find(Query::capability(topic.clone())).await?;
    let names: Vec<&str> = found.iter().map(|found| found.peer.name.as_str()).collect();
    println!("desk: {} asks about {topic}; that is for {names:?}", cx.caller.name);
    if found.is_empty() {
        return Err(HandlerError::code(ErrorCode::NotFound, format!("nobody here knows about {topic}")));
    }
    // `found` has cards, to choose by. `cap:` leaves the choice to the node: the nearest that has the capability.
    Ok(node.call(format!("cap:{topic}"), "answer", text).timeout(cx.remaining()).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let nora = specialist("nora", "network", "plug it in again", folder.path()).await?;
    let bill = specialist("bill", "billing", "it is free", folder.path()).await?;
    let desk = node("desk", folder.path())?
        .endpoint(Endpoint::new("help").describe("Answers about any topic that somebody here knows"), help)
        .start()
        .await?;
    let caller = node("caller", folder.path())?.start().await?;
    if !desk.wait_until(LIMIT, |peers| peers.iter().filter(|peer| !peer.capabilities.is_empty()).count() == 2).await {
        return Err("the desk has not found the specialists".into());
    }

    let mut answers = Vec::new();
    for (topic, text) in [("network", "The cable is dead"), ("billing", "What do I owe?"), ("love", "Is it you?")] {
        let answer = caller.call::<String>("desk", "help", kwargs! { topic: topic, text: text }).timeout(LIMIT).await;
        let answer = answer.unwrap_or_else(|error| format!("error {}: {error}", error.code().name()));
        println!("caller: {answer}");
        answers.push(answer);
    }
    for node in [&caller, &desk, &nora, &bill] {
        node.shutdown().await;
    }
    let expected = ["nora says: plug it in again", "bill says: it is free"];
    let as_expected = answers[..2] == expected && answers[2].starts_with("error NOT_FOUND");
    if as_expected { Ok(()) } else { Err("not as expected".into()) }
}
