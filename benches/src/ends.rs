//! A server in another process, and the four ways to it: frames over TCP, two over libp2p as it is by itself, and ours as a
//! node makes it.

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
    /// The same over one substream of stock libp2p.
    pub raw: echo::Caller,
    /// Our road.
    pub fast: Road,
    /// The road of every libp2p program, on stock libp2p.
    pub classic: Road,
    /// Opens substreams of stock libp2p to the server.
    pub stock: (libp2p_stream::Control, PeerId),
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
        let mut word = || words.next().context("five words");
        let bare = word()?;
        let mut end = || anyhow::Ok((word()?.parse::<Multiaddr>()?, word()?.parse::<PeerId>()?));
        let ((address, peer), (plain_address, plain_peer)) = (end()?, end()?);
        let stream = TcpStream::connect(bare).await?;
        stream.set_nodelay(true)?;
        let (reader, writer) = stream.into_split();
        let tcp = echo::Caller::new(reader, writer);
        let (fast, _) = connect(false, &address, peer).await?;
        let (classic, mut control) = connect(true, &plain_address, plain_peer).await?;
        let stream = control.open_stream(plain_peer, RAW).await.map_err(|e| anyhow::anyhow!("{e}"))?;
        let (reader, writer) = stream.split();
        let raw = echo::Caller::new(reader.compat(), writer.compat_write());
        Ok(Self {
            server,
            tcp,
            raw,
            fast: Road(fast, peer),
            classic: Road(classic, plain_peer),
            stock: (control, plain_peer),
        })
    }
}
