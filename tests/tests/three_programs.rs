//! Three programs answer one question: each says its own, and the asker sees all of them.

use p2pnode_tests::{Home, Node, SOON};

const QUESTION: &str = "review this, please";

/// Two quick ones and one that thinks for three seconds.
fn three(home: &Home) -> [Node; 3] {
    let thoughts = [("ash", ""), ("birch", "sleep 3"), ("cedar", "")];
    let nodes = thoughts.map(|(name, thinking)| {
        let script = format!("task=$(cat)\n{thinking}\necho \"{name} read: $task\"");
        let ask = home.script(&format!("{name}.sh"), &script);
        home.up(&["garden", "--name", name, "--ask", &ask])
    });
    nodes.map(Node::ready)
}

#[test]
fn one_question_is_answered_by_three_programs() {
    let home = Home::new();
    let nodes = three(&home);
    let asked = home.run(&["ask", "garden", QUESTION]).exits(0);
    let asked = asked.complains("3 replies from 3 nodes");
    for name in ["ash", "birch", "cedar"] {
        assert!(asked.stdout.contains(&format!("{name} read: {QUESTION}")), "{asked}");
    }
    let at = |name: &str| asked.stdout.find(&format!("{name} read:")).expect("checked above");
    assert!(at("birch") > at("ash") && at("birch") > at("cedar"), "replies are shown as they come: {asked}");
    for node in &nodes {
        node.wait_for("reply", SOON);
    }
}

#[test]
fn the_first_reply_is_enough_if_so_asked() {
    let home = Home::new();
    let _nodes = three(&home);
    let asked = home.run(&["ask", "garden", "--first", QUESTION]).exits(0);
    assert_eq!(asked.stdout.matches(" read: ").count(), 1, "one, not all that came at once: {asked}");
}

#[test]
fn only_the_bodies_are_printed_raw() {
    let home = Home::new();
    let _nodes = three(&home);
    let asked = home.run(&["ask", "garden", "--raw", QUESTION]).exits(0);
    let mut lines: Vec<_> = asked.stdout.lines().collect();
    lines.sort_unstable();
    let expected = ["ash", "birch", "cedar"].map(|name| format!("{name} read: {QUESTION}"));
    assert_eq!(lines, expected, "{asked}");
}

#[test]
fn fewer_replies_than_the_quorum_is_exit_9() {
    let home = Home::new();
    let _nodes = three(&home);
    let asked = home.run(&["ask", "garden", "--quorum", "4", QUESTION]).exits(9);
    assert!(asked.stdout.contains("cedar read:"), "what came is shown all the same: {asked}");
}
