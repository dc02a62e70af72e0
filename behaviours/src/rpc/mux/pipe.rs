//! One substream: bytes out of a buffer, frames in.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use libp2p_swarm::Stream;
use p2pnode_wire::frame;

/// Bytes asked of the multiplexer at once: several frames of small calls, one of a large body.
const READ_SIZE: usize = 32 * 1024;

/// Reads in a row before other substreams of the connection get their turn.
const READS_PER_POLL: usize = 16;

pub(crate) struct Pipe {
    stream: Stream,
    decoder: frame::Decoder,
    read: BytesMut,
    scratch: Box<[u8]>,
    reads_left: usize,
    write: BytesMut,
    /// Of it.
    written: usize,
    dirty: bool,
    moved: usize,
}

impl Pipe {
    pub(crate) fn new(mut stream: Stream) -> Self {
        // A link lives as long as its connection; calls in flight keep that alive, an idle link must not.
        stream.ignore_for_keep_alive();
        Self {
            stream,
            decoder: frame::Decoder::new(frame::MAX),
            read: BytesMut::new(),
            scratch: vec![0; READ_SIZE].into_boxed_slice(),
            reads_left: READS_PER_POLL,
            write: BytesMut::new(),
            written: 0,
            dirty: false,
            moved: 0,
        }
    }

    /// Begins a poll of the connection's task.
    pub(crate) fn turn(&mut self) {
        self.reads_left = READS_PER_POLL;
        self.moved = 0;
    }

    /// Bytes read and written since the turn began.
    pub(crate) fn moved(&self) -> usize {
        self.moved
    }

    /// The next whole frame. `Ready(None)`: the peer has closed its half.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            match self.decoder.next(&mut self.read) {
                Ok(Some(frame)) => return Poll::Ready(Ok(Some(frame))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))),
            }
            if self.reads_left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.reads_left -= 1;
            let n = match Pin::new(&mut self.stream).poll_read(cx, &mut self.scratch) {
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            if n == 0 {
                return Poll::Ready(Ok(None));
            }
            self.moved += n;
            self.read.extend_from_slice(self.scratch.get(..n).unwrap_or_default());
        }
    }

    /// The emptied buffer of the last batch; call only when drained.
    pub(crate) fn unload(&mut self) -> BytesMut {
        self.written = 0;
        self.write.clear();
        std::mem::take(&mut self.write)
    }

    /// Hands a batch over; call only when drained.
    pub(crate) fn load(&mut self, batch: BytesMut) {
        (self.write, self.written) = (batch, 0);
    }

    /// Writes what was handed over, then flushes once.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.write.get(self.written..).filter(|rest| !rest.is_empty()) {
            let n = match Pin::new(&mut self.stream).poll_write(cx, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            };
            self.written += n;
            self.moved += n;
            self.dirty = true;
        }
        if self.dirty {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.dirty = false,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}
