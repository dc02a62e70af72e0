//! Nodes that are reached over WebSocket.

use p2pnode_tests::{Home, Node, Output, SOON, until};
use serde_json::Value;

fn data(output: &Output) -> Value {
    let told: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    told["data"].clone()
}

fn up(home: &Home, args: &[&str]) -> Node {
    let up = ["--no-mdns", "up", "garden", "--demo", "--listen", "/ip4/127.0.0.1/tcp/0/ws"];
    Node::start(home.command([&up, args].concat())).ready()
}

/// The address over WebSocket on which the node of `home` listens.
fn web(home: &Home) -> String {
    let listens = || {
        let listen = data(&home.attached(&["--json", "status"]))["network"]["listen"].as_array()?.clone();
        let mut all = listen.iter().filter_map(|addr| addr.as_str().map(str::to_owned));
        all.find(|addr| addr.ends_with("/ws"))
    };
    until(SOON, listens).expect("it listens on WebSocket")
}

#[test]
fn a_node_is_reached_over_websocket() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let _node = up(&home, &["--allow", "any"]);
    let addr = web(&home);
    let url = addr.replace("/ip4/127.0.0.1/tcp/", "ws://127.0.0.1:").replace("/ws", "");
    for entrance in [&addr, &url] {
        let args = ["--no-local", "--bootstrap", entrance, "ask", "garden", "who is there?"];
        elsewhere.run(&args).exits(0).says("I am");
    }
    let path = elsewhere.run(&["--no-local", "--json", "ping", &addr]).exits(0);
    assert!(path.stdout.contains("\"transport\":\"websocket\""), "{path:?}");
}

#[test]
fn who_comes_over_websocket_is_not_near() {
    let (home, elsewhere) = (Home::new(), Home::new());
    let _node = up(&home, &[]);
    let addr = web(&home);
    // By its address alone it would be of this host; so would everybody behind a reverse proxy.
    let args = ["--no-local", "-s", "garden", "call", &addr, "sum", "1", "2"];
    elsewhere.run(&args).exits(4).complains("--allow any");
}

#[test]
fn certificates_are_for_a_reverse_proxy() {
    let home = Home::new();
    home.run(&["up", "garden", "--listen", "/ip4/127.0.0.1/tcp/0/tls/ws"]).exits(8).complains("reverse proxy");
    let args = ["--no-local", "-s", "garden", "--bootstrap", "https://127.0.0.1", "ask", "who?"];
    home.run(&args).exits(2).complains("ws:// and wss://");
}
