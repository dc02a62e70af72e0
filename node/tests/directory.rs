//! Who is who: names that are held, teams, peers that are blocked, those who take work.

mod common;

use std::slice;

use common::{Host, LIMIT, acquainted, until};
use futures::StreamExt;
use p2pnode::{
    Ask, AskEvent, Availability, Context, Endpoint, Node, NodeEvent, PeerRef, PeerState, Query, TargetError,
    store::{Options, Store},
};

async fn sum(host: &Host, name: &str) -> Node {
    let sum = |_: Context, (a, b): (i64, i64)| async move { Ok(a + b) };
    host.builder(name)
        .capability("math")
        .endpoint(Endpoint::new("sum").tag("numbers"), sum)
        .start()
        .await
        .expect("starts")
}

#[tokio::test]
async fn whoever_takes_the_name_of_one_that_is_away_is_not_called() {
    let (host, folder) = (Host::new(), tempfile::tempdir().expect("a folder"));
    let open = || Store::open(&folder.path().join("node.db"), &Options::default()).expect("opens");
    let caller = host.builder("caller").store(open()).start().await.expect("starts");
    let mut events = caller.events();
    let first = sum(&host, "calc").await;
    acquainted(&[&caller, &first]).await;
    assert_eq!(caller.call("calc", "sum", (1, 2)).await.map(|three: i64| three), Ok(3));
    let bearer = first.peer_id();
    // Without a goodbye: the last handle is gone.
    drop(first);
    let gone = |peers: &[p2pnode::Peer]| peers.iter().all(|peer| peer.id != bearer || peer.state != PeerState::Online);
    assert!(caller.wait_until(LIMIT, gone).await);

    let second = sum(&host, "calc").await;
    let there = |peers: &[p2pnode::Peer]| peers.iter().any(|peer| peer.id == second.peer_id());
    assert!(caller.wait_until(LIMIT, there).await);
    let warned = async {
        while let Some(event) = events.next().await {
            if matches!(&event, NodeEvent::Warning(text) if text.contains("names forget calc")) {
                return;
            }
        }
    };
    tokio::time::timeout(LIMIT, warned).await.expect("a warning");
    let refused = |error: &TargetError| match error {
        TargetError::Ambiguous { candidates, .. } => candidates.iter().map(|c| c.id).collect::<Vec<_>>(),
        other => panic!("{other}"),
    };
    let error = caller.peer("calc").await.expect_err("not silently");
    let both = refused(&error);
    assert!(both.len() == 2 && both.contains(&bearer) && both.contains(&second.peer_id()), "both are named: {both:?}");
    assert!(caller.call::<i64>("calc", "sum", (1, 2)).await.is_err());
    assert_eq!(caller.call(second.peer_id(), "sum", (1, 2)).await.map(|three: i64| three), Ok(3), "by its id");

    // It lasts.
    caller.shutdown().await;
    let caller = host.builder("caller").store(open()).start().await.expect("starts");
    acquainted(&[&caller, &second]).await;
    assert_eq!(refused(&caller.peer("calc").await.expect_err("still")).len(), 2);
    assert_eq!(caller.names().iter().find(|name| name.name == "calc").map(|name| name.peer), Some(bearer));
    assert_eq!(caller.forget_name("calc").await.expect("kept"), 1);
    assert_eq!(caller.call("calc", "sum", (1, 2)).await.map(|three: i64| three), Ok(3));
}

#[tokio::test]
async fn a_program_that_is_started_again_keeps_its_callers() {
    let host = Host::new();
    let caller = host.builder("caller").start().await.expect("starts");
    for _ in 0..2 {
        let calc = sum(&host, "calc").await;
        let there = |peers: &[p2pnode::Peer]| peers.iter().any(|peer| peer.id == calc.peer_id());
        assert!(caller.wait_until(LIMIT, there).await);
        assert_eq!(caller.call("calc", "sum", (1, 2)).await.map(|three: i64| three), Ok(3));
        let id = calc.peer_id();
        calc.shutdown().await;
        let left = |peers: &[p2pnode::Peer]| peers.iter().all(|peer| peer.id != id || peer.state == PeerState::Offline);
        assert!(caller.wait_until(LIMIT, left).await);
    }
}

#[tokio::test]
async fn a_blocked_peer_is_not_there() {
    let (host, folder) = (Host::new(), tempfile::tempdir().expect("a folder"));
    let open = || Store::open(&folder.path().join("node.db"), &Options::default()).expect("opens");
    let node = host.builder("node").store(open()).start().await.expect("starts");
    let nuisance = sum(&host, "nuisance").await;
    let friend = host.builder("friend").start().await.expect("starts");
    acquainted(&[&node, &nuisance, &friend]).await;
    let mut heard = node.subscribe("note").expect("a subject");
    let mut passed_on = friend.subscribe("note").expect("a subject");
    let blocks = node.blocks().expect("a store");
    let named = PeerRef { id: nuisance.peer_id(), name: "nuisance".to_owned() };
    assert_eq!(blocks.add("nuisance").await.expect("known"), (named.clone(), true));
    assert_eq!(blocks.add(nuisance.peer_id()).await.expect("by its id"), (named.clone(), false));
    assert!(node.wait_until(LIMIT, |peers| peers.iter().all(|peer| peer.name != "nuisance")).await);
    assert!(blocks.add(node.peer_id()).await.is_err(), "not itself");
    nuisance.emit("note", &"from nuisance").await.expect("the friend takes it");
    // What the friend has told here it has passed on before.
    let brought = tokio::time::timeout(LIMIT, passed_on.next()).await.expect("in time").expect("an event");
    assert_eq!(brought.author.name, "nuisance");
    friend.emit("note", &"from friend").await.expect("sent");
    let first = tokio::time::timeout(LIMIT, heard.next()).await.expect("in time").expect("an event");
    assert_eq!(first.author.name, "friend", "what the nuisance says is not told");
    assert!(node.call::<i64>(nuisance.peer_id(), "sum", (1, 2)).await.is_err());
    assert!(nuisance.call::<i64>(node.peer_id(), "_node.ping", ()).await.is_err(), "nor does it come in");

    node.shutdown().await;
    let node = host.builder("node").store(open()).start().await.expect("starts");
    assert!(node.wait_until(LIMIT, |peers| peers.iter().any(|peer| peer.name == "friend")).await);
    let blocks = node.blocks().expect("a store");
    assert_eq!(blocks.list().await.expect("read"), slice::from_ref(&named));
    assert!(node.peers().iter().all(|peer| peer.name != "nuisance"), "over a restart");
    assert_eq!(blocks.remove("nuisance").await.expect("by its name, though it is not here"), (named, true));
    assert!(node.wait_until(LIMIT, |peers| peers.iter().any(|peer| peer.name == "nuisance")).await);
}

#[tokio::test]
async fn a_team_alone_acts_on_what_is_said_to_it() {
    let host = Host::new();
    let member = |name: &'static str, team: &'static str| {
        let ask = |cx: Ask, _: String| async move {
            cx.ack().await?;
            Ok(cx.node().map(|node| node.name().to_owned()))
        };
        let builder = host.builder(name).ask(ask);
        if team.is_empty() { builder } else { builder.team(team) }
    };
    let asker = host.builder("asker").start().await.expect("starts");
    let back = member("back", "backend").start().await.expect("starts");
    let front = member("front", "frontend").start().await.expect("starts");
    let none = member("none", "").start().await.expect("starts");
    acquainted(&[&asker, &back, &front, &none]).await;
    let mut asked = asker.ask("garden/backend", "who is there?").await.expect("asked");
    let (mut acked, mut replied) = (Vec::new(), Vec::new());
    while let Some(event) = asked.next().await {
        match event {
            AskEvent::Ack { peer, .. } => acked.push(peer.name),
            AskEvent::Reply { peer, .. } => replied.push(peer.name),
            _ => {}
        }
    }
    assert_eq!((acked, replied), (vec!["back".to_owned()], vec!["back".to_owned()]));
    let team = Query { team: Some("backend".into()), ..Query::default() };
    let found: Vec<String> = asker.find(team).await.expect("found").into_iter().map(|one| one.peer.name).collect();
    assert_eq!(found, ["back"]);
    assert!(asker.ask("garden/no team", "?").await.is_err(), "no name of a team");
}

#[tokio::test]
async fn those_who_take_work_come_first() {
    let host = Host::new();
    let node = host.builder("node").start().await.expect("starts");
    let (one, two) = (sum(&host, "one").await, sum(&host, "two").await);
    acquainted(&[&node, &one, &two]).await;
    one.set_availability(Availability::Busy).await;
    let busy = |peers: &[p2pnode::Peer]| {
        peers.iter().any(|peer| peer.name == "one" && peer.availability == Availability::Busy)
    };
    assert!(node.wait_until(LIMIT, busy).await);
    let names = async |query: Query| -> Vec<String> {
        node.find(query).await.expect("found").into_iter().map(|one| one.peer.name).collect()
    };
    assert_eq!(names(Query::capability("math")).await, ["two", "one"]);
    assert_eq!(names(Query { available: true, ..Query::capability("math") }).await, ["two"]);
    assert_eq!(names(Query { skill: Some("numbers".into()), limit: 1, ..Query::default() }).await, ["two"]);
    assert_eq!(names(Query::text("numbrs two")).await, ["two"], "misspelt, and by name");
    assert_eq!(node.peer("cap:math").await.expect("found").name, "two");
}

#[tokio::test]
async fn the_routing_table_outlives_a_restart() {
    let (host, folder) = (Host::new(), tempfile::tempdir().expect("a folder"));
    let open = || Store::open(&folder.path().join("node.db"), &Options::default()).expect("opens");
    let node = host.builder("node").store(open()).start().await.expect("starts");
    let (one, two) = (sum(&host, "one").await, sum(&host, "two").await);
    acquainted(&[&node, &one, &two]).await;
    until("both have answered", async || {
        let table = node.dht().table().await.expect("runs");
        table.iter().filter(|there| there.answered).count() == 2
    })
    .await;
    node.shutdown().await;
    one.shutdown().await;
    two.shutdown().await;
    let node = host.builder("node").store(open()).start().await.expect("starts");
    let table = node.dht().table().await.expect("runs");
    assert_eq!(table.len(), 2, "although nobody is there any more");
    assert!(table.iter().all(|there| !there.answered && !there.addresses.is_empty()), "{table:?}");
}
