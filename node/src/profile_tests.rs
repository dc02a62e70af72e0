use std::process::{Command, Stdio};

use super::*;

fn paths(dir: &tempfile::TempDir) -> Paths {
    Paths::in_folder(dir.path()).expect("paths")
}

#[test]
fn one_process_at_a_time_and_the_next_free_name() {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = paths(&dir);
    let first = Profile::open_free(&paths).expect("free");
    assert_eq!((first.name(), first.is_new()), ("default", true));
    let error = Profile::open(&paths, "default").expect_err("in use");
    assert!(matches!(error, ProfileError::Running { pid, .. } if pid == std::process::id()), "{error}");
    assert_eq!(Profile::open_free(&paths).expect("free").name(), "default-2");
    let id = first.identity().expect("made").peer_id();
    drop(first);
    let again = Profile::open(&paths, "default").expect("free again");
    assert!(!again.is_new());
    assert_eq!(again.identity().expect("read").peer_id(), id);
}

#[test]
fn the_port_is_remembered() {
    let dir = tempfile::tempdir().expect("a folder");
    let profile = Profile::open(&paths(&dir), "a").expect("free");
    assert_eq!(profile.port(), None);
    profile.remember_port(4242).expect("written");
    assert_eq!(profile.port(), Some(4242));
    std::fs::write(profile.memory(), b"{\"port\":").expect("written");
    assert_eq!(profile.port(), None, "damaged is as good as none");
    profile.remember_port(1).expect("written");
    assert_eq!(profile.port(), Some(1));
}

#[test]
fn names_stay_inside_their_folder() {
    let dir = tempfile::tempdir().expect("a folder");
    for name in ["", "..", "a/b", "../x", "a\0", ".hidden", &"x".repeat(65)] {
        assert!(matches!(Profile::open(&paths(&dir), name), Err(ProfileError::Name(_))), "{name:?}");
        assert!(paths(&dir).identity_path(name).is_err(), "{name:?}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).expect("a folder").count(), 0, "nothing was made");
}

#[test]
fn a_folder_that_cannot_be_used_is_named_with_what_to_do() {
    let dir = tempfile::tempdir().expect("a folder");
    let blocked = dir.path().join("blocked");
    std::fs::write(&blocked, b"no folder").expect("written");
    let error = Profile::open(&Paths::in_folder(&blocked).expect("paths"), "a").expect_err("blocked");
    let text = error.to_string();
    assert!(text.contains("blocked") && text.contains("P2PNODE_HOME"), "{text}");
    let paths = Paths { data: blocked, ..paths(&dir) };
    let error = Profile::open(&paths, "a").expect("free").identity().expect_err("blocked");
    assert!(matches!(error, ProfileError::Folder { .. }), "{error}");
    assert!(error.to_string().contains("Make it writable"), "{error}");
}

#[test]
fn who_starts_waits_for_its_turn() {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = paths(&dir);
    let first = paths.take_turn().expect("free");
    let second = std::thread::spawn({
        let paths = paths.clone();
        move || paths.take_turn().is_some()
    });
    assert!(!second.is_finished());
    drop(first);
    assert!(second.join().expect("no panic"));
    std::fs::set_permissions(paths.runtime(), std::fs::Permissions::from_mode(0o777)).expect("changed");
    assert!(paths.take_turn().is_none(), "a folder that others may enter");
}

#[test]
fn a_relative_folder_is_fixed_when_it_is_named() {
    let paths = Paths::in_folder("somewhere").expect("paths");
    assert!(paths.runtime().is_absolute() && paths.runtime().ends_with("somewhere/run"));
}

/// The environment belongs to a process, so each case has its own: this test again, as a child.
fn discovered(variables: &[(&str, &str)]) -> String {
    let test = std::env::current_exe().expect("this test");
    let mut child = Command::new(test);
    child.args(["--exact", "profile::tests::child_discovers", "--nocapture"]);
    child.env_clear().env("P2PNODE_TEST_DISCOVER", "1").envs(variables.iter().copied());
    String::from_utf8(child.output().expect("it ran").stdout).expect("a text")
}

#[test]
fn child_discovers() {
    if std::env::var_os("P2PNODE_TEST_DISCOVER").is_some() {
        match Paths::discover() {
            Ok(Paths { config, data, state, runtime }) => {
                for (name, path) in [("config", config), ("data", data), ("state", state), ("run", runtime)] {
                    println!("<{name} {}>", path.display());
                }
            }
            Err(error) => println!("<error {error}>"),
        }
    }
}

#[test]
fn folders_follow_the_environment() {
    let home = discovered(&[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("XDG_DATA_HOME", "relative")]);
    for part in [
        "<config /h/.config/p2pnode>",
        "<data /h/.local/share/p2pnode>",
        "<state /h/.local/state/p2pnode>",
        "<run /run/user/7/p2pnode>",
    ] {
        assert!(home.contains(part), "{home} lacks {part}");
    }
    let uid = rustix::process::getuid().as_raw();
    let private = discovered(&[("HOME", "/h"), ("TMPDIR", "/private/tmp")]);
    assert!(private.contains(&format!("<run /private/tmp/p2pnode-{uid}>")), "{private}");
    let shared = discovered(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("P2PNODE_HOME", "")]);
    assert!(shared.contains(&format!("<run /tmp/p2pnode-{uid}>")) && shared.contains("<state /s/p2pnode>"), "{shared}");
    let own = discovered(&[("HOME", "/h"), ("P2PNODE_HOME", "/one"), ("XDG_DATA_HOME", "/two")]);
    for part in ["<config /one>", "<data /one/data>", "<state /one/state>", "<run /one/run>"] {
        assert!(own.contains(part), "{own} lacks {part}");
    }
    let relative = discovered(&[("HOME", "h")]);
    assert!(relative.contains("P2PNODE_HOME") && relative.contains("HOME is not set"), "{relative}");
}

#[test]
fn child_holds_a_profile() {
    if let Some(home) = std::env::var_os("P2PNODE_TEST_HOLD") {
        let _profile = Profile::open(&Paths::in_folder(home).expect("paths"), "default").expect("free");
        println!("held");
        let _ = std::io::stdin().read(&mut [0]);
    }
}

#[test]
fn a_killed_process_holds_nothing() {
    let dir = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "profile::tests::child_holds_a_profile", "--nocapture"])
        .env("P2PNODE_TEST_HOLD", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let said = std::io::BufReader::new(child.stdout.take().expect("piped"));
    std::io::BufRead::lines(said).map_while(Result::ok).find(|line| line.contains("held")).expect("it holds it");
    let error = Profile::open(&paths(&dir), "default").expect_err("in use");
    assert!(matches!(error, ProfileError::Running { pid, .. } if pid == child.id()), "{error}");
    child.kill().expect("killed");
    child.wait().expect("ended");
    let profile = Profile::open(&paths(&dir), "default").expect("free");
    let text = std::fs::read_to_string(profile.paths.lock("default")).expect("there");
    assert_eq!(text.trim(), std::process::id().to_string());
}

#[test]
fn an_unknown_holder_is_no_process_0() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = paths(&dir).lock("a");
    create_private_dir(path.parent().expect("a folder")).expect("made");
    let silent = File::create(&path).expect("made");
    silent.lock().expect("locked");
    let text = Profile::open(&paths(&dir), "a").expect_err("in use").to_string();
    assert_eq!(text, "profile \"a\" is in use by another process");
}
