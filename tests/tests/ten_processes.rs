//! Ten processes that know one address between them.

use std::time::{Duration, Instant};

use p2pnode_tests::{Home, Node, Output, binary, free_port, until};

const COUNT: usize = 10;

/// What is promised, and what a loaded test machine gets.
const ALL_SEE_ALL: Duration = Duration::from_secs(5);
const BACK: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);

struct Ten {
    home: Home,
    ports: Vec<u16>,
    nodes: Vec<Node>,
}

impl Ten {
    fn start() -> Self {
        let home = Home::new();
        let mut ports = Vec::new();
        while ports.len() < COUNT {
            let port = free_port();
            if !ports.contains(&port) {
                ports.push(port);
            }
        }
        let mut ten = Self { home, ports, nodes: Vec::new() };
        for index in 0..COUNT {
            let node = ten.spawn(index);
            ten.nodes.push(node);
        }
        for node in &ten.nodes {
            node.wait_for("ready in ", PATIENCE);
        }
        ten
    }

    fn spawn(&self, index: usize) -> Node {
        let (name, port, first) = (format!("n{index}"), self.ports[index].to_string(), self.seed(0));
        let mut args = vec!["--no-mdns", "--no-local", "up", "garden", "--demo", "--name", &name, "--port", &port];
        if index > 0 {
            args.extend(["--bootstrap", &first]);
        }
        if index == 7 {
            args.extend(["--cap", "code-review=Reads diffs"]);
        }
        Node::start(self.home.command(args))
    }

    fn seed(&self, index: usize) -> String {
        format!("127.0.0.1:{}", self.ports[index])
    }

    /// A command that knows one node.
    fn run(&self, seed: usize, args: &[&str]) -> Output {
        let seed = self.seed(seed);
        self.home.run(&[&["--no-local", "--bootstrap", &seed], args].concat())
    }

    /// How many of the others each node has seen join, at least.
    fn fewest_seen(&self, names: &[String]) -> usize {
        let seen = |node: &Node| {
            let said = node.said();
            let joined = |name: &&String| {
                said.lines().any(|line| {
                    let mut words = line.split_whitespace();
                    words.any(|word| word == "joined") && words.next() == Some(name.as_str())
                })
            };
            names.iter().filter(joined).count()
        };
        self.nodes.iter().map(seen).min().unwrap_or(0)
    }
}

#[test]
fn ten_nodes_find_each_other_and_survive_the_first() {
    // Built before anything is measured.
    binary();
    let start = Instant::now();
    let mut ten = Ten::start();
    let names: Vec<_> = (0..COUNT).map(|index| format!("n{index}")).collect();

    let all = until(PATIENCE, || (ten.fewest_seen(&names) >= COUNT - 1).then(|| start.elapsed()));
    let fewest = ten.fewest_seen(&names);
    let all = all.unwrap_or_else(|| panic!("some node sees only {fewest} of 9; the last: {}", ten.nodes[9].said()));
    println!("measured: all see all {all:?} after the first process was started, promised {ALL_SEE_ALL:?}");
    assert!(all < 3 * ALL_SEE_ALL);

    let found = ten.run(3, &["find", "--cap", "code-review", "--swarm", "garden"]).exits(0).says("n7");
    assert!(!found.stdout.contains("n4"), "only who has it: {found}");

    ten.nodes[0].kill9();
    for (seed, target) in [(1, "n9"), (9, "n5"), (5, "n1")] {
        let called = ten.run(seed, &["call", &format!("{target}@garden"), "sum", "1", "2"]).exits(0);
        assert_eq!(called.stdout, "3\n", "{called}");
    }

    let restarted = Instant::now();
    let first = ten.spawn(0).ready();
    let back = until(PATIENCE, || {
        let peers = ten.run(0, &["--json", "peers", "--swarm", "garden"]);
        let online = |name: &&String| peers.stdout.contains(&format!("\"{name}\""));
        (names.iter().filter(online).count() == COUNT).then(|| restarted.elapsed())
    });
    let back = back.unwrap_or_else(|| panic!("it did not come back: {}", first.said()));
    println!("measured: the first is back after {back:?}, promised {BACK:?}");
    assert!(back < 3 * BACK);
    for node in &ten.nodes[1..] {
        assert!(!node.said().contains("panicked"), "{}", node.said());
    }
}

#[test]
fn a_small_value_is_read_by_others() {
    let ten = Ten::start();
    let put = ten.run(2, &["--json", "dht", "put", "greeting", "hello", "--profile", "n2"]).exits(0);
    let printed: serde_json::Value = serde_json::from_str(&put.stdout).expect("one JSON object");
    // A name is known to whoever has met its node.
    let met = until(PATIENCE, || {
        let peers = ten.run(6, &["--json", "peers", "--swarm", "garden"]);
        (peers.stdout.matches("\"online\"").count() >= COUNT).then_some(())
    });
    assert!(met.is_some(), "all have met");
    let key = printed["data"]["key"].as_str().unwrap_or_else(|| panic!("no key: {put}")).to_owned();
    assert!(key.ends_with("/greeting"), "{put}");
    // Another process, which knows another node.
    ten.run(6, &["dht", "get", "n2/greeting"]).exits(0).says("hello");
    ten.run(6, &["dht", "get", &key]).exits(0).says("hello");
    ten.run(6, &["dht", "get", &key.replace("/greeting", "/farewell")]).exits(5);
    let owner = key.trim_end_matches("/greeting");
    ten.run(6, &["dht", "lookup", owner]).exits(0).says("/tcp/");
    let nobody = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
    ten.run(6, &["dht", "lookup", nobody]).exits(5);
    let providers = ten.run(4, &["dht", "providers", "cap:code-review", "--swarm", "garden"]);
    let providers = providers.exits(0);
    assert_eq!(providers.stdout.lines().count(), 1, "only n7 has it: {providers}");
}
