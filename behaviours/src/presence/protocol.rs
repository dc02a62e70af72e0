//! One substream: frames in, frames out. A frame of no bytes asks whether the other end is there, or answers that.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, Bytes, BytesMut};
use futures::{AsyncRead, AsyncWrite};
use libp2p_swarm::Stream;
use p2pnode_wire::{frame, presence::FRAME_MAX};

/// Bytes asked of the multiplexer at once.
const READ_SIZE: usize = 4 * 1024;

/// Frames in a row before other substreams of the connection get their turn.
const FRAMES_PER_POLL: usize = 16;

pub(super) struct Line {
    stream: Stream,
    read: BytesMut,
    write: BytesMut,
    dirty: bool,
    left: usize,
}

impl Line {
    pub(super) fn new(mut stream: Stream) -> Self {
        stream.ignore_for_keep_alive();
        Self { stream, read: BytesMut::new(), write: BytesMut::new(), dirty: false, left: 0 }
    }

    /// Begins a poll of the connection's task.
    pub(super) fn turn(&mut self) {
        self.left = FRAMES_PER_POLL;
    }

    /// The next whole frame. `Ready(None)`: the peer has closed its half.
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            if self.left == 0 {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match frame::Decoder::new(FRAME_MAX).next(&mut self.read) {
                Ok(Some(frame)) => {
                    self.left -= 1;
                    if self.read.is_empty() {
                        // The memory of the largest frame is not kept.
                        self.read = BytesMut::new();
                    }
                    return Poll::Ready(Ok(Some(frame)));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error.to_string()))),
            }
            let mut scratch = [0; READ_SIZE];
            let n = match Pin::new(&mut self.stream).poll_read(cx, &mut scratch) {
                Poll::Ready(n) => n?,
                Poll::Pending => return Poll::Pending,
            };
            if n == 0 {
                return Poll::Ready(Ok(None));
            }
            self.read.extend_from_slice(scratch.get(..n).unwrap_or_default());
        }
    }

    /// Adds a frame; call only for a bounded number of frames that are not written yet.
    pub(super) fn put(&mut self, frame: &[u8]) {
        // Our own frames are within the limit, which the wire's tests hold.
        if let Err(error) = frame::encode(frame, &mut self.write, FRAME_MAX) {
            tracing::warn!(%error, "a frame of presence is not sent");
        }
    }

    /// Writes what was put, then flushes once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.write.is_empty() {
            let n = match Pin::new(&mut self.stream).poll_write(cx, &self.write) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(n) => n?,
                Poll::Pending => return Poll::Pending,
            };
            self.write.advance(n);
            self.dirty = true;
        }
        // The memory of the largest batch is not kept.
        self.write = BytesMut::new();
        if self.dirty {
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => return Poll::Pending,
            }
            self.dirty = false;
        }
        Poll::Ready(Ok(()))
    }
}
