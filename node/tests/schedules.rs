//! Named schedules that last. When one is due is tested where schedules are.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use p2pnode::{
    Action, Added, Builder, Clock, Events, Node, NodeEvent, ScheduleInfo, Schedules, SchedulesError, presets,
    schedule::{CatchUp, Options, Overlap, ScheduleError},
    store::{self, Store},
};

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(20);

const HOUR: Duration = Duration::from_secs(3_600);

/// On a node that keeps its things in this folder, whose clock is ahead.
fn builder(folder: &Path, ahead: Duration) -> Builder {
    let store = Store::open(&folder.join("node.db"), &store::Options::default()).expect("a store");
    Node::builder(presets::Loopback).local(false).swarm("garden").store(store).clock(Clock::ahead(ahead))
}

/// The same, counting its commands.
async fn counting(folder: &Path, ahead: Duration) -> (Node, Schedules, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let node = builder(folder, ahead).exec(move |run| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            match run.argv[0].as_str() {
                "fail" => Err(p2pnode::HandlerError::new("no water")),
                "panic" => panic!("in a command"),
                "hang" => std::future::pending().await,
                _ => Ok(()),
            }
        }
    });
    let node = node.start().await.expect("started");
    let schedules = node.schedules().expect("it keeps");
    (node, schedules, count)
}

fn exec(word: &str) -> Action {
    Action::Exec { argv: vec![word.to_owned()] }
}

async fn until(schedules: &Schedules, name: &str, holds: impl Fn(&ScheduleInfo) -> bool) -> ScheduleInfo {
    let deadline = tokio::time::Instant::now() + LIMIT;
    loop {
        let info = schedules.get(name).await.expect("it is there");
        if holds(&info) {
            return info;
        }
        assert!(tokio::time::Instant::now() < deadline, "not in time: {info:?}");
        // The pace of looking.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn ran(events: &mut Events) -> (String, String) {
    let told = async {
        loop {
            if let Some(NodeEvent::ScheduleRan { name, outcome, .. }) = events.next().await {
                return (name, outcome);
            }
        }
    };
    tokio::time::timeout(LIMIT, told).await.expect("told")
}

#[tokio::test]
async fn what_was_missed_while_the_node_was_down_is_caught_up_with_as_wanted() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, schedules, count) = counting(folder.path(), Duration::ZERO).await;
    for (name, catch_up) in [("none", CatchUp::None), ("one", CatchUp::One), ("all", CatchUp::All)] {
        let options = Options { run_at_start: Some(false), catch_up, ..Options::default() };
        assert_eq!(schedules.add(name, "every 1h", exec(name), options).await.unwrap(), Added::New);
    }
    schedules.run("one").await.expect("out of turn");
    until(&schedules, "one", |info| info.last.is_some()).await;
    assert_eq!(count.load(Ordering::Relaxed), 1);
    node.shutdown().await;

    let (node, schedules, count) = counting(folder.path(), 3 * HOUR + HOUR / 2).await;
    let all = until(&schedules, "all", |info| info.counts.runs == 3 && info.running == 0).await;
    let one = until(&schedules, "one", |info| info.counts.runs == 2 && info.running == 0).await;
    let none = until(&schedules, "none", |info| info.counts.missed == 3).await;
    assert_eq!((one.counts.missed, all.counts.missed, none.counts.runs), (2, 0, 0));
    assert_eq!(count.load(Ordering::Relaxed), 4);
    assert!(one.next > one.last.map(|last| last.ended), "{one:?}");
    node.shutdown().await;

    let (node, schedules, count) = counting(folder.path(), 3 * HOUR + HOUR / 2).await;
    assert_eq!(schedules.get("all").await.unwrap().counts, all.counts, "the account lasts, and nothing runs twice");
    assert_eq!(schedules.get("one").await.unwrap().last.map(|last| last.ok), Some(true));
    assert_eq!(count.load(Ordering::Relaxed), 0);
    node.shutdown().await;
}

#[tokio::test]
async fn the_same_twice_is_no_error_and_another_is_a_conflict() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, schedules, _) = counting(folder.path(), Duration::ZERO).await;
    let options = Options::default();
    let noon = "cron 0 12 * * *";
    assert_eq!(schedules.add("lunch", noon, exec("eat"), options).await.unwrap(), Added::New);
    assert_eq!(schedules.add("lunch", "cron  0 12 * * *", exec("eat"), options).await.unwrap(), Added::Already);
    schedules.run("lunch").await.unwrap();
    until(&schedules, "lunch", |info| info.running == 0).await;
    let queued = Options { overlap: Overlap::Queue, ..options };
    for (when, action, options) in
        [("cron 0 13 * * *", exec("eat"), options), (noon, exec("fast"), options), (noon, exec("eat"), queued)]
    {
        let error = schedules.add("lunch", when, action.clone(), options).await.unwrap_err();
        assert!(matches!(&error, SchedulesError::Conflict { when, .. } if when == noon), "{error}");
        assert_eq!(schedules.replace("lunch", when, action, options).await.unwrap(), Added::Replaced);
        assert_eq!(schedules.replace("lunch", noon, exec("eat"), Options::default()).await.unwrap(), Added::Replaced);
    }
    let info = schedules.get("lunch").await.unwrap();
    assert_eq!((info.counts.runs, schedules.list().await.len()), (1, 1), "its account goes on");
    assert!(schedules.remove("lunch").await.unwrap() && !schedules.remove("lunch").await.unwrap());
    let error = schedules.run("lunsh").await.unwrap_err();
    assert!(matches!(error, SchedulesError::Unknown { .. }));
    node.shutdown().await;
    let (node, schedules, _) = counting(folder.path(), Duration::ZERO).await;
    assert_eq!(schedules.list().await, Vec::new());
    node.shutdown().await;
}

#[tokio::test]
async fn failures_are_counted_and_told_and_a_pause_lasts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, schedules, _) = counting(folder.path(), Duration::ZERO).await;
    let mut events = node.events();
    let at_start = Options { run_at_start: Some(true), ..Options::default() };
    for (word, outcome) in [("fine", "ok"), ("fail", "failed: no water"), ("panic", "failed: it panicked")] {
        schedules.add(word, "cron @yearly", exec(word), at_start).await.unwrap();
        assert_eq!(ran(&mut events).await, (word.to_owned(), outcome.to_owned()));
        let info = until(&schedules, word, |info| info.last.is_some()).await;
        assert_eq!((info.counts.runs, info.counts.failures), (1, u64::from(outcome != "ok")), "{word}");
    }
    assert!(schedules.pause("fine").await.unwrap() && !schedules.pause("fine").await.unwrap());
    assert_eq!(schedules.next("fine", 3).await.unwrap(), []);
    let alone = Action::Ask { swarm: String::new(), text: "anybody?".into() };
    schedules.add("ask", "cron @yearly", alone, Options::default()).await.unwrap();
    schedules.run("ask").await.unwrap();
    assert_eq!(ran(&mut events).await, ("ask".to_owned(), "failed: nobody answered".to_owned()));
    node.shutdown().await;

    let (node, schedules, count) = counting(folder.path(), 400 * 24 * HOUR).await;
    let info = schedules.get("fine").await.unwrap();
    assert!(info.paused && info.counts.runs == 1, "{info:?}");
    assert!(schedules.resume("fine").await.unwrap() && !schedules.resume("fine").await.unwrap());
    assert_eq!(schedules.next("fine", 3).await.unwrap().len(), 3);
    until(&schedules, "panic", |info| info.counts.runs == 2 && info.running == 0).await;
    assert!(count.load(Ordering::Relaxed) <= 2);
    node.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_place_in_the_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let (node, schedules, _) = counting(folder.path(), Duration::ZERO).await;
    let options = Options::default();
    let error = schedules.add("x", "cron 0 9 * * mon-fry", exec("x"), options).await.unwrap_err();
    assert_eq!(error.span(), Some(13..20), "{error}");
    for (name, when, action) in [
        ("two words", "every 1h", exec("x")),
        ("x", "cron 0 0 30 2 *", exec("x")),
        ("x", "every 400d", exec("x")),
        ("x", &format!("every {}1h", "0".repeat(128)), exec("x")),
        ("x", "every 1h", exec("")),
        ("x", "every 1h", Action::Ask { swarm: "elsewhere".into(), text: "hi".into() }),
        ("x", "every 1h", Action::Emit { swarm: None, subject: "a b".into(), data: p2pnode::Value::Nil }),
    ] {
        assert!(schedules.add(name, when, action, options).await.is_err(), "{name} {when}");
    }
    assert_eq!(schedules.list().await, Vec::new());
    node.shutdown().await;

    let node = builder(&tempfile::tempdir().expect("a folder").keep(), Duration::ZERO).start().await.expect("started");
    let refused = node.schedules().unwrap().add("x", "every 1h", exec("true"), options).await;
    assert!(matches!(refused, Err(SchedulesError::NoExec)), "a library runs no programs by itself");
    node.shutdown().await;
}

#[tokio::test]
async fn a_thousand_and_no_more() {
    let node = Node::builder(presets::Loopback).local(false).exec(|_| async { Ok(()) }).start().await.expect("started");
    let schedules = node.schedules().expect("it keeps");
    for number in 0..1_000 {
        schedules.add(&format!("n{number}"), "cron @yearly", exec("x"), Options::default()).await.expect("room");
    }
    let full = schedules.add("more", "cron @yearly", exec("x"), Options::default()).await.unwrap_err();
    assert!(matches!(full, SchedulesError::Schedule(ScheduleError::TooMany { limit: 1_000 })), "{full}");
    let other = schedules.replace("n7", "cron @daily", exec("x"), Options::default()).await;
    assert_eq!(other.unwrap(), Added::Replaced, "it has its place already");
    assert!(schedules.remove("n8").await.unwrap());
    schedules.add("more", "cron @yearly", exec("x"), Options::default()).await.expect("room again");
    node.shutdown().await;
}
