//! Tells a connection that the peer has closed because nobody needed it from one that broke.

use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{
    AsyncRead, AsyncWrite,
    future::{BoxFuture, FutureExt, poll_fn, select},
};
use futures_timer::Delay;
use libp2p_core::{
    UpgradeInfo,
    muxing::{StreamMuxer, StreamMuxerEvent},
    upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade},
};
use tokio::runtime::Handle;

/// The peer closed the connection in order: it lives, and nobody there needed the connection.
///
/// The error of a connection's multiplexer when its last word was a farewell. [`Cause::Peer`](super::Cause::Peer) is
/// told by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer closed the connection")]
pub struct PeerClosed;

impl PeerClosed {
    /// As the error of a multiplexer.
    pub fn error() -> io::Error {
        io::Error::new(io::ErrorKind::ConnectionAborted, Self)
    }

    /// Whether `error` is this one, however wrapped.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        let mut next = Some(error);
        while let Some(error) = next {
            if error.is::<Self>() {
                return true;
            }
            // The source of an `io::Error` is that of the error within, which is left out.
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                Some(within) => Some(within),
                None => error.source(),
            };
        }
        false
    }
}

/// How long a farewell may take to be written: whoever does not read it learns of the end otherwise.
const FAREWELL: Duration = Duration::from_secs(5);

/// A multiplexer whose error is [`PeerClosed`] if `orderly` says so of its own, and that says farewell when it is dropped.
///
/// The Swarm (0.48) drops the multiplexer of an idle connection without closing it. Inside a tokio runtime it is closed
/// by a task of its own then, for at most five seconds: so there are as many of them as connections have just been let
/// go, which the limits of the Swarm bound.
pub struct Muxer<M: StreamMuxer + Send + Unpin + 'static, F> {
    /// None once it has failed or is closed.
    inner: Option<M>,
    orderly: F,
    /// One of it for each open substream, and this.
    open: Arc<()>,
    /// Substreams of the peer beyond so many open ones are reset.
    most: usize,
}

/// A substream that counts as long as it is open.
#[derive(Debug)]
pub struct Counted<S> {
    stream: S,
    _open: Arc<()>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

impl<M: StreamMuxer + Send + Unpin + 'static, F> fmt::Debug for Muxer<M, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Muxer")
    }
}

impl<M: StreamMuxer + Send + Unpin + 'static, F> Drop for Muxer<M, F> {
    fn drop(&mut self) {
        let (Some(mut inner), Ok(runtime)) = (self.inner.take(), Handle::try_current()) else { return };
        runtime.spawn(async move {
            let closed = poll_fn(|cx| Pin::new(&mut inner).poll_close(cx));
            // Whoever is gone hears nothing.
            let _ = select(closed, Delay::new(FAREWELL)).await;
        });
    }
}

impl<M, F> Muxer<M, F>
where
    M: StreamMuxer + Send + Unpin + 'static,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
    F: Fn(&M::Error) -> bool + Unpin,
{
    /// Around `inner`; what the peer opens while `most` substreams are open is reset.
    pub fn new(inner: M, orderly: F, most: usize) -> Self {
        Self { inner: Some(inner), orderly, open: Arc::default(), most }
    }

    fn with<T>(
        self: Pin<&mut Self>,
        poll: impl FnOnce(Pin<&mut M>) -> Poll<Result<T, M::Error>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        let Some(inner) = this.inner.as_mut() else { return Poll::Ready(Err(io::ErrorKind::NotConnected.into())) };
        poll(Pin::new(inner)).map_err(|error| {
            this.inner = None;
            if (this.orderly)(&error) { PeerClosed::error() } else { io::Error::other(error) }
        })
    }
}

impl<M, F> StreamMuxer for Muxer<M, F>
where
    M: StreamMuxer + Send + Unpin + 'static,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
    F: Fn(&M::Error) -> bool + Unpin,
{
    type Substream = Counted<M::Substream>;
    type Error = io::Error;

    fn poll_inbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        loop {
            let stream = ready!(self.as_mut().with(|inner| inner.poll_inbound(cx)))?;
            if Arc::strong_count(&self.open) <= self.most {
                return Poll::Ready(Ok(Counted { stream, _open: self.open.clone() }));
            }
            tracing::debug!(most = self.most, "one substream too many, reset");
        }
    }

    fn poll_outbound(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<Self::Substream>> {
        let stream = ready!(self.as_mut().with(|inner| inner.poll_outbound(cx)))?;
        Poll::Ready(Ok(Counted { stream, _open: self.open.clone() }))
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.inner.is_none() {
            return Poll::Ready(Ok(()));
        }
        let closed = self.as_mut().with(|inner| inner.poll_close(cx));
        if closed.is_ready() {
            self.inner = None;
        }
        closed
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        self.with(|inner| inner.poll(cx))
    }
}

/// yamux, with [`PeerClosed`] as the error after a "go away" of the peer.
///
/// yamux (0.14) reports that frame and a connection that just ends alike, although a process that dies sends none.
#[derive(Debug, Clone)]
pub struct Orderly<U> {
    /// What upgrades to yamux.
    pub upgrade: U,
    /// What the peer opens while so many substreams are open is reset.
    pub most: usize,
}

impl<U: UpgradeInfo> UpgradeInfo for Orderly<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.upgrade.protocol_info()
    }
}

/// What [`Orderly`] makes of a multiplexer `M`.
pub type OrderlyMuxer<M> = Muxer<M, Box<dyn Fn(&<M as StreamMuxer>::Error) -> bool + Send>>;

impl<U, C, M> InboundConnectionUpgrade<C> for Orderly<U>
where
    U: InboundConnectionUpgrade<Sniffed<C>, Output = M>,
    U::Future: Send + 'static,
    U::Error: 'static,
    M: StreamMuxer + Send + Unpin + 'static,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
{
    type Output = OrderlyMuxer<M>;
    type Error = U::Error;
    type Future = BoxFuture<'static, Result<Self::Output, U::Error>>;

    fn upgrade_inbound(self, io: C, info: Self::Info) -> Self::Future {
        let (io, tail) = Sniffed::new(io);
        let most = self.most;
        self.upgrade.upgrade_inbound(io, info).map(move |muxer| muxer.map(|muxer| watched(muxer, tail, most))).boxed()
    }
}

impl<U, C, M> OutboundConnectionUpgrade<C> for Orderly<U>
where
    U: OutboundConnectionUpgrade<Sniffed<C>, Output = M>,
    U::Future: Send + 'static,
    U::Error: 'static,
    M: StreamMuxer + Send + Unpin + 'static,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
{
    type Output = OrderlyMuxer<M>;
    type Error = U::Error;
    type Future = BoxFuture<'static, Result<Self::Output, U::Error>>;

    fn upgrade_outbound(self, io: C, info: Self::Info) -> Self::Future {
        let (io, tail) = Sniffed::new(io);
        let most = self.most;
        self.upgrade.upgrade_outbound(io, info).map(move |muxer| muxer.map(|muxer| watched(muxer, tail, most))).boxed()
    }
}

fn watched<M>(muxer: M, tail: Tail, most: usize) -> OrderlyMuxer<M>
where
    M: StreamMuxer + Send + Unpin + 'static,
    M::Substream: Unpin,
    M::Error: Send + Sync + 'static,
{
    Muxer::new(muxer, Box::new(move |_| tail.is_go_away()), most)
}

/// Version, type "go away", flags, stream and code "normal termination": <https://github.com/hashicorp/yamux/blob/master/spec.md>.
const GO_AWAY: [u8; 12] = [0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// The last bytes that were read.
#[derive(Debug, Clone, Default)]
struct Tail(Arc<Mutex<[u8; GO_AWAY.len()]>>);

impl Tail {
    fn note(&self, read: &[u8]) {
        let mut tail = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = read.len().min(tail.len());
        tail.rotate_left(new);
        let old = tail.len() - new;
        tail[old..].copy_from_slice(&read[read.len() - new..]);
    }

    fn is_go_away(&self) -> bool {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) == GO_AWAY
    }
}

/// A connection whose last bytes are known.
#[derive(Debug)]
pub struct Sniffed<C> {
    io: C,
    tail: Tail,
}

impl<C> Sniffed<C> {
    fn new(io: C) -> (Self, Tail) {
        let tail = Tail::default();
        (Self { io, tail: tail.clone() }, tail)
    }
}

impl<C: AsyncRead + Unpin> AsyncRead for Sniffed<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if let Poll::Ready(Ok(count)) = read {
            self.tail.note(buf.get(..count).unwrap_or_default());
        }
        read
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Sniffed<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_close(cx)
    }
}

#[cfg(test)]
#[path = "orderly_tests.rs"]
mod tests;
