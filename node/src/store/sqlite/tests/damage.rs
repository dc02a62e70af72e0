//! Files that are not what was written.

use std::fs;

use rand::{RngExt, SeedableRng};

use super::*;

/// Opens a file that somebody has changed: it is refused with its name, or nothing is missing and nothing is wrong.
async fn check(path: &Path, expected: &str, what: &str) -> bool {
    let opened = Store::open(path, &options());
    let error = match opened {
        Ok(store) => match contents(&store).await {
            Ok(contents) => {
                assert!(contents == expected, "{what}: other contents");
                return false;
            }
            Err(error) => error,
        },
        Err(error) => error,
    };
    assert!(error.to_string().contains("node.db"), "{what}: {error} does not name the file");
    true
}

#[tokio::test]
async fn flipped_bits_and_cut_ends() {
    let seed = std::env::var("STORE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("STORE_SEED={seed}");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    populate(&path, 60).await;
    let whole = fs::read(&path).unwrap();
    let store = open(&path);
    let expected = contents(&store).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let mut refused = 0;
    for n in 0..250 {
        let mut bytes = whole.clone();
        let at = random.random_range(0..bytes.len());
        let what = if n < 200 {
            let bit = random.random_range(0..8);
            bytes[at] ^= 1 << bit;
            format!("seed {seed}: bit {bit} of byte {at} of {}", whole.len())
        } else {
            bytes.truncate(at);
            format!("seed {seed}: {at} bytes of {}", whole.len())
        };
        for suffix in ["-wal", "-shm"] {
            let _ = fs::remove_file(open::beside(&path, suffix));
        }
        fs::write(&path, &bytes).unwrap();
        refused += usize::from(check(&path, &expected, &what).await);
    }
    println!("{refused} of 250 were refused");
    assert!(refused > 60);
}

#[tokio::test]
async fn a_changed_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    populate(&path, 5).await;
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE event SET received = received + 1 WHERE seq = ?", [table::number(3)]).unwrap();
    drop(conn);
    let error = Store::open(&path, &options()).unwrap_err();
    assert!(
        matches!(&error, StoreError::Damaged { what, .. } if what.contains("event") && what.contains("checksum")),
        "{error}"
    );

    // One that is too large to be checked first is refused when the check beside has found it, and the row at once.
    let large = Options { check_max: 0, ..options() };
    let store = Store::open(&path, &large).unwrap();
    let event = event(3);
    let read = store.read(move |tables| tables.event(&event.id)).await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
    let start = std::time::Instant::now();
    while store.read(|tables| tables.note("name")).await.is_ok() {
        assert!(start.elapsed().as_secs() < 10, "the check beside finds it");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let write = store.write(|tables| tables.put_note("a", None)).await;
    assert!(matches!(write, Err(StoreError::Damaged { .. })), "{write:?}");
    assert!(store.close().await.is_err());
}

#[tokio::test]
async fn missing_rows_are_missed() {
    for sql in [
        "DELETE FROM event WHERE rank IN (SELECT rank FROM event LIMIT 1)",
        "DELETE FROM note",
        "DELETE FROM totals WHERE name = 'event'",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.db");
        populate(&path, 5).await;
        rusqlite::Connection::open(&path).unwrap().execute(sql, []).unwrap();
        let error = Store::open(&path, &options()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{sql}: {error}");
    }
}

#[tokio::test]
async fn what_is_no_store_of_ours_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    for bytes in [&b""[..], b"hello", &[0; 8192]] {
        fs::write(&path, bytes).unwrap();
        let error = Store::open(&path, &options()).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    fs::write(open::beside(&path, "-wal"), b"log").unwrap();
    assert!(matches!(Store::open(&path, &options()), Err(StoreError::Damaged { .. })), "a log without its file");
}

#[tokio::test]
async fn salvage_keeps_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    populate(&path, 20).await;
    let conn = rusqlite::Connection::open(&path).unwrap();
    conn.execute("UPDATE event SET received = received + 1 WHERE seq = ?", [table::number(3)]).unwrap();
    conn.execute("UPDATE note SET value = X'00'", []).unwrap();
    drop(conn);
    assert!(Store::open(&path, &options()).is_err());
    let report = Store::salvage(&path).unwrap();
    assert!(report.moved_to.exists(), "{report:?}");
    assert_eq!(report.lost.iter().filter(|name| name.starts_with("event")).count(), 1, "{report:?}");
    assert_eq!(report.lost.iter().filter(|name| name.starts_with("note")).count(), 1, "{report:?}");
    let missing = |name: &str| report.missing.iter().find(|(table, _)| *table == name).map(|(_, rows)| *rows);
    assert_eq!((missing("event"), missing("note"), missing("inbox")), (Some(1), Some(1), Some(0)), "{report:?}");
    assert!(!open::beside(&path, ".salvaged").exists());
    let store = open(&path);
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new());
    let feed = event(0).feed();
    let look = move |tables: &dyn Read| {
        let query = SearchQuery { search: search("text"), swarm: None, author: None, since_ms: None, limit: 99 };
        Ok((tables.feed(&feed)?.unwrap().held, tables.stats()?, tables.search(&query)?.len()))
    };
    let (held, stats, found) = store.read(look).await.unwrap();
    assert_eq!((held, stats.events, stats.inbox, found), (vec![(0, 3), (4, 20)], 19, 10, 19));
}

#[tokio::test]
async fn a_damaged_file_stays_as_it_was_beside_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    populate(&path, 20).await;
    let mut bytes = fs::read(&path).unwrap();
    for page in [3, 9] {
        bytes[page * 4_096..][..4_096].fill(0xa5);
    }
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(Store::open(&path, &options()), Err(StoreError::Damaged { .. })));
    let report = Store::salvage(&path).unwrap();
    assert!(fs::read(&report.moved_to).unwrap() == bytes, "{report:?}");
    assert_eq!(open(&path).verify(true).unwrap(), Vec::<String>::new(), "{report:?}");
    // So it is with one of which nothing can be read at all.
    let other = folder.path().join("other.db");
    fs::write(&other, b"hello").unwrap();
    let report = Store::salvage(&other).unwrap();
    assert!(report.lost.len() == 1 && report.saved.is_empty(), "{report:?}");
    assert_eq!(fs::read(&report.moved_to).unwrap(), b"hello");
    assert_eq!(open(&other).read(|tables| tables.stats()).await.unwrap().events, 0);
}

#[tokio::test]
async fn a_copy_is_one_state_while_others_write() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("node.db"), folder.path().join("copy.db"));
    populate(&path, 20).await;
    let store = open(&path);
    store.write(|tables| put(tables, &[event(20)])).await.unwrap();
    Store::open_read_only(&path).unwrap().copy_to(&copy).unwrap();
    store.write(|tables| put(tables, &[event(21)])).await.unwrap();
    let read = Store::open_read_only(&copy).unwrap();
    assert_eq!(read.verify(true).unwrap(), Vec::<String>::new());
    assert_eq!(read.read(|tables| tables.stats()).await.unwrap().events, 21);
    drop(read);
    assert_eq!(open(&copy).read(|tables| tables.stats()).await.unwrap().events, 21);
    assert!(matches!(Store::memory().copy_to(&copy), Err(StoreError::Failed { .. })));
}
