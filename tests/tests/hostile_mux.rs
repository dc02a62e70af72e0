//! A live node and a peer whose multiplexer lies: frames, substreams and gossip messages written by hand behind an honest
//! Noise handshake. Among them the ones that have brought down libp2p programs before.

use std::{
    io,
    pin::Pin,
    time::{Duration, Instant},
};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{core::upgrade::OutboundConnectionUpgrade, identity::Keypair, noise};
use multistream_select::{Version, dialer_select_proto};
use p2pnode_tests::{RECOVERY, Victim};
use tokio::{net::TcpStream, time::timeout};
use tokio_util::compat::TokioAsyncReadCompatExt;

/// What yamux lets a peer send on a substream before it is given more.
const WINDOW: usize = 256 * 1024;

/// Substreams of one connection with a bad frame each.
const BUNCH: usize = 50;

/// Heartbeats of gossip come each second; what one upsets shows in a few.
const HEARTBEATS: Duration = Duration::from_secs(3);

const GOSSIP: &str = "/meshsub/1.1.0";

const DATA: u8 = 0;
const WINDOW_UPDATE: u8 = 1;
const PING: u8 = 2;
const SYN: u16 = 1;
const ACK: u16 = 2;

trait Socket: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Socket for T {}

/// An authenticated connection on which yamux was agreed, and nobody speaks it.
struct Mux {
    socket: Pin<Box<dyn Socket>>,
    next: u32,
}

fn frame(kind: u8, flags: u16, stream: u32, length: u32, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, kind];
    frame.extend(flags.to_be_bytes());
    frame.extend(stream.to_be_bytes());
    frame.extend(length.to_be_bytes());
    frame.extend(body);
    frame
}

fn data(flags: u16, stream: u32, body: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, u32::try_from(body.len()).expect("a short body"), body)
}

impl Mux {
    async fn connect(port: u16) -> io::Result<Self> {
        let socket = TcpStream::connect(("127.0.0.1", port)).await?.compat();
        let (_, socket) = dialer_select_proto(socket, ["/noise"], Version::V1).await.map_err(io::Error::other)?;
        let noise = noise::Config::new(&Keypair::generate_ed25519()).map_err(io::Error::other)?;
        let (_, socket) = noise.upgrade_outbound(socket, "/noise").await.map_err(io::Error::other)?;
        let (_, socket) = dialer_select_proto(socket, ["/yamux/1.0.0"], Version::V1).await.map_err(io::Error::other)?;
        Ok(Self { socket: Box::pin(socket), next: 1 })
    }

    /// An error means that the node has hung up, which is its right; that it stops reading, too.
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = timeout(RECOVERY, async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        });
        sent.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Begins a substream and asks for a protocol.
    async fn open(&mut self, protocol: &str) -> io::Result<u32> {
        let stream = self.next;
        self.next += 2;
        let mut body = b"\x13/multistream/1.0.0\n".to_vec();
        body.push(u8::try_from(protocol.len() + 1).expect("a short name"));
        body.extend(protocol.as_bytes());
        body.push(b'\n');
        self.send(&data(SYN, stream, &body)).await?;
        Ok(stream)
    }

    /// Reads on until the node has agreed to a protocol of that name on any substream, or for a moment.
    async fn agreed(&mut self, protocol: &str) -> bool {
        let mut seen = Vec::new();
        let reading = async {
            let mut part = [0; 4096];
            loop {
                match self.socket.read(&mut part).await {
                    Ok(0) | Err(_) => return false,
                    Ok(n) => seen.extend_from_slice(&part[..n]),
                }
                if seen.windows(protocol.len()).any(|some| some == protocol.as_bytes()) {
                    return true;
                }
            }
        };
        timeout(RECOVERY, reading).await.unwrap_or(false)
    }

    /// Waits until the node takes more on a substream: how much; nothing if it has hung up.
    async fn room(&mut self, stream: u32) -> usize {
        let reading = async {
            let mut head = [0; 12];
            loop {
                self.socket.read_exact(&mut head).await?;
                let [_, kind, _, _, of @ .., a, b, c, d] = head;
                let length = u32::from_be_bytes([a, b, c, d]);
                match kind {
                    WINDOW_UPDATE if u32::from_be_bytes(of) == stream && length > 0 => return Ok(length),
                    DATA => {
                        let mut body = vec![0; usize::try_from(length).unwrap_or(0)];
                        self.socket.read_exact(&mut body).await?;
                    }
                    _ => {}
                }
            }
        };
        let room: io::Result<u32> = timeout(RECOVERY, reading).await.unwrap_or(Ok(0));
        room.ok().and_then(|room| usize::try_from(room).ok()).unwrap_or(0)
    }

    /// Reads what comes until the node hangs up, or for a moment.
    async fn listen(&mut self) {
        let _ = timeout(Duration::from_millis(300), async {
            let mut part = [0; 4096];
            while self.socket.read(&mut part).await.is_ok_and(|n| n > 0) {}
        })
        .await;
    }
}

/// A field of a protobuf message, with bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    varint(bytes.len() as u64, &mut field);
    field.extend(bytes);
    field
}

fn number(number: u8, value: u64) -> Vec<u8> {
    let mut field = vec![number << 3];
    varint(value, &mut field);
    field
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    out.push(value.to_le_bytes()[0]);
}

fn delimited(body: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    varint(body.len() as u64, &mut all);
    all.extend(body);
    all
}

async fn well(victim: &mut Victim, after: &str) {
    let start = Instant::now();
    loop {
        tokio::task::block_in_place(|| victim.is_well(after));
        if start.elapsed() > HEARTBEATS {
            return;
        }
    }
}

async fn victim() -> Victim {
    tokio::task::block_in_place(Victim::start)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_that_lie_about_windows_and_lengths_do_no_harm() {
    let mut victim = victim().await;
    let large = vec![7; WINDOW + 1];
    let frames: Vec<(&str, Vec<u8>)> = vec![
        ("a substream that begins with more than its window", data(SYN, 1, &large)),
        (
            "windows that add up to more than there is",
            [frame(WINDOW_UPDATE, SYN, 1, u32::MAX, &[]), frame(WINDOW_UPDATE, 0, 1, u32::MAX, &[]).repeat(64)]
                .concat(),
        ),
        ("a frame of 4 GiB", frame(DATA, SYN, 1, u32::MAX, b"and nothing")),
        ("an answer to a substream that was never opened", data(ACK, 2, b"hello")),
        ("a substream of the other side's number", data(SYN, 2, b"hello")),
        ("a version that is not", vec![9; 12]),
        ("pings without end", frame(PING, SYN, 0, 7, &[]).repeat(20_000)),
        ("a length of 2^64", data(SYN, 1, &[0xff; 10])),
        (
            "a protocol's name of 2^63 bytes",
            data(SYN, 1, &[b"\x13/multistream/1.0.0\n".as_slice(), &[0xff; 8], &[0x7f]].concat()),
        ),
    ];
    for (what, bytes) in frames {
        for _ in 0..4 {
            let mut mux = Mux::connect(victim.port).await.expect("a connection");
            let _ = mux.send(&bytes).await;
            mux.listen().await;
        }
        tokio::task::block_in_place(|| victim.is_well(what));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn substreams_without_end_do_no_harm() {
    let mut victim = victim().await;
    let body = vec![7; WINDOW];
    let mut held = Vec::new();
    let mut opened = 0;
    for _ in 0..10 {
        let mut mux = Mux::connect(victim.port).await.expect("a connection");
        // Until the node stops reading or hangs up: none is ever negotiated. 50 MiB each, a quarter of what it may grow by.
        for _ in 0..200 {
            if mux.send(&data(SYN, mux.next, &body)).await.is_err() {
                break;
            }
            mux.next += 2;
            opened += 1;
        }
        held.push(mux);
    }
    println!("{opened} substreams of 256 KiB were begun");
    tokio::task::block_in_place(|| victim.is_well("substreams without end, still held"));
    drop(held);
    tokio::task::block_in_place(|| victim.is_well("substreams without end"));
}

/// Control messages of gossipsub, as its own libraries would never write them.
fn evil_gossip() -> Vec<(&'static str, Vec<u8>)> {
    let topic = b"p2pnode".as_slice();
    let prune = |backoff: u64| field(3, &field(4, &[field(1, topic), number(3, backoff)].concat()));
    let uptime = 1_000_000;
    let mut grafts = Vec::new();
    for n in 0..100_000_u32 {
        grafts.extend(field(3, &field(1, &n.to_be_bytes())));
    }
    let mut subscriptions = Vec::new();
    for n in 0..100_000_u32 {
        subscriptions.extend(field(1, &[number(1, 1), field(2, &n.to_be_bytes())].concat()));
    }
    vec![
        ("a backoff of 2^64 seconds", prune(u64::MAX)),
        ("a backoff of 2^63 seconds", prune(i64::MAX as u64)),
        ("a backoff of 2^63 seconds less an uptime", prune(i64::MAX as u64 - uptime)),
        ("a hundred thousand grafts", grafts),
        ("a hundred thousand subscriptions", subscriptions),
        ("a message of nothing", field(2, &[])),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_that_no_library_writes_does_no_harm() {
    let mut victim = victim().await;
    for (what, message) in evil_gossip() {
        let mut mux = Mux::connect(victim.port).await.expect("a connection");
        let stream = mux.open(GOSSIP).await.expect("a substream");
        assert!(mux.agreed(GOSSIP).await, "the node speaks {GOSSIP}");
        for _ in 0..3 {
            for part in delimited(&message).chunks(WINDOW / 2) {
                if mux.send(&data(0, stream, part)).await.is_err() {
                    break;
                }
            }
        }
        mux.listen().await;
        well(&mut victim, what).await;
    }
}

/// Lines that a node may write about a hundred thousand bad frames.
const LINES: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_frames_do_not_fill_the_log() {
    let mut victim = tokio::task::block_in_place(|| Victim::that_logs("warn"));
    let mut sent = 0;
    let garbage = delimited(&field(2, &[field(2, b"no event of ours"), field(4, b"no topic of ours")].concat()));
    let (mut mux, mut stream, mut left) = (Mux::connect(victim.port).await.expect("a connection"), 0, 0);
    while sent < 90_000 {
        if left == 0 {
            // It has hung up on us, or these are the first.
            mux = Mux::connect(victim.port).await.expect("a connection");
            stream = mux.open(GOSSIP).await.expect("a substream");
            assert!(mux.agreed(GOSSIP).await, "the node speaks {GOSSIP}");
            // But for what opened it.
            left = WINDOW - 1024;
        }
        let batch = garbage.repeat(1_000);
        let taken = left >= batch.len() && mux.send(&data(0, stream, &batch)).await.is_ok();
        (sent, left) = if taken { (sent + 1_000, left - batch.len()) } else { (sent, mux.room(stream).await) };
    }
    // Frames that end their substream: each on one of its own.
    let bad = [0, 0, 0, 8, 0xc1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    for protocol in ["/p2pnode/rpc-mux/1", "/p2pnode/presence/1", "/p2pnode/kad/1"] {
        for _ in 0..3_400 / BUNCH {
            mux = Mux::connect(victim.port).await.expect("a connection");
            for _ in 0..BUNCH {
                let Ok(stream) = mux.open(protocol).await else { break };
                let _ = mux.send(&data(0, stream, &bad)).await;
                sent += 1;
            }
            // Until it has answered at least one of them.
            mux.agreed(protocol).await;
        }
    }
    assert!(sent >= 100_000, "{sent} bad frames");
    tokio::task::block_in_place(|| victim.is_well("a hundred thousand bad frames"));
    let said = victim.node.said();
    println!("{said}\n{} lines about {sent} bad frames", said.lines().count());
    assert!(said.lines().count() <= LINES, "{said}");
}
