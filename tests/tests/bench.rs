//! `p2pnode bench`: that it counts right. How fast anything is, nothing here asks.

use std::process::Command;

use p2pnode_tests::{Home, SOON, binary, run, until};
use serde_json::Value;

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// The last line, and that it is of one piece.
fn summary(text: &str) -> Value {
    let summary = lines(text).pop().expect("a line");
    assert_eq!(summary["kind"], "summary", "{summary}");
    summary
}

fn counted(histogram: &Value) -> u64 {
    histogram.as_array().expect("a histogram").iter().map(|pair| pair[1].as_u64().expect("a count")).sum()
}

#[test]
fn calls_are_counted_in_both_loops() {
    let home = Home::new();
    let node = home.up(&["garden", "--demo", "--name", "target"]).ready();
    let closed = home.run(&["bench", "rpc", "target", "-n", "50", "-c", "4", "--json"]).exits(0);
    let closed = summary(&closed.stdout);
    assert_eq!((&closed["done"], &closed["failed"]), (&50.into(), &0.into()), "{closed}");
    assert_eq!((&closed["loop"], &closed["in_flight"]), (&"closed".into(), &4.into()));
    assert_eq!((counted(&closed["histogram"]), &closed["peer"]["name"]), (50, &"target".into()));

    let open = ["bench", "rpc", "target", "--rate", "100", "-z", "500ms", "--endpoint", "echo", "--size", "1k"];
    let open = summary(&home.run(&[&open, ["--json"].as_slice()].concat()).exits(0).stdout);
    assert_eq!((&open["done"], &open["loop"], &open["size"]), (&50.into(), &"open".into(), &1000.into()), "{open}");

    let people = home.run(&["bench", "rpc", "target", "-n", "20"]).exits(0);
    people.says("(closed loop)").says("20 calls").says("0 failed").says("p99.9").says("(log)");
    drop(node);
}

#[test]
fn what_cannot_work_is_told_and_counted() {
    let home = Home::new();
    let node = home.up(&["garden", "--name", "target", "--serve", "fail=false"]).ready();
    home.run(&["bench", "rpc", "nobody"]).exits(5).complains("nobody");
    home.run(&["bench", "rpc", "target", "--endpoint", "nosuch"]).exits(5).complains("has no endpoint");
    home.run(&["bench", "rpc", "target", "--endpoint", "fail"]).exits(7);
    let failed = home.run(&["bench", "rpc", "nobody", "--json"]).exits(5);
    assert_eq!(summary(&failed.stdout)["error"]["exit"], 5);
    for wrong in [["-c", "0"], ["-c", "1025"], ["--rate", "0"], ["--rate", "fast"], ["-z", "soon"], ["-n", "0"]] {
        home.run(&[&["bench", "rpc", "target"], wrong.as_slice()].concat()).exits(2);
    }
    home.run(&["bench"]).exits(2);
    drop(node);
}

#[test]
fn a_measurement_that_is_ended_tells_what_it_has() {
    let home = Home::new();
    let node = home.up(&["garden", "--demo", "--name", "target"]).ready();
    let mut bench = p2pnode_tests::Node::start(home.command(["bench", "rpc", "target", "-z", "10m", "--json"]));
    bench.wait_for("\"progress\"", SOON);
    bench.interrupt();
    assert_eq!(bench.wait(SOON), Some(130));
    let told = until(SOON, || bench.said().contains("\"summary\"").then(|| bench.said())).expect("a summary");
    let summary = summary(told.trim());
    assert!(summary["done"].as_u64() > Some(0), "{summary}");
    assert_eq!(
        (counted(&summary["histogram"]), &summary["exit"]),
        (summary["done"].as_u64().expect("a count"), &130.into())
    );
    drop(node);
}

#[test]
fn gossip_comes_to_all() {
    let home = Home::new();
    let gossip = home.run(&["bench", "gossip", "--nodes", "5", "-n", "20", "--json"]).exits(0);
    let gossip = summary(&gossip.stdout);
    assert_eq!(
        (&gossip["sent"], &gossip["due"], &gossip["delivered"]),
        (&20.into(), &80.into(), &80.into()),
        "{gossip}"
    );
    assert_eq!((counted(&gossip["each"]["histogram"]), counted(&gossip["last"]["histogram"])), (80, 20));
    home.run(&["bench", "gossip", "--nodes", "3", "-n", "5"]).exits(0).says("10 of 10 delivered   100 %");
    home.run(&["bench", "gossip", "--nodes", "1"]).exits(2);
    home.run(&["bench", "gossip", "--size", "1m"]).exits(2).complains("at most");
}

#[test]
fn lookups_are_counted() {
    let home = Home::new();
    let first = home.up(&["garden", "-P", "first"]).ready();
    let second = home.up(&["garden", "-P", "second"]).ready();
    let dht = summary(&home.run(&["bench", "dht", "garden", "-n", "10", "--json"]).exits(0).stdout);
    assert_eq!((&dht["done"], &dht["failed"], counted(&dht["histogram"])), (&10.into(), &0.into(), 10), "{dht}");
    assert!(dht["requests"].as_u64() >= Some(10), "{dht}");
    home.run(&["bench", "dht", "garden", "-n", "5"]).exits(0).says("5 lookups").says("requests a lookup");
    drop((first, second));
    home.run(&["bench", "dht", "garden", "-n", "1"]).exits(6);
}

#[test]
fn a_peer_that_goes_away_ends_no_measurement_and_makes_none_longer() {
    let home = Home::new();
    let mut node = home.up(&["garden", "--demo", "--name", "target"]).ready();
    let mut bench = p2pnode_tests::Node::start(home.command(["bench", "rpc", "target", "-z", "4s", "--json"]));
    bench.wait_for("\"progress\"", SOON);
    node.kill9();
    assert_eq!(bench.wait(SOON), Some(0), "{}", bench.said());
    let told = until(SOON, || bench.said().contains("\"summary\"").then(|| bench.said())).expect("a summary");
    let summary = summary(told.trim());
    let (done, failed) = (summary["done"].as_u64(), summary["failed"].as_u64());
    assert!(done > Some(0) && failed > Some(0), "{summary}");
    let reasons = summary["failures"].as_object().expect("reasons").values();
    assert_eq!(reasons.filter_map(Value::as_u64).sum::<u64>(), failed.unwrap_or(0), "{summary}");
    // Four seconds, two for what was under way, and what a loaded machine needs.
    assert!(summary["elapsed_ms"].as_f64() < Some(10_000.0), "{summary}");
}

#[test]
fn a_pipe_that_closes_ends_it() {
    let home = Home::new();
    let node = home.up(&["garden", "--demo", "--name", "target"]).ready();
    let mut shell = Command::new("sh");
    // Within the limit of a command, which is less than ten minutes.
    shell.args(["-c", &format!("{} bench rpc target -z 10m | head -n 1", binary().display())]);
    shell.env("P2PNODE_HOME", home.path());
    run(shell).exits(0).says("(closed loop)");
    drop(node);
}
