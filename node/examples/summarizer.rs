//! Event-driven work: nobody calls the summarizer. It subscribes to `document.>`, and when it hears `document.uploaded`
//! it emits `document.summarized`, for which the publisher waits.
//!
//! Run it with `cargo run -p p2pnode --example summarizer`.

use std::{error::Error, path::Path, time::Duration};

use futures::StreamExt;
use p2pnode::{Builder, Node, Paths, Said, Subscription, presets};
use serde_json::json;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(10);

/// A node of this example's own swarm, with its own folder. Real programs use `presets::Lan` and set no paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    let swarm = format!("summarizer-{}", std::process::id());
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm).name(name))
}

/// Answers each upload with a summary until the node stops. A node hears its own events too: it must not answer those.
async fn summarize(node: Node, mut documents: Subscription) {
    while let Some(event) = documents.next().await {
        let Said::Emitted { subject, data } = &event.said else { continue };
        println!("summarizer hears: {subject} from {}", event.author.name);
        if subject != "document.uploaded" {
            continue;
        }
        let (name, text) = (data["name"].as_str().unwrap_or_default(), data["text"].as_str().unwrap_or_default());
        let first = text.split_inclusive('.').next().unwrap_or_default();
        let summary = json!({"name": name, "summary": first, "words": text.split_whitespace().count()});
        // In the same conversation, as a consequence of that event: so the publisher knows its own.
        let emitted = node.emit("document.summarized", &summary).conversation(event.conversation).parent(event.id);
        if let Err(error) = emitted.await {
            eprintln!("summarizer: {error}");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let summarizer = node("summarizer", folder.path())?.start().await?;
    let work = tokio::spawn(summarize(summarizer.clone(), summarizer.subscribe("document.>")?));
    let publisher = node("publisher", folder.path())?.start().await?;
    if !publisher.wait_until(LIMIT, |peers| !peers.is_empty()).await {
        return Err("nobody is there".into());
    }

    // Subscribed before the upload is told, so that no answer is missed.
    let mut summaries = publisher.subscribe("document.summarized")?;
    let document = json!({"name": "pears.txt", "text": "Pears ripen off the tree. Pick them green and wait."});
    let sent = publisher.emit("document.uploaded", &document).await?;
    println!("publisher: pears.txt is up");

    let ours = async {
        loop {
            let event = summaries.next().await?;
            if let (Some(parent), Said::Emitted { data, .. }) = (event.parent, event.said)
                && parent == sent.id
            {
                return Some(data);
            }
        }
    };
    let summary = timeout(LIMIT, ours).await?.ok_or("the node has stopped")?;
    println!("publisher: the summary is {}, of {} words", summary["summary"], summary["words"]);

    publisher.shutdown().await;
    summarizer.shutdown().await;
    work.abort();
    let as_expected = summary["summary"].as_str() == Some("Pears ripen off the tree.") && summary["words"] == 10.into();
    if as_expected { Ok(()) } else { Err(format!("not as expected: {summary}").into()) }
}
