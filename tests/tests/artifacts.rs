//! Documents that a node serves, fetched from the command line.

use std::fs;

use p2pnode_tests::Home;

#[test]
fn what_a_node_serves_is_fetched_into_a_new_file() {
    let home = Home::new();
    let node = home.detached(&["garden", "-P", "server"]);
    let (rules, card) = (home.path().join("source.md"), home.path().join("card.json"));
    fs::write(&rules, "be kind\n").unwrap_or_else(|error| panic!("{error}"));
    fs::write(&card, "{\"skills\": []}").unwrap_or_else(|error| panic!("{error}"));
    let rules = rules.to_string_lossy();
    home.attached_as("server", &["artifact", "add", "../docs/rules.md", &rules, "--mime", "text/markdown"]).exits(0);
    home.attached_as("server", &["card", "set", &card.to_string_lossy()]).exits(0).says("agent-card");

    home.run(&["artifact", "list", &node.name]).exits(0).says("../docs/rules.md").says("text/markdown");
    home.run(&["artifact", "get", &node.name, "../docs/rules.md"]).exits(0).says("rules.md");
    assert_eq!(fs::read_to_string(home.path().join("rules.md")).unwrap_or_default(), "be kind\n");
    home.run(&["artifact", "get", &node.name, "../docs/rules.md"]).exits(8).complains("--out FILE");
    assert_eq!(home.run(&["card", "show", &node.name]).exits(0).stdout, "{\"skills\": []}");
    assert_eq!(home.run(&["-P", "server", "card", "show"]).exits(0).stdout, "{\"skills\": []}");
    home.run(&["artifact", "get", &node.name, "other"]).exits(5);

    home.attached_as("server", &["artifact", "rm", "agent-card"]).exits(0).says("removed");
    home.run(&["-P", "server", "artifact", "get", "agent-card"]).exits(5);
    home.run(&["-P", "nobody", "artifact", "add", "x", &rules]).exits(3).complains("no node runs here");
    home.run(&["-P", "nobody", "artifact", "list"]).exits(0).says("no artifacts");
}
