//! What a power failure may leave: of each sector that was not flushed yet, the old state or the new one.

use std::fs;

use rand::{RngExt, SeedableRng, rngs::SmallRng};

use super::*;

/// What disks write at once, or not.
const SECTOR: usize = 512;

/// Events written one by one, each flushed: some megabytes, so that the log is taken over into the file a few times.
const EVENTS: u64 = 240;

/// The files when the last acknowledged event was the one before `acked`.
struct Moment {
    acked: u64,
    file: Vec<u8>,
    log: Vec<u8>,
}

impl Moment {
    fn now(path: &Path, acked: u64) -> Self {
        Self { acked, file: fs::read(path).unwrap(), log: fs::read(open::beside(path, "-wal")).unwrap_or_default() }
    }
}

/// A file on its way from one state to the next.
fn torn(old: &[u8], new: &[u8], random: &mut SmallRng) -> Vec<u8> {
    let size = match old.len() < new.len() {
        true => random.random_range(old.len()..=new.len()),
        false => old.len(),
    };
    let part = [0.05, 0.5, 0.95][random.random_range(0..3)];
    let mut bytes = old.to_vec();
    bytes.resize(size, 0);
    for (old, new) in bytes.chunks_mut(SECTOR).zip(new.chunks(SECTOR)) {
        if random.random_bool(part) {
            let both = old.len().min(new.len());
            old[..both].copy_from_slice(&new[..both]);
        }
    }
    bytes
}

/// Opens what is left. All that was acknowledged is there, and nothing that was not written.
async fn check(file: &[u8], log: &[u8], acked: u64, what: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    fs::write(&path, file).unwrap();
    fs::write(open::beside(&path, "-wal"), log).unwrap();
    let store = Store::open(&path, &options()).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new(), "{what}");
    let all =
        store.read(|tables| tables.events(&EventQuery { limit: usize::MAX, ..Default::default() })).await.unwrap();
    let mut seqs: Vec<u64> = all.iter().map(|row| row.event.seq).collect();
    seqs.sort_unstable();
    let expected = (seqs.len() as u64).clamp(acked, acked + 1);
    assert_eq!(seqs, (0..expected).collect::<Vec<_>>(), "{what}: {acked} were acknowledged");
    assert!(all.iter().all(|row| *row == event(row.event.seq)), "{what}");
}

/// So many images where the log is taken over into the file, which is rare, and so many of each other write.
async fn power_fails(over: usize, other: f64) {
    let seed = std::env::var("STORE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("STORE_SEED={seed}");
    let mut random = SmallRng::seed_from_u64(seed);
    let written = tempfile::tempdir().unwrap();
    let path = written.path().join("node.db");
    let store = open(&path);
    let mut before = Moment::now(&path, 0);
    let (mut images, mut taken_over, mut due) = (0, 0, 0.0);
    for seq in 0..EVENTS {
        store.write_durably(move |tables| put(tables, &[event(seq)])).await.unwrap();
        let after = Moment::now(&path, seq + 1);
        due += other;
        let over = match before.file == after.file {
            true => 0,
            false => over,
        };
        taken_over += usize::from(over > 0);
        // The log is flushed before the file is touched.
        for _ in 0..over {
            images += 1;
            let file = torn(&before.file, &after.file, &mut random);
            check(&file, &after.log, before.acked, &format!("seed {seed}, image {images}")).await;
        }
        while due >= 1.0 {
            (due, images) = (due - 1.0, images + 1);
            let log = torn(&before.log, &after.log, &mut random);
            check(&before.file, &log, before.acked, &format!("seed {seed}, image {images}")).await;
        }
        before = after;
    }
    assert!(taken_over >= 2, "the log was taken over {taken_over} times");
    println!("measured: {images} images, the log taken over {taken_over} times");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_power_failure() {
    power_fails(20, 0.25).await;
}

#[tokio::test]
#[ignore = "ten thousand images take minutes; run by .ci/long"]
async fn what_was_acknowledged_survives_ten_thousand_power_failures() {
    power_fails(1_000, 30.0).await;
}
