//! A whole profile in one file, and back.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Stdio,
};

use p2pnode_tests::{Home, Output, SOON, run, until};
use serde_json::Value;

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[track_caller]
fn data(output: Output) -> Value {
    json(&output.exits(0))["data"].take()
}

fn texts(list: &Value, field: &str) -> Vec<String> {
    let texts = list.as_array().into_iter().flatten().map(|one| one[field].as_str().unwrap_or_default().to_owned());
    texts.collect()
}

/// Names below a folder, its own left out.
fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<PathBuf> = entries
        .flat_map(|entry| [vec![entry.path()], below(&entry.path())].concat())
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .collect();
    all.sort();
    all
}

fn emit(home: &Home, profile: &str, subject: &str) {
    home.attached_as(profile, &["--swarm", "garden", "emit", subject, "1"]).exits(0);
}

/// What a node of a profile keeps, without it: what was said, the inbox, the schedules.
fn kept(home: &Home, profile: &str) -> (Vec<String>, Vec<String>) {
    let list = |what: &[&str]| data(home.run(&[&["--json", "-P", profile], what].concat()));
    let mut said = texts(&list(&["history", "list", "--limit", "1000"]), "id");
    said.sort();
    (said, texts(&list(&["schedule", "list"]), "name"))
}

#[test]
fn a_profile_comes_back_as_it_was() {
    let home = Home::new();
    let moss = home.detached(&["garden", "--name", "moss"]);
    let fern = home.detached(&["garden", "--name", "fern"]);
    home.attached_as("fern", &["wait", "peer", "moss"]).exits(0);
    home.attached_as("moss", &["wait", "peer", "fern"]).exits(0);
    home.attached_as("fern", &["join", "meadow"]).exits(0);
    emit(&home, "fern", "garden.light");
    emit(&home, "moss", "garden.water");
    home.attached_as("moss", &["send", "fern", "run the tests"]).exits(0);
    home.attached_as("fern", &["send", "moss", "they pass"]).exits(0);
    home.attached_as("fern", &["schedule", "add", "dawn", "solar sunrise 51.5 -0.1", "--emit", "garden.dawn"]).exits(0);
    let whole = |home: &Home| {
        let (said, _) = kept(home, "fern");
        let inbox = data(home.attached_as("fern", &["--json", "inbox"]));
        (said.len() >= 4 && texts(&inbox, "text") == ["run the tests"]).then_some(())
    };
    assert!(until(SOON, || whole(&home)).is_some(), "{:?}", kept(&home, "fern"));

    // Beside the running node.
    let (live, file) = (home.path().join("live.tar"), home.path().join("fern.tar"));
    let (live, file) = (live.to_string_lossy().into_owned(), file.to_string_lossy().into_owned());
    home.run(&["-P", "fern", "export", &live]).exits(0).complains("Two copies").says(&fern.id);
    home.run(&["-P", "fern", "down"]).exits(0);
    let told = data(home.run(&["-P", "fern", "--json", "export", &file]));
    assert_eq!((&told["peer_id"], &told["with_key"]), (&fern.id.as_str().into(), &true.into()));
    assert_eq!(texts(&told["files"], "name"), ["identity.key", "node.db", "node.json", "heard", "joined.json"]);
    let mode = fs::metadata(&file).map(|about| about.permissions().mode() & 0o7777);
    assert_eq!(mode.ok(), Some(0o600));
    home.run(&["-P", "fern", "export", &file]).exits(8).complains("exists already");
    home.run(&["-P", "nobody", "export", "x.tar"]).exits(5).complains("has no identity yet");

    let other = Home::new();
    let back = other.run(&["import", &file]).exits(0).says("restored profile fern").says(&fern.id);
    assert!(back.stderr.contains("must not run any more"), "{back}");
    assert_eq!(kept(&other, "fern"), kept(&home, "fern"));
    let joined = |home: &Home| fs::read_to_string(home.path().join("data/fern/joined.json")).unwrap_or_default();
    assert!(joined(&home).contains("meadow"), "{}", joined(&home));
    assert_eq!(joined(&other), joined(&home));
    let refused = other.run(&["import", &file]).exits(8).complains("profile \"fern\" exists already");
    assert!(refused.stderr.contains("--profile NEW"), "{refused}");
    other.run(&["import", &live, "-P", "live"]).exits(0).says("restored profile live");
    assert!(kept(&other, "live").0.len() >= 4);

    // Original and copy go on, one after the other: neither contradicts the other.
    let again = home.detached(&["garden", "--name", "fern"]);
    home.attached_as("fern", &["wait", "peer", "moss"]).exits(0);
    home.attached_as("moss", &["wait", "peer", "fern"]).exits(0);
    emit(&home, "fern", "garden.original");
    home.run(&["-P", "fern", "down"]).exits(0);
    drop(again);
    let address = moss.status()["network"]["listen"][0].as_str().map(str::to_owned);
    let address = address.unwrap_or_else(|| panic!("no address: {}", moss.status()));
    let copy = other.detached(&["garden", "--name", "fern", "--bootstrap", &address]);
    assert_eq!(copy.id, fern.id);
    other.attached_as("fern", &["wait", "peer", "moss"]).exits(0);
    home.attached_as("moss", &["wait", "peer", "fern"]).exits(0);
    assert_eq!(texts(&data(other.attached_as("fern", &["--json", "inbox"])), "text"), ["run the tests"]);
    emit(&other, "fern", "garden.copy");
    let heard = || {
        let all = home.attached_as("moss", &["history", "list"]).exits(0).stdout;
        (all.contains("garden.original") && all.contains("garden.copy")).then_some(())
    };
    let log = || fs::read_to_string(home.path().join("state/moss/node.log")).unwrap_or_default();
    assert!(until(SOON, heard).is_some(), "{}", log());
    assert!(!log().contains("two histories"), "{}", log());
}

#[test]
fn what_is_not_whole_changes_nothing() {
    let home = Home::new();
    home.run(&["id", "new"]).exits(0);
    drop(home.detached(&["garden"]));
    let file = home.path().join("all.tar");
    home.run(&["export", &file.to_string_lossy()]).exits(0);
    let whole = fs::read(&file).unwrap_or_else(|error| panic!("{error}"));

    let other = Home::new();
    let broken = other.path().join("broken.tar");
    let import = |bytes: &[u8]| {
        fs::write(&broken, bytes).unwrap_or_else(|error| panic!("{error}"));
        other.run(&["import", &broken.to_string_lossy()])
    };
    let len = whole.len();
    for at in [0, 700, 2_000, 10_000, len / 2, len - 1_500, len - 1] {
        let mut flipped = whole.clone();
        flipped[at] ^= 4;
        let told = import(&flipped);
        assert!(matches!(told.code, Some(1 | 2)) && told.stderr.contains("broken.tar"), "byte {at}: {told}");
    }
    for cut in [0, 100, 512, 4_096, len / 2, len - 512, len - 1] {
        let told = import(&whole[..cut]);
        assert!(matches!(told.code, Some(1 | 2)) && told.stderr.contains("broken.tar"), "{cut} bytes: {told}");
    }
    import(b"not a tar file at all").exits(2).complains("is no export of p2pnode");
    assert_eq!(below(&other.path().join("data")), Vec::<PathBuf>::new());
    assert_eq!(below(&other.path().join("state")), Vec::<PathBuf>::new());
    import(&whole).exits(0).says("restored profile default");
    assert_eq!(below(&other.path().join("data")).len(), 3, "{:?}", below(&other.path().join("data")));
}

#[test]
fn a_key_that_was_left_out_comes_first() {
    let home = Home::new();
    let node = home.detached(&["garden", "--name", "fern"]);
    let (file, key) = (home.path().join("rest.tar"), home.path().join("fern.key"));
    let (file, key) = (file.to_string_lossy().into_owned(), key.to_string_lossy().into_owned());
    home.run(&["-P", "fern", "export", &file, "--without-key"]).exits(0).says("without its key");
    home.run(&["-P", "fern", "id", "export", "--out", &key]).exits(0);
    let other = Home::new();
    let told = other.run(&["import", &file]).exits(5).complains("without the key of");
    assert!(told.stderr.contains("p2pnode id import KEY --profile fern"), "{told}");
    other.run(&["-P", "stranger", "id", "new"]).exits(0);
    other.run(&["-P", "stranger", "import", &file]).exits(8).complains("exists already");
    other.run(&["-P", "fern", "id", "import", &key]).exits(0);
    other.run(&["import", &file]).exits(0).says(&node.id);
    let shown = data(other.run(&["-P", "fern", "--json", "id", "show"]));
    assert_eq!(shown["peer_id"], node.id.as_str());
}

#[test]
fn it_goes_through_a_pipe() {
    let home = Home::new();
    home.run(&["id", "new"]).exits(0);
    home.run(&["--json", "export", "-"]).exits(2).says("not into JSON");
    let mut export = home.command(["export", "-"]);
    let mut export =
        export.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap_or_else(|error| panic!("{error}"));
    let other = Home::new();
    let mut import = other.command(["import", "-", "-P", "piped"]);
    let from = export.stdout.take().unwrap_or_else(|| panic!("no pipe"));
    let import = import.stdin(from).output().unwrap_or_else(|error| panic!("{error}"));
    let text = String::from_utf8_lossy(&import.stdout).into_owned();
    assert!(import.status.success() && text.contains("restored profile piped"), "{import:?}");
    assert!(export.wait().is_ok_and(|status| status.success()));
    let ids = [&home, &other].map(|home| {
        let profile = if std::ptr::eq(home, &other) { "piped" } else { "default" };
        data(run(home.command(["--json", "-P", profile, "id", "show"])))["peer_id"].clone()
    });
    assert_eq!(ids[0], ids[1]);
}
