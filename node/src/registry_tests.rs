use std::{
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::SystemTime,
};

use super::*;

fn registry(dir: &Path) -> LocalRegistry {
    LocalRegistry::open(&Paths::in_folder(dir).expect("paths")).expect("a registry")
}

fn entry(name: &str) -> Entry {
    let addr = "/ip4/127.0.0.1/tcp/4000".parse().expect("an address");
    Entry::new(PeerId::random(), name, vec!["garden".into()], vec![addr])
}

#[test]
fn entries_live_as_long_as_their_node() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let (a, b) = (entry("a"), entry("b"));
    let mut first = registry.announce(&a).expect("announced");
    let second = registry.announce(&b).expect("announced");
    let mut names: Vec<String> = registry.list().into_iter().map(|e| e.name).collect();
    names.sort();
    assert_eq!(names, ["a", "b"]);
    let newer = Entry { name: "c".into(), ..a };
    first.update(&newer).expect("updated");
    assert!(registry.list().contains(&newer));
    drop(second);
    assert_eq!(registry.list(), vec![newer]);
}

#[test]
fn a_folder_that_does_not_change_is_not_read_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let (a, b) = (entry("a"), entry("b"));
    let first = registry.announce(&a).expect("announced");
    let set = |age: u64| {
        let at = SystemTime::now() - Duration::from_secs(age);
        File::open(&registry.folder).and_then(|folder| folder.set_modified(at)).expect("set");
    };
    let (mut listing, now) = (Listing::default(), Instant::now());
    let names = |listing: &Listing| {
        let mut names: Vec<String> = listing.entries.iter().map(|entry| entry.name.clone()).collect();
        names.sort();
        names
    };
    registry.refresh(&mut listing, now);
    assert_eq!(names(&listing), ["a"]);
    // In the same moment, as far as the folder's time tells.
    let second = registry.announce(&b).expect("announced");
    registry.refresh(&mut listing, now);
    assert_eq!(names(&listing), ["a", "b"], "what has changed just now may change again");
    set(5);
    registry.refresh(&mut listing, now);
    let before = std::fs::metadata(&registry.folder).and_then(|folder| folder.modified()).expect("a time");
    drop(second);
    File::open(&registry.folder).and_then(|folder| folder.set_modified(before)).expect("set");
    registry.refresh(&mut listing, now);
    assert_eq!(names(&listing), ["a", "b"], "it was not read");
    registry.refresh(&mut listing, now + READ_EVERY);
    assert_eq!(names(&listing), ["a"]);
    drop(first);
    registry.refresh(&mut listing, now);
    assert_eq!(names(&listing), Vec::<String>::new());
}

fn path_of(registry: &LocalRegistry, entry: &Entry) -> PathBuf {
    registry.folder.join(format!("{}.json", entry.peer))
}

/// As a node leaves it that was killed: the file is there, the lock is not.
fn leave_behind(registry: &LocalRegistry, entry: &Entry) {
    std::fs::write(path_of(registry, entry), serde_json::to_vec(entry).expect("JSON")).expect("written");
}

#[test]
fn a_dead_entry_is_removed_by_who_reads_it() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let dead = entry("a");
    leave_behind(&registry, &dead);
    assert_eq!(registry.list(), Vec::new());
    assert!(!path_of(&registry, &dead).exists());
}

#[test]
fn child_announces() {
    if let Some(dir) = std::env::var_os("P2PNODE_TEST_ANNOUNCE") {
        let _announcement = registry(Path::new(&dir)).announce(&entry("child")).expect("announced");
        println!("announced");
        let _ = std::io::stdin().read(&mut [0]);
    }
}

#[test]
fn a_killed_process_is_gone_from_the_list() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let mut child = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "registry::tests::child_announces", "--nocapture"])
        .env("P2PNODE_TEST_ANNOUNCE", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let said = BufReader::new(child.stdout.take().expect("piped"));
    said.lines().map_while(Result::ok).find(|line| line.contains("announced")).expect("it is there");
    let listed: Vec<u32> = registry.list().iter().map(|entry| entry.pid).collect();
    assert_eq!(listed, [child.id()]);
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert_eq!(registry.list(), Vec::new());
    assert_eq!(std::fs::read_dir(&registry.folder).expect("a folder").count(), 0);
}

#[test]
fn a_node_that_comes_back_takes_its_place_again() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let node = entry("a");
    leave_behind(&registry, &node);
    let first = registry.announce(&node).expect("announced");
    let error = registry.announce(&node).expect_err("it lives");
    assert!(matches!(error, ProfileError::Twin { .. }), "{error}");
    assert_eq!(registry.list(), std::slice::from_ref(&node));
    drop(first);
    let _second = registry.announce(&node).expect("announced");
    assert_eq!(registry.list(), [node]);
}

/// Ends the readers, also when the test fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Whoever reads at whatever moment of a node's life must never remove its entry, and never miss it.
#[test]
fn readers_and_a_busy_node_do_not_trip_over_each_other() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let node = entry("a");
    let path = path_of(&registry, &node);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    registry.list();
                }
            });
        }
        let _done = Done(&done);
        for _ in 0..30 {
            leave_behind(&registry, &node);
            let mut announcement = registry.announce(&node).expect("announced");
            assert_eq!(read(&path).as_ref(), Some(&node), "after its return");
            for _ in 0..5 {
                announcement.update(&node).expect("updated");
                assert_eq!(read(&path).as_ref(), Some(&node), "after an update");
            }
        }
    });
}

#[test]
fn what_is_no_entry_is_skipped() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let node = entry("a");
    let _a = registry.announce(&node).expect("announced");
    let locked = |name: &str, bytes: &[u8]| {
        let path = registry.folder.join(name);
        std::fs::write(&path, bytes).expect("written");
        let file = File::open(path).expect("there");
        file.lock().expect("locked");
        file
    };
    let other = entry("b");
    let text = serde_json::to_vec(&other).expect("JSON");
    let long = [text.as_slice(), &[b' '; MAX_ENTRY as usize]].concat();
    let _held = [
        locked("damaged.json", b"{\"v\":"),
        locked("empty.json", b""),
        locked("other.json", &text),
        locked(&format!("{}.json", entry("c").peer), &long),
        locked("notes.txt", &text),
    ];
    std::fs::create_dir(registry.folder.join("folder.json")).expect("made");
    std::os::unix::fs::symlink(path_of(&registry, &node), registry.folder.join("link.json")).expect("linked");
    assert_eq!(registry.list(), [node]);
}

#[test]
fn fields_of_later_versions_are_ignored() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let node = entry("a");
    let mut json = serde_json::to_value(&node).expect("JSON");
    json["mood"] = "sunny".into();
    json["addresses"] = serde_json::json!(["/carrier-pigeon/7", "/ip4/127.0.0.1/tcp/4000"]);
    leave_behind(&registry, &node);
    std::fs::write(path_of(&registry, &node), json.to_string()).expect("written");
    let held = File::open(path_of(&registry, &node)).expect("there");
    held.lock().expect("locked");
    assert_eq!(registry.list(), [node]);
}

#[test]
fn half_written_files_of_the_dead_are_swept_away() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let make = |name: &str, age: Duration| {
        let file = File::create(registry.folder.join(name)).expect("made");
        file.set_modified(SystemTime::now() - age).expect("set");
        file
    };
    make("a.new-1", SWEEP_AFTER * 2);
    let held = make("b.new-2", SWEEP_AFTER * 2);
    held.lock().expect("locked");
    make("c.new-3", Duration::ZERO);
    registry.list();
    let exists = |name: &str| registry.folder.join(name).exists();
    assert!(!exists("a.new-1") && exists("b.new-2") && exists("c.new-3"));
}

#[test]
fn an_entry_that_nobody_would_read_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let registry = registry(dir.path());
    let mut node = entry("a");
    let mut announcement = registry.announce(&node).expect("announced");
    node.name = "x".repeat(70_000);
    assert!(announcement.update(&node).is_err());
    assert_eq!(registry.list().first().map(|entry| entry.name.as_str()), Some("a"), "the old one stays");
    drop(announcement);
    assert_eq!(std::fs::read_dir(&registry.folder).expect("a folder").count(), 0);
}

#[test]
fn a_folder_that_is_not_private_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let paths = Paths::in_folder(dir.path()).expect("paths");
    LocalRegistry::open(&paths).expect("a registry");
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("changed");
    };
    for path in [paths.runtime().to_owned(), paths.runtime().join("nodes")] {
        mode(&path, 0o755);
        let text = LocalRegistry::open(&paths).expect_err("refused").to_string();
        assert!(text.contains("0755") && text.contains(&path.display().to_string()), "{text}");
        mode(&path, 0o700);
    }
    LocalRegistry::open(&paths).expect("private again");
    let elsewhere = dir.path().join("elsewhere");
    std::fs::rename(paths.runtime(), &elsewhere).expect("moved");
    std::os::unix::fs::symlink(&elsewhere, paths.runtime()).expect("linked");
    assert!(matches!(LocalRegistry::open(&paths), Err(ProfileError::NotPrivate { .. })), "a link is no folder");
}
