//! The first minute of a user: one node, one question, nothing set up.

use std::{process::Command, time::Duration};

use p2pnode_tests::{Home, Namespace, Node, Output, SOON, may_make_namespaces, run};

/// What is promised to a user. A loaded test machine gets three times as much.
const PROMISED: Duration = Duration::from_secs(2);

const QUESTION: &str = "who is there?";

#[track_caller]
fn is_answered(asked: Output, name: &str) {
    let asked = asked.exits(0).says(&format!("{name}:")).says("You asked: \"who is there?\"");
    println!("measured: answered after {:?}, promised {PROMISED:?}", asked.elapsed);
    let ack = asked.stdout.find("acked").or(asked.stderr.find("acked"));
    assert!(ack.is_some(), "no ack: {asked}");
    assert!(asked.elapsed < 3 * PROMISED, "{asked}");
}

fn up_and_ask(up: Command, ask: Command) {
    let node = Node::start(up).ready();
    is_answered(run(ask), &node.name());
    node.wait_for("reply", SOON);
}

#[test]
fn a_question_to_the_demo_is_answered() {
    let home = Home::new();
    let mut node = home.up(&["garden", "--demo"]).ready();
    is_answered(home.run(&["ask", "garden", QUESTION]), &node.name());
    node.wait_for("reply", SOON);
    node.interrupt();
    let code = node.wait(SOON);
    assert_eq!(code, Some(130), "Ctrl-C ends it as shells expect: {}", node.said());
}

#[test]
fn a_question_without_a_swarm_goes_to_the_only_one() {
    let home = Home::new();
    let node = home.up(&["garden", "--demo"]).ready();
    is_answered(home.run(&["ask", QUESTION]), &node.name());
}

#[test]
fn it_works_on_a_host_without_any_network() {
    if !may_make_namespaces() {
        return;
    }
    let (home, space) = (Home::new(), Namespace::lonely());
    up_and_ask(
        home.command_in(&space, ["up", "garden", "--demo"]),
        home.command_in(&space, ["ask", "garden", QUESTION]),
    );
}

#[test]
fn it_works_between_two_hosts_of_one_network() {
    if !may_make_namespaces() {
        return;
    }
    let (a, b) = Namespace::joined();
    let (here, there) = (Home::new(), Home::new());
    up_and_ask(
        here.command_in(&a, ["--no-local", "up", "garden", "--demo"]),
        there.command_in(&b, ["--no-local", "ask", "garden", QUESTION]),
    );
}
