//! Programs that are run for events, and peers that start none.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use p2pnode_tests::{Home, Node, SOON, until};

/// Waits until the file has so many lines, and returns them.
#[track_caller]
fn lines(file: &Path, number: usize) -> Vec<String> {
    let read = || -> Vec<String> { fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect() };
    until(SOON, || Some(read()).filter(|lines| lines.len() >= number)).unwrap_or_else(|| panic!("only {:?}", read()))
}

#[test]
fn each_event_runs_the_program_unless_its_author_is_muted() {
    let home = Home::new();
    let said = home.path().join("said");
    let file = said.display();
    let script = home
        .script("hook.sh", &format!("read -r line; echo \"$P2PNODE_SUBJECT $P2PNODE_CALLER_NAME $line\" >> '{file}'"));
    let speaker = home.detached(&["garden", "-P", "speaker"]);
    let _keeper = home.detached(&["garden", "-P", "keeper"]);
    home.run(&["-P", "keeper", "--daemon", "status"]).exits(0);
    assert!(until(SOON, || (speaker.status()["swarms"][0]["online"] == 2).then_some(())).is_some());

    let hook = |args: &[&str]| {
        let node = Node::start(home.command([&["-P", "keeper", "--json", "--daemon", "subscribe"], args].concat()));
        node.wait_for("\"subscribed\"", SOON);
        node
    };
    let emit = |subject: &str| {
        let sent = home.attached_as("speaker", &["emit", subject, "{\"n\": 1}"]);
        sent.exits(0);
    };
    let mut one = hook(&["a.>", "--exec", &script, "--count", "2"]);
    emit("b.c");
    emit("a.b");
    emit("a.c");
    let got = lines(&said, 2);
    assert!(got.iter().all(|line| line.starts_with("a.") && line.contains(&format!(" {} ", speaker.name))), "{got:?}");
    assert!(got[0].contains("\"data\":{\"n\":1}"), "{got:?}");
    assert_eq!(one.wait(SOON), Some(0));
    assert!(one.said().contains("\"ran\":2"), "{}", one.said());

    home.attached_as("keeper", &["mute", &speaker.id]).exits(0).says("muted");
    home.attached_as("keeper", &["mute"]).exits(0).says(&speaker.id);
    let two = hook(&["a.>", "--exec", &script, "--count", "1"]);
    emit("a.muted");
    // What is told after the muted event was told after it was left out.
    let watch = hook(&["a.>", "--count", "1"]);
    emit("a.again");
    watch.wait_for("a.again", SOON);
    home.attached_as("keeper", &["unmute", &speaker.id]).exits(0).says("heard again");
    emit("a.heard");
    let got = lines(&said, 3);
    assert!(got.len() == 3 && got[2].starts_with("a.heard "), "{got:?}");
    drop(two);
    home.run(&["-P", "nobody", "mute", "x"]).exits(3).complains("no node runs here");
    home.run(&["subscribe", "--mail"]).exits(2);
}

/// Writes the settings of a home, as an editor would.
fn configure(home: &Home, text: &str) {
    let file = home.path().join("config.toml");
    let written = fs::write(&file, text).and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)));
    written.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
}

#[test]
fn hooks_of_the_configuration_run_as_long_as_the_node() {
    let home = Home::new();
    let said = home.path().join("said");
    let script = format!("read -r line; echo \"$1 $P2PNODE_CALLER_NAME $line\" >> '{}'", said.display());
    home.script("hook.sh", &script);
    let speaker = home.detached(&["garden", "-P", "speaker"]);
    configure(
        &home,
        "[[hook]]\non = \"build.>\"\nswarm = \"garden\"\nexec = \"./hook.sh build\"\n\n\
         [[hook]]\nmail = true\nexec = \"./hook.sh mail\"\n\n\
         [[hook]]\non = \"build.>\"\nexec = \"sh -c 'exit 7'\"\n\n\
         [[hook]]\non = \"build.>\"\nswarm = \"ops\"\nexec = \"./hook.sh ops\"\n",
    );
    let keeper = home.up(&["garden", "-P", "keeper"]).ready();
    assert!(keeper.said().contains("hooks     3 programs   (config.toml; 1 for other swarms)"), "{}", keeper.said());
    let name = keeper.name();
    let emit = |subject: &str| home.attached_as("speaker", &["emit", subject, "{\"n\": 1}"]).exits(0);
    home.attached_as("speaker", &["wait", "peer", &name]).exits(0);
    emit("other.subject");
    emit("build.done");
    home.attached_as("speaker", &["send", &name, "hello there"]).exits(0);
    let mut got = lines(&said, 2);
    got.sort_unstable();
    assert!(got[0].starts_with(&format!("build {} ", speaker.name)) && got[0].contains("build.done"), "{got:?}");
    assert!(got[1].starts_with("mail ") && got[1].contains("hello there"), "{got:?}");
    keeper.wait_for("hook     config.toml:12:8 exec: the program failed: exit 7", SOON);

    home.attached_as("keeper", &["mute", &speaker.id]).exits(0);
    emit("build.muted");
    home.attached_as("speaker", &["send", &name, "are you there?"]).exits(0);
    home.attached_as("speaker", &["send", &name, "the last"]).exits(0);
    let there = || home.attached_as("keeper", &["inbox"]).stdout.contains("the last").then_some(());
    assert!(until(SOON, there).is_some(), "the messages arrive all the same");
    home.attached_as("keeper", &["unmute", &speaker.id]).exits(0);
    emit("build.again");
    let got = lines(&said, 3);
    assert!(got.len() == 3 && got[2].contains("build.again"), "{got:?}");
}

#[test]
fn a_configuration_that_is_not_understood_starts_no_node() {
    let home = Home::new();
    configure(&home, "[[hook]]\nmail = true\nexec = \"true\"\nswarn = \"garden\"\n");
    let up = ["up", "garden", "--port", "0"];
    let told =
        home.run(&up).exits(2).complains("config.toml:4:1 unknown key `swarn`").complains("did you mean `swarm`?");
    assert!(told.stderr.contains("4 | swarn = \"garden\"\n") && told.stderr.contains("| ^^^^^ "), "{told}");
    home.run(&[&up[..], &["--detach"]].concat()).exits(2).complains("config.toml:4:1");
    configure(&home, "[[hook]]\nmail = true\nexec = \"./no-such-program\"\n");
    home.run(&up).exits(2).complains("config.toml:3:8 exec: there is no program");
    configure(&home, "");
    let open = fs::set_permissions(home.path().join("config.toml"), fs::Permissions::from_mode(0o666));
    assert!(open.is_ok(), "{open:?}");
    home.run(&up).exits(2).complains("others can write to it").complains("chmod go-w");
}

#[test]
fn a_message_runs_the_program() {
    let home = Home::new();
    let said = home.path().join("said");
    let script = home.script("hook.sh", &format!("cat >> '{0}'; echo >> '{0}'", said.display()));
    let speaker = home.detached(&["garden", "-P", "speaker"]);
    let keeper = home.detached(&["garden", "-P", "keeper"]);
    home.attached_as("speaker", &["wait", "peer", &keeper.name]).exits(0);
    let hook = ["-P", "keeper", "--json", "--daemon", "subscribe", "--mail", "--exec", &script, "--count", "1"];
    let mut hook = Node::start(home.command(hook));
    hook.wait_for("\"subscribed\"", SOON);
    home.attached_as("speaker", &["send", &keeper.name, "run the tests"]).exits(0);
    let got = lines(&said, 1);
    let mail: serde_json::Value = serde_json::from_str(&got[0]).unwrap_or_else(|error| panic!("{error}: {got:?}"));
    assert_eq!((&mail["kind"], &mail["text"]), (&"mail".into(), &"run the tests".into()));
    assert_eq!(mail["peer"]["id"], speaker.id.as_str());
    assert_eq!(hook.wait(SOON), Some(0));
    assert!(hook.said().contains("\"ran\":1") && hook.said().contains("\"failed\":0"), "{}", hook.said());
}
