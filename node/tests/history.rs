//! What was said stays, and who comes late has it too.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt;
use p2pnode::{
    Compaction, Condensed, Context, ConversationId, Endpoint, EventId, Folding, HandlerError, History, KeptEntry,
    KeptEvent, Limits, Node, NodeEvent, Paths, Retention, Said, Value, kwargs, presets,
    store::{
        ConversationQuery, EventQuery, OutboxQuery, SearchQuery,
        search::{Join, Search},
    },
};
use serde_json::json;

mod common;
use common::{Host, LIMIT, acquainted, until};

async fn start(host: &Host, name: &str) -> Node {
    let answer = |_: Context, (text,): (String,)| async move { Ok(format!("read {text}")) };
    host.builder(name).endpoint(Endpoint::new("review"), answer).start().await.expect("started")
}

/// All that a node keeps.
async fn kept(node: &Node) -> BTreeSet<EventId> {
    let query = EventQuery { limit: 10_000, ..EventQuery::default() };
    let events = node.history().expect("it keeps").events(query).await.expect("it reads");
    events.into_iter().filter(|kept| !kept.live).map(|kept| kept.event.id).collect()
}

#[tokio::test]
async fn who_comes_late_has_what_was_said_before() {
    let host = Host::new();
    let (fern, moss) = (start(&host, "fern").await, start(&host, "moss").await);
    acquainted(&[&fern, &moss]).await;
    let mut conversations = Vec::new();
    for number in 0..20 {
        let talk = fern.broadcast("review", format!("diff {number}")).await.expect("said");
        conversations.push(talk.id());
        moss.emit("diff.seen", &json!({ "number": number })).await.expect("said");
    }
    until("20 broadcasts, answers and emits", async || kept(&fern).await.len() >= 60 && kept(&moss).await.len() >= 60)
        .await;
    let late = host.builder("late").start().await.expect("started");
    until("all keep the same", async || {
        let (fern, late) = (kept(&fern).await, kept(&late).await);
        !late.is_empty() && fern == late
    })
    .await;
    let history = late.history().expect("it keeps");
    let said = history.conversation(conversations[7]).await.expect("it reads");
    let kinds: Vec<&str> = said.iter().map(|kept| kept.event.said.kind()).collect();
    assert_eq!(kinds, ["broadcast", "reply"]);
    let Said::Reply(value) = &said[1].event.said else { panic!("a reply") };
    assert_eq!((value.as_str(), said[1].event.author.name.as_str()), (Some("read diff 7"), "moss"));
    let found = history.conversations(ConversationQuery { limit: 100, ..ConversationQuery::default() }).await;
    let found: BTreeSet<ConversationId> = found.expect("it reads").into_iter().map(|row| row.id).collect();
    assert!(conversations.iter().all(|id| found.contains(id)));
}

#[tokio::test]
async fn what_one_command_nodes_say_is_kept_for_a_moment_and_told_to_nobody() {
    let host = Host::new();
    let (fern, moss) = (start(&host, "fern").await, start(&host, "moss").await);
    acquainted(&[&fern, &moss]).await;
    let guest = Node::builder(presets::Command)
        .paths(Paths::in_folder(host.0.path()).expect("paths"))
        .swarm("garden")
        .local(true)
        .mdns(false)
        .gossip(true)
        .start()
        .await
        .expect("started");
    assert!(guest.wait_until(LIMIT, |peers| peers.len() == 2).await);
    guest.emit("guest.said", &1).await.expect("said");
    moss.emit("moss.said", &1).await.expect("said");
    let all = async |node: &Node| {
        let query = EventQuery { limit: 100, ..EventQuery::default() };
        node.history().expect("it keeps").events(query).await.expect("it reads")
    };
    until("both are heard", async || all(&fern).await.len() == 2).await;
    let live: Vec<bool> = all(&fern).await.iter().map(|kept| kept.live).collect();
    assert_eq!(live.iter().filter(|live| **live).count(), 1);
    assert!(guest.history().is_none());
    let late = start(&host, "late").await;
    until("the late one has caught up", async || !kept(&late).await.is_empty()).await;
    assert_eq!(all(&late).await.len(), 1);
}

/// A node with a disk, which can be stopped and started again.
fn on_disk(host: &Host, name: &str) -> p2pnode::Builder {
    let folder = host.0.path().join(name);
    let profile = p2pnode::Profile::open(&Paths::in_folder(folder).expect("paths"), "default").expect("a profile");
    host.builder(name).profile(profile)
}

#[tokio::test]
async fn a_clean_stop_goes_on_with_its_feed_and_keeps_what_was_said() {
    let host = Host::new();
    let moss = start(&host, "moss").await;
    let mut feeds = BTreeSet::new();
    for run in 0..3_u64 {
        let fern = on_disk(&host, "fern").start().await.expect("started");
        acquainted(&[&fern, &moss]).await;
        let said = run * 2;
        let before = kept(&fern).await.len() as u64;
        assert!(before >= said, "{before} of {said} are there after {run} runs");
        fern.emit("run.began", &run).await.expect("said");
        let history = fern.history().expect("it keeps");
        until("it is kept", async || kept(&fern).await.len() as u64 > before).await;
        let query = EventQuery { limit: 1, ..EventQuery::default() };
        let last = history.events(query).await.expect("it reads").remove(0);
        feeds.insert(last.event.feed.0);
        // The goodbye is an event too.
        fern.shutdown().await;
    }
    assert_eq!(feeds.len(), 1, "one feed over three runs");
    until("the other has all", async || kept(&moss).await.len() == 6).await;
}

#[tokio::test]
async fn what_is_named_is_removed_and_the_file_is_read_without_a_node() {
    let host = Host::new();
    let (fern, moss) = (
        on_disk(&host, "fern").start().await.expect("started"),
        on_disk(&host, "moss").start().await.expect("started"),
    );
    acquainted(&[&fern, &moss]).await;
    fern.emit("garden.light", &json!("the sunrise")).await.expect("said");
    until("both keep it", async || kept(&fern).await.len() == 1 && kept(&moss).await.len() == 1).await;
    let history = moss.history().expect("it keeps");
    let search = SearchQuery {
        search: Search::parse("sunrise", Join::All).expect("a search"),
        swarm: None,
        author: None,
        since_ms: None,
        limit: 10,
    };
    let found = history.search(search).await.expect("it reads");
    assert!(matches!(&found[..], [KeptEntry::Event(kept)] if kept.text().contains("sunrise")), "{found:?}");
    let nothing = Retention { bytes: 0, ..Retention::default() };
    let surplus = history.surplus(nothing).await.expect("it reads");
    assert_eq!((surplus.len(), surplus[0].events, surplus[0].author.name.as_str()), (1, 1, "fern"));
    // What comes after the plan stays.
    fern.emit("garden.light", &json!("noon")).await.expect("said");
    until("moss has it", async || kept(&moss).await.len() == 2).await;
    history.cleanup(surplus).await.expect("removed");
    assert_eq!(kept(&moss).await.len(), 1);
    fern.shutdown().await;
    drop((fern, history));
    moss.shutdown().await;
    for name in ["fern", "moss"] {
        let path = host.0.path().join(name).join("data").join("default").join("node.db");
        let read = History::open(path).await.expect("it is read");
        let events = read.events(EventQuery { limit: 10, ..EventQuery::default() }).await.expect("it reads");
        assert!(events.iter().all(|kept| kept.event.swarm == "garden"), "{events:?}");
        assert!(read.cleanup(Vec::new()).await.is_err(), "only a node removes");
    }
}

/// The ids of what is told of a conversation besides its summary.
fn told(condensed: &Condensed) -> Vec<&Value> {
    condensed.first.iter().chain(&condensed.recent).filter_map(number).collect()
}

fn number(kept: &KeptEvent) -> Option<&Value> {
    match &kept.event.said {
        Said::Emitted { data, .. } => Some(data),
        _ => None,
    }
}

#[tokio::test]
async fn a_long_conversation_is_folded_and_nothing_of_it_is_lost() {
    let host = Host::new();
    let moss = start(&host, "moss").await;
    let compaction = Compaction { above: Some(20), keep_recent: 5 };
    let limits = Limits { compaction, ..Limits::default() };
    let told_of = |folding: Folding| async move {
        let before = folding.before.map(|summary| format!("{} + ", summary.text)).unwrap_or_default();
        Ok(format!("{before}{}", folding.events.len()))
    };
    let fern = host.builder("fern").limits(limits).summarizer(told_of).start().await.expect("started");
    acquainted(&[&fern, &moss]).await;
    let mut events = fern.events();
    let talk = ConversationId::new();
    let now_ms = || std::time::UNIX_EPOCH.elapsed().expect("a clock").as_millis();
    let say = async |n: u64| {
        moss.emit("step", &n).conversation(talk).await.expect("said");
        let said = now_ms();
        // Those of one millisecond are in no order.
        until("a millisecond is over", async || now_ms() > said).await;
    };
    for n in 0..20 {
        say(n).await;
    }
    let history = fern.history().expect("it keeps");
    let all = async || history.conversation(talk).await.expect("it reads").len();
    until("20 events", async || all().await == 20).await;
    let condensed = history.condensed(talk).await.expect("it reads");
    assert_eq!((condensed.summary.is_none(), told(&condensed).len()), (true, 20), "20 are not too long");
    say(20).await;
    let compacted = async {
        loop {
            if let Some(NodeEvent::Compacted { conversation, summary, .. }) = events.next().await {
                return (conversation, summary);
            }
        }
    };
    let (conversation, summary) = tokio::time::timeout(LIMIT, compacted).await.expect("it is folded");
    assert_eq!((conversation, summary.text.as_str(), summary.events), (talk, "15", 15));
    let condensed = history.condensed(talk).await.expect("it reads");
    assert_eq!(told(&condensed), [0, 16, 17, 18, 19, 20].map(Value::from).each_ref());
    assert_eq!(all().await, 21, "what is folded is kept");
    // By hand, with the summary before it at hand.
    let again = history.compact(talk, 2).await.expect("folded").expect("there is something");
    assert_eq!((again.text.as_str(), again.events), ("15 + 3", 18));
    assert_eq!(history.compact(talk, 2).await.expect("looked"), None);
    assert_eq!(told(&history.condensed(talk).await.expect("it reads")), [0, 19, 20].map(Value::from).each_ref());
    // The other one has no summariser and folds only by hand.
    let theirs = moss.history().expect("it keeps");
    let plain = theirs.compact(talk, 5).await.expect("folded").expect("there is something");
    assert!(plain.text.starts_with("(15 emit)\nmoss emit: step 1"), "{}", plain.text);
}

#[tokio::test]
async fn a_summariser_that_fails_changes_nothing() {
    let host = Host::new();
    let failing = |_: Folding| async move { Err(HandlerError::new("no model today")) };
    let fern = host.builder("fern").summarizer(failing).start().await.expect("started");
    let talk = ConversationId::new();
    for n in 0..5_u64 {
        fern.emit("step", &n).conversation(talk).await.expect("said");
    }
    let history = fern.history().expect("it keeps");
    until("5 events", async || history.conversation(talk).await.expect("it reads").len() == 5).await;
    let failed = history.compact(talk, 1).await.expect_err("it fails");
    assert!(failed.to_string().contains("no model today"), "{failed}");
    let condensed = history.condensed(talk).await.expect("it reads");
    assert_eq!((condensed.summary.is_none(), told(&condensed).len()), (true, 5));
}

#[derive(serde::Deserialize)]
struct Page {
    events: Vec<BTreeMap<String, Value>>,
    more: bool,
}

#[tokio::test]
async fn a_program_reads_a_conversation_by_calls() {
    let host = Host::new();
    let (fern, moss) = (start(&host, "fern").await, start(&host, "moss").await);
    acquainted(&[&fern, &moss]).await;
    let talk = ConversationId::new();
    for n in 0..3_u64 {
        fern.emit("step", &n).conversation(talk).await.expect("said");
    }
    let mail = fern.mail().expect("it keeps");
    mail.send("moss", "for you alone").conversation(talk).await.expect("accepted");
    mail.send("moss", "and this").await.expect("accepted");
    let settled =
        async || mail.outbox(OutboxQuery::default()).await.expect("it reads").iter().all(|m| m.state.is_settled());
    until("moss has all", async || kept(&moss).await.len() == 3 && settled().await).await;
    let listed: Vec<BTreeMap<String, Value>> = fern.call("moss", "_node.conversation.list", ()).await.expect("listed");
    let named: Vec<Option<&str>> = listed.iter().map(|one| one["conversation"].as_str()).collect();
    assert_eq!(named, [Some(talk.to_string().as_str())]);
    let read = async |after: &str| -> Page {
        let id = talk.to_string();
        match after {
            "" => fern.call("moss", "_node.conversation.sync", kwargs! { conversation: id }).await.expect("read"),
            after => {
                let args = kwargs! { conversation: id, after: after };
                fern.call("moss", "_node.conversation.sync", args).await.expect("read")
            }
        }
    };
    let Page { events, more } = read("").await;
    assert_eq!((events.len(), more), (3, false), "{events:?}");
    assert_eq!((events[0]["name"].as_str(), events[0]["kind"].as_str()), (Some("fern"), Some("emit")));
    let Page { events: rest, .. } = read(events[0]["id"].as_str().expect("text")).await;
    assert_eq!(rest.len(), 2, "{rest:?}");
    let refused = fern.call::<Value>("moss", "_node.conversation.sync", ("nonsense",)).await.expect_err("refused");
    assert!(refused.to_string().contains("no id of a conversation"), "{refused}");
}
