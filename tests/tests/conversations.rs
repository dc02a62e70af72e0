//! What is said in a swarm of whole processes, and who hears it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use p2pnode::{Paths, presets};
use p2pnode_tests::{Home, Namespace, Node, SOON, binary, free_port, may_make_namespaces, until};
use serde_json::Value;

/// What a node has heard: kind, author, feed and id of each event, in the order of its output.
fn heard(node: &Node) -> Vec<(String, String, (u64, u64), String)> {
    let said = node.said();
    let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter_map(|line| {
            let feed = (line["feed"]["epoch"].as_u64()?, line["feed"]["seq"].as_u64()?);
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            Some((text(&line["kind"]), text(&line["peer"]["id"]), feed, text(&line["id"])))
        })
        .collect()
}

fn count(node: &Node, kind: &str) -> usize {
    heard(node).iter().filter(|(what, ..)| what == kind).count()
}

async fn member(home: &Home, name: &str) -> p2pnode::Node {
    p2pnode::Node::builder(presets::Loopback)
        .paths(Paths::in_folder(home.path()).expect("paths"))
        .swarm("garden")
        .name(name)
        .start()
        .await
        .expect("started")
}

/// Ten processes, three of which serve; a silent one watches.
#[test]
fn a_hundred_broadcasts_are_heard_once_and_in_order_by_everybody() {
    const BROADCASTS: usize = 100;
    const HANDLERS: usize = 3;
    binary();
    let home = Home::new();
    let mut nodes: Vec<Node> = (0..10)
        .map(|index| {
            let (name, port) = (format!("n{index}"), free_port().to_string());
            let mut args = vec!["--no-mdns", "--json", "-v", "up", "garden", "--name", &name, "--port", &port];
            if index < HANDLERS {
                args.push("--demo");
            }
            Node::start(home.command(args))
        })
        .collect();
    for node in &nodes {
        node.wait_for("\"ready_ms\"", SOON);
    }
    nodes.push(Node::start(home.command(["--no-mdns", "--json", "watch", "garden"])));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let started = runtime.block_on(async {
        let asker = member(&home, "asker").await;
        assert!(asker.wait_until(SOON, |peers| peers.len() >= 11).await, "{:?}", asker.peers());
        // A mesh is there once somebody silent has heard something.
        let watcher = &nodes[10];
        let meshed = async {
            while count(watcher, "event") == 0 {
                asker.emit("is.there", &1).await.expect("sent");
                // The pace of what is said, within the deadline below: each may be lost before there is a mesh.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(SOON, meshed).await.expect("the watcher hears the swarm");
        let started = Instant::now();
        for _ in 0..BROADCASTS {
            let _ = asker.broadcast("sum", (1, 2)).await.expect("sent");
        }
        let all = |node: &Node| count(node, "broadcast") >= BROADCASTS && count(node, "reply") >= BROADCASTS * HANDLERS;
        let complete = || nodes.iter().all(all).then(|| started.elapsed());
        let limit = 3 * SOON;
        let complete = tokio::task::block_in_place(|| until(limit, complete));
        let state = || nodes.iter().map(|n| (count(n, "broadcast"), count(n, "reply"))).collect::<Vec<_>>();
        complete.unwrap_or_else(|| panic!("broadcasts and replies heard by each: {:?}", state()))
    });
    println!("measured: {BROADCASTS} broadcasts and their answers are with all eleven after {started:?}");
    let mut sets = Vec::new();
    for node in &nodes {
        let mut feeds: HashMap<(String, u64), u64> = HashMap::new();
        let mut ids = HashSet::new();
        for (kind, author, (epoch, seq), id) in heard(node) {
            assert!(ids.insert(id), "{kind} of {author} was told twice");
            if let Some(before) = feeds.insert((author.clone(), epoch), seq) {
                assert!(before < seq, "{kind} of {author}: {seq} came after {before}");
            }
        }
        let kinds = heard(node).into_iter().filter(|(kind, ..)| kind == "broadcast" || kind == "reply");
        sets.push(kinds.map(|(.., id)| id).collect::<HashSet<_>>());
    }
    assert!(sets.iter().all(|set| *set == sets[0]), "all have heard the same");
    assert_eq!(sets[0].len(), BROADCASTS * (1 + HANDLERS));
}

#[test]
fn served_programs_emitted_events_and_what_a_watcher_sees() {
    let home = Home::new();
    let swarm = ["--swarm", "garden"];
    let shout = Node::start(
        home.command(
            ["--no-mdns", "serve", "shout", "--port", &free_port().to_string()]
                .into_iter()
                .chain(swarm)
                .chain(["--", "tr", "a-z", "A-Z"]),
        ),
    )
    .ready();
    home.run(&["call", "cap:shout", "shout", "three words"]).exits(0).says("THREE WORDS");
    home.run(&["call", "cap:shout", "shout", "a", "2"]).exits(0).says("[\"A\",2]");
    let listening = Node::start(home.command(["--no-mdns", "subscribe", "document.>", "--swarm", "garden"]));
    listening.wait_for("listening for", SOON);
    let watching = Node::start(home.command(["--no-mdns", "--json", "watch", "garden"]));
    watching.wait_for("\"joined\"", SOON);
    // Each command is a node that has just come: it repeats until the listener has met it.
    let emitted = until(SOON, || {
        home.run(&["emit", "document.uploaded", "{\"name\":\"q.pdf\"}", "--swarm", "garden"]).exits(0);
        listening.said().contains("document.uploaded   {\"name\":\"q.pdf\"}").then_some(())
    });
    assert!(emitted.is_some(), "{}", listening.said());
    home.run(&["broadcast", "garden", "--endpoint", "shout", "hello", "--replies", "1", "--raw"])
        .exits(0)
        .says("HELLO");
    watching.wait_for("\"result\":\"HELLO\"", SOON);
    assert!(!watching.said().contains("\"kind\":\"left\""), "one-command nodes are folded: {}", watching.said());
    home.run(&["broadcast", "garden", "--endpoint", "nothing", "--replies", "1", "--wait", "300ms"]).exits(9);
    let count = Node::start(
        home.command(
            ["--no-mdns", "serve", "count", "--stream", "--port", &free_port().to_string()]
                .into_iter()
                .chain(swarm)
                .chain(["--", "sh", "-c", "for n in 1 2 3; do echo $n; sleep 0.05; done"]),
        ),
    )
    .ready();
    home.run(&["call", "cap:count", "count"]).exits(0).says("[1,2,3]");
    let told = home.run(&["--json", "broadcast", "garden", "--endpoint", "count", "--replies", "1"]).exits(0);
    assert_eq!(told.stdout.matches("\"kind\":\"progress\"").count(), 3, "each line is told: {told}");
    told.says("\"result\":[1,2,3]");
    home.run(&["call", "cap:count", "--list"]).exits(0).says("(--stream)");
    // Item by item, for who wants them so.
    home.run(&["call", "cap:count", "count", "--stream"]).exits(0).says("1\n2\n3\n");
    let told = home.run(&["--json", "call", "cap:count", "count", "--stream"]).exits(0);
    let lines: Vec<Value> =
        told.stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let values: Vec<_> = lines.iter().filter(|line| line["kind"] == "item").map(|line| &line["value"]).collect();
    assert_eq!(values, [1, 2, 3], "{told}");
    let last = lines.last().expect("a summary");
    assert_eq!(
        (last["kind"].as_str(), last["items"].as_u64(), last["ok"].as_bool()),
        (Some("summary"), Some(3), Some(true)),
        "{told}"
    );
    drop(count);
    home.run(&["emit", "no subject", "--swarm", "garden"]).exits(2).complains("is no subject");
    home.run(&["emit", "x", "--swarm", "elsewhere"]).exits(6).complains("nobody in swarm");
    drop(shout);
}

#[test]
fn a_program_without_an_end_is_read_line_by_line_and_ends_with_its_reader() {
    let home = Home::new();
    let script = home.script("ticks", "echo $$ >\"$0.pid\"; n=0; while :; do n=$((n + 1)); echo $n; done");
    let port = free_port().to_string();
    let args = ["--no-mdns", "serve", "ticks", "--stream", "--swarm", "garden", "--port", &port, "--", &script];
    let mut node = Node::start(home.command(args)).ready();
    let mut command = home.command(["call", "cap:ticks", "ticks", "--stream"]);
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let mut reader = command.spawn().expect("it starts");
    let mut lines = BufReader::new(reader.stdout.take().expect("piped")).lines();
    for n in 1..=20_000_u32 {
        assert_eq!(lines.next().expect("a line").expect("read"), n.to_string());
    }
    let pid = fs::read_to_string(format!("{script}.pid")).expect("it has started");
    let process = format!("/proc/{}", pid.trim());
    assert!(Path::new(&process).exists(), "it waits for its reader, or runs");
    drop(lines);
    assert!(until(SOON, || reader.try_wait().expect("asked")).is_some(), "a closed pipe ends the reader");
    assert!(until(SOON, || (!Path::new(&process).exists()).then_some(())).is_some(), "and that ends the program");
    let rss = node.rss_kib().expect("it runs");
    assert!(rss < 200 * 1024, "{rss} KiB: what was printed is not kept");
    assert!(node.is_alive());
    // An error after items is told, and what came before it stands.
    let failing = ["--no-mdns", "serve", "fails", "--stream", "--swarm", "garden", "--", "sh", "-c", "echo 1; exit 3"];
    let failing = Node::start(home.command(failing)).ready();
    let told = home.run(&["call", "cap:fails", "fails", "--stream"]).exits(7).complains("exit 3");
    assert_eq!(told.stdout, "1\n");
    drop(failing);
}

#[test]
fn a_served_program_that_fails_hangs_or_floods_does_no_harm() {
    let home = Home::new();
    let script = home.script(
        "evil",
        "read line; case \"$line\" in fail) echo no luck >&2; exit 3;; hang) sleep 600;; flood) yes;; \
         fork) sleep 600 & sleep 600 & echo forked;; *) printf '%s' \"$# $line\";; esac",
    );
    let port = free_port().to_string();
    let args = ["--no-mdns", "serve", "evil", "--swarm", "garden", "--port", &port, "--run-limit", "2s", "--", &script];
    let mut node = Node::start(home.command(args)).ready();
    let call = |word: &str| home.run(&["call", "cap:evil", "evil", "--", word]);
    call("fail").exits(7).complains("no luck (exit 3)");
    call("flood").exits(2).complains("more than");
    let hung = call("hang").exits(7);
    assert!(hung.stderr.contains("stopped after"), "{hung}");
    call("fork").exits(0).says("forked");
    for word in ["--flag", "$(id)", "; rm -rf x", "`id`", "a\tb"] {
        call(word).exits(0).says(&format!("0 {word}"));
    }
    // Who gives up ends the program within its grace time.
    home.run(&["--timeout", "500ms", "call", "cap:evil", "evil", "hang"]).exits(6);
    let ended = until(SOON, || call("again").stdout.contains("0 again").then_some(()));
    assert!(ended.is_some(), "its slot is free again");
    assert!(node.is_alive());
}

/// Fifty processes answer one question. By hand or by `.ci/long`: it needs both cores.
#[test]
#[ignore = "fifty processes; runs in .ci/long"]
fn fifty_processes_answer_one_question() {
    const COUNT: usize = 50;
    binary();
    let home = Home::new();
    let nodes: Vec<Node> = (0..COUNT)
        .map(|index| {
            let (name, port) = (format!("n{index}"), free_port().to_string());
            Node::start(home.command(["--no-mdns", "up", "garden", "--demo", "--name", &name, "--port", &port]))
        })
        .collect();
    for node in &nodes {
        node.wait_for("ready in ", 4 * SOON);
    }
    // Until all have met: fifty starts at once are a load of their own.
    let met = until(4 * SOON, || {
        let listed = home.run(&["--json", "peers", "--swarm", "garden"]);
        (listed.stdout.matches("\"online\"").count() >= COUNT).then_some(())
    });
    assert!(met.is_some(), "fifty are online");
    for round in 0..3 {
        let asked = home.run(&["--json", "ask", "garden", "who is there?"]).exits(0);
        let mut elapsed: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for line in asked.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()) {
            let time = line["elapsed_ms"].as_f64().unwrap_or_default();
            match line["kind"].as_str() {
                Some("ack") => elapsed.entry("ack").or_default().push(time),
                Some("reply") => elapsed.entry("reply").or_default().push(time),
                _ => {}
            }
        }
        let first = elapsed["ack"].iter().copied().fold(f64::INFINITY, f64::min);
        let last = elapsed["reply"].iter().copied().fold(0.0, f64::max);
        println!(
            "measured: round {round}: {} replies, first ack {first} ms, last reply {last} ms",
            elapsed["reply"].len()
        );
        assert_eq!(elapsed["reply"].len(), COUNT);
        assert!(last - first < 5_000.0, "promised 1 s; a loaded machine gets five times as much");
    }
}

/// Two networks, three nodes each, apart for a minute.
#[test]
#[ignore = "takes two minutes; runs in .ci/long"]
fn what_was_apart_talks_again() {
    const APART: Duration = Duration::from_secs(60);
    const HEALED: Duration = Duration::from_secs(30);
    if !may_make_namespaces() {
        return;
    }
    binary();
    let (left, right) = Namespace::joined();
    let homes = [Home::new(), Home::new()];
    let mut nodes = Vec::new();
    for (home, space, side) in [(&homes[0], &left, "left"), (&homes[1], &right, "right")] {
        for index in 0..3 {
            let (name, port) = (format!("{side}{index}"), (9_001 + index).to_string());
            let args = ["--json", "-v", "up", "garden", "--demo", "--name", &name, "--port", &port];
            nodes.push(Node::start(home.command_in(space, args)));
        }
    }
    let sees = |node: &Node, name: &str| node.said().contains(&format!("\"name\":\"{name}\""));
    let names = ["left0", "left1", "left2", "right0", "right1", "right2"];
    let met = until(2 * SOON, || {
        let all = nodes.iter().zip(names).all(|(node, own)| names.iter().all(|n| *n == own || sees(node, n)));
        all.then_some(())
    });
    assert!(met.is_some(), "six have met");
    let emit = |home: &Home, space: &Namespace, subject: &str| {
        p2pnode_tests::run(home.command_in(space, ["emit", subject, "--swarm", "garden"])).exits(0);
    };
    let heard = |subject: &str| {
        let text = format!("\"subject\":\"{subject}\"");
        nodes.iter().map(|node| node.said().matches(&text).count()).collect::<Vec<_>>()
    };
    left.cable(false);
    let cut = Instant::now();
    emit(&homes[0], &left, "while.apart");
    std::thread::sleep(APART.saturating_sub(cut.elapsed()));
    assert_eq!(heard("while.apart"), [1, 1, 1, 0, 0, 0], "they are apart");
    left.cable(true);
    let healed = Instant::now();
    // From either side, again and again until one has reached all.
    for (side, home, space) in [("left", &homes[0], &left), ("right", &homes[1], &right)] {
        let mut round = 0;
        let all = until(3 * HEALED, || {
            round += 1;
            let subject = format!("from.{side}.{round}");
            emit(home, space, &subject);
            until(Duration::from_secs(2), || heard(&subject).iter().all(|n| *n == 1).then(|| healed.elapsed()))
        });
        let all = all.unwrap_or_else(|| panic!("from {side}: {:?}", heard(&format!("from.{side}.{round}"))));
        println!("measured: an event from {side} reaches all {all:?} after the cable is back, promised {HEALED:?}");
        assert!(all < HEALED, "{side}: {all:?}");
    }
}
