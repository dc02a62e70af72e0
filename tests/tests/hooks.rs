//! Programs that are run for events, and peers that start none.

use std::{fs, path::Path};

use p2pnode_tests::{Home, Node, SOON, until};

/// Waits until the file has so many lines, and returns them.
#[track_caller]
fn lines(file: &Path, number: usize) -> Vec<String> {
    let read = || -> Vec<String> { fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect() };
    until(SOON, || Some(read()).filter(|lines| lines.len() >= number)).unwrap_or_else(|| panic!("only {:?}", read()))
}

#[test]
fn each_event_runs_the_program_unless_its_author_is_muted() {
    let home = Home::new();
    let said = home.path().join("said");
    let file = said.display();
    let script = home
        .script("hook.sh", &format!("read -r line; echo \"$P2PNODE_SUBJECT $P2PNODE_CALLER_NAME $line\" >> '{file}'"));
    let speaker = home.detached(&["garden", "-P", "speaker"]);
    let _keeper = home.detached(&["garden", "-P", "keeper"]);
    home.run(&["-P", "keeper", "--daemon", "status"]).exits(0);
    assert!(until(SOON, || (speaker.status()["swarms"][0]["online"] == 2).then_some(())).is_some());

    let hook = |args: &[&str]| {
        let node = Node::start(home.command([&["-P", "keeper", "--json", "--daemon", "subscribe"], args].concat()));
        node.wait_for("\"subscribed\"", SOON);
        node
    };
    let emit = |subject: &str| {
        let sent = home.attached_as("speaker", &["emit", subject, "{\"n\": 1}"]);
        sent.exits(0);
    };
    let mut one = hook(&["a.>", "--exec", &script, "--count", "2"]);
    emit("b.c");
    emit("a.b");
    emit("a.c");
    let got = lines(&said, 2);
    assert!(got.iter().all(|line| line.starts_with("a.") && line.contains(&format!(" {} ", speaker.name))), "{got:?}");
    assert!(got[0].contains("\"data\":{\"n\":1}"), "{got:?}");
    assert_eq!(one.wait(SOON), Some(0));
    assert!(one.said().contains("\"ran\":2"), "{}", one.said());

    home.attached_as("keeper", &["mute", &speaker.id]).exits(0).says("muted");
    home.attached_as("keeper", &["mute"]).exits(0).says(&speaker.id);
    let two = hook(&["a.>", "--exec", &script, "--count", "1"]);
    emit("a.muted");
    // What is told after the muted event was told after it was left out.
    let watch = hook(&["a.>", "--count", "1"]);
    emit("a.again");
    watch.wait_for("a.again", SOON);
    home.attached_as("keeper", &["unmute", &speaker.id]).exits(0).says("heard again");
    emit("a.heard");
    let got = lines(&said, 3);
    assert!(got.len() == 3 && got[2].starts_with("a.heard "), "{got:?}");
    drop(two);
    home.run(&["-P", "nobody", "mute", "x"]).exits(3).complains("no node runs here");
    home.run(&["subscribe", "--mail"]).exits(2);
}
