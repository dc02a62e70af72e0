//! Peers of other implementations of libp2p, as their registries have them, are members of a swarm of ours.
//!
//! `tests/interop` has their programs, [docs/interop.md](../../docs/interop.md) says what they need. A peer serves
//! endpoints, and does what it is asked to by calls: so each test is the same for all of them, and each step of it is a
//! call of theirs. They are fetched with `P2PNODE_INTEROP=1`; where npm, Python or their registries are missing the tests say
//! so and are skipped, unless `P2PNODE_INTEROP=require`.

#[path = "interop/install.rs"]
mod install;

use install::Language;
use p2pnode_tests::{Background, Home, Node, SOON, until};
use serde_json::{Value, json};

/// A swarm of two nodes of ours, who know each other, and a peer of another kind that has dialled the first.
struct Meeting {
    home: Home,
    fern: Background,
    _moss: Background,
    name: &'static str,
    peer: Node,
}

fn one_of_theirs(language: Language, name: &'static str, home: &Home, entrance: &str) -> Option<Node> {
    let mut command = language.peer()?;
    command.args(["garden", name, entrance]).current_dir(home.path());
    let peer = Node::start(command);
    peer.wait_for("ready\n", SOON);
    Some(peer)
}

/// Where others can dial it.
fn entrance(node: &Background) -> String {
    let status = node.status();
    let listen = status["network"]["listen"].as_array().cloned().unwrap_or_default();
    let mut local = listen.iter().filter_map(Value::as_str).filter(|addr| addr.starts_with("/ip4/127.0.0.1/tcp/"));
    let addr = local.next().unwrap_or_else(|| panic!("it does not listen here: {status}"));
    format!("{addr}/p2p/{}", node.id)
}

impl Meeting {
    /// `None` where there is no such peer to be had.
    fn with(language: Language, name: &'static str) -> Option<Self> {
        // First, so that nothing runs while it is fetched.
        language.peer()?;
        let home = Home::new();
        let fern = home.detached(&["garden", "--demo", "--name", "fern"]);
        let moss = home.detached(&["garden", "--name", "moss"]);
        let peer = one_of_theirs(language, name, &home, &entrance(&fern))?;
        let meeting = Self { home, fern, _moss: moss, name, peer };
        for (node, other) in [("fern", "moss"), ("fern", name)] {
            meeting.sees(node, other);
        }
        Some(meeting)
    }

    /// What a command prints that goes through one of our nodes; `None` if it fails.
    fn tells(&self, node: &str, args: &[&str]) -> Option<Value> {
        let output = self.home.attached_as(node, &[&["--json"], args].concat());
        let told: Value = serde_json::from_str(&output.stdout).ok()?;
        (output.code == Some(0)).then(|| told["data"].clone())
    }

    #[track_caller]
    fn sees(&self, node: &str, other: &str) {
        let seen = until(SOON, || {
            let peers = self.tells(node, &["peers", "--online"])?;
            peers.as_array()?.iter().any(|peer| peer["name"] == other).then_some(())
        });
        assert!(seen.is_some(), "{node} does not see {other}: {:?}", self.tells(node, &["peers", "--all"]));
    }

    /// Lets the peer do something: a call of ours, which it answers.
    fn tries(&self, what: &str, args: &[&str]) -> Option<Value> {
        let told = self.tells("fern", &[&["call", self.name, what], args].concat())?;
        Some(told["result"].clone())
    }

    /// The same, until what it says is right.
    #[track_caller]
    fn until(&self, what: &str, args: &[&str], right: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let found = until(SOON, || {
            last = self.tries(what, args);
            last.clone().filter(|told| right(told))
        });
        found.unwrap_or_else(|| panic!("{what} {args:?}: {last:?}"))
    }
}

fn has(list: &Value, wanted: &str) -> bool {
    list.as_array().is_some_and(|list| list.iter().any(|one| one == wanted))
}

fn it_is_a_member_that_calls_and_is_called(language: Language, name: &'static str) {
    let Some(meeting) = Meeting::with(language, name) else { return };
    let fern = meeting.fern.id.as_str();
    // The envelope, and a value of each kind.
    let things = ["1", "\"two\"", "[3.5, null, true]", "{\"four\": 4}"];
    let told = meeting.tries("echo", &things).expect("it is called by its name");
    assert_eq!(told, json!([1, "two", [3.5, null, true], {"four": 4}]));
    // A program that is no member of anything calls it by its address.
    let said = meeting.peer.said();
    let addr = said.lines().find_map(|line| line.strip_prefix("listening ")).expect("its address");
    meeting.home.run(&["--no-local", "--swarm", "garden", "call", addr, "echo", "hello"]).exits(0).says("hello");

    // Its calls.
    assert_eq!(meeting.tries("call", &[fern, "sum", "20", "22"]), Some(json!(42)));
    let refused = meeting.home.attached_as("fern", &["call", name, "call", fern, "nothing"]);
    refused.exits(7).complains("ENDPOINT_NOT_FOUND");
    meeting.home.attached_as("fern", &["call", name, "nothing"]).exits(5);

    // Ping and identify of libp2p: what it learns of us, and we of it.
    assert!(meeting.tries("ping", &[fern]).is_some_and(|rtt| rtt.is_number()));
    let seen = meeting.until("identify", &[fern], |seen| has(&seen["protocols"], "/p2pnode/kad/1"));
    for protocol in ["/p2pnode/hello/1", "/p2pnode/rpc/1", "/meshsub/1.1.0", "/ipfs/ping/1.0.0"] {
        assert!(has(&seen["protocols"], protocol), "{seen}");
    }
    let agent = seen["agent"].as_str();
    assert!(agent.is_none_or(|agent| agent.starts_with("p2pnode/")), "{seen}");
    meeting.until("members", &[], |members| has(members, "fern"));
    let timed = until(SOON, || meeting.tells("fern", &["peer", name])?["rtt_ms"].as_f64());
    assert!(timed.is_some(), "it answers our ping");
    meeting.home.attached_as("fern", &["ping", name, "-c", "1"]).exits(0).says("pong");
}

fn it_hears_and_is_heard(language: Language, name: &'static str) {
    let Some(meeting) = Meeting::with(language, name) else { return };
    // What it says goes further: moss is not connected with it, or need not be.
    let arguments = ["--profile", "moss", "--daemon", "subscribe", "leaf.>", "--json", "--count", "1"];
    let mut subscriber = Node::start(meeting.home.command(arguments));
    subscriber.wait_for("\"kind\":\"subscribed\"", SOON);
    meeting.until("emit", &["leaf.fell", "{\"colour\": \"red\"}"], |_| subscriber.said().contains("leaf.fell"));
    assert_eq!(subscriber.wait(SOON), Some(0));
    let said = subscriber.said();
    assert!(said.contains(&format!("\"name\":\"{name}\"")) && said.contains("{\"colour\":\"red\"}"), "{said}");

    // What others say; its signature was verified before it is told.
    let emitted = until(SOON, || {
        let told = meeting.tells("moss", &["emit", "leaf.grew", "{\"size\": 3}"])?;
        let id = told["id"].as_str()?.to_owned();
        let heard = meeting.tries("heard", &[])?;
        heard.as_array()?.iter().find(|event| event["id"] == id.as_str()).cloned()
    });
    let event = emitted.expect("it hears what is emitted");
    assert_eq!((&event["subject"], &event["data"]), (&json!("leaf.grew"), &json!({"size": 3})));

    // A question, and its answer.
    let answer = format!("{name} heard: who is there?");
    let answered = until(SOON, || {
        let output = meeting.home.attached_as("fern", &["ask", "garden", "who is there?"]);
        output.stdout.contains(&answer).then_some(())
    });
    assert!(answered.is_some(), "it does not answer");
}

fn it_writes_and_reads_the_dht(language: Language, name: &'static str) {
    let Some(meeting) = Meeting::with(language, name) else { return };
    let fern = meeting.fern.id.as_str();
    let put = until(SOON, || meeting.tells("fern", &["dht", "put", "motd", "meeting at ten"]));
    assert!(put.is_some_and(|told| told["nodes"].as_u64() >= Some(1)), "it is stored somewhere");
    meeting.until("get", &[fern, "motd"], |told| told == "meeting at ten");

    let key = meeting.until("put", &["note", "from afar"], Value::is_string);
    let key = key.as_str().unwrap_or_default();
    let read = until(SOON, || {
        let output = meeting.home.attached_as("moss", &["dht", "get", key]);
        (output.code == Some(0)).then_some(output.stdout)
    });
    assert_eq!(read.as_deref().map(str::trim), Some("from afar"));

    // Who is a member of the swarm: what we have announced, and what it has.
    meeting.until("announced", &[], |found| has(found, fern));
    meeting.until("announce", &[], |told| *told != Value::Null);
    let id = key.split('/').next().unwrap_or_default();
    let found = until(SOON, || {
        let told = meeting.tells("moss", &["dht", "providers", "swarm:garden"])?;
        has(&told["providers"], id).then_some(())
    });
    assert!(found.is_some(), "{:?}", meeting.tells("moss", &["dht", "providers", "swarm:garden"]));
}

#[test]
fn a_js_peer_is_a_member_that_calls_and_is_called() {
    it_is_a_member_that_calls_and_is_called(Language::Js, "acorn");
}

#[test]
fn a_js_peer_hears_and_is_heard() {
    it_hears_and_is_heard(Language::Js, "acorn");
}

#[test]
fn a_js_peer_writes_and_reads_the_dht() {
    it_writes_and_reads_the_dht(Language::Js, "acorn");
}

#[test]
fn a_py_peer_is_a_member_that_calls_and_is_called() {
    it_is_a_member_that_calls_and_is_called(Language::Py, "hazel");
}

#[test]
fn a_py_peer_hears_and_is_heard() {
    it_hears_and_is_heard(Language::Py, "hazel");
}

#[test]
fn a_py_peer_writes_and_reads_the_dht() {
    it_writes_and_reads_the_dht(Language::Py, "hazel");
}

/// py-libp2p adds an author and a number to each message, which js-libp2p does not take where it wants none. What goes
/// through a node of ours has lost them.
#[test]
fn a_js_peer_hears_a_py_peer() {
    let Some(meeting) = Meeting::with(Language::Js, "acorn") else { return };
    let Some(_hazel) = one_of_theirs(Language::Py, "hazel", &meeting.home, &entrance(&meeting.fern)) else { return };
    meeting.sees("fern", "hazel");
    let heard = until(SOON, || {
        meeting.tells("fern", &["call", "hazel", "emit", "leaf.fell", "1"])?;
        let heard = meeting.tries("heard", &[])?;
        heard.as_array()?.iter().any(|event| event["subject"] == "leaf.fell").then_some(())
    });
    assert!(heard.is_some(), "{:?}", meeting.tries("heard", &[]));
}
