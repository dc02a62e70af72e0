//! Tickets from the command line: hosts that do not see each other are homes of their own here.

use std::fs;

use p2pnode_tests::{Home, SOON, run, until};

#[test]
fn one_command_opens_a_swarm_elsewhere() {
    let (garden, elsewhere) = (Home::new(), Home::new());
    let calc = garden.detached(&["garden", "--demo", "--name", "calc", "-P", "calc"]);
    let invited = garden.attached_as("calc", &["invite", "--addr", "all"]).exits(0).complains("p2pnode join p2pn1");
    let ticket = invited.stdout.trim().to_owned();
    assert!(ticket.starts_with("p2pn1") && ticket.len() < 400 && !ticket.contains(char::is_whitespace), "{ticket}");
    garden.run(&["invite", "inspect", &ticket]).exits(0).says("swarm garden").says(&calc.id[..8]);

    // Without a running node: whether it is there is seen at once, and later commands find it.
    elsewhere.run(&["--no-local", "ask", "who is there?", "--timeout", "5s"]).exits(6);
    elsewhere.run(&["join", &ticket]).exits(0).says("joined garden   1 peer");
    elsewhere.run(&["ask", "who is there?"]).exits(0).says("I am calc");
    elsewhere.run(&["call", "calc", "sum", "1", "2"]).exits(0).says("3");
    // `up` alone goes on with it.
    let fern = elsewhere.detached(&["--name", "fern", "-P", "default"]);
    assert!(until(SOON, || (fern.status()["swarms"][0]["online"] == 2).then_some(())).is_some());
    elsewhere.attached(&["ask", "who is there?"]).exits(0).says("I am calc");
    elsewhere.run(&["leave", "garden"]).exits(0).says("forgotten");
    elsewhere.run(&["leave", "garden"]).exits(5).complains("has not joined");
}

#[test]
fn a_running_node_joins() {
    let (garden, attic) = (Home::new(), Home::new());
    let _calc = garden.detached(&["garden", "--demo", "--name", "calc", "-P", "calc"]);
    let ticket = garden.attached_as("calc", &["invite", "garden", "--addr", "all"]).exits(0).stdout;
    let keeper = attic.detached(&["attic", "-P", "default", "--name", "keeper"]);
    fs::write(attic.path().join("ticket"), &ticket).expect("written");
    attic.attached(&["join", "@ticket"]).exits(0).says("joined garden   1 peer");
    attic.attached(&["join", "@ticket"]).exits(0).says("already in garden");
    attic.attached(&["ask", "-s", "garden", "who is there?"]).exits(0).says("I am calc");
    assert_eq!(keeper.status()["swarms"].as_array().map(Vec::len), Some(2));
    let mut command = attic.command(["--json", "join"]);
    command.env("P2PNODE_TICKET", &ticket);
    let told = run(command).exits(0);
    let told: serde_json::Value = serde_json::from_str(&told.stdout).expect("JSON");
    assert_eq!((&told["data"]["swarm"], &told["data"]["new"]), (&"garden".into(), &false.into()));
    // Programs join by the socket, and open no files by it.
    let posted = keeper.control.post("/v1/join", r#"{"ticket":"@/etc/hostname"}"#);
    assert_eq!(posted.status, 400, "{posted:?}");
    let posted = keeper.control.post("/v1/join", &serde_json::json!({"ticket": ticket.trim()}).to_string());
    assert_eq!(posted.status, 200, "{posted:?}");
    attic.attached(&["join", "orchard"]).exits(0).says("joined orchard   nobody else is here yet");
}

#[test]
fn what_is_no_ticket_or_leads_nowhere_is_told() {
    let home = Home::new();
    let calc = home.detached(&["garden", "-P", "calc"]);
    let ticket = home.attached_as("calc", &["invite", "--addr", "all"]).exits(0).stdout.trim().to_owned();
    let other = Home::new();
    other.run(&["join", &ticket[..ticket.len() - 4]]).exits(2).complains("cut off");
    other.run(&["join", "p2pn7aaaaaaaaaaaa"]).exits(2).complains("newer version");
    other.run(&["join", "a b"]).exits(2);
    other.run(&["join"]).exits(2).complains("join what?");
    other.run(&["join", "@nothing"]).exits(2).complains("nothing");
    other.run(&["invite", "inspect", "garden"]).exits(2).complains("no ticket");
    other.run(&["invite"]).exits(3).complains("none runs here");
    home.attached_as("calc", &["invite", "lab"]).exits(5);
    home.attached_as("calc", &["down"]).exits(0);
    drop(calc);
    other
        .run(&["--no-local", "join", &ticket, "--timeout", "20s"])
        .exits(3)
        .complains("nobody of \"garden\" was reached");
    other.run(&["leave", "garden"]).exits(5);
}

#[test]
fn up_prints_a_ticket_and_takes_one() {
    let (garden, elsewhere) = (Home::new(), Home::new());
    let calc = garden.up(&["garden", "--demo", "--name", "calc", "--invite"]).ready();
    let said = calc.wait_for("p2pn1", SOON);
    let ticket = said.split_whitespace().find(|word| word.starts_with("p2pn1")).expect("a ticket").to_owned();
    let node = elsewhere.up(&["--bootstrap", &ticket, "--name", "fern"]).ready();
    node.wait_for("joined   calc", SOON);
    drop(node);
    elsewhere.run(&["--bootstrap", &ticket, "-s", "garden", "ask", "who is there?"]).exits(0).says("I am calc");
}
