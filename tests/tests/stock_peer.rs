//! Programs that are no p2pnode, built from plain libp2p, call our nodes and are called by them.

use std::{io, time::Duration};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    request_response::{self, Behaviour, Codec, Config, Event, Message, ProtocolSupport},
    swarm::SwarmEvent,
    tcp, yamux,
};
use p2pnode::{Context, Endpoint, Node, Paths, artifacts::ArtifactError, presets, rpc};
use p2pnode_tests::{Home, SOON};
use p2pnode_wire::{
    ids::{SwarmId, SwarmName},
    rpc::Req,
};
use serde::{Deserialize, Serialize};

const RPC: &str = "/p2pnode/rpc/1";

async fn node(home: &Home, name: &str) -> Node {
    Node::builder(presets::Loopback)
        .paths(Paths::in_folder(home.path()).expect("paths"))
        .swarm("garden")
        .name(name)
        .endpoint(Endpoint::new("open").public(), |_: Context, ()| async move { Ok("anybody") })
        .endpoint(Endpoint::new("closed"), |_: Context, ()| async move { Ok("members") })
        .start()
        .await
        .expect("started")
}

fn tcp_addr(node: &Node) -> Multiaddr {
    node.listen_addrs().into_iter().find(|addr| addr.to_string().contains("tcp")).expect("it listens on TCP")
}

/// A program of somebody else: nothing but request-response.
async fn stock<C>(codec: C) -> (Swarm<Behaviour<C>>, Multiaddr)
where
    C: Codec<Protocol = StreamProtocol> + Clone + Send + 'static,
{
    let protocols = [(StreamProtocol::new(RPC), ProtocolSupport::Full)];
    let behaviour = Behaviour::with_codec(codec, protocols, Config::default());
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| behaviour)
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(SOON))
        .build();
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address")).expect("it listens");
    let addr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let id = *swarm.local_peer_id();
    (swarm, addr.with_p2p(id).expect("it has no id yet"))
}

/// Sends one request and waits for its answer.
async fn ask<C>(swarm: &mut Swarm<Behaviour<C>>, (peer, addr): (PeerId, Multiaddr), request: C::Request) -> C::Response
where
    C: Codec<Protocol = StreamProtocol> + Clone + Send + 'static,
{
    swarm.behaviour_mut().send_request_with_addresses(&peer, request, vec![addr]);
    let answer = async {
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::Behaviour(Event::Message { message: Message::Response { response, .. }, .. }) => {
                    return response;
                }
                SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => panic!("no answer: {error}"),
                _ => {}
            }
        }
    };
    tokio::time::timeout(SOON, answer).await.expect("an answer in time")
}

/// Answers whoever calls.
async fn serve<C>(mut swarm: Swarm<Behaviour<C>>, answer: impl Fn(C::Request) -> C::Response)
where
    C: Codec<Protocol = StreamProtocol> + Clone + Send + 'static,
{
    loop {
        if let SwarmEvent::Behaviour(Event::Message { message: Message::Request { request, channel, .. }, .. }) =
            swarm.select_next_some().await
        {
            let _ = swarm.behaviour_mut().send_response(channel, answer(request));
        }
    }
}

fn our_request(endpoint: &str, swarm: Option<SwarmId>) -> Req {
    Req {
        id: 7,
        swarm,
        endpoint: endpoint.into(),
        args: vec![0x90].into(),
        kwargs: vec![0x80].into(),
        left_ms: 10_000,
        ..Req::default()
    }
}

#[tokio::test]
async fn a_stock_program_with_our_codec_calls_and_is_called() {
    let home = Home::new();
    let node = node(&home, "node").await;
    let target = (node.peer_id(), tcp_addr(&node));
    let (mut swarm, addr) = stock(rpc::Codec::default()).await;

    let reply = ask(&mut swarm, target.clone(), our_request("open", None)).await;
    assert_eq!(reply.id, 7);
    assert_eq!(reply.outcome.expect("a result").as_ref(), b"\xa7anybody");

    let refused = ask(&mut swarm, target.clone(), our_request("closed", None)).await.outcome.expect_err("no member");
    let absent = ask(&mut swarm, target.clone(), our_request("nothing", None)).await.outcome.expect_err("not there");
    assert_eq!(refused.code, absent.code, "a stranger does not learn what there is");

    let garden = SwarmId::open(&"garden".parse::<SwarmName>().expect("a name"));
    let reply = ask(&mut swarm, target, our_request("closed", Some(garden))).await;
    assert_eq!(reply.outcome.expect("a result").as_ref(), b"\xa7members");
    let stats = node.stats();
    assert_eq!((stats.classic_served, stats.fast_served), (4, 0), "{stats:?}");

    let serving = tokio::spawn(serve(swarm, |request: Req| {
        let endpoint = request.endpoint;
        assert_eq!(request.args.as_ref(), b"\x92\x01\x02");
        rpc::Reply { id: request.id, outcome: Ok([&[0xa3], endpoint.as_bytes()].concat().into()), stream: false }
    }));
    let answer: String = node.call(addr.to_string().as_str(), "abc", (1, 2)).await.expect("an answer");
    assert_eq!(answer, "abc");
    assert_eq!((node.stats().classic_calls, node.stats().fast_calls), (1, 0), "{:?}", node.stats());
    serving.abort();
    node.shutdown().await;
}

/// A request as the specification has it, with the optional fields left out.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    t: String,
    id: u64,
    endpoint: String,
    #[serde(with = "serde_bytes")]
    args: Vec<u8>,
    #[serde(with = "serde_bytes")]
    kwargs: Vec<u8>,
    left_ms: u32,
}

/// A result as the specification has it.
#[derive(Debug, Serialize, Deserialize)]
struct Response {
    t: String,
    id: u64,
    #[serde(with = "serde_bytes")]
    result: Vec<u8>,
}

/// Thirty lines that anybody can write: a length of four bytes, then MessagePack with names.
#[derive(Clone, Default)]
struct Own;

async fn read<M: for<'a> Deserialize<'a>>(io: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<M> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let mut body = Vec::new();
    io.take(u64::from(u32::from_be_bytes(length))).read_to_end(&mut body).await?;
    rmp_serde::from_read(body.as_slice()).map_err(io::Error::other)
}

async fn write(io: &mut (impl AsyncWrite + Unpin + Send), message: &impl Serialize) -> io::Result<()> {
    let body = rmp_serde::to_vec_named(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len()).map_err(io::Error::other)?;
    io.write_all(&[&length.to_be_bytes(), body.as_slice()].concat()).await
}

impl request_response::Codec for Own {
    type Protocol = StreamProtocol;
    type Request = Request;
    type Response = Response;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Request> {
        read(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Response> {
        read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &request).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Response) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write(io, &response).await
    }
}

#[tokio::test]
async fn a_stock_program_with_its_own_codec_calls_and_is_called() {
    let home = Home::new();
    let node = node(&home, "node").await;
    let (mut swarm, addr) = stock(Own).await;
    let (args, kwargs) = (vec![0x90], vec![0x80]);
    let request = Request { t: "req".into(), id: 1, endpoint: "open".into(), args, kwargs, left_ms: 10_000 };
    let response = ask(&mut swarm, (node.peer_id(), tcp_addr(&node)), request).await;
    assert_eq!((response.t.as_str(), response.id, response.result.as_slice()), ("res", 1, b"\xa7anybody".as_slice()));

    let answer = |request: Request| Response { t: "res".into(), id: request.id, result: request.args };
    let serving = tokio::spawn(serve(swarm, answer));
    let answer: (i64, String) = node.call(addr.to_string().as_str(), "echo", (1, "two")).await.expect("an answer");
    assert_eq!(answer, (1, "two".to_owned()));
    let stats = node.stats();
    assert_eq!((stats.classic_calls, stats.classic_served, stats.fast_calls), (1, 1, 0), "{stats:?}");
    serving.abort();
    node.shutdown().await;
}

/// A part of an artifact, in the words of a peer that may say what it likes.
#[derive(Serialize)]
struct Part {
    artifact: Listed,
    offset: u64,
    #[serde(with = "serde_bytes")]
    data: Vec<u8>,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    kind: &'static str,
    mime: &'static str,
    encoding: &'static str,
    description: &'static str,
    #[serde(with = "serde_bytes")]
    meta: Vec<u8>,
    size: u64,
    #[serde(with = "serde_bytes")]
    sha256: Vec<u8>,
    created_ms: u64,
}

/// SHA-256 of `hello`.
const HELLO: [u8; 32] = [
    0x2c, 0xf2, 0x4d, 0xba, 0x5f, 0xb0, 0xa3, 0x0e, 0x26, 0xe8, 0x3b, 0x2a, 0xc5, 0xb9, 0xe2, 0x9e, 0x1b, 0x16, 0x1e,
    0x5c, 0x1f, 0xa7, 0x42, 0x5e, 0x73, 0x04, 0x33, 0x62, 0x93, 0x8b, 0x98, 0x24,
];

/// What a peer serves under each name: size, hash, and the bytes, of which each part holds three.
fn told(name: &str) -> (u64, Vec<u8>, &'static [u8]) {
    match name {
        "honest" => (5, HELLO.to_vec(), b"hello"),
        "another content" => (5, HELLO.to_vec(), b"jello"),
        "shorter" => (5, HELLO.to_vec(), b"hell"),
        "longer" => (5, HELLO.to_vec(), b"hello!"),
        "a smaller size" => (4, HELLO.to_vec(), b"hello"),
        "a larger size" => (6, HELLO.to_vec(), b"hello"),
        "too large" => (u64::MAX, HELLO.to_vec(), b"hello"),
        "half a hash" => (5, HELLO[..16].to_vec(), b"hello"),
        other => panic!("nobody asks for {other}"),
    }
}

#[tokio::test]
async fn a_peer_that_lies_about_an_artifact_is_not_believed() {
    let home = Home::new();
    let node = node(&home, "node").await;
    let (swarm, addr) = stock(rpc::Codec::default()).await;
    let liar = *swarm.local_peer_id();
    let serving = tokio::spawn(serve(swarm, |request: Req| {
        let id = request.id;
        if request.endpoint != "_node.artifact.get" {
            return rpc::Reply { id, outcome: Ok(request.args), stream: false };
        }
        let (name, offset): (String, u64) = p2pnode_wire::msgpack::decode(&request.args).expect("a name and an offset");
        let (size, sha256, bytes) = told(&name);
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let data = bytes[from..].iter().take(3).copied().collect();
        let (meta, created_ms) = (Vec::new(), 0);
        let (kind, mime, encoding, description) = ("", "", "", "");
        let artifact = Listed { name: "x", kind, mime, encoding, description, meta, size, sha256, created_ms };
        let part = rmp_serde::to_vec_named(&Part { artifact, offset, data }).expect("a part");
        rpc::Reply { id, outcome: Ok(part.into()), stream: false }
    }));
    // It is known by its address alone.
    let _: (i64,) = node.call(addr.to_string().as_str(), "echo", (1,)).await.expect("an answer");

    let honest = node.artifact(liar, "honest").await.expect("fetched part by part");
    assert_eq!(honest.data.as_ref(), b"hello");
    for name in ["another content", "shorter", "longer", "a smaller size", "a larger size", "half a hash"] {
        let fetched = node.artifact(liar, name).await;
        assert!(matches!(fetched, Err(ArtifactError::Corrupt(_))), "{name}: {fetched:?}");
    }
    let fetched = node.artifact(liar, "too large").await;
    assert!(matches!(fetched, Err(ArtifactError::TooLarge { .. })), "{fetched:?}");
    let kept = node.artifacts().expect("it keeps").list().await.expect("listed");
    assert!(kept.is_empty(), "{kept:?}");
    serving.abort();
    node.shutdown().await;
}

#[tokio::test]
async fn our_own_nodes_take_the_fast_road() {
    let home = Home::new();
    let (a, b) = (node(&home, "a").await, node(&home, "b").await);
    // A name is known to whoever has met its node; on a busy machine that may take longer than a call waits for a stranger.
    assert!(a.wait_until(Duration::from_secs(20), |peers| !peers.is_empty()).await, "they meet");
    for _ in 0..3 {
        let answer: String = a.call("b", "closed", ()).await.expect("an answer");
        assert_eq!(answer, "members");
    }
    // Nodes may talk among themselves too: at least these, and none on the classic road.
    assert!(a.stats().fast_calls >= 3 && b.stats().fast_served >= 3, "{:?} {:?}", a.stats(), b.stats());
    assert_eq!((a.stats().classic_calls, b.stats().classic_served), (0, 0));
}
