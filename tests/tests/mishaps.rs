//! What goes wrong on a host: a copied data folder, a bug in a background task.

use std::{
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use p2pnode_tests::{Home, SOON, free_port};

/// What is promised, and three times as much for a loaded test machine.
const BOTH_REPORT: Duration = Duration::from_secs(30);

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-R").arg(from.join(".")).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "{} was not copied", from.display());
}

#[test]
fn a_copied_data_folder_is_reported_by_both() {
    let (here, there) = (Home::new(), Home::new());
    let port = free_port().to_string();
    let original = here.up(&["garden", "--demo", "--port", &port]).ready();
    copy(here.path(), there.path());
    let seed = format!("127.0.0.1:{port}");
    let start = Instant::now();
    let twin = there.up(&["garden", "--demo", "--bootstrap", &seed]).ready();
    assert_eq!(original.name(), twin.name(), "it is a copy");
    for node in [&original, &twin] {
        node.wait_for("another node with this node's identity", BOTH_REPORT);
    }
    println!("measured: both reported it within {:?}", start.elapsed());
}

#[test]
fn a_bug_in_a_task_ends_the_process_and_loses_nothing() {
    let home = Home::new();
    let name = home.up(&["garden", "--demo"]).ready().name();
    let mut node = home.up(&["garden", "--demo", "--inject-panic"]);
    assert_eq!(node.wait(SOON), Some(1), "{}", node.said());
    let said = node.said();
    assert!(said.contains("p2pnode has a bug and must stop"), "{said}");
    assert!(said.contains("asked for by --inject-panic"), "{said}");
    let listed = home.run(&["swarms"]);
    assert!(!listed.stdout.contains("garden"), "it is no longer registered:\n{listed}");

    let start = Instant::now();
    let again = home.up(&["garden", "--demo"]).ready();
    assert_eq!(again.name(), name, "the same identity");
    println!("measured: it serves again after {:?}", start.elapsed());
    home.run(&["call", &format!("{name}@garden"), "sum", "1", "2"]).exits(0).says("3");
}
