//! A node in the background, and commands that go through it.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixListener},
    process::{Command, Stdio},
    thread,
};

use p2pnode_tests::{Background, Home, Node, Output, SOON, binary, free_port, run, until};
use serde_json::Value;

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// A quiet node in the background, and one that serves, which have met.
fn pair(home: &Home) -> (Background, Node) {
    let quiet = home.detached(&["garden"]);
    let calculator = home.up(&["garden", "--demo", "--name", "calculator"]).ready();
    home.attached(&["wait", "peer", "calculator"]).exits(0);
    calculator.wait_for(&format!("joined   {}", quiet.name), SOON);
    (quiet, calculator)
}

#[test]
fn a_node_in_the_background_from_its_start_to_its_end() {
    let home = Home::new();
    home.run(&["status"]).exits(3).complains("not running; start with `p2pnode up`");
    home.run(&["logs"]).exits(5);
    let node = home.detached(&["garden", "--demo"]);
    let again = home.run(&["up", "garden", "--detach"]).exits(0).says("already running");
    assert!(again.stdout.contains(&node.pid.to_string()), "{again}");
    home.run(&["up", "ops", "-d"]).exits(8).complains("is not in swarm \"ops\"");
    let foreground = ["up", "garden", "--profile", "default", "--port", &free_port().to_string()];
    home.run(&foreground).exits(8).complains(&node.pid.to_string());

    let status = home.run(&["status"]).exits(0);
    let status = status.says(&node.name).says("garden (open)   1 online").says("ask, echo, sum, time").says("health");
    assert!(status.stdout.lines().count() <= 8, "one screen: {status}");
    let told = json(&home.run(&["status", "--json", "--strict"]).exits(0));
    assert_eq!((&told["meta"]["via"], &told["data"]["pid"]), (&"daemon".into(), &node.pid.into()));
    assert_eq!(told["data"]["health"]["ok"], true);

    let followed = Node::start(home.command(["logs", "-f"]));
    followed.wait_for("ready in ", SOON);
    home.run(&["ask", "garden", "hi"]).exits(0).says(&node.name);
    followed.wait_for("ask      cli-", SOON);
    followed.interrupt();
    home.run(&["down"]).exits(0).says("stopped");
    assert!(!home.path().join("run/default.sock").exists(), "the socket goes with the node");
    home.run(&["down"]).exits(0).says("not running");
    home.run(&["status"]).exits(3);
    let logs = home.run(&["logs", "-n", "1"]).exits(0);
    assert_eq!(logs.stdout.lines().count(), 1, "{logs}");
    let told = home.run(&["logs", "--json"]).exits(0).says("\"kind\":\"log\"");
    assert!(told.stdout.trim_end().lines().last().is_some_and(|line| line.contains("\"summary\"")), "{told}");
    // The same identity, and nothing in its way.
    assert_eq!(home.detached(&["garden"]).name, node.name);
}

#[test]
fn what_the_child_says_is_the_parents_error() {
    let home = Home::new();
    home.run(&["up", "-d"]).exits(2).complains("which swarm?");
    let listen = ["up", "garden", "-d", "--listen", "/ip4/192.0.2.77/tcp/1"];
    home.run(&listen).exits(8).complains("cannot listen on /ip4/192.0.2.77/tcp/1");
    let told = json(&home.run(&[&["--json"], &listen[..]].concat()).exits(8));
    assert_eq!((&told["kind"], &told["error"]["exit"]), (&"up".into(), &8.into()));
    let broken = home.run(&["up", "garden", "-d", "--inject-panic"]);
    assert!(matches!(broken.code, Some(0 | 1)), "ready before it breaks, or not: {broken}");
    let ended = until(SOON, || (home.run(&["status"]).code == Some(3)).then_some(()));
    assert!(ended.is_some(), "nothing is left of it");
}

#[test]
fn every_verb_goes_through_the_running_node() {
    let home = Home::new();
    let (node, calculator) = pair(&home);
    assert_eq!(home.attached(&["call", "calculator", "sum", "1", "2"]).exits(0).stdout, "3\n");
    for line in [
        &["call", "calculator", "sum", "-k", "a=1", "-k", "b=2"][..],
        &["call", "calculator@garden", "--list"],
        &["peers"],
        &["members", "garden"],
        &["swarms"],
        &["peer", "calculator"],
        &["find", "calculator"],
        &["dht", "put", "motd", "ten"],
    ] {
        let told = json(&home.attached(&[&["--json"], line].concat()).exits(0));
        let (via, id) = (&told["meta"]["via"], &told["meta"]["node"]);
        assert_eq!((via, id), (&"daemon".into(), &node.id.as_str().into()), "{line:?}: {told}");
    }
    home.attached(&["members", "--swarm", "garden"]).exits(0).says(&node.name);
    let peers = home.attached(&["peers"]).exits(0).says("calculator").says(&node.name);
    assert!(peers.stdout.contains("2 peers"), "the node itself is one of them: {peers}");
    home.attached(&["ping", "calculator"]).exits(0).says("pong from calculator");

    home.attached(&["ask", "garden", "who?"]).exits(0).says("calculator:").complains("1 reply from 1 node");
    calculator.wait_for(&format!("ask      {}", node.name), SOON);
    home.attached(&["broadcast", "garden", "--endpoint", "sum", "1", "2", "--replies", "1"]).exits(0).says("3");

    let listener = Node::start(home.command(["--daemon", "--json", "subscribe", "a.>", "--count", "1"]));
    listener.wait_for("\"subscribed\"", SOON);
    home.attached(&["emit", "a.b", "{\"n\":1}"]).exits(0).says("a.b sent to 1 member");
    let said = listener.wait_for("\"summary\"", SOON);
    assert!(said.contains("\"subject\":\"a.b\"") && said.contains(&node.name), "{said}");

    home.attached(&["peer", &node.name]).exits(0).says(&node.id);
    home.attached(&["ping", &node.name]).exits(5).complains("does not call itself");
    home.attached(&["call", "calculator", "sun"]).exits(5).complains("did you mean \"sum\"?");
    home.attached(&["ask", "ops", "hi"]).exits(5).complains("not in swarm \"ops\"");
    home.attached(&["ask", "-"]).exits(2).complains("the text is empty");
    home.attached(&["peers", "--bootstrap", "127.0.0.1"]).exits(2).complains("--bootstrap");
    node.is_idle();
}

#[test]
fn files_are_the_clients() {
    let home = Home::new();
    let (_node, _calculator) = pair(&home);
    let elsewhere = tempfile::tempdir().expect("a folder");
    fs::write(elsewhere.path().join("in"), [0, 255, 10]).expect("written");
    let mut command = home.command(["--daemon", "call", "calculator", "echo", "@in", "--out", "out"]);
    command.current_dir(elsewhere.path());
    run(command).exits(0).complains("out  3 B  from calculator");
    assert_eq!(fs::read(elsewhere.path().join("out")).expect("written"), [0, 255, 10]);
    home.attached(&["call", "calculator", "echo", "@in"]).exits(2).complains("in: ");

    let mut shell = Command::new("sh");
    let path = binary().display();
    shell.args(["-c", &format!("printf '[1,2]' | {path} --daemon call calculator sum --stdin json")]);
    shell.env("P2PNODE_HOME", home.path());
    // `run` would close the stdin of the shell alone.
    let out = shell.stdout(Stdio::piped()).output().expect("it ran");
    assert_eq!(String::from_utf8_lossy(&out.stdout), "3\n", "{out:?}");
    let long = "x".repeat(1_200_000);
    fs::write(elsewhere.path().join("long"), &long).expect("written");
    let mut command = home.command(["--daemon", "call", "calculator", "echo", "@long"]);
    command.current_dir(elsewhere.path());
    run(command).exits(2).complains("more than 1 MiB");
}

#[test]
fn ctrl_c_says_the_last_words_and_leaves_the_node_well() {
    let home = Home::new();
    let node = home.detached(&["garden"]);
    let slow = home.script("slow.sh", "sleep 600");
    let _slow = home.up(&["garden", "--name", "slow", "--ask", &slow]).ready();
    home.attached(&["wait", "peer", "slow"]).exits(0);
    let mut asked = Node::start(home.command(["--daemon", "--json", "ask", "garden", "hi"]));
    asked.wait_for("\"kind\":\"ack\"", SOON);
    asked.interrupt();
    assert_eq!(asked.wait(SOON), Some(130));
    let said = asked.wait_for("\"summary\"", SOON);
    assert!(said.contains("\"exit\":130") && said.contains("\"acks\":1"), "{said}");
    node.is_idle();
    let mut asked = Node::start(home.command(["--daemon", "ask", "garden", "hi"]));
    asked.wait_for("acked", SOON);
    asked.interrupt();
    assert_eq!(asked.wait(SOON), Some(130), "{}", asked.said());
    node.is_idle();
}

#[test]
fn clients_that_vanish_end_their_commands() {
    let home = Home::new();
    let (node, _calculator) = pair(&home);
    let mut watcher = Node::start(home.command(["--daemon", "watch", "garden"]));
    watcher.wait_for("watching garden", SOON);
    assert_eq!(node.status()["load"]["commands"], 2);
    watcher.kill9();
    node.is_idle();
    let mut shell = Command::new("sh");
    let path = binary().display();
    let repeated = format!("{path} --daemon call calculator sum 1 2 --repeat 100000 --interval 10ms");
    shell.args(["-c", &format!("{{ {repeated}; echo exit $? >&2; }} | head -n 1")]).env("P2PNODE_HOME", home.path());
    let out = run(shell).exits(0).complains("exit 0");
    assert_eq!(out.stdout.lines().count(), 1, "{out}");
    node.is_idle();
}

#[test]
fn clients_hear_that_the_node_leaves() {
    let home = Home::new();
    let _node = home.detached(&["garden"]);
    let mut watcher = Node::start(home.command(["--daemon", "--json", "watch", "garden"]));
    watcher.wait_for("\"watching\"", SOON);
    home.run(&["down"]).exits(0);
    assert_eq!(watcher.wait(SOON), Some(3), "{}", watcher.said());
    watcher.wait_for("\"summary\"", SOON);
}

#[test]
fn who_is_asked_itself_is_asked_by_another_node() {
    let home = Home::new();
    // A name that no other test has: without `--no-mdns` the network is looked at, too.
    let swarm = format!("first-success-{}", std::process::id());
    let node = home.up(&[&swarm, "--demo", "--name", "fern"]).ready();
    run(home.command(["ask", &swarm, "who is there?"])).exits(0).says("fern:");
    assert_eq!(run(home.command(["--swarm", &swarm, "call", "fern", "sum", "1", "2"])).exits(0).stdout, "3\n");
    node.wait_for("joined   cli-", SOON);
    // What it does not serve goes through it, as soon as it answers in time.
    let attached = until(SOON, || {
        let told = json(&run(home.command(["--json", "--swarm", &swarm, "peers"])).exits(0));
        (told["meta"]["via"] == "daemon").then_some(told)
    });
    assert!(attached.is_some_and(|told| told["data"][0]["name"] == "fern"));
    let own = json(&run(home.command(["--json", "--swarm", &swarm, "--ephemeral", "peers"])).exits(0));
    assert_eq!(own["meta"]["via"], "ephemeral");
}

#[test]
fn profiles_have_nodes_of_their_own() {
    let home = Home::new();
    home.attached(&["peers"]).exits(3).complains("p2pnode up garden --detach");
    let mut command = home.command(["peers"]);
    run({
        command.env("P2PNODE_MODE", "daemon");
        command
    })
    .exits(3);
    let a = home.detached(&["garden", "--name", "a"]);
    home.run(&["status"]).exits(0).says(&a.id[..12]);
    let b = home.detached(&["garden", "-P", "b"]);
    assert_ne!(a.id, b.id);
    home.run(&["status"]).exits(8).complains("profiles a, b").complains("p2pnode -P a --no-mdns status");
    for (profile, node) in [("a", &a), ("b", &b)] {
        let told = json(&home.attached(&["-P", profile, "--json", "peers"]).exits(0));
        assert_eq!(told["meta"]["node"], node.id.as_str());
    }
    let default = home.detached(&["garden"]);
    assert_eq!(json(&home.attached(&["--json", "peers"]).exits(0))["meta"]["node"], default.id.as_str());
    home.run(&["down", "-P", "b"]).exits(0).says("profile b");
    home.run(&["status", "-P", "b"]).exits(3);
    home.run(&["status", "-P", "a"]).exits(0);
}

#[test]
fn what_a_killed_node_left_is_in_nobodys_way() {
    let home = Home::new();
    let node = home.detached(&["garden"]);
    let socket = home.path().join("run/default.sock");
    node.kill9();
    let gone = until(SOON, || (home.run(&["status"]).code == Some(3)).then_some(()));
    assert!(gone.is_some() && socket.exists(), "it could not tidy up");
    let again = home.detached(&["garden"]);
    assert_eq!((&again.id, again.pid == node.pid), (&node.id, false));
    home.run(&["status"]).exits(0);
}

#[test]
fn a_node_of_another_version_is_named_and_not_used() {
    let home = Home::new();
    let folder = home.path().join("run");
    fs::create_dir(&folder).expect("made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("closed");
    let newer = UnixListener::bind(folder.join("default.sock")).expect("bound");
    thread::spawn(move || {
        let body = r#"{"v":9,"ok":false,"kind":"api","error":{"code":"api","details":{"version":"9.9.9"}}}"#;
        let length = body.len();
        for mut client in newer.incoming().flatten() {
            let _ = client.read(&mut [0; 4_096]);
            let _ = write!(client, "HTTP/1.1 426 Upgrade Required\r\ncontent-length: {length}\r\n\r\n{body}");
        }
    });
    home.attached(&["peers"]).exits(8).complains("the running node is 9.9.9, this is 0.").complains("restart it");
    home.run(&["status"]).exits(8).complains("restart it");
    let told = || run(home.command(["peers", "--json", "--swarm", "nobody-else-is-here"])).exits(0);
    // It is noted where it answers in time, and is no obstacle in any case.
    let noted = until(SOON, || Some(told()).filter(|told| told.stderr.contains("restart it")));
    assert!(noted.is_some_and(|told| told.stdout.contains("\"via\":\"ephemeral\"")));
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("opened");
    home.attached(&["peers"]).exits(1).complains("can be entered by others");
}

#[test]
fn an_open_folder_or_a_long_path_is_refused_by_name() {
    let home = Home::new();
    let folder = home.path().join("run");
    fs::create_dir(&folder).expect("made");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).expect("opened");
    let port = free_port().to_string();
    let up = home.run(&["up", "garden", "--port", &port]).exits(1);
    up.complains(&folder.to_string_lossy()).complains("chmod 700").complains("mode 0755");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).expect("closed");
    let long = home.path().join("x".repeat(90));
    let mut command = home.command(["--no-mdns", "up", "garden", "--port", &port]);
    command.env("P2PNODE_HOME", &long);
    run(command).exits(2).complains("too long for a socket").complains(&long.to_string_lossy());
    drop(home.up(&["garden"]).ready());
}
