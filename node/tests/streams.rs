//! Results that come item by item, between two nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use p2pnode::{
    Builder, CallError, Context, Endpoint, ErrorCode, HandlerError, ItemSender, Items, Node, NodeEvent, Paths, Road,
    presets,
};

mod common;
use common::until;

/// Longer than anything here takes; what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

async fn pair(serve: impl FnOnce(Builder) -> Builder) -> (Node, Node, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let builder = |name: &str| {
        let paths = Paths::in_folder(folder.path()).expect("paths");
        Node::builder(presets::Loopback).paths(paths).swarm("garden").name(name)
    };
    let server = serve(builder("server")).start().await.expect("started");
    let caller = builder("caller").start().await.expect("started");
    (server, caller, folder)
}

/// Numbers up to one, as many as are wanted; counts what has been sent, and how many such handlers run.
fn count(builder: Builder, sent: &Arc<AtomicU32>, running: &Arc<AtomicUsize>) -> Builder {
    let (sent, running) = (sent.clone(), running.clone());
    builder.endpoint(Endpoint::new("count"), move |_: Context, (upto,): (u32,), mut items: ItemSender<u32>| {
        let (sent, running) = (sent.clone(), running.clone());
        running.fetch_add(1, Ordering::SeqCst);
        // Also when it is dropped.
        let ended = scopeguard(move || {
            running.fetch_sub(1, Ordering::SeqCst);
        });
        async move {
            for n in 1..=upto {
                items.send(&n).await?;
                sent.store(n, Ordering::SeqCst);
            }
            drop(ended);
            Ok(())
        }
    })
}

fn scopeguard<F: FnOnce()>(work: F) -> impl Drop {
    struct Guard<F: FnOnce()>(Option<F>);
    impl<F: FnOnce()> Drop for Guard<F> {
        fn drop(&mut self) {
            if let Some(work) = self.0.take() {
                work();
            }
        }
    }
    Guard(Some(work))
}

async fn next<R: serde::de::DeserializeOwned>(items: &mut Items<R>) -> Option<Result<R, CallError>> {
    tokio::time::timeout(PATIENCE, items.next()).await.expect("an item or the end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_sends_its_result_item_by_item() {
    let (server, caller, _folder) = pair(|builder| {
        builder
            .endpoint(Endpoint::new("squares"), |_: Context, (upto,): (u64,), mut items: ItemSender<u64>| async move {
                items.send_all(stream::iter(1..=upto).map(|n| n * n)).await
            })
            .endpoint(Endpoint::new("fails"), |_: Context, (), mut items: ItemSender<String>| async move {
                items.send(&"one".to_owned()).await?;
                Err(HandlerError::new("no second"))
            })
            .endpoint(Endpoint::new("panics"), |_: Context, (), mut items: ItemSender<u8>| async move {
                items.send(&1).await?;
                panic!("as asked")
            })
            .endpoint(Endpoint::new("sum"), |_: Context, (a, b): (i64, i64)| async move { Ok(a + b) })
    })
    .await;
    let mut squares = caller.call::<u64>("server", "squares", (5,)).timeout(PATIENCE).stream().await.expect("begun");
    assert_eq!((squares.peer().name.as_str(), squares.road()), ("server", Road::Fast));
    let mut all = Vec::new();
    while let Some(square) = next(&mut squares).await {
        all.push(square.expect("an item"));
    }
    assert_eq!(all, [1, 4, 9, 16, 25]);
    // In one for who does not take items; a result that is none is one item.
    let whole: Vec<u64> = caller.call("server", "squares", (3,)).timeout(PATIENCE).await.expect("an answer");
    assert_eq!(whole, [1, 4, 9]);
    let mut sum = caller.call::<i64>("server", "sum", (1, 2)).timeout(PATIENCE).stream().await.expect("begun");
    assert_eq!(next(&mut sum).await.map(|item| item.expect("an item")), Some(3));
    assert!(next(&mut sum).await.is_none());

    for (endpoint, code) in [("fails", ErrorCode::HandlerFailed), ("panics", ErrorCode::InternalError)] {
        let call = caller.call::<p2pnode::Value>("server", endpoint, ()).timeout(PATIENCE);
        let mut items = call.stream().await.expect("begun");
        assert!(next(&mut items).await.expect("an item").is_ok(), "what was sent stays sent");
        assert_eq!(next(&mut items).await.expect("an error").expect_err("the end").code(), code);
        assert!(next(&mut items).await.is_none());
    }
    let error = caller.call::<u64>("server", "squares", ("five",)).timeout(PATIENCE).stream().await;
    let error = match error {
        Err(error) => error,
        Ok(mut items) => next(&mut items).await.expect("an error").expect_err("no number"),
    };
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let error = caller.call::<u64>("server", "nothing", ()).timeout(PATIENCE).stream().await.expect_err("not there");
    assert!(matches!(error, CallError::NoEndpoint { .. }), "{error}");
    let mut wrong = caller.call::<String>("server", "squares", (5,)).timeout(PATIENCE).stream().await.expect("begun");
    assert!(matches!(next(&mut wrong).await, Some(Err(CallError::Result { .. }))));
    assert!(next(&mut wrong).await.is_none(), "an error is the last");

    let methods = caller.methods("server").await.expect("a list");
    let streaming = |name: &str| methods.iter().find(|info| info.name == name).map(|info| info.streaming);
    assert_eq!((streaming("squares"), streaming("sum")), (Some(true), Some(false)));
    server.shutdown().await;
    caller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_handler_up_and_going_away_ends_it() {
    let (sent, running) = (Arc::<AtomicU32>::default(), Arc::<AtomicUsize>::default());
    let (server, caller, _folder) = pair(|builder| count(builder, &sent, &running)).await;
    let mut items = caller.call::<u32>("server", "count", (100_000_000,)).stream().await.expect("begun");
    for n in 1..=10 {
        assert_eq!(next(&mut items).await.map(|item| item.expect("an item")), Some(n));
    }
    // A window of 256 KiB holds 3,900 such items; one that nobody reads is filled and no more is made.
    until("it waits", async || {
        let before = sent.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(200)).await;
        before > 10 && sent.load(Ordering::SeqCst) == before
    })
    .await;
    let most = sent.load(Ordering::SeqCst);
    assert!(most < 6_000, "{most} sent to a reader that has taken 10");
    assert_eq!(running.load(Ordering::SeqCst), 1);
    drop(items);
    until("the handler ends", async || running.load(Ordering::SeqCst) == 0).await;
    server.shutdown().await;
    caller.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_when_a_stream_is_over() {
    let (sent, running) = (Arc::<AtomicU32>::default(), Arc::<AtomicUsize>::default());
    let (server, caller, _folder) = pair(|builder| count(builder, &sent, &running)).await;
    let mut events = server.events();
    let mut items = caller.call::<u32>("server", "count", (3,)).stream().await.expect("begun");
    while let Some(item) = next(&mut items).await {
        item.expect("an item");
    }
    let served = async {
        while let Some(event) = events.next().await {
            if let NodeEvent::CallServed { endpoint, ok, .. } = event {
                return (endpoint, ok);
            }
        }
        panic!("the node is gone")
    };
    let served = tokio::time::timeout(PATIENCE, served).await.expect("told");
    assert_eq!(served, ("count".to_owned(), true));
    server.shutdown().await;
    caller.shutdown().await;
}
