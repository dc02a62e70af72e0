//! What swarms said: listed, found, compared, exported, removed; with and without a running node.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use p2pnode_tests::{Background, Home, Output, SOON, until};
use serde_json::Value;

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn by(home: &Home, name: &str, args: &[&str]) -> Output {
    home.attached(&[&["-P", name], args].concat())
}

/// Without the node of the profile.
fn file(home: &Home, name: &str, args: &[&str]) -> Output {
    home.run(&[&["--ephemeral", "-P", name], args].concat())
}

/// Two nodes; one has said something, the other keeps it.
fn pair(home: &Home) -> (Background, Background) {
    let fern = home.detached(&["garden", "--name", "fern"]);
    let moss = home.detached(&["garden", "--name", "moss"]);
    by(home, "fern", &["wait", "peer", "moss"]).exits(0);
    by(home, "moss", &["wait", "peer", "fern"]).exits(0);
    by(home, "fern", &["emit", "garden.light", r#"{"text":"the sunrise comes with gossip"}"#]).exits(0);
    by(home, "moss", &["emit", "garden.water", r#"{"text":"rain"}"#]).exits(0);
    for name in ["fern", "moss"] {
        let kept = until(SOON, || (entries(home, name).len() == 2).then_some(()));
        assert!(kept.is_some(), "{name} keeps {:?}", entries(home, name));
    }
    (fern, moss)
}

fn entries(home: &Home, name: &str) -> Vec<Value> {
    let listed = json(&by(home, name, &["--json", "history", "list"]).exits(0));
    listed["data"].as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn what_was_said_is_found_and_compared() {
    let home = Home::new();
    let _nodes = pair(&home);
    let found = by(&home, "moss", &["history", "search", "sunrise NEAR gossip"]).exits(0);
    found.says("[sunrise] comes with [gossip]").says("fern").says("garden");
    by(&home, "moss", &["history", "search", "sunrise nowhere"]).exits(0).complains("nothing fits");
    by(&home, "moss", &["history", "search", "sunrise nowhere", "--logic", "or"]).exits(0).says("[sunrise]");
    by(&home, "moss", &["history", "search", "sunrise NEAR"]).exits(2).complains("^");
    by(&home, "moss", &["history", "list", "--agent", "moss"]).exits(0).says("rain");
    let all = entries(&home, "fern");
    let light = all.iter().find(|entry| entry["author"]["name"] == "fern").expect("an entry");
    let talk = text(&light["conversation"]);
    let show = |name: &str| json(&by(&home, name, &["--json", "conv", "show", talk]).exits(0))["data"].clone();
    let (fern, moss) = (show("fern"), show("moss"));
    assert_eq!((fern["hash"].as_str().map(str::len), &fern["hash"]), (Some(64), &moss["hash"]));
    let event = &fern["events"][0];
    assert_eq!(
        (&event["kind"], &event["live"], &event["body"]["subject"]),
        (&"event".into(), &false.into(), &"garden.light".into())
    );
    by(&home, "fern", &["conv", "list"]).exits(0).says(&talk[28..]);
    by(&home, "fern", &["conv", "show", &talk[28..]]).exits(0).says("garden.light");
    by(&home, "fern", &["conv", "export", talk, "--format", "md"]).exits(0).says("> garden.light");
    let id = text(&light["id"]);
    by(&home, "fern", &["history", "show", &id[56..]]).exits(0).says("sunrise");
    by(&home, "fern", &["history", "show", "0123456789"]).exits(5);
}

#[test]
fn all_can_be_read_without_a_node() {
    let home = Home::new();
    file(&home, "fern", &["history", "list"]).exits(5).complains("keeps nothing yet");
    let _nodes = pair(&home);
    file(&home, "fern", &["history", "list"]).exits(0).says("rain");
    home.run(&["-P", "fern", "down"]).exits(0);
    let run = |args: &[&str]| home.run(&[&["-P", "fern"], args].concat());
    run(&["history", "list", "--swarm", "garden"]).exits(0).says("rain").says("garden").says("moss");
    run(&["history", "list", "--swarm", "other"]).exits(0).complains("nothing fits");
    run(&["history", "search", "sunrise"]).exits(0).says("[sunrise]");
    run(&["history", "stats"]).exits(0).says("conversations").says("2 feeds");
    let csv = run(&["history", "export", "--format", "csv"]).exits(0);
    // The node has said that it leaves, too.
    assert!(csv.stdout.lines().count() >= 3, "{csv}");
    let lines = run(&["history", "export"]).exits(0);
    let first: Value = serde_json::from_str(lines.stdout.lines().next().unwrap_or_default()).expect("JSON");
    assert_eq!(first["author"]["name"], "fern");
    let array: Value =
        serde_json::from_str(&run(&["history", "export", "--format", "json"]).exits(0).stdout).expect("JSON");
    assert_eq!(array.as_array().map(Vec::len), Some(csv.stdout.lines().count() - 1));
    run(&["conv", "show", text(&first["conversation"])]).exits(0).says("fern");
    run(&["history", "cleanup", "--older-than", "1h", "--yes"]).exits(3).complains("p2pnode up garden --detach");
}

#[test]
fn cleanup_says_what_goes_and_removes_just_that() {
    let home = Home::new();
    let (fern, _moss) = pair(&home);
    let clean = |more: &[&str]| by(&home, "fern", &[&["history", "cleanup"], more].concat());
    clean(&["--max-size", "0"]).exits(2).complains("--yes");
    clean(&[]).exits(2).complains("--older-than");
    clean(&["--older-than", "30d", "--yes"]).exits(0).says("nothing to remove");
    clean(&["--max-size", "0", "--dry-run"]).exits(0).says("2 events").says("would go");
    assert_eq!(entries(&home, "fern").len(), 2);
    clean(&["--max-size", "0", "--yes"]).exits(0).says("2 events").says("removed").says("garden");
    assert!(entries(&home, "fern").is_empty());
    by(&home, "moss", &["emit", "garden.wind", "1"]).exits(0);
    let kept = until(SOON, || (entries(&home, "fern").len() == 1).then_some(()));
    assert!(kept.is_some(), "what was removed is not fetched again: {:?}", entries(&home, "fern"));
    let refused = fern.control.post("/v1/history", r#"{"cleanup":{"max_size":0}}"#);
    assert_eq!(refused.status, 400, "{refused:?}");
}

#[test]
fn a_conversation_is_followed() {
    let home = Home::new();
    let (fern, _moss) = pair(&home);
    let talk = entries(&home, "fern").iter().map(|entry| text(&entry["conversation"]).to_owned()).next().expect("one");
    let request = format!(r#"{{"follow":{{"id":"{talk}"}}}}"#);
    let request = format!(
        "POST /v1/conv HTTP/1.1\r\nhost: p\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{request}",
        request.len()
    );
    let mut follow = fern.control.send(request.as_bytes());
    p2pnode_tests::read_until(&mut follow, "\"kind\":\"entry\"");
    by(&home, "fern", &["send", "moss", "about that", "--conversation", &talk]).exits(0);
    by(&home, "moss", &["wait", "peer", "fern"]).exits(0);
    let there = until(SOON, || by(&home, "moss", &["inbox"]).stdout.contains("about that").then_some(()));
    assert!(there.is_some(), "moss has it");
    by(&home, "moss", &["reply", "indeed"]).exits(0);
    p2pnode_tests::read_until(&mut follow, "indeed");
    drop(follow);
    fern.is_idle();
}

/// Ids of all that a node keeps, by its conversation.
fn kept(home: &Home, name: &str) -> BTreeMap<String, BTreeSet<String>> {
    let listed = by(home, name, &["--json", "history", "list", "--limit", "100000"]);
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let entries = if listed.code == Some(0) { json(&listed) } else { Value::Null };
    for entry in entries["data"].as_array().into_iter().flatten() {
        all.entry(text(&entry["conversation"]).to_owned()).or_default().insert(text(&entry["id"]).to_owned());
    }
    all
}

#[test]
#[ignore = "twenty processes for a minute or two; run by .ci/long"]
fn twenty_nodes_hold_the_same() {
    const SAID: usize = 200;
    let home = Home::new();
    let start = |number: usize| {
        let name = format!("n{number}");
        let args: Vec<&str> =
            if number < 3 { vec!["garden", "--demo", "--name", &name] } else { vec!["garden", "--name", &name] };
        let node = home.detached(&args);
        by(&home, &name, &["wait", "peers", "2"]).exits(0);
        node
    };
    let mut nodes: BTreeMap<usize, Background> =
        (0..2).map(|number| (number, home.detached(&["garden", "--demo", "--name", &format!("n{number}")]))).collect();
    nodes.extend((2..15).map(|number| (number, start(number))));
    let stop = |number: usize| {
        by(&home, &format!("n{number}"), &["down"]).exits(0);
    };
    for number in 0..SAID {
        match number {
            50 => stop(14),
            100 => {
                for again in [12, 13] {
                    stop(again);
                    nodes.insert(again, start(again));
                }
            }
            150 => nodes.extend((15..20).map(|late| (late, start(late)))),
            180 => {
                nodes.insert(14, start(14));
            }
            _ => {}
        }
        let author = format!("n{}", number % 10);
        by(&home, &author, &["broadcast", "garden", "--endpoint", "echo", &format!("word {number}")]).exits(0);
    }
    let began = Instant::now();
    let mut last = Vec::new();
    let same = until(Duration::from_secs(60), || {
        last = (0..20).map(|number| kept(&home, &format!("n{number}"))).collect();
        // The question, and an answer of each of the three that serve it but the one that asks.
        let all = last[0].values().filter(|events| events.len() >= 3).count() == SAID;
        (all && last.iter().all(|other| *other == last[0])).then(|| began.elapsed())
    });
    let counts: Vec<usize> = last.iter().map(|all| all.values().map(BTreeSet::len).sum()).collect();
    let same = same.unwrap_or_else(|| panic!("not all keep the same within a minute: {counts:?}"));
    println!("measured: 20 nodes keep the same {} events, {same:?} after the last was said", counts[0]);
    for talk in last[0].keys().step_by(20) {
        let hash = |number: usize| {
            let shown = by(&home, &format!("n{number}"), &["--json", "conv", "show", talk]).exits(0);
            json(&shown)["data"]["hash"].clone()
        };
        let first = hash(0);
        assert!(first.as_str().is_some_and(|hash| hash.len() == 64), "{first}");
        assert!((1..20).all(|number| hash(number) == first), "{talk}");
    }
}

#[test]
fn a_long_conversation_is_shown_in_few_words() {
    let home = Home::new();
    let nodes = pair(&home);
    let talk = text(&entries(&home, "fern")[0]["conversation"]).to_owned();
    for step in ["one", "two", "three"] {
        by(&home, "fern", &["emit", "garden.step", &format!(r#"{{"text":"{step}"}}"#), "--conversation", &talk])
            .exits(0);
    }
    let all = until(SOON, || (entries(&home, "fern").len() == 5).then_some(()));
    assert!(all.is_some(), "{:?}", entries(&home, "fern"));
    by(&home, "fern", &["conv", "compact", &talk]).exits(0).says("nothing to fold");
    by(&home, "fern", &["conv", "compact", &talk, "--keep", "1"]).exits(0).says("2 events in a summary:\n  (2 emit)");
    let shown = json(&by(&home, "fern", &["--json", "conv", "show", &talk, "--condensed"]).exits(0))["data"].clone();
    assert_eq!((&shown["summary"]["events"], shown["recent"].as_array().map(Vec::len)), (&2.into(), Some(1)));
    by(&home, "fern", &["conv", "show", &talk, "--condensed"]).exits(0).says("2 events in a summary:");
    by(&home, "fern", &["conv", "show", &talk]).exits(0).says("one").says("two").says("three");
    drop(nodes);
    file(&home, "fern", &["conv", "show", &talk, "--condensed"]).exits(0).says("2 events in a summary:");
    file(&home, "fern", &["conv", "compact", &talk]).exits(3).complains("p2pnode up");
}
