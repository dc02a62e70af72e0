//! How fast and how large: what is promised, measured. Run with `--ignored --nocapture`, in a release build.

use std::time::Instant;

use super::*;

const WORDS: [&str; 40] = [
    "build",
    "failed",
    "agent",
    "review",
    "merge",
    "branch",
    "deploy",
    "rollback",
    "database",
    "index",
    "query",
    "latency",
    "memory",
    "thread",
    "queue",
    "message",
    "conversation",
    "kitchen",
    "fire",
    "answer",
    "question",
    "please",
    "look",
    "at",
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "are",
    "as",
    "with",
    "they",
    "be",
];

/// About 300 bytes signed, with a text of words of which some are rare.
fn sized(epoch: u64, seq: u64, at_ms: u64) -> (EventRow, String) {
    let mut text = String::new();
    let mut n = (epoch << 32 | seq).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    while text.len() < 70 {
        n = n.rotate_left(17).wrapping_mul(0x2545_f491_4f6c_dd1d);
        text.push_str(WORDS[(n % 40) as usize]);
        text.push(' ');
    }
    text.push_str(&format!("ticket{}", n % 10_000));
    let make = Make {
        author: 1 + (epoch % 20) as u8,
        talk: (seq / 20 % 200) as u8,
        epoch,
        seq,
        at_ms,
        received_ms: at_ms + 50,
        body: text.clone().into_bytes(),
        ..Make::default()
    };
    (make.event(), text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a figure, which depends on the machine; run by .ci/long"]
async fn acknowledgements() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let mut log = std::fs::File::create(folder.path().join("log")).unwrap();
    let start = Instant::now();
    for seq in 0..300 {
        std::io::Write::write_all(&mut log, &sized(1, seq, seq).0.raw).unwrap();
        log.sync_data().unwrap();
    }
    let bare = 300.0 / start.elapsed().as_secs_f64();
    let single = folder.path().join("single.db");
    let store = open(&single);
    let start = Instant::now();
    for seq in 0..300 {
        let (row, text) = sized(1, seq, seq);
        store.write_durably(move |tables| tables.insert_event(&row, &text)).await.unwrap();
    }
    let alone = 300.0 / start.elapsed().as_secs_f64();
    store.close().await.unwrap();
    let many = folder.path().join("many.db");
    let store = open(&many);
    let rows: Vec<Vec<_>> = (0..64).map(|epoch| (0..200).map(|seq| sized(epoch, seq, seq)).collect()).collect();
    let start = Instant::now();
    let tasks: Vec<_> = rows
        .into_iter()
        .map(|rows| {
            let store = store.clone();
            tokio::spawn(async move {
                for (row, text) in rows {
                    store.write_durably(move |tables| tables.insert_event(&row, &text)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let together = 64.0 * 200.0 / start.elapsed().as_secs_f64();
    println!(
        "fsynced acks/s: a bare log {bare:.0}, one sender {alone:.0}, 64 senders {together:.0}: {:.1} and {:.1} times",
        together / bare,
        together / alone
    );
    store.close().await.unwrap();
}

#[tokio::test]
#[ignore = "writes a million events, which takes minutes; run by .ci/long"]
async fn a_million_events() {
    let folder = tempfile::tempdir_in(".").unwrap();
    let path = folder.path().join("node.db");
    let events: u64 = std::env::var("STORE_EVENTS").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
    let store = open(&path);
    let (start, mut raw) = (Instant::now(), 0);
    for chunk in 0..events / 500 {
        let rows: Vec<_> = (0..500).map(|n| sized(chunk % 100, chunk / 100 * 500 + n, chunk * 500 + n)).collect();
        raw += rows.iter().map(|(row, _)| row.raw.len()).sum::<usize>();
        let job = move |tables: &mut dyn Write| {
            rows.iter().try_for_each(|(row, text)| tables.insert_event(row, text).map(drop))
        };
        store.write(job).await.unwrap();
    }
    println!(
        "{events} events of {} bytes, written at {:.0}/s",
        raw as u64 / events,
        events as f64 / start.elapsed().as_secs_f64()
    );
    let start = Instant::now();
    store.close().await.unwrap();
    println!("close: {:?}", start.elapsed());
    drop(store);
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("{} MiB, {} bytes per event", bytes >> 20, bytes / events);
    assert!(bytes / events <= 1024, "a kilobyte for one of 300 bytes, with indexes and words");
    for check_max in [0, u64::MAX] {
        let start = Instant::now();
        let store = Store::open(&path, &Options { check_max, reserve_bytes: 0, ..Options::default() }).unwrap();
        println!("open, {}: {:?}", if check_max == 0 { "checked beside" } else { "checked first" }, start.elapsed());
        if check_max == 0 {
            assert!(start.elapsed().as_secs() < 2, "a large file is served at once");
            for text in
                ["ticket77", "kitchen fire", "the", "\"kitchen fire\"", "ticket7*", "the -fire", "the NEAR/2 fire"]
            {
                let query = |text: &str| SearchQuery {
                    search: search(text),
                    swarm: None,
                    author: None,
                    since_ms: None,
                    limit: 50,
                };
                let asked = query(text);
                let start = Instant::now();
                let hits = store.read(move |tables| tables.search(&asked)).await.unwrap().len();
                println!("search {text:?}: {hits} hits in {:?}", start.elapsed());
                // The beginning of a thousand different words is as many walks.
                let limit = if text.ends_with('*') { 300 } else { 100 };
                assert!(start.elapsed().as_millis() <= limit, "{text}");
            }
            let start = Instant::now();
            store.read(|tables| tables.stats()).await.unwrap();
            println!("stats: {:?}", start.elapsed());
            let start = Instant::now();
            let cut =
                store.read(|tables| tables.cut_time(&crate::store::conformance::swarm(1), 900_000, u64::MAX)).await;
            println!("cut_time {:?}: {:?}", cut.unwrap(), start.elapsed());
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let memory = status.lines().filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"));
        println!("{}", memory.collect::<Vec<_>>().join(" "));
        store.close().await.unwrap();
    }
}
