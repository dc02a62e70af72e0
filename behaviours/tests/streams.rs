//! Results that come item by item, between two real swarms over the memory transport, on both roads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use libp2p_identity::PeerId;
use libp2p_swarm::Swarm;
use libp2p_swarm_test::SwarmExt;
use p2pnode_behaviours::rpc::{self, CallError, Config, Incoming, Items, Request, Road, Service};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    msgpack,
};

/// Items that a test waits for, at most.
const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers from 0 that leave for a reader that reads none: a window is 262,144 bytes, 128 numbers cost 64 and one, 128
/// cost 64 and two, the others 64 and three; the last may overdraw it.
const WINDOWFUL: u32 = 128 + 128 + (262_144_u32 - 128 * 65 - 128 * 66).div_ceil(67);

/// `count` sends as many numbers as it is told, or what it can; `sent` counts those that have left, and `stopped` tells
/// that nobody wanted more.
#[derive(Default)]
struct Counter {
    sent: AtomicU32,
    stopped: tokio::sync::Notify,
}

fn counting(counter: &Arc<Counter>) -> Arc<dyn Service> {
    let counter = counter.clone();
    Arc::new(move |call: Incoming| {
        let counter = counter.clone();
        match call.request.endpoint.as_str() {
            "echo" => call.reply.ok(call.request.args),
            "none" => call.reply.items(1_000).finish(Ok(())),
            "forget" => drop(call.reply.items(1_000)),
            "fail" => call.reply.items(1_000).finish(Err(RpcError::new(ErrorCode::HandlerFailed, "as asked"))),
            "count" => drop(tokio::spawn(async move {
                let upto: u32 = msgpack::decode(&call.request.args).expect("a number");
                let mut items = call.reply.items(1024 * 1024);
                for n in 0..upto {
                    if items.send(msgpack::encode(&n).into()).await.is_err() {
                        counter.stopped.notify_one();
                        return;
                    }
                    counter.sent.store(n + 1, Ordering::SeqCst);
                }
                items.finish(Ok(()));
            })),
            // An item larger than a frame, and larger than the window.
            "large" => drop(tokio::spawn(async move {
                let mut items = call.reply.items(4 * 1024 * 1024);
                for n in 0..3_u8 {
                    items.send(vec![n; 1_000_000].into()).await.expect("taken");
                }
                items.finish(Err(RpcError::new(ErrorCode::HandlerFailed, "no more")));
            })),
            other => call.reply.err(RpcError::new(ErrorCode::EndpointNotFound, other.to_owned())),
        }
    })
}

async fn two(a: Config, b: Config) -> (rpc::Client, PeerId, Arc<Counter>) {
    let counter = Arc::new(Counter::default());
    let make = |config, service| {
        let mut client = None;
        let swarm = Swarm::new_ephemeral_tokio(|_| {
            let (behaviour, made) = rpc::Behaviour::new(config, service);
            client = Some(made);
            behaviour
        });
        (swarm, client.expect("made above"))
    };
    let (mut caller, client) = make(a, counting(&Arc::default()));
    let (mut callee, _) = make(b, counting(&counter));
    let id = *callee.local_peer_id();
    callee.listen().with_memory_addr_external().await;
    caller.connect(&mut callee).await;
    for mut swarm in [caller, callee] {
        tokio::spawn(async move { while swarm.next().await.is_some() {} });
    }
    (client, id, counter)
}

fn request(endpoint: &str, upto: u32) -> Request {
    Request { args: msgpack::encode(&upto).into(), ..Request::new(endpoint) }
}

async fn next(items: &mut Items) -> Option<Result<Bytes, CallError>> {
    tokio::time::timeout(PATIENCE, items.next()).await.expect("an item or the end")
}

/// Waits until as many have left.
async fn left(counter: &Counter, many: u32) {
    let enough = async {
        while counter.sent.load(Ordering::SeqCst) < many {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, enough).await.expect("the window is filled");
}

#[tokio::test]
async fn items_come_in_order_on_both_roads() {
    for fast in [true, false] {
        let (client, id, _) = two(Config { fast, ..Config::default() }, Config::default()).await;
        let mut items = client.stream(id, request("count", 4_000)).await.expect("a stream");
        assert_eq!(items.road(), if fast { Road::Fast } else { Road::Classic });
        for n in 0..4_000_u32 {
            let item = next(&mut items).await.expect("another").expect("an item");
            assert_eq!(msgpack::decode::<u32>(&item), Ok(n));
        }
        assert_eq!(next(&mut items).await, None);
        assert_eq!(next(&mut items).await, None, "still over");
        let mut none = client.stream(id, request("none", 0)).await.expect("a stream");
        assert_eq!(next(&mut none).await, None);
    }
}

#[tokio::test]
async fn a_call_of_a_stream_gets_an_array_and_a_stream_of_a_call_one_item() {
    for fast in [true, false] {
        let (client, id, _) = two(Config { fast, ..Config::default() }, Config::default()).await;
        let all = client.call(id, request("count", 5)).await.expect("an answer");
        assert_eq!(msgpack::decode::<Vec<u32>>(&all.result), Ok(vec![0, 1, 2, 3, 4]));
        let error = client.call(id, request("count", 5_000)).await.expect_err("too many for an array");
        assert_eq!(error.code(), ErrorCode::TooLarge, "{error}");
        let mut one = client.stream(id, request("echo", 7)).await.expect("a stream");
        assert_eq!(next(&mut one).await, Some(Ok(msgpack::encode(&7).into())));
        assert_eq!(next(&mut one).await, None);
    }
}

#[tokio::test]
async fn errors_come_before_the_first_item_or_after_the_last() {
    for fast in [true, false] {
        let (client, id, _) = two(Config { fast, ..Config::default() }, Config::default()).await;
        let error = client.stream(id, request("nothing", 0)).await.expect_err("not there");
        assert_eq!(error.code(), ErrorCode::EndpointNotFound);
        for (endpoint, code) in [("fail", ErrorCode::HandlerFailed), ("forget", ErrorCode::InternalError)] {
            let error = match client.stream(id, request(endpoint, 0)).await {
                Err(error) => error,
                Ok(mut items) => next(&mut items).await.expect("an error").expect_err("no item"),
            };
            assert_eq!(error.code(), code);
        }
    }
}

#[tokio::test]
async fn items_larger_than_the_window_come_whole() {
    let (client, id, _) = two(Config::default(), Config::default()).await;
    let mut items = client.stream(id, request("large", 0)).await.expect("a stream");
    for n in 0..3_u8 {
        assert_eq!(next(&mut items).await, Some(Ok(vec![n; 1_000_000].into())));
    }
    let error = next(&mut items).await.expect("an error").expect_err("the end");
    assert_eq!(error.code(), ErrorCode::HandlerFailed);
    assert_eq!(next(&mut items).await, None);
}

#[tokio::test]
async fn a_reader_that_pauses_holds_up_the_handler_and_no_other_call() {
    let (client, id, counter) = two(Config::default(), Config::default()).await;
    let mut items = client.stream(id, request("count", 10_000)).await.expect("a stream");
    left(&counter, WINDOWFUL).await;
    // Other calls pass on the same connection; when they are back, whatever else would have left has left.
    for _ in 0..10 {
        let small = client.call(id, request("echo", 1)).await.expect("an answer");
        assert_eq!(small.result, Bytes::from(msgpack::encode(&1)));
    }
    assert_eq!(counter.sent.load(Ordering::SeqCst), WINDOWFUL, "for a reader that reads none");
    for n in 0..10_000_u32 {
        let item = next(&mut items).await.expect("another").expect("an item");
        assert_eq!(msgpack::decode::<u32>(&item), Ok(n));
    }
    assert_eq!(next(&mut items).await, None);
}

#[tokio::test]
async fn a_reader_that_goes_away_stops_the_handler() {
    let (client, id, counter) = two(Config::default(), Config::default()).await;
    // Once while the handler waits for credit, once while it is being read.
    for read in [0, 5_000] {
        let mut items = client.stream(id, request("count", 10_000_000)).await.expect("a stream");
        for _ in 0..read {
            next(&mut items).await.expect("another").expect("an item");
        }
        left(&counter, WINDOWFUL).await;
        drop(items);
        tokio::time::timeout(PATIENCE, counter.stopped.notified()).await.expect("the handler is told");
        counter.sent.store(0, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_stream_ends_when_its_time_is_over() {
    let (client, id, counter) = two(Config::default(), Config::default()).await;
    let short = Request { timeout: Duration::from_millis(300), ..request("count", 10_000_000) };
    let mut items = client.stream(id, short).await.expect("a stream");
    let mut read = 0;
    let error = loop {
        match next(&mut items).await.expect("an item or the error") {
            Ok(_) => read += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, CallError::TimedOut { sent: true }), "{error}");
    assert!(read > 0);
    tokio::time::timeout(PATIENCE, counter.stopped.notified()).await.expect("the handler is told");
}
