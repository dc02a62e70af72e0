//! Schedules of a node in the background: added, carried out, and there again after a restart.

use std::fs;

use p2pnode_tests::{Background, Home, Output, SOON, until};
use serde_json::Value;

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// One schedule of the node, as soon as it is so.
#[track_caller]
fn until_it(node: &Background, name: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let found = until(SOON, || {
        let all = node.control.get("/v1/schedules").json()["data"].take();
        all.as_array()?.iter().find(|one| one["name"] == name && holds(one)).cloned()
    });
    found.unwrap_or_else(|| panic!("not so: {}", node.control.get("/v1/schedules").body))
}

const DIGEST: [&str; 7] = ["schedule", "add", "digest", "every 1h", "--ask", "garden", "daily digest"];

#[test]
fn a_schedule_asks_and_is_there_after_a_restart() {
    let home = Home::new();
    let calculator = home.up(&["garden", "--demo", "--name", "calculator"]).ready();
    let node = home.detached(&["garden"]);
    home.attached(&["wait", "peer", "calculator"]).exits(0);
    home.run(&DIGEST).exits(0).says("next run in ");
    calculator.wait_for("daily digest", SOON);
    let first = until_it(&node, "digest", |one| one["last"]["ok"] == true);
    assert_eq!((&first["runs"], &first["action"]["ask"]["text"]), (&1.into(), &"daily digest".into()), "{first}");

    home.run(&DIGEST).exits(0).says("already so");
    let other = home.run(&["schedule", "add", "digest", "every 2h", "--ask", "garden", "hi"]).exits(8);
    other.complains("there is another schedule \"digest\"").complains("--replace");
    home.run(&["schedule", "add", "dawn", "solar sunrise 69.65 18.96", "--emit", "sun.up"])
        .exits(0)
        .says("UTC.  note:");
    home.run(&["schedule", "list"]).exits(0).says("NAME").says("every 1h").says("never");

    home.run(&["-P", "default", "down"]).exits(0);
    let kept = json(&home.run(&["-P", "default", "--json", "schedule", "list"]).exits(0));
    assert_eq!((&kept["data"][0]["name"], &kept["data"][1]["runs"]), (&"dawn".into(), &1.into()), "{kept}");
    home.run(&["-P", "default", "schedule", "rm", "digest"]).exits(3).complains("p2pnode up garden --detach");
    let node = home.detached(&["garden"]);
    // `every` also runs at start.
    until_it(&node, "digest", |one| one["runs"] == 2);
    home.run(&["schedule", "rm", "digest"]).exits(0).says("removed");
    home.run(&["schedule", "rm", "digest"]).exits(0);
    home.run(&["schedule", "run", "down"]).exits(5).complains("did you mean \"dawn\"?");
}

#[test]
fn programs_run_and_can_be_paused() {
    let home = Home::new();
    let mark = home.path().join("mark");
    let script = home.script("mark.sh", &format!("echo $P2PNODE_SCHEDULE >> '{}'", mark.display()));
    let node = home.detached(&["garden"]);
    let watch = p2pnode_tests::Node::start(home.command(["--daemon", "--json", "watch"]));
    watch.wait_for("\"watching\"", SOON);
    home.run(&["schedule", "add", "mark", "cron @yearly", "--exec", &script, "--run-now"]).exits(0);
    until_it(&node, "mark", |one| one["last"]["ok"] == true);
    let line = watch.wait_for("\"kind\":\"run\"", SOON);
    assert!(line.contains("\"succeeded\":true"), "{line}");
    home.run(&["schedule", "pause", "mark"]).exits(0).says("paused");
    until_it(&node, "mark", |one| one["paused"] == true && one["next"].is_null());
    home.run(&["schedule", "list"]).exits(0).says("paused");
    home.run(&["schedule", "run", "mark"]).exits(0).says("started");
    until_it(&node, "mark", |one| one["runs"] == 2 && one["running"] == 0);
    home.run(&["schedule", "resume", "mark"]).exits(0);
    home.run(&["schedule", "next", "mark", "-n", "2"]).exits(0).says("1 Jan 20");
    assert_eq!(fs::read_to_string(&mark).unwrap_or_default(), "mark\nmark\n");
    let body = r#"{"add": {"name": "api", "when": "cron @daily", "action": {"exec": {"argv": ["true"]}}}}"#;
    assert_eq!(node.control.post("/v1/schedule", body).json()["data"]["added"], "new");
}

#[test]
fn expressions_need_no_node_and_wrong_ones_get_a_caret() {
    let home = Home::new();
    let next =
        ["schedule", "next", "cron 30 1 * * *", "--tz", "Europe/London", "-n", "3", "--from", "2026-10-24T12:00"];
    let expected = "\
Sun 25 Oct 2026 01:30 BST   (this hour comes twice; runs once)
Mon 26 Oct 2026 01:30 GMT
Tue 27 Oct 2026 01:30 GMT
";
    assert_eq!(home.run(&next).exits(0).stdout, expected);
    let wrong = home.run(&["schedule", "add", "x", "cron 0 9 * * mon-fry", "--exec", "true"]).exits(2);
    wrong.complains("       cron 0 9 * * mon-fry\n                    ^^^^^^^ ");
    for line in [
        &["schedule", "add", "x", "cron 0 0 30 2 *", "--exec", "true"][..],
        &["schedule", "add", "x", "every 1h"],
        &["schedule", "add", "x", "every 1h", "--exec", "true", "--emit", "a.b"],
        &["schedule", "add", "x", "every 1h", "--exec", "true", "--overlap", "maybe"],
        &["schedule", "next", "cron 0 9 * * *", "--tz", "London"],
        &["schedule", "next", "cron 0 9 * * *", "--from", "soon"],
    ] {
        home.run(line).exits(2);
    }
    home.run(&["schedule", "add", "x", "every 1h", "--exec", "true"]).exits(3).complains("p2pnode up garden --detach");
    home.run(&["schedule", "list"]).exits(0).says("no schedules");
    home.run(&["schedule", "next", "x"]).exits(5);
}
