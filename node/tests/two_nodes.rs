//! Two nodes of the library on this host.

use std::time::Duration;

use futures::StreamExt;
use p2pnode::{
    Ask, AskEvent, Capability, Client, Context, Endpoint, ErrorCode, HandlerError, Node, NodeEvent, Paths, Value,
    kwargs, presets,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
struct Sum {
    a: i64,
    b: i64,
}

struct Host(tempfile::TempDir);

impl Host {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn builder(&self, name: &str) -> p2pnode::Builder {
        Node::builder(presets::Loopback)
            .paths(Paths::in_folder(self.0.path()).expect("paths"))
            .swarm("garden")
            .name(name)
    }

    async fn calculator(&self) -> Node {
        self.builder("calculator")
            .capability(Capability::new("math").describe("adds numbers"))
            .endpoint(Endpoint::new("sum").describe("Add two numbers"), |_: Context, Sum { a, b }: Sum| async move {
                Ok(a + b)
            })
            .endpoint(
                Endpoint::new("fail"),
                |_: Context, ()| async move { Err::<(), _>(HandlerError::new("as asked")) },
            )
            .endpoint(Endpoint::new("panic"), |_: Context, ()| async move {
                if true {
                    panic!("as asked")
                }
                Ok(())
            })
            .endpoint(Endpoint::new("open").public(), |_: Context, ()| async move { Ok("anybody") })
            .ask(|cx: Ask, task: String| async move {
                cx.ack().await?;
                cx.progress("looking").await?;
                if task == "decline" {
                    return Err(HandlerError::decline());
                }
                Ok(format!("you asked: {task}"))
            })
            .start()
            .await
            .expect("started")
    }
}

#[tokio::test]
async fn call_by_name_id_prefix_capability_and_address() {
    let host = Host::new();
    let server = host.calculator().await;
    let caller = host.builder("caller").start().await.expect("started");
    let id = server.peer_id().to_string();
    let addr = server.listen_addrs().into_iter().find(|a| a.to_string().contains("tcp")).expect("listening");
    for target in ["calculator", "calculator@garden", "cap:math", &id, &id[..id.len() - 3], &addr.to_string()] {
        let three: i64 = caller.call(target, "sum", (1, 2)).await.unwrap_or_else(|e| panic!("{target}: {e}"));
        assert_eq!(three, 3, "{target}");
    }
    let same: i64 = caller.call("calculator", "sum", kwargs! { a: 1, b: 2 }).await.expect("an answer");
    assert_eq!(same, 3);
    assert_eq!(caller.stats().classic_calls, 0, "our own nodes take the fast road");
    assert!(caller.stats().fast_calls >= 7);
}

#[tokio::test]
async fn errors_say_what_is_wrong() {
    let host = Host::new();
    let _server = host.calculator().await;
    let caller = host.builder("caller").start().await.expect("started");
    let call = |target: &'static str, endpoint: &'static str| caller.call::<Value>(target, endpoint, ());
    let cases = [
        (call("calculator", "smu").await, ErrorCode::EndpointNotFound),
        (call("calculator", "sum").await, ErrorCode::InvalidArgument),
        (call("calculator", "fail").await, ErrorCode::HandlerFailed),
        (call("calculator", "panic").await, ErrorCode::InternalError),
        (call("calculatro", "sum").await, ErrorCode::NotFound),
    ];
    for (outcome, code) in cases {
        let error = outcome.expect_err("an error");
        assert_eq!(error.code(), code, "{error}");
    }
    let error = call("calculator", "smu").await.expect_err("an error");
    assert!(matches!(&error, p2pnode::CallError::NoEndpoint { near, .. } if near == &["sum"]), "{error:?}");
    // After all that, the node is as well as before.
    let three: i64 = caller.call("calculator", "sum", (1, 2)).await.expect("an answer");
    assert_eq!(three, 3);
}

#[tokio::test]
async fn a_client_needs_no_swarm_for_public_endpoints_and_one_for_the_rest() {
    let host = Host::new();
    let server = host.calculator().await;
    let addr = server.listen_addrs().into_iter().find(|a| a.to_string().contains("tcp")).expect("listening");
    let client = Client::connect(&addr.to_string()).await.expect("connected");
    let open: String = client.call("open", ()).await.expect("an answer");
    assert_eq!(open, "anybody");
    let refused = client.call::<i64>("sum", (1, 2)).await.expect_err("not a member");
    let absent = client.call::<i64>("nothing", (1, 2)).await.expect_err("not there");
    assert_eq!(refused.code(), absent.code());
    let member = client.swarm("garden").await.expect("connected");
    let three: i64 = member.call("sum", kwargs! { a: 1, b: 2 }).await.expect("an answer");
    assert_eq!(three, 3);
    member.close().await;
}

#[tokio::test]
async fn ask_brings_ack_progress_and_reply() {
    let host = Host::new();
    let _server = host.calculator().await;
    let asker = host.builder("asker").start().await.expect("started");
    let mut asked = asker.ask("garden", "who is there?").context("k", 1).await.expect("asked");
    let mut seen = Vec::new();
    while let Some(event) = asked.next().await {
        seen.push(match event {
            AskEvent::Ack { peer, .. } => format!("ack {}", peer.name),
            AskEvent::Progress { text, .. } => format!("progress {text}"),
            AskEvent::Reply { result, .. } => format!("reply {result}"),
            other => format!("{other:?}"),
        });
    }
    assert_eq!(seen, ["ack calculator", "progress looking", "reply \"you asked: who is there?\""]);
    let outcome = asked.outcome().await.expect("ended");
    assert_eq!((outcome.members, outcome.acks, outcome.replies), (1, 1, 1));
}

#[tokio::test]
async fn nobody_answers_in_an_empty_swarm() {
    let host = Host::new();
    let asker = host.builder("asker").start().await.expect("started");
    let mut asked = asker.ask("garden", "x").wait_first(Duration::from_millis(50)).await.expect("asked");
    assert!(asked.next().await.is_none());
    assert_eq!(asked.outcome().await.expect("ended").end, p2pnode::AskEnd::Nobody);
    assert!(asker.ask("elsewhere", "x").await.is_err());
}

#[tokio::test]
async fn endpoints_come_and_go_while_running() {
    let host = Host::new();
    let server = host.calculator().await;
    let caller = host.builder("caller").start().await.expect("started");
    let registration =
        server.register(Endpoint::new("late"), |_: Context, ()| async move { Ok("here") }).expect("a free name");
    let here: String = caller.call("calculator", "late", ()).await.expect("an answer");
    assert_eq!(here, "here");
    let shown = |peers: &[p2pnode::Peer]| peers.iter().any(|p| p.endpoints.iter().any(|e| e.name == "late"));
    assert!(caller.wait_until(Duration::from_secs(10), shown).await, "the new card reaches others");
    drop(registration);
    let error = caller.call::<String>("calculator", "late", ()).await.expect_err("gone");
    assert_eq!(error.code(), ErrorCode::EndpointNotFound);
}

#[tokio::test]
async fn a_goodbye_is_heard_at_once() {
    let host = Host::new();
    let server = host.calculator().await;
    let other = host.builder("other").start().await.expect("started");
    let mut events = other.events();
    assert!(other.wait_until(Duration::from_secs(10), |peers| peers.len() == 1).await);
    server.shutdown().await;
    let left = async {
        while let Some(event) = events.next().await {
            match event {
                NodeEvent::PeerLeft(peer) => return peer.name,
                NodeEvent::PeerOffline(peer) => return peer.name,
                _ => {}
            }
        }
        String::new()
    };
    let name = tokio::time::timeout(Duration::from_secs(10), left).await.expect("heard");
    assert_eq!(name, "calculator");
}
