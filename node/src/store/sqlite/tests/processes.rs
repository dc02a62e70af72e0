//! Threads and processes.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
};

use super::*;
use crate::store::Options;

/// Says to the test binary that it is the child, and which file to use.
const CHILD: &str = "STORE_TEST_CHILD";

fn child(test: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let all = ["--exact", "--nocapture", "--include-ignored"];
    // Names of tests are without the crate.
    let module = module_path!().split_once("::").map_or("", |(_, rest)| rest);
    command.arg(format!("{module}::{test}")).args(all).env(CHILD, path).stdout(Stdio::piped());
    command
}

/// Writes until it is killed, and says what is on the disk.
#[tokio::test]
#[ignore = "what the test below runs in another process"]
async fn writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = open(Path::new(&path));
    for seq in 0.. {
        let row = event(seq);
        store.write_durably(move |tables| put(tables, &[row])).await.unwrap();
        println!("acknowledged {seq}");
    }
}

#[tokio::test]
async fn a_killed_process_has_kept_what_it_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    let mut process = child("writes_until_it_is_killed", &path).spawn().unwrap();
    let mut last = None;
    for line in BufReader::new(process.stdout.take().unwrap()).lines() {
        if let Some((_, number)) = line.unwrap().split_once("acknowledged ") {
            last = number.parse::<u64>().ok();
            if last >= Some(40) {
                break;
            }
        }
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let last = last.unwrap();
    let store = open(&path);
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new());
    for seq in 0..=last {
        let row = event(seq);
        let found = store.read(move |tables| tables.event(&row.id)).await.unwrap();
        assert!(found.is_some(), "{seq} of {last} was acknowledged");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_senders() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    let store = open(&path);
    let tasks: Vec<_> = (0..64u64)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move {
                for seq in 0..5 {
                    let row = Make { epoch: n, seq, at_ms: seq, ..Make::default() }.event();
                    let fails = (n + seq) % 7 == 0;
                    let job = move |tables: &mut dyn Write| {
                        put(tables, &[row])?;
                        if fails { Err(StoreError::Full("on purpose".into())) } else { Ok(()) }
                    };
                    let result = if n % 2 == 0 { store.write(job).await } else { store.write_durably(job).await };
                    assert_eq!(result.is_err(), fails);
                    if fails {
                        // The feed goes on where it was.
                        let row = Make { epoch: n, seq, at_ms: seq, ..Make::default() }.event();
                        store.write(move |tables| put(tables, &[row])).await.unwrap();
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.read(|tables| tables.stats()).await.unwrap().events, 320);
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
}

#[tokio::test]
async fn one_writes_and_others_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    assert!(Store::open_read_only(&path).is_err(), "reading makes no file");
    assert!(!path.exists());
    let store = open(&path);
    assert!(matches!(Store::open(&path, &options()), Err(StoreError::InUse { .. })));
    let beside = Store::open_read_only(&path).unwrap();
    for seq in 0..5 {
        store.write(move |tables| put(tables, &[event(seq)])).await.unwrap();
        assert_eq!(beside.read(|tables| tables.stats()).await.unwrap().events, seq + 1);
    }
    assert!(matches!(beside.write(|tables| tables.put_note("a", None)).await, Err(StoreError::Failed { .. })));
    store.close().await.unwrap();
    drop(store);
    assert_eq!(beside.read(|tables| tables.stats()).await.unwrap().events, 5);
    drop(beside);
    let alone = Store::open_read_only(&path).unwrap();
    assert_eq!(alone.read(|tables| tables.stats()).await.unwrap().events, 5);
    drop(alone);
    open(&path).close().await.unwrap();
}

#[tokio::test]
async fn a_newer_file_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    populate(&path, 1).await;
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 7).unwrap();
    let before = std::fs::read(&path).unwrap();
    let error = Store::open(&path, &options()).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 7, known: 1, .. }), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Two steps to come, for tests: the second one stops the process half way if it is told to.
static STEPS: &[migrate::Step] = &[
    migrate::Step { to: 2, run: |conn| conn.execute_batch("CREATE TABLE two (a INTEGER) STRICT") },
    migrate::Step {
        to: 3,
        run: |conn| {
            conn.execute_batch("CREATE TABLE three (a INTEGER) STRICT; INSERT INTO two VALUES (1);")?;
            if ABORT.load(Ordering::Relaxed) > 0 {
                std::process::abort();
            }
            Ok(())
        },
    },
];
static ABORT: AtomicU64 = AtomicU64::new(0);

fn upgrade(path: &Path) -> Result<()> {
    open::open_with(path, &Options { reserve_bytes: 0, ..Options::default() }, STEPS, 3).map(drop)
}

#[test]
#[ignore = "what the test below runs in another process"]
fn upgrades_and_stops() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    ABORT.store(1, Ordering::Relaxed);
    upgrade(Path::new(&path)).unwrap();
}

#[tokio::test]
async fn an_upgrade_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    populate(&path, 3).await;
    assert!(!child("upgrades_and_stops", &path).status().unwrap().success());
    let number =
        |sql: &str| -> i64 { rusqlite::Connection::open(&path).unwrap().query_row(sql, [], |row| row.get(0)).unwrap() };
    assert_eq!(number("PRAGMA user_version"), 2, "the first step is done, the second one not begun");
    assert_eq!(number("SELECT count(*) FROM two"), 0);
    upgrade(&path).unwrap();
    assert_eq!(number("PRAGMA user_version"), 3);
    assert_eq!(number("SELECT count(*) FROM two"), 1);
    for version in [1, 2] {
        let copy = open::beside(&path, &format!(".before-{version}"));
        let found: i64 =
            rusqlite::Connection::open(copy).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
        assert_eq!(found, version);
    }
    assert!(matches!(Store::open(&path, &options()), Err(StoreError::Newer { found: 3, .. })));
}

#[tokio::test]
async fn the_first_layout_opens() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store/sqlite/tests/version-1.db");
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.db");
        populate(&path, 8).await;
        std::fs::copy(&path, &fixture).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    std::fs::copy(&fixture, &path).unwrap();
    let store = open(&path);
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new());
    let stats = store.read(|tables| tables.stats()).await.unwrap();
    assert_eq!((stats.events, stats.inbox, stats.outbox), (8, 10, 10));
    assert_eq!(contents(&store).await.unwrap().lines().count(), 10);
}
