//! A server in another process, and the four ways to it.

use std::fmt;

use anyhow::Context;
use futures::AsyncReadExt as _;
use libp2p::{Multiaddr, PeerId};
use tokio::net::TcpStream;
use tokio_util::compat::{FuturesAsyncReadCompatExt, FuturesAsyncWriteCompatExt};

use crate::{
    echo,
    server::{RAW, Server, connect},
    ways::Road,
};

/// All ways to one server, connected.
pub struct Ends {
    /// The other process; gone when this is dropped.
    pub server: Server,
    /// Frames over bare TCP.
    pub tcp: echo::Caller,
    /// The same over one substream of libp2p.
    pub raw: echo::Caller,
    /// Our road.
    pub fast: Road,
    /// The road of every libp2p program.
    pub classic: Road,
    /// Opens substreams to the server.
    pub control: libp2p_stream::Control,
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ends")
    }
}

impl Ends {
    /// Starts the server and connects.
    ///
    /// # Errors
    /// The server does not start or is not reached.
    pub async fn new() -> anyhow::Result<Self> {
        let (server, line) = Server::start()?;
        let mut words = line.split(' ');
        let mut word = || words.next().context("three words");
        let (bare, address, peer): (String, Multiaddr, PeerId) = (word()?.into(), word()?.parse()?, word()?.parse()?);
        let stream = TcpStream::connect(bare).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let tcp = echo::Caller::new(reader, writer);
        let (fast, mut control) = connect(true, &address, peer).await?;
        let (classic, _) = connect(false, &address, peer).await?;
        let stream = control.open_stream(peer, RAW).await.map_err(|e| anyhow::anyhow!("{e}"))?;
        let (reader, writer) = stream.split();
        let raw = echo::Caller::new(reader.compat(), writer.compat_write());
        Ok(Self { server, tcp, raw, fast: Road(fast, peer), classic: Road(classic, peer), control })
    }
}
