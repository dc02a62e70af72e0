//! Bytes on their way from one host to another.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use futures::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::{
    Net,
    sniff::Sniffer,
    wheel::{Due, Fire},
};

/// Bytes under way before the writer must wait: the window of a TCP connection.
const WINDOW: usize = 256 * 1024;

/// One direction of a connection. Substreams share it: what is sent later arrives later, as on TCP.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) from: usize,
    pub(super) to: usize,
    /// One way, undisturbed.
    pub(super) base: Duration,
    burst: Mutex<Burst>,
}

/// What was sent last.
#[derive(Debug, Default)]
struct Burst {
    sent: Option<Instant>,
    jitter: Duration,
    arrives: Option<Instant>,
}

impl Lane {
    pub(super) fn new(net: &Net, from: usize, to: usize) -> Arc<Self> {
        Arc::new(Self { from, to, base: net.base(from, to), burst: Mutex::default() })
    }

    fn burst(&self) -> MutexGuard<'_, Burst> {
        self.burst.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is sent in the same moment goes in the same segment, and has the same jitter.
    pub(super) fn jitter(&self, now: Instant, draw: impl FnOnce() -> Duration) -> Duration {
        let mut burst = self.burst();
        if burst.sent != Some(now) {
            (burst.sent, burst.jitter) = (Some(now), draw());
        }
        burst.jitter
    }

    /// Nothing overtakes.
    pub(super) fn after_last(&self, at: Instant) -> Instant {
        let mut burst = self.burst();
        let at = burst.arrives.map_or(at, |last| last.max(at));
        burst.arrives = Some(at);
        at
    }
}

#[derive(Debug, Default)]
struct State {
    /// What arrives when; `None` while the way is cut.
    chunks: VecDeque<(Due, Bytes)>,
    bytes: usize,
    end: Option<Due>,
    reset: Option<Instant>,
    reader_gone: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// One direction of a substream.
pub(super) struct Pipe {
    net: Net,
    lane: Arc<Lane>,
    sniffer: Arc<Sniffer>,
    state: Mutex<State>,
}

impl Pipe {
    pub(super) fn new(net: &Net, lane: &Arc<Lane>, sniffer: &Arc<Sniffer>) -> Arc<Self> {
        Arc::new(Self { net: net.clone(), lane: lane.clone(), sniffer: sniffer.clone(), state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arm(self: &Arc<Self>, due: Due) {
        let this: Weak<Self> = Arc::downgrade(self);
        self.net.fire(due, this);
    }

    fn poll_read(&self, cx: &Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let mut state = self.lock();
        if state.reset.is_some_and(|at| at <= now) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let mut read = 0;
        while read < buf.len()
            && let Some((due, chunk)) = state.chunks.front_mut()
            && due.is_past(now)
        {
            let part = chunk.len().min(buf.len() - read);
            buf[read..read + part].copy_from_slice(&chunk[..part]);
            chunk.advance(part);
            read += part;
            if chunk.is_empty() {
                state.chunks.pop_front();
            }
        }
        if read > 0 {
            let full = state.bytes >= WINDOW;
            state.bytes -= read;
            if full && let Some(writer) = state.writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(read));
        }
        if state.chunks.is_empty() && state.end.is_some_and(|due| due.is_past(now)) {
            return Poll::Ready(Ok(0));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    fn poll_write(self: &Arc<Self>, cx: &Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        {
            let mut state = self.lock();
            if state.reset.is_some_and(|at| at <= now) {
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
            if state.reader_gone || state.end.is_some() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            if state.bytes >= WINDOW {
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.sniffer.sent(&self.net, self.lane.from, self.lane.to, buf);
        let due = self.net.send(&self.lane, buf.len(), self);
        let mut state = self.lock();
        state.chunks.push_back((due, Bytes::copy_from_slice(buf)));
        state.bytes += buf.len();
        drop(state);
        self.arm(due);
        Poll::Ready(Ok(buf.len()))
    }

    fn end(self: &Arc<Self>) {
        if self.lock().end.is_some() {
            return;
        }
        let due = self.net.send(&self.lane, 0, self);
        self.lock().end = Some(due);
        self.arm(due);
    }

    /// What was held since the way was cut goes on its way now.
    pub(super) fn release(self: &Arc<Self>) {
        let mut state = self.lock();
        let mut chunks = std::mem::take(&mut state.chunks);
        let mut end = state.end;
        drop(state);
        let held = chunks.iter_mut().filter(|(due, _)| due.is_never()).map(|(due, chunk)| (due, chunk.len()));
        let end = end.as_mut().filter(|due| due.is_never()).map(|due| (due, 0));
        let mut all = Vec::new();
        for (due, len) in held.chain(end) {
            *due = self.net.send_again(&self.lane, len, self);
            all.push(*due);
        }
        let last = all.last().copied();
        let mut state = self.lock();
        let later = std::mem::replace(&mut state.chunks, chunks);
        state.chunks.extend(later);
        if state.end.is_some_and(|due| due.is_never()) {
            state.end = last;
        }
        drop(state);
        all.into_iter().for_each(|due| self.arm(due));
    }

    /// The connection broke, and this end learns of it `at`.
    pub(super) fn reset(self: &Arc<Self>, at: Instant) {
        self.lock().reset.get_or_insert(at);
        self.arm(Due::at(at));
    }
}

impl Fire for Pipe {
    fn fire(&self) {
        let mut state = self.lock();
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        if state.reset.is_some()
            && let Some(writer) = state.writer.take()
        {
            writer.wake();
        }
    }
}

/// One end of a substream, or of a whole connection below a muxer.
pub(super) struct Stream {
    pub(super) incoming: Arc<Pipe>,
    pub(super) outgoing: Arc<Pipe>,
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.incoming.poll_read(cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.outgoing.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.end();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.outgoing.end();
        let mut state = self.incoming.lock();
        state.reader_gone = true;
        state.chunks.clear();
        state.bytes = 0;
        if let Some(writer) = state.writer.take() {
            writer.wake();
        }
    }
}
