//! What was said stays, and who comes late has it too.

use std::{collections::BTreeSet, time::Duration};

use p2pnode::{
    Context, ConversationId, Endpoint, EventId, History, KeptEntry, Node, Paths, Retention, Said, presets,
    store::{
        ConversationQuery, EventQuery, SearchQuery,
        search::{Join, Search},
    },
};
use serde_json::json;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn builder(&self, name: &str) -> p2pnode::Builder {
        Node::builder(presets::Loopback)
            .paths(Paths::in_folder(self.0.path()).expect("paths"))
            .swarm("garden")
            .name(name)
    }

    async fn start(&self, name: &str) -> Node {
        let answer = |_: Context, (text,): (String,)| async move { Ok(format!("read {text}")) };
        self.builder(name).endpoint(Endpoint::new("review"), answer).start().await.expect("started")
    }
}

async fn acquainted(nodes: &[&Node]) {
    for node in nodes {
        let others = nodes.len() - 1;
        assert!(node.wait_until(LIMIT, |peers| peers.len() >= others).await, "{} sees {:?}", node.name(), node.peers());
    }
}

/// All that a node keeps.
async fn kept(node: &Node) -> BTreeSet<EventId> {
    let query = EventQuery { limit: 10_000, ..EventQuery::default() };
    let events = node.history().expect("it keeps").events(query).await.expect("it reads");
    events.into_iter().filter(|kept| !kept.live).map(|kept| kept.event.id).collect()
}

/// Waits until a condition holds.
async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_comes_late_has_what_was_said_before() {
    let host = Host::new();
    let (fern, moss) = (host.start("fern").await, host.start("moss").await);
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
    let (fern, moss) = (host.start("fern").await, host.start("moss").await);
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
    let late = host.start("late").await;
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
    let moss = host.start("moss").await;
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
