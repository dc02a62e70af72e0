//! Work that a node does by itself. When it is due is tested where schedules are, and in virtual time by the simulator.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use p2pnode::{Builder, HandlerError, Node, Paths, StartError, presets, schedule::ScheduleError};

/// Longer than anything here takes; what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

const OFTEN: Duration = Duration::from_millis(5);

fn builder(folder: &tempfile::TempDir) -> Builder {
    Node::builder(presets::Loopback).paths(Paths::in_folder(folder.path()).expect("a folder")).local(false)
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        // The pace of looking; the deadline is above.
        tokio::time::sleep(OFTEN).await;
    }
}

#[tokio::test]
async fn failures_and_panics_do_not_end_a_schedule() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = builder(&folder).start().await.expect("started");
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let work = node.periodic(OFTEN, move |_| {
        let call = counted.fetch_add(1, Ordering::Relaxed);
        assert_ne!(call, 0, "before there is a future");
        async move {
            assert_ne!(call, 1, "in the middle");
            if call == 2 { Err(HandlerError::new("no water")) } else { Ok(()) }
        }
    });
    let work = work.expect("a schedule");
    until("it goes on", || work.counts().runs > 5).await;
    until("all failures are counted", || work.counts().failures == 3).await;
    work.pause();
    until("what ran has ended", || work.last_run().is_some_and(|last| last.ok)).await;
    assert!(work.next_run().is_some());
    work.resume();
    let before = work.counts().runs;
    until("it goes on after a pause", || work.counts().runs > before).await;
}

#[tokio::test]
async fn a_schedule_ends_with_its_handle_or_with_the_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let alive = Arc::new(());
    let held = |alive: &Arc<()>| {
        let alive = alive.clone();
        move |_: Node| {
            let _alive = alive.clone();
            async { Ok(()) }
        }
    };
    let node = builder(&folder).periodic(OFTEN, held(&alive)).start().await.expect("started");
    let work = node.periodic("cron 0 0 1 1 *", held(&alive)).expect("a schedule");
    assert!(Arc::strong_count(&alive) >= 3);
    drop(work);
    until("the handle's work is gone", || Arc::strong_count(&alive) == 2).await;
    node.shutdown().await;
    until("the node's work is gone", || Arc::strong_count(&alive) == 1).await;
}

#[tokio::test]
async fn a_bad_schedule_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let nothing = |_: Node| async { Ok(()) };
    let outcome = builder(&folder).periodic("cron 0 9 * * mon-fry", nothing).start().await;
    let Err(StartError::Schedule(ScheduleError::Text { hint, .. })) = outcome else { panic!("{outcome:?}") };
    assert!(hint.is_some_and(|hint| hint.contains("fri")));
    let node = builder(&folder).start().await.expect("started");
    for bad in ["every 0s", "cron 0 0 30 2 *", "solar sunrise 99 0", "daily"] {
        let error = node.periodic(bad, nothing).expect_err(bad);
        assert!(error.to_string().contains(bad.split(' ').next().unwrap_or(bad)), "{error}");
    }
    assert!(matches!(node.periodic(Duration::ZERO, nothing), Err(ScheduleError::Value { .. })));
}
