//! Finding, naming, blocking, teams: from the command line.

use p2pnode_tests::{Home, SOON, until};

#[test]
fn members_are_found_by_what_they_can_do() {
    let home = Home::new();
    let keeper = home.detached(&["garden", "-P", "keeper"]);
    let reviewer =
        home.detached(&["garden/backend", "-P", "reviewer", "--cap", "code-review=reads diffs", "--role", "critic"]);
    let sums = home.detached(&["garden", "-P", "sums", "--team", "frontend", "--demo", "--cap", "math"]);
    assert!(until(SOON, || (keeper.status()["swarms"][0]["online"] == 3).then_some(())).is_some());
    let names = |args: &[&str]| -> Vec<String> {
        let found = home.attached_as("keeper", &[&["find", "--json"], args].concat()).exits(0);
        let found: serde_json::Value = serde_json::from_str(&found.stdout).expect("JSON");
        found["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|one| one["name"].as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(names(&["--cap", "code-review"]), [reviewer.name.as_str()]);
    assert_eq!(names(&["reveiw"]), [reviewer.name.as_str()], "misspelt");
    assert_eq!(names(&["diffs"]), [reviewer.name.as_str()], "in a description");
    assert_eq!(names(&["--skill", "sum"]), [sums.name.as_str()]);
    assert_eq!(names(&["--team", "backend"]), [reviewer.name.as_str()]);
    home.attached_as("keeper", &["find", "--cap", "code-review", "--cap", "math"])
        .exits(5)
        .complains("capability \"math\"");
    home.attached_as("keeper", &["find"]).exits(2).complains("say what to find");
    home.attached_as("keeper", &["find", "a b c d e f g h i"]).exits(2).complains("9 words");

    home.attached_as("sums", &["availability", "busy"]).exits(0).says("busy");
    let busy = || home.attached_as("keeper", &["peers"]).stdout.contains("busy").then_some(());
    assert!(until(SOON, busy).is_some(), "others see it");
    home.attached_as("keeper", &["find", "--cap", "math", "--available"]).exits(5);
    home.attached_as("sums", &["availability"]).exits(0).says("busy");
    home.attached_as("sums", &["availability", "lazy"]).exits(2).complains("online, busy, offline");
    home.run(&["-P", "nobody", "availability", "busy"]).exits(3).complains("no node runs here");

    let peers = home.attached_as("keeper", &["peers", "--team", "backend"]).exits(0).says(&reviewer.name);
    assert!(!peers.stdout.contains(&sums.name), "{}", peers.stdout);
    home.attached_as("keeper", &["peers", "-s", "garden/frontend"]).exits(0).says(&sums.name);
    home.attached_as("keeper", &["ask", "garden/frontend", "who is there?"]).exits(0).says(&sums.name);
    home.run(&["up", "garden/a", "--team", "b"]).exits(2).complains("one team");
}

#[test]
fn names_blocks_and_the_table_are_shown() {
    let home = Home::new();
    let keeper = home.detached(&["garden", "-P", "keeper"]);
    let other = home.detached(&["garden", "-P", "other"]);
    assert!(until(SOON, || (keeper.status()["swarms"][0]["online"] == 2).then_some(())).is_some());
    home.attached_as("keeper", &["names"]).exits(0).says(&other.name).says(&other.id);
    home.attached_as("keeper", &["names", "forget", "nobody"]).exits(5).complains("nobody bears the name");
    home.attached_as("keeper", &["names", "forget", &other.name]).exits(0).says("whoever comes next");

    let table = || Some(home.attached_as("keeper", &["dht", "table"])).filter(|table| table.stdout.contains(&other.id));
    assert!(until(SOON, table).is_some());
    home.attached_as("keeper", &["dht", "stats"]).exits(0).says("server").says("1 peer in 1 bucket");

    home.attached_as("keeper", &["block"]).exits(0).says("nobody is blocked");
    home.attached_as("keeper", &["block", &other.name]).exits(0).says("blocked");
    let alone = || (keeper.status()["swarms"][0]["online"] == 1).then_some(());
    assert!(until(SOON, alone).is_some());
    home.attached_as("keeper", &["block"]).exits(0).says(&other.id).says(&other.name);
    home.attached_as("keeper", &["block", &keeper.id]).exits(2).complains("itself");
    home.attached_as("keeper", &["unblock", &other.name]).exits(0).says("no longer blocked");
    let back = || (keeper.status()["swarms"][0]["online"] == 2).then_some(());
    assert!(until(SOON, back).is_some());
    home.attached_as("keeper", &["unblock"]).exits(2).complains("whom");
}
