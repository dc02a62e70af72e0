//! A database that is not what was written, and what becomes of its node.

use std::{fs, path::PathBuf};

use p2pnode_tests::{Home, Output, SOON, until};
use serde_json::Value;

#[track_caller]
fn data(output: Output) -> Value {
    let output = output.exits(0);
    let mut told: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"));
    told["data"].take()
}

fn database(home: &Home) -> PathBuf {
    home.path().join("data/fern/node.db")
}

/// Twenty events, kept by a node that has ended in order.
fn history(home: &Home) -> Vec<String> {
    let subjects: Vec<String> = (0..20).map(|n| format!("garden.row{n}")).collect();
    let node = home.detached(&["garden", "--name", "fern"]);
    let other = home.detached(&["garden", "--name", "moss"]);
    home.attached_as("fern", &["wait", "peer", "moss"]).exits(0);
    let filler = "lorem ".repeat(500);
    for subject in &subjects {
        home.attached_as("fern", &["emit", subject, &format!("{{\"text\": \"{filler}{subject}\"}}")]).exits(0);
    }
    let all = || {
        (data(home.attached_as("fern", &["--json", "history", "stats"]))["events"].as_u64() >= Some(20)).then_some(())
    };
    assert!(until(SOON, all).is_some());
    home.run(&["-P", "moss", "down"]).exits(0);
    home.run(&["-P", "fern", "down"]).exits(0);
    drop((node, other));
    subjects
}

/// Flips a bit in the middle of each of these places.
fn flip(home: &Home, wanted: &[u8]) {
    let path = database(home);
    let mut bytes = fs::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let places: Vec<usize> =
        bytes.windows(wanted.len()).enumerate().filter(|(_, at)| *at == wanted).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{:?} is not there", String::from_utf8_lossy(wanted));
    places.iter().for_each(|at| bytes[*at] ^= 0x20);
    fs::write(&path, bytes).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_damaged_database_is_refused_searched_without_lies_and_salvaged() {
    let home = Home::new();
    let subjects = history(&home);
    let stats = data(home.run(&["-P", "fern", "--json", "history", "stats"]));
    let (file, reserve) = (stats["file_bytes"].as_u64(), stats["reserve_bytes"].as_u64());
    assert!(file < Some(16 * 1024 * 1024) && reserve > Some(0), "the reserve is told apart: {stats}");
    let run = |args: &[&str]| home.run(&[&["-P", "fern"], args].concat());
    run(&["history", "salvage"]).exits(0).says("nothing to salvage");

    flip(&home, b"garden.row7");
    for up in [&["up", "garden", "--port", "0"][..], &["up", "garden", "--detach"]] {
        let refused = run(up).exits(1).complains("node.db is damaged");
        assert!(
            refused.stderr.contains("[store_damaged]")
                && refused.stderr.contains("p2pnode history salvage --profile fern"),
            "{refused}"
        );
    }
    let found = run(&["--json", "history", "search", "lorem", "--limit", "100"]);
    assert!(matches!(found.code, Some(0 | 1)), "{found}");
    assert!(!found.stdout.contains("Garden.row7") && !found.stdout.contains("garden.ROW7"), "{found}");
    let entry = |found: &str| found.matches("garden.row7\"").count();
    assert_eq!(entry(&found.stdout), 0, "what was changed is not shown: {found}");

    let told = data(run(&["--json", "history", "salvage"]));
    assert_eq!((&told["damaged"], &told["profile"]), (&true.into(), &"fern".into()));
    let of = |table: &str| told["tables"].as_array().into_iter().flatten().find(|one| one["name"] == table).cloned();
    let events = of("event").unwrap_or_default();
    assert!(events["kept"].as_u64() >= Some(19) && events["lost"].as_u64() >= Some(1), "{told}");
    assert!(told["lost"].as_array().is_some_and(|lost| !lost.is_empty()), "{told}");
    let moved = PathBuf::from(told["moved_to"].as_str().unwrap_or_default());
    assert!(moved.to_string_lossy().contains("node.db.corrupt-") && moved.exists(), "{told}");
    run(&["history", "salvage"]).exits(0).says("nothing to salvage");

    let node = home.detached(&["garden", "--name", "fern"]);
    let listed = home.attached_as("fern", &["--json", "history", "list", "--limit", "1000"]).exits(0).stdout;
    for subject in subjects.iter().filter(|subject| *subject != "garden.row7") {
        assert!(listed.contains(&format!("{subject}\"")), "{subject} is lost");
    }
    home.run(&["-P", "fern", "history", "salvage"]).exits(8).complains("is in use by process");
    let refused = node.control.post("/v1/history", r#"{"salvage":{}}"#);
    assert_eq!(refused.status, 409, "{refused:?}");
    home.run(&["-P", "nobody", "history", "salvage"]).exits(5).complains("keeps nothing yet");
    // What runs here is named where something else was looked for.
    home.run(&["-P", "default", "inbox"])
        .exits(3)
        .complains("a node runs with the profile fern")
        .complains("p2pnode -P fern status");
}

#[test]
fn any_flipped_bit_is_found_or_harmless() {
    let home = Home::new();
    history(&home);
    let path = database(&home);
    let whole = fs::read(&path).unwrap_or_else(|error| panic!("{error}"));
    let list = || home.run(&["-P", "fern", "--json", "history", "list", "--limit", "1000"]);
    let texts = |output: &Output| -> Vec<Value> {
        let told: Value = serde_json::from_str(&output.stdout).unwrap_or_default();
        told["data"].as_array().cloned().unwrap_or_default()
    };
    let right = texts(&list().exits(0));
    for at in (0..whole.len()).step_by((whole.len() / 40).max(1)) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(path.with_file_name(format!("node.db{suffix}")));
        }
        fs::write(&path, bytes).unwrap_or_else(|error| panic!("{error}"));
        let told = list();
        match told.code {
            Some(0) => assert!(texts(&told).iter().all(|entry| right.contains(entry)), "byte {at}: {told}"),
            Some(1) => assert!(told.stdout.contains("node.db"), "byte {at}: {told}"),
            _ => panic!("byte {at}: {told}"),
        }
    }
}
