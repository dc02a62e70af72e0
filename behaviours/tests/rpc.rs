//! Calls between two real swarms over the memory transport, on both roads.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use libp2p_identity::PeerId;
use libp2p_swarm::Swarm;
use libp2p_swarm_test::SwarmExt;
use p2pnode_behaviours::rpc::{self, CallError, Config, Incoming, Request, Road, Service};
use p2pnode_wire::error::{ErrorCode, RpcError};
use tokio::sync::mpsc;

struct Peer {
    id: PeerId,
    client: rpc::Client,
    swarm: Swarm<rpc::Behaviour>,
}

fn peer(config: Config, service: Arc<dyn Service>) -> Peer {
    let mut client = None;
    let swarm = Swarm::new_ephemeral_tokio(|_| {
        let (behaviour, made) = rpc::Behaviour::new(config, service);
        client = Some(made);
        behaviour
    });
    Peer { id: *swarm.local_peer_id(), client: client.expect("made above"), swarm }
}

fn echo() -> Arc<dyn Service> {
    Arc::new(|call: Incoming| match call.request.endpoint.as_str() {
        "echo" => call.reply.ok(call.request.args),
        "fail" => call.reply.err(RpcError::new(ErrorCode::HandlerFailed, "as asked")),
        "forget" => drop(call.reply),
        // Answers only when cancelled, so never in time.
        "hang" => {
            tokio::spawn(async move {
                call.cancelled.cancelled().await;
                call.reply.ok(Bytes::new());
            });
        }
        other => call.reply.err(RpcError::new(ErrorCode::EndpointNotFound, other.to_owned())),
    })
}

/// Connects both and drives them in the background.
async fn connect(mut a: Peer, mut b: Peer) -> (rpc::Client, rpc::Client, PeerId) {
    b.swarm.listen().with_memory_addr_external().await;
    a.swarm.connect(&mut b.swarm).await;
    for mut swarm in [a.swarm, b.swarm] {
        tokio::spawn(async move { while swarm.next().await.is_some() {} });
    }
    (a.client, b.client, b.id)
}

async fn two(a: Config, b: Config) -> (rpc::Client, rpc::Client, PeerId) {
    connect(peer(a, echo()), peer(b, echo())).await
}

fn request(endpoint: &str, args: impl Into<Bytes>) -> Request {
    Request { args: args.into(), ..Request::new(endpoint) }
}

#[tokio::test]
async fn our_own_nodes_take_the_fast_road() {
    let (a, b, id) = two(Config::default(), Config::default()).await;
    for _ in 0..10 {
        let answer = a.call(id, request("echo", "hi")).await.expect("an answer");
        assert_eq!((answer.result, answer.road), (Bytes::from("hi"), Road::Fast));
    }
    assert_eq!((a.stats().fast_calls, a.stats().classic_calls), (10, 0));
    assert_eq!((b.stats().fast_served, b.stats().classic_served), (10, 0));
}

#[tokio::test]
async fn a_peer_without_the_fast_road_is_called_on_the_classic_one() {
    let slow = Config { serve_fast: false, ..Config::default() };
    let (a, b, id) = two(Config::default(), slow).await;
    let answer = a.call(id, request("echo", "hi")).await.expect("an answer");
    assert_eq!((answer.result, answer.road), (Bytes::from("hi"), Road::Classic));
    assert_eq!((a.stats().classic_calls, b.stats().classic_served), (1, 1));
}

#[tokio::test]
async fn errors_travel_on_both_roads() {
    for fast in [true, false] {
        let (a, _b, id) = two(Config { fast, ..Config::default() }, Config::default()).await;
        for (endpoint, code) in [
            ("fail", ErrorCode::HandlerFailed),
            ("forget", ErrorCode::InternalError),
            ("nothing", ErrorCode::EndpointNotFound),
        ] {
            let error = a.call(id, request(endpoint, "")).await.expect_err("an error");
            let CallError::Remote(remote) = &error else { panic!("{error}") };
            assert_eq!(remote.code, code);
        }
    }
}

#[tokio::test]
async fn large_bodies_pass_on_both_roads_and_larger_ones_do_not() {
    for fast in [true, false] {
        let (a, _b, id) = two(Config { fast, ..Config::default() }, Config::default()).await;
        let body = Bytes::from(vec![42; 4 * 1024 * 1024]);
        let answer = a.call(id, request("echo", body.clone())).await.expect("an answer");
        assert!(answer.result == body);
        let error = a.call(id, request("echo", vec![0; 4 * 1024 * 1024 + 1])).await.expect_err("too large");
        assert!(matches!(error, CallError::TooLarge { .. }), "{error}");
    }
}

#[tokio::test]
async fn deadlines_end_calls_on_both_roads() {
    for fast in [true, false] {
        let (a, _b, id) = two(Config { fast, ..Config::default() }, Config::default()).await;
        let hang = Request { timeout: Duration::from_millis(50), ..request("hang", "") };
        let error = a.call(id, hang).await.expect_err("nobody answers");
        assert_eq!(error, CallError::TimedOut { sent: true });
        assert!(error.may_have_run());
    }
}

#[tokio::test]
async fn a_dropped_call_cancels_the_handler() {
    let (told, mut cancelled) = mpsc::channel(1);
    let service: Arc<dyn Service> = Arc::new(move |call: Incoming| {
        let told = told.clone();
        tokio::spawn(async move {
            // The whole call, with its responder: a dropped one would be an answer.
            let call = call;
            let _ = told.send("started").await;
            call.cancelled.cancelled().await;
            let _ = told.send("cancelled").await;
        });
    });
    let (a, _b, id) = connect(peer(Config::default(), echo()), peer(Config::default(), service)).await;
    let call = tokio::spawn(async move { a.call(id, request("hang", "")).await });
    assert_eq!(cancelled.recv().await, Some("started"));
    call.abort();
    let heard = tokio::time::timeout(Duration::from_secs(10), cancelled.recv()).await;
    assert_eq!(heard.expect("in time"), Some("cancelled"));
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_is_told_apart_from_one_that_is_slow() {
    let (a, _b, _) = two(Config::default(), Config::default()).await;
    let error = a.call(PeerId::random(), request("echo", "")).await.expect_err("nobody there");
    assert!(matches!(error, CallError::Unreachable { .. }), "{error}");
    assert!(!error.may_have_run());
}

#[tokio::test]
async fn hundreds_of_calls_share_one_substream() {
    let running = Arc::new(AtomicUsize::new(0));
    let (a, b, id) = two(Config::default(), Config::default()).await;
    let calls = (0..400u32).map(|n| {
        let (a, running) = (a.clone(), running.clone());
        tokio::spawn(async move {
            running.fetch_add(1, Ordering::Relaxed);
            let answer = a.call(id, request("echo", n.to_be_bytes().to_vec())).await.expect("an answer");
            assert_eq!(answer.result, Bytes::from(n.to_be_bytes().to_vec()));
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.expect("no panic");
    }
    assert_eq!(running.load(Ordering::Relaxed), 400);
    assert_eq!(b.stats().fast_served, 400);
}

#[tokio::test]
async fn when_the_peer_goes_away_calls_under_way_are_lost_and_say_so() {
    let a = peer(Config::default(), echo());
    let mut b = peer(Config::default(), echo());
    let id = b.id;
    b.swarm.listen().with_memory_addr_external().await;
    let (mut a_swarm, client) = (a.swarm, a.client);
    a_swarm.connect(&mut b.swarm).await;
    tokio::spawn(async move { while a_swarm.next().await.is_some() {} });
    let mut b_swarm = b.swarm;
    let b_client = b.client.clone();
    let driver = tokio::spawn(async move { while b_swarm.next().await.is_some() {} });
    let call = tokio::spawn(async move { client.call(id, request("hang", "")).await });
    let served = async {
        while b_client.stats().fast_served == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), served).await.expect("the call arrives");
    driver.abort();
    let _ = driver.await;
    let error = call.await.expect("no panic").expect_err("the peer is gone");
    assert!(matches!(error, CallError::Lost { .. }), "{error}");
    assert!(error.may_have_run());
}

#[tokio::test]
async fn the_classic_road_queues_what_is_more_than_its_substreams() {
    let classic = Config { fast: false, ..Config::default() };
    let (a, b, id) = two(classic.clone(), classic).await;
    let calls = (0..200_u32).map(|n| {
        let a = a.clone();
        async move { a.call(id, request("echo", n.to_be_bytes().to_vec())).await.map(|answer| answer.result) }
    });
    for (n, result) in (0..200_u32).zip(futures::future::join_all(calls).await) {
        assert_eq!(result.expect("an answer"), Bytes::from(n.to_be_bytes().to_vec()));
    }
    assert_eq!(b.stats().classic_served, 200);
    // All substreams are taken by calls that nobody answers: the next was never sent, and says so.
    for _ in 0..16 {
        let a = a.clone();
        tokio::spawn(async move { a.call(id, request("hang", "")).await });
    }
    while b.stats().classic_served < 216 {
        tokio::task::yield_now().await;
    }
    let short = Request { timeout: Duration::from_millis(100), ..request("echo", "") };
    let error = a.call(id, short).await.expect_err("no place");
    assert!(!error.may_have_run(), "{error}");
}
