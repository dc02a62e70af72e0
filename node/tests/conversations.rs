//! What is said to a swarm, between nodes of the library on this host.

use std::{collections::BTreeMap, time::Duration};

use futures::{Stream, StreamExt};
use p2pnode::{
    Ask, AskEvent, Context, ConversationEvent, Endpoint, HandlerError, Node, NodeEvent, Paths, PeerId, Said, Value,
    presets,
};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

mod common;
use common::{Host, LIMIT, acquainted};

async fn next<S: Stream + Unpin>(stream: &mut S) -> S::Item {
    timeout(LIMIT, stream.next()).await.expect("in time").expect("the stream goes on")
}

fn worker(host: &Host, name: &'static str) -> p2pnode::Builder {
    host.builder(name)
        .endpoint(Endpoint::new("review"), move |cx: Context, (text,): (String,)| async move {
            match text.as_str() {
                "decline" => Err(HandlerError::decline()),
                "fail" => Err(HandlerError::new(format!("{name} cannot"))),
                "twice" => {
                    cx.reply("one").await?;
                    cx.reply("two").await?;
                    Ok(json!("not said"))
                }
                "silent" => Ok(json!(null)),
                _ => {
                    cx.progress("reading").await?;
                    Ok(json!(format!("{name} read {text}")))
                }
            }
        })
        .ask(move |cx: Ask, task: String| async move {
            cx.ack().await?;
            Ok(format!("{name} heard {task}"))
        })
}

/// Events of one conversation as `author kind`, until there are so many.
async fn collect(stream: &mut (impl Stream<Item = ConversationEvent> + Unpin), count: usize) -> Vec<String> {
    let mut got = Vec::new();
    while got.len() < count {
        let event = next(stream).await;
        got.push(format!("{} {}", event.author.name, event.said.kind()));
    }
    got.sort();
    got
}

#[tokio::test]
async fn a_broadcast_is_answered_in_its_conversation_and_everybody_sees_it() {
    let host = Host::new();
    let asker = host.builder("asker").start().await.expect("started");
    let (a, b) =
        (worker(&host, "a").start().await.expect("started"), worker(&host, "b").start().await.expect("started"));
    let witness = host.builder("witness").start().await.expect("started");
    acquainted(&[&asker, &a, &b, &witness]).await;

    let mut seen = witness.events();
    let mut talk = asker.broadcast("review", "this diff").await.expect("sent");
    let expected = ["a ack", "a progress", "a reply", "asker broadcast", "b ack", "b progress", "b reply"];
    let id = talk.id();
    assert_eq!(collect(&mut talk, 7).await, expected);
    let mut witnessed = Vec::new();
    while witnessed.len() < 7 {
        if let NodeEvent::Conversation(event) = next(&mut seen).await {
            assert_eq!(event.conversation, id);
            witnessed.push(format!("{} {}", event.author.name, event.said.kind()));
        }
    }
    witnessed.sort();
    assert_eq!(witnessed, expected, "who says nothing sees the same");
}

/// Two that know a third, and cannot reach each other: where the author is stays unknown.
#[tokio::test]
async fn a_public_endpoint_serves_members_wherever_they_are() {
    let host = Host::new();
    let middle = host.builder("middle").start().await.expect("started");
    let seeds: Vec<_> = middle.listen_addrs().into_iter().filter_map(|addr| addr.to_string().parse().ok()).collect();
    let apart = |name| host.builder(name).local(false).dht(false).bootstrap(seeds.clone());
    let asker = apart("asker").start().await.expect("started");
    let echo = |_: Context, (text,): (String,)| async move { Ok(text) };
    let far = apart("far").endpoint(Endpoint::new("open").public(), echo).endpoint(Endpoint::new("near"), echo);
    let far = far.start().await.expect("started");
    for node in [&asker, &far] {
        assert!(node.wait_until(LIMIT, |peers| peers.len() == 1).await, "{} sees {:?}", node.name(), node.peers());
    }
    let mut near = asker.broadcast("near", "hello").await.expect("sent");
    let mut open = asker.broadcast("open", "hello").await.expect("sent");
    assert_eq!(collect(&mut open, 2).await, ["asker broadcast", "far reply"]);
    assert_eq!(collect(&mut near, 1).await, ["asker broadcast"]);
    let more = timeout(Duration::from_millis(300), near.next()).await;
    assert!(more.is_err(), "the other is for those who are near: {more:?}");
}

#[tokio::test]
async fn handlers_may_decline_fail_say_nothing_or_answer_twice() {
    let host = Host::new();
    let asker = host.builder("asker").start().await.expect("started");
    let a = worker(&host, "a").start().await.expect("started");
    acquainted(&[&asker, &a]).await;
    let mut said: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for text in ["decline", "silent", "fail", "twice"] {
        let mut talk = asker.broadcast("review", text).await.expect("sent");
        let own = next(&mut talk).await;
        assert!(own.own && matches!(own.said, Said::Broadcast { .. }));
        // What comes within a moment: the two that say nothing must stay silent.
        let moment = if matches!(text, "decline" | "silent") { Duration::from_millis(300) } else { LIMIT };
        let wanted = match text {
            "twice" => 2,
            "fail" => 1,
            _ => 3,
        };
        while said.get(text).map_or(0, Vec::len) < wanted {
            let Ok(Some(event)) = timeout(moment, talk.next()).await else { break };
            let words = match event.said {
                Said::Reply(value) => value.to_string(),
                Said::Failed(error) => error.message,
                other => other.kind().to_owned(),
            };
            said.entry(text).or_default().push(words);
        }
    }
    assert_eq!(said.get("fail"), Some(&vec!["a cannot".to_owned()]));
    assert_eq!(said.get("twice"), Some(&vec!["\"one\"".to_owned(), "\"two\"".to_owned()]));
    assert_eq!(said.len(), 2, "{said:?}");
}

#[tokio::test]
async fn a_question_to_the_swarm_is_heard_by_all_and_answered_once() {
    let host = Host::new();
    let (a, b) =
        (worker(&host, "a").start().await.expect("started"), worker(&host, "b").start().await.expect("started"));
    let witness = host.builder("witness").start().await.expect("started");
    acquainted(&[&a, &b, &witness]).await;
    let mut seen = witness.events();
    let asker = Node::builder(presets::Command)
        .paths(Paths::in_folder(host.0.path()).expect("paths"))
        .mdns(false)
        .gossip(true)
        .swarm("garden")
        .start()
        .await
        .expect("started");
    let mut asked = asker.ask("garden", "who?").await.expect("asked");
    let mut got = Vec::new();
    while let Some(event) = timeout(LIMIT, asked.next()).await.expect("in time") {
        got.push(match event {
            AskEvent::Ack { peer, .. } => format!("{} ack", peer.name),
            AskEvent::Reply { peer, result, .. } => format!("{} {result}", peer.name),
            other => format!("{other:?}"),
        });
    }
    got.sort();
    assert_eq!(got, ["a \"a heard who?\"", "a ack", "b \"b heard who?\"", "b ack"]);
    let outcome = asked.outcome().await.expect("an outcome");
    assert_eq!((outcome.replies, outcome.acks), (2, 2));
    let mut witnessed = Vec::new();
    while witnessed.len() < 5 {
        if let NodeEvent::Conversation(event) = next(&mut seen).await {
            witnessed.push(event.said.kind().to_owned());
        }
    }
    witnessed.sort();
    assert_eq!(witnessed, ["ack", "ack", "ask", "reply", "reply"]);
}

#[tokio::test]
async fn an_ask_that_has_enough_stops_the_others() {
    let host = Host::new();
    let (sender, mut cancelled) = mpsc::channel(1);
    let slow = host
        .builder("slow")
        .ask(move |cx: Ask, _: String| {
            let sender = sender.clone();
            async move {
                cx.ack().await?;
                // The future is dropped at the end of the ask: so is this.
                let _guard = Told(sender);
                std::future::pending::<()>().await;
                Ok(())
            }
        })
        .start()
        .await
        .expect("started");
    let quick = worker(&host, "quick").start().await.expect("started");
    let asker = host.builder("asker").start().await.expect("started");
    acquainted(&[&asker, &slow, &quick]).await;
    let mut asked = asker.ask("garden", "x").replies(1).await.expect("asked");
    let outcome = timeout(LIMIT, asked.outcome()).await.expect("in time").expect("an outcome");
    assert_eq!(outcome.replies, 1);
    timeout(LIMIT, cancelled.recv()).await.expect("the slow one is told").expect("once");
}

struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

#[tokio::test]
async fn some_members_alone_may_be_asked() {
    let host = Host::new();
    let (a, b) =
        (worker(&host, "a").start().await.expect("started"), worker(&host, "b").start().await.expect("started"));
    let asker = host.builder("asker").start().await.expect("started");
    acquainted(&[&asker, &a, &b]).await;
    let mut heard = b.events();
    let only: Vec<PeerId> = vec![a.peer_id()];
    let mut asked = asker.ask("garden", "you").only(only).await.expect("asked");
    let outcome = timeout(LIMIT, asked.outcome()).await.expect("in time").expect("an outcome");
    assert_eq!((outcome.members, outcome.replies), (1, 1));
    // What b has heard since comes before this.
    asker.emit("after", &1).await.expect("sent");
    loop {
        match next(&mut heard).await {
            NodeEvent::Conversation(event) if matches!(&event.said, Said::Emitted { .. }) => break,
            NodeEvent::Conversation(event) => panic!("b has heard {event:?}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn emitted_events_reach_those_who_subscribe() {
    let host = Host::new();
    let (a, b) = (host.builder("a").start().await.expect("started"), host.builder("b").start().await.expect("started"));
    acquainted(&[&a, &b]).await;
    let (sender, mut hooked) = mpsc::channel(8);
    let _hook = b
        .on("document.*", move |event| {
            let sender = sender.clone();
            async move {
                let _ = sender.send(event.name()).await;
            }
        })
        .expect("a pattern");
    let mut all = b.subscribe("document.>").expect("a pattern");
    for subject in ["other", "document.uploaded", "document.page.read", "peer.joined"] {
        a.emit(subject, &json!({"name": "q.pdf"})).await.expect("sent");
    }
    for wanted in ["document.uploaded", "document.page.read"] {
        let event = next(&mut all).await;
        assert_eq!((event.author.id, event.author.name.as_str()), (a.peer_id(), "a"));
        let Said::Emitted { subject, data } = event.said else { panic!("{event:?}") };
        assert_eq!((subject.as_str(), &data["name"]), (wanted, &Value::from("q.pdf")));
    }
    assert_eq!(timeout(LIMIT, hooked.recv()).await.expect("in time"), Some(Some("document.uploaded".into())));
    assert!(a.emit("no subject", &1).await.is_err());
    assert!(b.subscribe("a.>.b").is_err());
}

#[tokio::test]
async fn what_is_too_large_for_an_event_says_so_but_a_question_goes_by_mail() {
    let host = Host::new();
    let asker = host.builder("asker").start().await.expect("started");
    let a = worker(&host, "a").start().await.expect("started");
    acquainted(&[&asker, &a]).await;
    let large = "x".repeat(100_000);
    let error = asker.broadcast("review", large.as_str()).await.expect_err("too large").to_string();
    assert!(error.contains("65536") && error.contains("100"), "{error}");
    let mut asked = asker.ask("garden", large).await.expect("asked");
    let outcome = timeout(LIMIT, asked.outcome()).await.expect("in time").expect("an outcome");
    assert_eq!(outcome.replies, 1);
}
