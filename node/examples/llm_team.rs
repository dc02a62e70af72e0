//! A team of language models: each answers questions to the swarm with its own instructions, by
//! `POST {OPENAI_BASE_URL}/chat/completions` (`OPENAI_API_KEY`, `OPENAI_MODEL`); a stub model stands in without one.
//! Run it with `cargo run -p p2pnode --example llm_team`. For a model on this host, the address is such as
//! `http://localhost:11434/v1`; for one at `https://`, minreq needs its feature `https-rustls`.

use std::{env, error::Error, io, time::Duration};

use futures::StreamExt;
use p2pnode::{Ask, AskEvent, HandlerError, Node, Paths, presets};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::{net::TcpListener, task::spawn_blocking};

/// Puts a question to the model; blocks the thread.
fn complete(base: &str, system: &str, question: &str) -> Result<String, HandlerError> {
    let (key, model) = (env::var("OPENAI_API_KEY").unwrap_or_default(), env::var("OPENAI_MODEL").unwrap_or_default());
    let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": question}]);
    let post = minreq::post(format!("{base}/chat/completions")).with_header("Authorization", format!("Bearer {key}"));
    let response = post.with_timeout(60).with_json(&json!({"model": model, "messages": messages}))?.send()?;
    let said = response.json::<Json>()?;
    let words = said["choices"][0]["message"]["content"].as_str().map(str::to_owned);
    words.ok_or_else(|| HandlerError::new(format!("the model says {}: {said}", response.status_code)))
}

/// A model that repeats what it was told: as much of HTTP as `complete` needs.
async fn stub(listener: TcpListener) -> io::Result<()> {
    loop {
        let mut stream = BufReader::new(listener.accept().await?.0);
        let (mut line, mut length) = (String::new(), 0);
        while stream.read_line(&mut line).await? > 2 {
            let header = std::mem::take(&mut line).to_lowercase();
            length = header.strip_prefix("content-length:").map_or(length, |n| n.trim().parse().unwrap_or(0));
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        let said = &serde_json::from_slice::<Json>(&body)?["messages"];
        let words = format!("{} You ask: {}", said[0]["content"], said[1]["content"]);
        let body = json!({"choices": [{"message": {"content": words}}]}).to_string();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await?;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let own = format!("http://{}", listener.local_addr()?);
    let start_stub = |_| {
        tokio::spawn(stub(listener));
        own
    };
    let base: &'static str = env::var("OPENAI_BASE_URL").unwrap_or_else(start_stub).leak(); // for all handlers

    // This example keeps to itself; real programs use `presets::Lan` and set no paths.
    let (folder, swarm) = (tempfile::tempdir()?, format!("llm-team-{}", std::process::id()));
    let paths = Paths::in_folder(folder.path())?;
    let member = |name| Node::builder(presets::Loopback).paths(paths.clone()).swarm(&swarm).name(name);
    let mut team = vec![member("asker").start().await?];
    for (name, system) in [("critic", "You see what may go wrong."), ("poet", "You answer in one verse.")] {
        let answer = move |cx: Ask, question: String| async move {
            cx.ack().await?;
            spawn_blocking(move || complete(base, system, &question)).await?
        };
        team.push(member(name).role(name).description(system).ask(answer).start().await?);
    }

    team[0].wait_until(Duration::from_secs(10), |peers| peers.len() == 2).await;
    let mut asked = team[0].ask(&swarm, "Shall we plant pears?").replies(2).timeout(Duration::from_secs(90)).await?;
    while let Some(event) = asked.next().await {
        match event {
            AskEvent::Ack { peer, .. } => println!("{} is thinking", peer.name),
            AskEvent::Reply { peer, result, .. } => println!("{}: {}", peer.name, result.as_str().unwrap_or_default()),
            other => println!("{other:?}"),
        }
    }
    let replies = asked.outcome().await.map_or(0, |outcome| outcome.replies);
    futures::future::join_all(team.iter().map(Node::shutdown)).await;
    if replies == 2 { Ok(()) } else { Err(format!("{replies} answered instead of 2").into()) }
}
