//! A live node attacked through libp2p by a peer that knows the protocols and keeps none of their rules.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    request_response::{self, Behaviour, Config, Event, OutboundFailure, ProtocolSupport},
    swarm::{DialError, SwarmEvent},
    tcp, yamux,
};
use p2pnode_tests::{RECOVERY, SOON, Victim};
use p2pnode_wire::{
    ids::{SwarmId, SwarmName},
    protocol,
};
use rand::Rng;
use serde::Serialize;

/// At once, of each kind.
const REQUESTS: usize = 8;

fn random(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

/// Writes a request as it is and hangs up; an answer is whatever comes.
#[derive(Clone, Default)]
struct Raw;

impl request_response::Codec for Raw {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = usize;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        _: &mut T,
    ) -> io::Result<Vec<u8>> {
        Err(io::Error::other("nobody calls us"))
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<usize> {
        let mut answer = Vec::new();
        io.take(1 << 20).read_to_end(&mut answer).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        io.write_all(&request).await?;
        io.close().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, _: &mut T, _: usize) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        Ok(())
    }
}

fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a small body");
    [&length.to_be_bytes(), body].concat()
}

/// What no honest peer sends, with a word for each.
fn evil_frames() -> Vec<(&'static str, Vec<u8>)> {
    let req = b"\x83\xa1t\xa3req\xa2id\x01\xa8endpoint\xa3sum";
    vec![
        ("nothing", Vec::new()),
        ("half a length", vec![0, 0]),
        ("random bytes", random(3_000)),
        ("a random frame", framed(&random(3_000))),
        ("a claim of 4 GiB", [&[0xff; 4], random(100).as_slice()].concat()),
        ("a claim of 4 MiB", [&(4_u32 << 20).to_be_bytes(), random(100).as_slice()].concat()),
        ("half a request", framed(&req[..9])),
        ("a request without arguments", framed(req)),
        ("100,000 lists in each other", framed(&vec![0x91; 100_000])),
        ("100,000 maps in each other", framed(&[0x81, 0xa1, b't'].repeat(100_000))),
        ("a list of 4 G entries", framed(&[0xdd, 0xff, 0xff, 0xff, 0xff])),
        ("a map of 4 G entries", framed(&[0xdf, 0xff, 0xff, 0xff, 0xff])),
        ("bytes of 4 GiB", framed(&[0xc6, 0xff, 0xff, 0xff, 0xff, 1])),
        ("a field of 4 GiB", framed(&[&[0x81, 0xa6], b"result".as_slice(), &[0xc6, 0xff, 0xff, 0xff, 0xff]].concat())),
        ("5 MiB of zeros", framed(&vec![0; 5 << 20])),
        ("5 MiB of random bytes", framed(&random(5 << 20))),
    ]
}

/// Calls that pass for a member's: only their arguments are evil.
fn evil_calls() -> Vec<(&'static str, Vec<u8>)> {
    #[derive(Serialize)]
    struct Call<'a> {
        t: &'a str,
        id: u64,
        #[serde(with = "serde_bytes")]
        swarm: [u8; 32],
        endpoint: &'a str,
        #[serde(with = "serde_bytes")]
        args: &'a [u8],
        #[serde(with = "serde_bytes")]
        kwargs: &'a [u8],
        left_ms: u32,
    }
    let swarm = SwarmId::open(&"garden".parse::<SwarmName>().expect("a name")).0;
    let call = |endpoint, args: &[u8]| {
        let call = Call { t: "req", id: 1, swarm, endpoint, args, kwargs: &[0x80], left_ms: u32::MAX };
        framed(&rmp_serde::to_vec_named(&call).expect("it is encodable"))
    };
    let nested = [vec![0x91; 100_000], vec![0xc0]].concat();
    vec![
        ("a member's call with nested arguments", call("echo", &nested)),
        ("a member's call with a bare list of 4 G", call("echo", &[0xdd, 0xff, 0xff, 0xff, 0xff])),
        ("a member's call with random arguments", call("sum", &random(1_000))),
        (
            "a member's call with 4 MiB",
            call("echo", &[&[0x91, 0xc6, 0, 0x3f, 0xff, 0], random(0x3f_ff00).as_slice()].concat()),
        ),
        ("a member's call to a long name", call(&"x".repeat(100_000), &[0x90])),
    ]
}

fn attacker(name: &'static str) -> Swarm<Behaviour<Raw>> {
    let protocols = [(StreamProtocol::new(name), ProtocolSupport::Outbound)];
    let config = Config::default().with_request_timeout(RECOVERY);
    let behaviour = Behaviour::with_codec(Raw, protocols, config);
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_| behaviour)
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(SOON))
        .build()
}

/// Finds out who listens there, as a stranger does who has only the address.
async fn meet(swarm: &mut Swarm<Behaviour<Raw>>, addr: &Multiaddr) -> PeerId {
    swarm.dial(addr.clone()).expect("a dial");
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => return peer_id,
            SwarmEvent::OutgoingConnectionError { error: DialError::Aborted, .. } => {}
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("not connected: {error}"),
            _ => {}
        }
    }
}

async fn attack(name: &'static str, frames: Vec<(&'static str, Vec<u8>)>) {
    let mut victim = tokio::task::block_in_place(Victim::start);
    let addr: Multiaddr = format!("/ip4/127.0.0.1/tcp/{}", victim.port).parse().expect("an address");
    for (what, frame) in frames {
        let mut swarm = attacker(name);
        let peer = meet(&mut swarm, &addr).await;
        for _ in 0..REQUESTS {
            swarm.behaviour_mut().send_request(&peer, frame.clone());
        }
        let mut ended = 0;
        let all = async {
            while ended < REQUESTS {
                match swarm.select_next_some().await {
                    SwarmEvent::Behaviour(Event::OutboundFailure { error, .. }) => {
                        let reached =
                            !matches!(error, OutboundFailure::UnsupportedProtocols | OutboundFailure::DialFailure);
                        assert!(reached, "{what} did not reach {name}: {error}");
                        ended += 1;
                    }
                    SwarmEvent::Behaviour(Event::Message { .. }) => ended += 1,
                    _ => {}
                }
            }
        };
        let in_time = tokio::time::timeout(SOON, all).await;
        assert!(in_time.is_ok(), "{what} on {name}: only {ended} of {REQUESTS} ended; {}", victim.node.said());
        tokio::task::block_in_place(|| victim.is_well(&format!("{what} on {name}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_cannot_harm_the_calls() {
    attack(protocol::RPC, evil_frames()).await;
    attack(protocol::RPC, evil_calls()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_cannot_harm_the_greeting() {
    attack(protocol::HELLO, evil_frames()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_peer_cannot_harm_the_mail() {
    attack(protocol::MAIL, evil_frames()).await;
}
