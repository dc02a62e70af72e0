//! What a node does with calls of its endpoints, seen by a caller.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use p2pnode::{
    Arguments, CallError, Context, DynHandler, Endpoint, ErrorCode, HandlerError, NodeEvent, RpcError, Value, args,
    rpc, value::Dynamic, wire::msgpack,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::Semaphore;

mod common;
use common::{Pair, until};

/// Longer than anything here takes; what waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(10);

fn remote(error: &CallError) -> RpcError {
    match error {
        CallError::Rpc { source: rpc::CallError::Remote(error), .. } => error.clone(),
        other => panic!("{other:?}"),
    }
}

/// Counts how many of it exist: a handler's future holds one.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(count.clone())
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

fn forever(builder: p2pnode::Builder, alive: &Arc<AtomicUsize>) -> p2pnode::Builder {
    let alive = alive.clone();
    builder.endpoint(Endpoint::new("forever"), move |_: Context, ()| {
        let alive = Alive::new(&alive);
        async move {
            std::future::pending::<()>().await;
            drop(alive);
            Ok(())
        }
    })
}

#[tokio::test]
async fn a_dropped_call_drops_the_handler() {
    let alive = Arc::new(AtomicUsize::new(0));
    let pair = Pair::start(|builder| forever(builder, &alive)).await;
    let call = pair.call("forever");
    let started = until("it starts", async || alive.load(Ordering::SeqCst) == 1);
    tokio::select! {
        outcome = call => panic!("it ended: {outcome:?}"),
        () = started => {}
    }
    until("it is dropped", async || alive.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_handler_ends_with_the_callers_time() {
    let alive = Arc::new(AtomicUsize::new(0));
    let pair = Pair::start(|builder| forever(builder, &alive)).await;
    let call = pair.caller.call::<Value>("server", "forever", ()).timeout(Duration::from_millis(300));
    assert_eq!(call.await.expect_err("too slow").code(), ErrorCode::TransportTimeout);
    until("it is dropped", async || alive.load(Ordering::SeqCst) == 0).await;
}

#[tokio::test]
async fn a_full_endpoint_says_when_to_come_back_and_others_go_on() {
    let gate = Arc::new(Semaphore::new(0));
    let running = Arc::new(AtomicUsize::new(0));
    let pair = Pair::start(|builder| {
        let (gate, running) = (gate.clone(), running.clone());
        let slow = Endpoint::new("slow").concurrency(1);
        let builder = builder.endpoint(slow, move |_: Context, ()| {
            let (gate, alive) = (gate.clone(), Alive::new(&running));
            async move {
                gate.acquire().await?.forget();
                drop(alive);
                Ok(1)
            }
        });
        builder.endpoint(Endpoint::new("quick"), |_: Context, ()| async { Ok(2) })
    })
    .await;
    let first = pair.call("slow");
    let second = async {
        until("it runs", async || running.load(Ordering::SeqCst) == 1).await;
        let full = pair.caller.call::<Value>("server", "slow", ()).timeout(Duration::from_millis(50));
        let error = remote(&full.await.expect_err("no room"));
        assert_eq!(pair.call("quick").await.expect("room of its own"), Value::from(2));
        gate.add_permits(1);
        error
    };
    let (first, error) = futures::join!(first, second);
    assert_eq!(first.expect("its turn"), Value::from(1));
    assert_eq!(error.code, ErrorCode::Overloaded);
    assert!(error.retryable && error.retry_after.is_some());
    gate.add_permits(1);
    assert_eq!(pair.call("slow").await.expect("room again"), Value::from(1));
}

#[tokio::test]
async fn panics_stay_inside_wherever_they_are() {
    let pair = Pair::start(|builder| {
        let panics = |now: bool| {
            move |_: Context, ()| {
                assert!(!now, "before the future");
                async move {
                    tokio::task::yield_now().await;
                    assert!(now, "inside the future");
                    Ok(())
                }
            }
        };
        builder
            .endpoint(Endpoint::new("early").concurrency(1), panics(true))
            .endpoint(Endpoint::new("late").concurrency(1), panics(false))
    })
    .await;
    for endpoint in ["early", "late", "early", "late"] {
        let error = remote(&pair.call(endpoint).await.expect_err("it panics"));
        assert_eq!((error.code, error.message.as_str()), (ErrorCode::InternalError, "the handler panicked"));
    }
    assert_eq!(pair.caller.call::<String>("server", "_node.ping", ()).await.expect("alive"), "pong");
}

#[derive(Debug, Deserialize, JsonSchema)]
struct Divide {
    by: i64,
    #[serde(default)]
    amount: i64,
}

#[tokio::test]
async fn arguments_arrive_by_the_callers_spelling() {
    let pair = Pair::start(|builder| {
        let divide = |_: Context, Divide { by, amount }: Divide| async move {
            amount.checked_div(by).ok_or_else(|| HandlerError::new("division by zero"))
        };
        let echo = |_: Context, Dynamic(value): Dynamic| async move { Ok(Dynamic(value)) };
        builder.endpoint(Endpoint::new("divide"), divide).endpoint(Endpoint::new("echo"), echo)
    })
    .await;
    let mixed: i64 = pair.caller.call("server", "divide", args! { 2; amount: 8 }).await.expect("an answer");
    assert_eq!(mixed, 4);
    let error = pair.caller.call::<i64>("server", "divide", args! { 2; amuont: 8 }).await.expect_err("a slip");
    let error = remote(&error);
    assert_eq!(error.code, ErrorCode::InvalidArgument);
    assert!(error.message.contains("did you mean `amount`"), "{}", error.message);
    let bytes = Value::Array(vec![Value::Binary(vec![0, 255]), Value::Ext(5, vec![1]), Value::Nil]);
    let back: Value = pair.caller.call("server", "echo", vec![bytes.clone()]).await.expect("an answer");
    assert_eq!(back, bytes);
    let methods = pair.caller.methods("server").await.expect("an answer");
    let divide = methods.iter().find(|m| m.name == "divide").and_then(|m| m.input_schema.as_deref()).expect("listed");
    let shown: Vec<String> =
        p2pnode::parameters(&serde_json::from_str(divide).expect("JSON")).iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["by: integer", "amount?: integer"]);
}

struct Raw;

impl DynHandler for Raw {
    fn call(&self, cx: Context, args: Arguments) -> BoxFuture<'static, Result<Bytes, HandlerError>> {
        async move {
            let answer = (args.positional()?, &*cx.endpoint, cx.swarm.as_deref(), cx.caller.id.to_string());
            Ok(msgpack::encode(&answer).into())
        }
        .boxed()
    }
}

#[tokio::test]
async fn the_context_tells_who_calls_and_endpoints_come_and_go() {
    let pair = Pair::start(|builder| builder).await;
    let registration = pair.server.register_dyn(Endpoint::new("raw"), Arc::new(Raw)).expect("registered");
    let (args, endpoint, swarm, caller): (Vec<i64>, String, Option<String>, String) =
        pair.caller.call("server", "raw", (1, 2)).await.expect("an answer");
    assert_eq!((args, endpoint.as_str(), swarm.as_deref()), (vec![1, 2], "raw", Some("garden")));
    assert_eq!(caller, pair.caller.peer_id().to_string());
    drop(registration);
    assert_eq!(pair.call("raw").await.expect_err("gone").code(), ErrorCode::EndpointNotFound);
}

#[tokio::test]
async fn who_watches_sees_calls_and_their_errors() {
    let pair = Pair::start(|builder| {
        let odd = |_: Context, (fail,): (bool,)| async move {
            if fail { Err(HandlerError::new("as asked")) } else { Ok("fine") }
        };
        builder.endpoint(Endpoint::new("odd"), odd)
    })
    .await;
    let events = pair.server.events().filter_map(|event| async move {
        match event {
            NodeEvent::CallServed { from, endpoint, ok, error, .. } => Some((from.id, endpoint, ok, error)),
            _ => None,
        }
    });
    let _: String = pair.caller.call("server", "_node.ping", ()).await.expect("an answer");
    let _: String = pair.caller.call("server", "odd", (false,)).await.expect("an answer");
    pair.caller.call::<String>("server", "odd", (true,)).await.expect_err("as asked");
    let seen = tokio::time::timeout(PATIENCE, events.take(2).collect::<Vec<_>>()).await.expect("two events");
    let by = pair.caller.peer_id();
    let expected = [(by, "odd".to_owned(), true, None), (by, "odd".to_owned(), false, Some("as asked".to_owned()))];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn old_names_still_answer() {
    let pair = Pair::start(|builder| builder).await;
    for name in ["_node.ping", "_synapse.ping"] {
        assert_eq!(pair.caller.call::<String>("server", name, ()).await.expect("an answer"), "pong");
    }
    for name in ["_node.info", "_synapse.info", "_agent.info"] {
        let info: p2pnode::Info = pair.caller.call("server", name, ()).await.expect("an answer");
        assert_eq!(info.name, "server");
    }
}
