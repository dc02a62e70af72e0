//! The control socket, byte by byte, as any program could use it.

use std::{fs, io::Read, os::unix::fs::PermissionsExt};

use p2pnode_tests::{Background, Home, SOON, read, read_until, until};

fn node(home: &Home) -> Background {
    home.detached(&["garden"])
}

#[test]
fn answers_to_programs() {
    let home = Home::new();
    let node = node(&home);
    let calculator = home.up(&["garden", "--demo", "--name", "calculator"]).ready();
    home.attached(&["wait", "peer", "calculator"]).exits(0);
    let control = &node.control;

    let routes = control.get("/v1");
    assert_eq!((routes.status, &routes.json()["data"]["api"]), (200, &"1".into()));
    assert!(routes.head.contains("x-p2pnode-api: 1") && routes.head.contains("application/json"), "{routes:?}");
    assert_eq!(control.get("/v1/healthz").json()["data"]["peer_id"], node.id.as_str());
    assert_eq!(control.get("/v1/readyz").status, 200);
    // The node itself is in the list, too, under the name it was given by lot.
    let members = control.get("/v1/members?swarm=garden").json();
    let members = members["data"].as_array().expect("a list");
    assert!(members.iter().any(|member| member["name"] == "calculator"), "{members:?}");
    assert_eq!(control.get("/v1/peers?cap=none").json()["data"], serde_json::json!([]));
    assert_eq!(control.get("/v1/swarms").json()["data"][0]["name"], "garden");

    let sum = control.post("/v1/call", r#"{"target":"calculator","endpoint":"sum","args":[1,2],"timeout":"20s"}"#);
    assert_eq!((sum.status, &sum.json()["data"]["result"]), (200, &3.into()), "{sum:?}");
    let echo = control.post("/v1/call", r#"{"target":"calculator","endpoint":"echo","args":["@/etc/passwd"]}"#);
    assert_eq!(echo.json()["data"]["result"], "@/etc/passwd", "no file is opened for a client");
    let sum = control.post("/v1/call", r#"{"target":"calculator","endpoint":"sum","kwargs":{"a":1,"b":41}}"#);
    assert_eq!(sum.json()["data"]["result"], 42);

    let asked = control.post("/v1/ask", r#"{"text":"who?","swarm":"Garden"}"#);
    assert!(asked.status == 200 && asked.head.contains("application/x-ndjson"), "{asked:?}");
    for kind in ["asked", "ack", "reply", "summary"] {
        assert!(asked.body.contains(&format!("\"kind\":\"{kind}\"")), "{asked:?}");
    }
    let asked = control.request("POST", "/v1/ask", &["accept: text/event-stream"], r#"{"text":"who?"}"#);
    assert!(asked.head.contains("text/event-stream"), "{asked:?}");
    assert!(asked.body.contains("event: reply\ndata: {\"v\":1,"), "{asked:?}");
    drop(calculator);
}

#[test]
fn events_come_as_they_happen() {
    let home = Home::new();
    let node = node(&home);
    let request = "GET /v1/events?kind=joined,event HTTP/1.1\r\nhost: p\r\naccept: text/event-stream\r\n\r\n";
    let mut events = node.control.send(request.as_bytes());
    read_until(&mut events, "event: watching");
    let _ash = home.up(&["garden", "--name", "ash"]).ready();
    read_until(&mut events, "event: joined\ndata: {");
    home.attached(&["emit", "a.b", "1"]).exits(0);
    let rest = read_until(&mut events, "event: event\ndata: {");
    assert!(!rest.contains("event: left"), "{rest}");
    drop(events);
    node.is_idle();
}

#[test]
fn what_is_wrong_has_a_status_and_says_so() {
    let home = Home::new();
    let node = node(&home);
    let control = &node.control;
    for (method, path, headers, body, status, text) in [
        ("POST", "/v1/aks", &[][..], "{}", 404, "did you mean /v1/ask?"),
        ("GET", "/v2/peers", &[], "", 404, "no route GET /v2/peers"),
        ("GET", "/v1/ask", &[], "", 405, "does not take GET"),
        ("POST", "/v1/ask", &[], r#"{"text":"hi","frist":true}"#, 400, "unknown field `frist`"),
        ("POST", "/v1/ask", &[], "{}", 400, "missing field `text`"),
        ("POST", "/v1/ask", &[], "[]", 400, "no JSON object"),
        ("POST", "/v1/ask", &[], "{", 400, "no JSON"),
        ("POST", "/v1/ask", &[], r#"{"text":" "}"#, 400, "the text is empty"),
        ("POST", "/v1/peers", &[], r#"{"sort":"size"}"#, 400, "unknown variant `size`"),
        ("POST", "/v1/call", &[], r#"{"target":"x","endpoint":"y","out":"/tmp/z"}"#, 400, "file of the client"),
        ("GET", "/v1/peers?sort=size", &[], "", 400, "unknown variant `size`"),
        ("POST", "/v1/members", &[], r#"{"swarm":"ops"}"#, 404, "not in swarm"),
        ("POST", "/v1/peer", &[], r#"{"target":"nobody"}"#, 504, "no node was found"),
        ("POST", "/v1/wait", &[], r#"{"conditions":["peers","9"],"timeout":"50ms"}"#, 412, "not there"),
        ("GET", "/v1/peers", &["x-p2pnode-api: 2"], "", 426, "the client speaks version 2"),
        ("GET", "/v1/peers", &["x-p2pnode-terminal: {\"x\":1}"], "", 400, "unknown field `x`"),
        ("DELETE", "/v1/commands/none", &[], "", 404, "no command"),
    ] {
        let reply = control.request(method, path, headers, body);
        assert_eq!(reply.status, status, "{method} {path} {body}: {reply:?}");
        assert!(reply.json()["error"].to_string().contains(text), "{method} {path} {body}: {reply:?}");
    }
    assert_eq!(control.get("/v1/peers").status, 200);
}

#[test]
fn what_is_too_much_is_refused() {
    let home = Home::new();
    let node = node(&home);
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(1_100_000));
    assert_eq!(node.control.post("/v1/ask", &large).status, 413);
    let header = format!("x-large: {}", "x".repeat(20_000));
    assert_eq!(node.control.request("GET", "/v1/peers", &[&header], "").status, 431);
    let nested = format!("{{\"text\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(node.control.post("/v1/ask", &nested).status, 400);
    assert_eq!(read(node.control.send(b"this is no HTTP\r\n\r\n")).status, 400);
    node.is_idle();
}

#[test]
fn the_seventeenth_client_is_told_so() {
    let home = Home::new();
    let node = node(&home);
    let request = b"GET /v1/events HTTP/1.1\r\nhost: p\r\n\r\n";
    let mut clients: Vec<_> = (0..16).map(|_| node.control.send(request)).collect();
    for client in &mut clients {
        read_until(client, "\"watching\"");
    }
    let refused = node.control.get("/v1/peers");
    assert_eq!((refused.status, &refused.json()["error"]["code"]), (503, &"busy".into()), "{refused:?}");
    assert_eq!(node.control.get("/v1/healthz").json()["data"]["busy"], true, "whether it lives can still be seen");
    home.attached(&["peers"]).exits(7).complains("16 clients use this node");
    clients.pop();
    let free = until(SOON, || (node.control.get("/v1/peers").status == 200).then_some(()));
    assert!(free.is_some(), "a place is free again");
    let full = node.control.send(request);
    home.run(&["down"]).exits(0).says("stopped");
    drop((full, clients));
}

#[test]
fn a_command_is_cancelled_by_its_name() {
    let home = Home::new();
    let node = node(&home);
    let request = "GET /v1/events HTTP/1.1\r\nhost: p\r\nx-p2pnode-command: mine\r\nconnection: close\r\n\r\n";
    let mut events = node.control.send(request.as_bytes());
    read_until(&mut events, "\"watching\"");
    let twice = node.control.request("GET", "/v1/events", &["x-p2pnode-command: mine"], "");
    assert_eq!(twice.status, 409, "{twice:?}");
    assert_eq!(node.control.request("DELETE", "/v1/commands/mine?exit=143", &[], "").status, 200);
    let last = read_until(&mut events, "\"summary\"");
    assert!(last.contains("\"exit\":143"), "{last}");
    node.is_idle();
    assert_eq!(node.control.post("/v1/shutdown", "").json()["data"]["stopping"], true);
    let gone = until(SOON, || (home.run(&["status"]).code == Some(3)).then_some(()));
    assert!(gone.is_some(), "it has left");
}

/// The file's mode keeps others out already; this is about what holds where it does not.
#[test]
fn another_user_is_sent_away_without_a_word() {
    let (own, nobody) = (rustix::process::getuid(), rustix::process::Uid::from_raw(65_534));
    if !own.is_root() {
        println!("skipped: only root can be somebody else");
        return;
    }
    let home = Home::new();
    let node = node(&home);
    let socket = home.path().join("run/default.sock");
    for (path, mode) in [(home.path(), 0o711), (&home.path().join("run"), 0o711), (&socket, 0o666)] {
        let opened = fs::set_permissions(path, fs::Permissions::from_mode(mode));
        opened.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
    let control = node.control.clone();
    // The kernel counts users by threads: only this one changes, and it ends with that.
    let answer = std::thread::spawn(move || {
        rustix::thread::set_thread_uid(nobody).unwrap_or_else(|error| panic!("{error}"));
        let mut answer = Vec::new();
        let mut stream = control.send(b"GET /v1/status HTTP/1.1\r\nhost: p\r\nconnection: close\r\n\r\n");
        // Closed with bytes of ours unread, it may be reset.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    });
    let answer = answer.join().unwrap_or_else(|_| panic!("the other user could not connect"));
    assert_eq!(answer, "", "another user hears something");
    assert_eq!(node.control.get("/v1/healthz").status, 200, "and its own user is answered as before");
}
