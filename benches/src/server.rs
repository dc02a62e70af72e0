//! Both ends of the wire: the other process, and how this one is connected with it.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use bytes::Bytes;
use futures::{AsyncReadExt as _, StreamExt};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, SwarmBuilder, noise,
    swarm::{Config, NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use p2pnode::{executor, multiplexer};
use p2pnode_behaviours::rpc;

use tokio::net::TcpListener;
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

use crate::{cpu, echo, figures::tell};

/// Frames that come back as they are.
pub const RAW: StreamProtocol = StreamProtocol::new("/bench/raw/1");

/// A frame, and then as many items as a stream has.
pub const ITEMS: StreamProtocol = StreamProtocol::new("/bench/items/1");

/// Items of one stream.
pub const COUNT: u32 = 10_000;

/// Bytes of an item, and of the arguments and the result of a small call.
pub const BODY: usize = 100;

mod both {
    #![allow(missing_docs, missing_debug_implementations, reason = "what the derive writes has none")]

    use super::{NetworkBehaviour, rpc};

    /// Calls on both roads, and bare substreams.
    #[derive(NetworkBehaviour)]
    pub struct Behaviour {
        pub rpc: rpc::Behaviour,
        pub raw: libp2p_stream::Behaviour,
    }
}

pub use both::Behaviour;

/// A Swarm over TCP, noise and yamux that answers `echo` and `items`: as a node makes it, or as libp2p makes it by itself.
///
/// # Errors
/// The transport cannot be built.
pub fn swarm(stock: bool) -> anyhow::Result<(Swarm<Behaviour>, rpc::Client)> {
    let service = Arc::new(|call: rpc::Incoming| {
        // As a node does it: each call on a task of its own.
        tokio::spawn(async move {
            if call.request.endpoint == "echo" {
                return call.reply.ok(call.request.args);
            }
            let (mut items, body) = (call.reply.items(0), Bytes::from(vec![7; BODY]));
            for _ in 0..COUNT {
                if items.send(body.clone()).await.is_err() {
                    return;
                }
            }
            items.finish(Ok(()));
        });
    });
    let (rpc, client) = rpc::Behaviour::new(rpc::Config { fast: !stock, ..rpc::Config::default() }, service);
    let (behaviour, tcp) =
        (Behaviour { rpc, raw: libp2p_stream::Behaviour::new() }, tcp::Config::default().nodelay(true));
    let (swarm, idle) = (SwarmBuilder::with_new_identity().with_tokio(), Duration::from_secs(600));
    let swarm = if stock {
        let swarm = swarm.with_tcp(tcp, noise::Config::new, yamux::Config::default)?.with_behaviour(|_| behaviour)?;
        swarm.with_swarm_config(|c| c.with_idle_connection_timeout(idle)).build()
    } else {
        let swarm = swarm.with_tcp(tcp, noise::Config::new, multiplexer)?.with_behaviour(|_| behaviour)?;
        swarm.with_swarm_config(|_| Config::with_executor(executor()).with_idle_connection_timeout(idle)).build()
    };
    Ok((swarm, client))
}

/// The other process: prints its addresses, then its CPU time for each line it reads.
///
/// # Errors
/// No address can be bound, or the first process is gone.
pub async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let bare = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let (reader, writer) = stream.into_split();
            tokio::spawn(echo::serve(reader, writer));
        }
    });
    let (ours, stock) = (listen(false).await?, listen(true).await?);
    tell(&format!("{bare} {ours} {stock}"))?;
    cpu_on_request().await
}

/// A Swarm that serves bare substreams, too, in the background: where, and who it is.
async fn listen(stock: bool) -> anyhow::Result<String> {
    let (mut swarm, _) = swarm(stock)?;
    let mut incoming = swarm.behaviour().raw.new_control().accept(RAW)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = incoming.next().await {
            let (reader, writer) = stream.split();
            tokio::spawn(echo::serve(reader.compat(), writer.compat_write()));
        }
    });
    let mut wanted = swarm.behaviour().raw.new_control().accept(ITEMS)?;
    tokio::spawn(async move {
        while let Some((_, stream)) = wanted.next().await {
            let (reader, writer) = stream.split();
            tokio::spawn(echo::items(reader.compat(), writer.compat_write(), COUNT, BODY));
        }
    });
    swarm.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            break address;
        }
    };
    let listening = format!("{address} {}", swarm.local_peer_id());
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    Ok(listening)
}

/// Tells this process's CPU time in nanoseconds for each line it reads, until there are no more.
///
/// # Errors
/// The first process is gone.
pub async fn cpu_on_request() -> anyhow::Result<()> {
    tokio::task::spawn_blocking(|| -> anyhow::Result<()> {
        for line in std::io::stdin().lines() {
            line?;
            tell(&cpu().as_nanos().to_string())?;
        }
        Ok(())
    })
    .await?
}

/// The other process.
#[derive(Debug)]
pub struct Server {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
}

impl Server {
    /// Starts this very program as the other process, which must do [`serve`] when it is given `--server`; with the first
    /// line it says.
    ///
    /// # Errors
    /// It does not start, or says nothing.
    pub fn start() -> anyhow::Result<(Self, String)> {
        Self::run(Command::new(std::env::current_exe()?).arg("--server"))
    }

    /// Starts a program that says a line, and then its CPU time in nanoseconds for each line it reads.
    ///
    /// # Errors
    /// It does not start, or says nothing.
    pub fn run(command: &mut Command) -> anyhow::Result<(Self, String)> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let lines = BufReader::new(child.stdout.take().context("a pipe")?);
        let mut server = Self { child, lines };
        let line = server.line()?;
        Ok((server, line))
    }

    /// The next line it says.
    ///
    /// # Errors
    /// It is gone.
    pub fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        anyhow::ensure!(self.lines.read_line(&mut line)? > 0, "the other process has ended");
        Ok(line.trim().to_owned())
    }

    /// Tells it a line.
    ///
    /// # Errors
    /// It is gone.
    pub fn tell(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(writeln!(self.child.stdin.as_mut().context("a pipe")?, "{line}")?)
    }

    /// Its CPU time so far.
    ///
    /// # Errors
    /// It is gone, or says something else.
    pub fn cpu(&mut self) -> anyhow::Result<Duration> {
        self.tell("")?;
        Ok(Duration::from_nanos(self.line()?.parse()?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client Swarm connected with the server, driven in the background.
///
/// # Errors
/// The server is not reached.
pub async fn connect(
    stock: bool,
    address: &Multiaddr,
    peer: PeerId,
) -> anyhow::Result<(rpc::Client, libp2p_stream::Control)> {
    let (mut swarm, client) = swarm(stock)?;
    let control = swarm.behaviour().raw.new_control();
    swarm.dial(address.clone())?;
    while !swarm.is_connected(&peer) {
        swarm.next().await;
    }
    tokio::spawn(async move { while swarm.next().await.is_some() {} });
    Ok((client, control))
}
