//! Messages between nodes that run in the background: sent, kept, read, answered.

use p2pnode_tests::{Background, Home, Output, SOON, read_until, until};
use serde_json::Value;

fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

/// The program through the node of a profile.
fn by(home: &Home, name: &str, args: &[&str]) -> Output {
    home.attached(&[&["-P", name], args].concat())
}

fn list(home: &Home, name: &str, what: &str) -> Vec<Value> {
    let listed = json(&by(home, name, &["--json", what]).exits(0));
    listed["data"].as_array().cloned().unwrap_or_default()
}

/// Two nodes that know each other.
fn pair(home: &Home, more: &[&str]) -> (Background, Background) {
    let fern = home.detached(&["garden", "--name", "fern"]);
    let moss = home.detached(&[&["garden", "--name", "moss"], more].concat());
    by(home, "fern", &["wait", "peer", "moss"]).exits(0);
    by(home, "moss", &["wait", "peer", "fern"]).exits(0);
    (fern, moss)
}

/// The only message of an inbox, when it is there.
fn arrived(home: &Home, name: &str) -> Value {
    let one = until(SOON, || list(home, name, "inbox").into_iter().next());
    one.unwrap_or_else(|| panic!("{name} has no message"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

#[test]
fn a_message_is_sent_read_and_answered() {
    let home = Home::new();
    let (_fern, moss) = pair(&home, &[]);
    let mut events = moss.control.send(b"GET /v1/events?kind=mail HTTP/1.1\r\nhost: p\r\n\r\n");
    read_until(&mut events, "\"watching\"");
    let sent = by(&home, "fern", &["--json", "send", "moss", "run the tests", "--priority", "4"]).exits(0);
    let id = text(&json(&sent)["data"]["id"]).to_owned();
    let short = &id[id.len() - 8..];
    let told = read_until(&mut events, "run the tests");
    let line = told.lines().find(|line| line.contains("run the tests")).unwrap_or_default();
    assert_eq!(line.matches("\"kind\":\"mail\"").count(), 1, "{told}");
    drop(events);
    let mail = arrived(&home, "moss");
    assert_eq!((text(&mail["id"]), text(&mail["state"]), &mail["priority"]), (id.as_str(), "unread", &4.into()));
    by(&home, "moss", &["inbox"]).exits(0).says(short).says("run the tests").says("1 message: 1 unread");
    by(&home, "moss", &["inbox", "show", short]).exits(0).says("run the tests").says("fern");
    let read = until(SOON, || list(&home, "fern", "outbox").iter().any(|m| m["state"] == "read").then_some(()));
    assert!(read.is_some(), "{:?}", list(&home, "fern", "outbox"));
    by(&home, "moss", &["reply", "they pass"]).exits(0);
    let answer = arrived(&home, "fern");
    assert_eq!((text(&answer["text"]), text(&answer["in_reply_to"])), ("they pass", id.as_str()));
    assert_eq!(answer["conversation"], mail["conversation"]);
    let talk = by(&home, "fern", &["conv", "show", text(&mail["conversation"])]).exits(0);
    talk.says("run the tests").says("they pass");
    by(&home, "moss", &["inbox", "delete", short]).exits(0).says("deleted");
    assert!(list(&home, "moss", "inbox").is_empty());
    by(&home, "moss", &["inbox", "purge"]).exits(0).says("1 deleted message removed");
    by(&home, "moss", &["inbox", "show", short]).exits(5).complains("there is no message");
    by(&home, "fern", &["outbox", "rm", short]).exits(0).says("off the list");
}

#[test]
fn a_question_is_answered_while_it_is_waited_for() {
    let home = Home::new();
    let script =
        home.script("answer", "read text; [ \"$text\" = fail ] && { echo no >&2; exit 1; }; echo \"read $text\"");
    let _nodes = pair(&home, &["--ask", &script]);
    let ask = |text: &str| by(&home, "fern", &["send", "moss", text, "--ask", "--response", "--timeout", "50s"]);
    ask("the diff").exits(0).says("read the diff");
    ask("fail").exits(7).complains("moss failed");
    let late = by(&home, "moss", &["send", "fern", "well?", "--response", "--timeout", "1s"]).exits(6);
    late.complains("no answer to message").complains("p2pnode inbox");
    by(&home, "moss", &["send", "fern", "and you?", "--ask", "--response", "--timeout", "50s"]).exits(4);
}

#[test]
fn who_is_away_has_it_when_it_comes_back() {
    let home = Home::new();
    let (_fern, moss) = pair(&home, &[]);
    let id = moss.id.clone();
    home.run(&["-P", "moss", "down"]).exits(0);
    let file = home.path().join("letter.txt");
    std::fs::write(&file, "see you\n@later").expect("written");
    let letter = format!("@{}", file.display());
    by(&home, "fern", &["send", &id, &letter]).exits(0).says("on its way");
    by(&home, "fern", &["send", &id, "taken back"]).exits(0);
    let back = list(&home, "fern", "outbox").into_iter().find(|mail| mail["text"] == "taken back").expect("there");
    by(&home, "fern", &["outbox", "rm", text(&back["id"])]).exits(0).says("taken back");
    let _moss = home.detached(&["garden", "--name", "moss"]);
    assert_eq!(arrived(&home, "moss")["text"], "see you\n@later");
    let stored = until(SOON, || list(&home, "fern", "outbox").iter().all(|mail| mail["state"] != "sent").then_some(()));
    assert!(stored.is_some(), "{:?}", list(&home, "fern", "outbox"));
}

#[test]
fn what_is_wrong_is_said() {
    let home = Home::new();
    for args in [&["send", "moss", "hi"][..], &["reply", "hi"], &["inbox"], &["outbox"], &["conv", "follow", "a1"]] {
        home.run(args).exits(3).complains("needs a running node").complains("p2pnode up garden --detach");
    }
    let node = home.detached(&["garden", "--name", "fern"]);
    home.attached(&["reply", "hi"]).exits(5).complains("no message of a member");
    home.attached(&["inbox", "show", "ffff"]).exits(5);
    home.attached(&["send", "fern", "hi"]).exits(2).complains("does not write to itself");
    home.attached(&["send", "moss", " "]).exits(2).complains("the text is empty");
    let stranger = "12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo";
    for text in ["one", "two"] {
        home.attached(&["send", stranger, text]).exits(0);
    }
    // All ids of this hour begin with the same digits of the clock.
    let ids: Vec<String> = list(&home, "fern", "outbox").iter().map(|mail| text(&mail["id"]).to_owned()).collect();
    let candidates = home.attached(&["outbox", "show", &ids[0][..6]]).exits(8);
    assert!(ids.iter().all(|id| candidates.stderr.contains(id)), "{candidates}");
    let sent = node.control.post("/v1/send", r#"{"target":"nobody-here","text":"@/etc/passwd","timeout":"1s"}"#);
    assert_ne!(sent.status, 200, "{sent:?}");
    let listed = node.control.get("/v1/inbox?unread=true");
    assert_eq!((listed.status, &listed.json()["data"]), (200, &serde_json::json!([])));
    let at = format!(r#"{{"target":"{stranger}","text":"@/etc/passwd"}}"#);
    let sent = node.control.post("/v1/send", &at);
    assert_eq!(sent.json()["data"]["text"], "@/etc/passwd", "no file is opened for a client");
}
