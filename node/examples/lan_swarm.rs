//! A broadcast: one call to everybody in the swarm who serves the endpoint. Those who wade in ack, report progress and
//! reply, and the whole swarm hears it; who is not meant declines, and nobody hears anything.
//!
//! Run it with `cargo run -p p2pnode --example lan_swarm`.

use std::{error::Error, path::Path, sync::Arc, time::Duration};

use futures::StreamExt;
use p2pnode::{Builder, Context, Endpoint, HandlerError, Node, Paths, Said, presets};
use tokio::{sync::Notify, time::timeout};

const LIMIT: Duration = Duration::from_secs(10);

/// A node of this example's own swarm, with its own folder. On a real network it is `presets::Lan`, without paths.
fn node(name: &str, folder: &Path) -> Result<Builder, Box<dyn Error>> {
    let swarm = format!("lan-swarm-{}", std::process::id());
    Ok(Node::builder(presets::Loopback).paths(Paths::in_folder(folder)?).swarm(swarm).name(name))
}

/// A node that reviews changes in one language.
async fn reviewer(name: &str, speaks: &'static str, left: Arc<Notify>, at: &Path) -> Result<Node, Box<dyn Error>> {
    let review = move |cx: Context, (language, diff): (String, String)| {
        let left = left.clone();
        async move {
            if language != speaks {
                left.notify_one();
                return Err(HandlerError::decline());
            }
            // In a plain call these two do nothing: the same handler serves both.
            cx.ack().await?;
            cx.progress(format!("reading {} lines", diff.lines().count())).await?;
            Ok(format!("{} lines of good {speaks}", diff.lines().count()))
        }
    };
    let endpoint = Endpoint::new("review").describe("Review a change in a language");
    Ok(node(name, at)?.endpoint(endpoint, review).start().await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let declined = Arc::new(Notify::new());
    let mut reviewers = Vec::new();
    for (name, language) in [("ann", "rust"), ("bob", "rust"), ("cleo", "python")] {
        reviewers.push(reviewer(name, language, declined.clone(), folder.path()).await?);
    }
    let author = node("author", folder.path())?.start().await?;
    if !author.wait_until(LIMIT, |peers| peers.len() == 3).await {
        return Err("the author has not found the reviewers".into());
    }

    let mut talk = author.broadcast("review", ("rust", "+ let a = 1;\n+ let b = 2;")).await?;
    println!("author: told {} members, who tell the others", talk.reached());
    // A conversation has no end of its own: who opened it decides when it has heard enough.
    let (mut heard, mut replies) = (Vec::new(), 0);
    while replies < 2 {
        let event = timeout(LIMIT, talk.next()).await?.ok_or("the node has stopped")?;
        let words = match &event.said {
            Said::Progress(text) => text.clone(),
            Said::Reply(value) => value.to_string(),
            _ => String::new(),
        };
        println!("author hears: {} {} {words}", event.author.name, event.said.kind());
        replies += usize::from(matches!(event.said, Said::Reply(_)));
        heard.push(format!("{} {}", event.author.name, event.said.kind()));
    }
    timeout(LIMIT, declined.notified()).await?;
    println!("cleo has declined, unheard");
    talk.close().await?;

    author.shutdown().await;
    futures::future::join_all(reviewers.iter().map(Node::shutdown)).await;
    heard.sort();
    let expected = ["ann ack", "ann progress", "ann reply", "author broadcast", "bob ack", "bob progress", "bob reply"];
    if heard == expected { Ok(()) } else { Err(format!("not as expected: {heard:?}").into()) }
}
