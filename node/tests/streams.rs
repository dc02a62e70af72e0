//! Results that come item by item, between two nodes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt, stream};
use p2pnode::{Builder, CallError, Context, Endpoint, ErrorCode, HandlerError, ItemSender, Items, NodeEvent, Road};

mod common;
use common::{Pair, until};

/// Longer than anything here takes; what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the handler of `count` has sent, and how many such handlers run.
#[derive(Default, Clone)]
struct Seen {
    sent: Arc<AtomicU32>,
    running: Arc<AtomicUsize>,
}

/// Two nodes, of which one counts up to a number, item by item.
async fn counting() -> (Pair, Seen) {
    let seen = Seen::default();
    let Seen { sent, running } = seen.clone();
    let serve = |builder: Builder| {
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
    };
    (Pair::start(serve).await, seen)
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
    let pair = Pair::start(|builder| {
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
    let mut squares =
        pair.caller.call::<u64>("server", "squares", (5,)).timeout(PATIENCE).stream().await.expect("begun");
    assert_eq!((squares.peer().name.as_str(), squares.road()), ("server", Road::Fast));
    let mut all = Vec::new();
    while let Some(square) = next(&mut squares).await {
        all.push(square.expect("an item"));
    }
    assert_eq!(all, [1, 4, 9, 16, 25]);
    // In one for who does not take items; a result that is none is one item.
    let whole: Vec<u64> = pair.caller.call("server", "squares", (3,)).timeout(PATIENCE).await.expect("an answer");
    assert_eq!(whole, [1, 4, 9]);
    let mut sum = pair.caller.call::<i64>("server", "sum", (1, 2)).timeout(PATIENCE).stream().await.expect("begun");
    assert_eq!(next(&mut sum).await.map(|item| item.expect("an item")), Some(3));
    assert!(next(&mut sum).await.is_none());

    for (endpoint, code) in [("fails", ErrorCode::HandlerFailed), ("panics", ErrorCode::InternalError)] {
        let call = pair.caller.call::<p2pnode::Value>("server", endpoint, ()).timeout(PATIENCE);
        let mut items = call.stream().await.expect("begun");
        assert!(next(&mut items).await.expect("an item").is_ok(), "what was sent stays sent");
        assert_eq!(next(&mut items).await.expect("an error").expect_err("the end").code(), code);
        assert!(next(&mut items).await.is_none());
    }
    let error = pair.caller.call::<u64>("server", "squares", ("five",)).timeout(PATIENCE).stream().await;
    let error = match error {
        Err(error) => error,
        Ok(mut items) => next(&mut items).await.expect("an error").expect_err("no number"),
    };
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let error =
        pair.caller.call::<u64>("server", "nothing", ()).timeout(PATIENCE).stream().await.expect_err("not there");
    assert!(matches!(error, CallError::NoEndpoint { .. }), "{error}");
    let mut wrong =
        pair.caller.call::<String>("server", "squares", (5,)).timeout(PATIENCE).stream().await.expect("begun");
    assert!(matches!(next(&mut wrong).await, Some(Err(CallError::Result { .. }))));
    assert!(next(&mut wrong).await.is_none(), "an error is the last");

    let methods = pair.caller.methods("server").await.expect("a list");
    let streaming = |name: &str| methods.iter().find(|info| info.name == name).map(|info| info.streaming);
    assert_eq!((streaming("squares"), streaming("sum")), (Some(true), Some(false)));
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_handler_up_and_going_away_ends_it() {
    let (pair, seen) = counting().await;
    let mut items = pair.caller.call::<u32>("server", "count", (100_000_000,)).stream().await.expect("begun");
    for n in 1..=10 {
        assert_eq!(next(&mut items).await.map(|item| item.expect("an item")), Some(n));
    }
    // A window of 262,144 bytes, of which 64 are counted for each number beside its own one or three: filled and no more.
    // What has been read is given back by quarters of it.
    let windowful = 127 + 128 + (262_144_u32 - 127 * 65 - 128 * 66).div_ceil(67);
    until("the window is filled", async || seen.sent.load(Ordering::SeqCst) >= windowful).await;
    for _ in 0..10 {
        pair.call("_node.ping").await.expect("other calls pass");
    }
    assert_eq!(seen.sent.load(Ordering::SeqCst), windowful, "sent to a reader that has taken 10");
    assert_eq!(seen.running.load(Ordering::SeqCst), 1);
    drop(items);
    until("the handler ends", async || seen.running.load(Ordering::SeqCst) == 0).await;
    pair.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_told_when_a_stream_is_over() {
    let (pair, _) = counting().await;
    let mut events = pair.server.events();
    let mut items = pair.caller.call::<u32>("server", "count", (3,)).stream().await.expect("begun");
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
    pair.shutdown().await;
}
