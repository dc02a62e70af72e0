//! Bodies too large for a frame: in chunks, under credit.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    limits,
    rpc::Message,
};

use super::super::codec::{Budget, Share};

/// What is too large to be written at once.
enum Outgoing {
    /// It fits a frame, which waits for its turn.
    Frame { message: Message, size: usize },
    /// It leaves in chunks, as far as the receiver's credit goes.
    Chunks { body: Bytes, next: u32, credit: u32 },
}

/// Large bodies on their way out; they take turns, so that none starves another or a small call.
#[derive(Default)]
pub(super) struct Bodies {
    queue: VecDeque<(u64, Outgoing)>,
    /// Bytes of frames that wait.
    frames: usize,
    /// Bytes of bodies that have not left.
    chunks: usize,
}

impl Bodies {
    /// A message whose body of `size` bytes fits a frame. One of more than a chunk waits for its turn if anything is
    /// waiting to leave: `out` is emptied then, and [`Bodies::pump`] called, without another word.
    pub(super) fn frame(&mut self, id: u64, size: usize, message: Message, out: &mut BytesMut) {
        if size <= limits::CHUNK || out.is_empty() {
            message.encode_into(out);
        } else {
            self.frames = self.frames.saturating_add(size);
            self.queue.push_back((id, Outgoing::Frame { message, size }));
        }
    }

    /// The body of a message that has been written.
    pub(super) fn chunks(&mut self, id: u64, body: Bytes) {
        self.chunks = self.chunks.saturating_add(body.len());
        self.queue.push_back((id, Outgoing::Chunks { body, next: 0, credit: limits::INITIAL_CREDIT }));
    }

    pub(super) fn credit(&mut self, id: u64, n: u32) {
        for (of, outgoing) in &mut self.queue {
            if let Outgoing::Chunks { credit, .. } = outgoing
                && *of == id
            {
                *credit = credit.saturating_add(n);
            }
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        let (frames, chunks) = (&mut self.frames, &mut self.chunks);
        self.queue.retain(|(of, outgoing)| {
            let stays = *of != id;
            match outgoing {
                _ if stays => {}
                Outgoing::Frame { size, .. } => *frames -= *size,
                Outgoing::Chunks { body, .. } => *chunks -= body.len(),
            }
            stays
        });
    }

    /// Bytes of frames that leave as fast as they are read, and of bodies that leave as they are asked for.
    pub(super) fn waiting(&self) -> (usize, usize) {
        (self.frames, self.chunks)
    }

    /// Writes until `out` holds `high` bytes or nothing may leave; `done` hears of each body that has left whole.
    pub(super) fn pump(&mut self, out: &mut BytesMut, high: usize, mut done: impl FnMut(u64)) {
        let mut blocked = 0;
        while out.len() < high && blocked < self.queue.len() {
            match self.queue.pop_front() {
                None => return,
                Some((id, Outgoing::Frame { message, size })) => {
                    self.frames -= size;
                    message.encode_into(out);
                    blocked = 0;
                    done(id);
                }
                Some((id, Outgoing::Chunks { body, next, credit: 0 })) => {
                    blocked += 1;
                    self.queue.push_back((id, Outgoing::Chunks { body, next, credit: 0 }));
                }
                Some((id, Outgoing::Chunks { mut body, next, credit })) => {
                    blocked = 0;
                    let chunk = body.split_to(body.len().min(limits::CHUNK));
                    self.chunks -= chunk.len();
                    Message::Item { id, n: next, body: chunk, more: false }.encode_into(out);
                    if body.is_empty() {
                        Message::End { id }.encode_into(out);
                        done(id);
                        continue;
                    }
                    let rest = Outgoing::Chunks { body, next: next.saturating_add(1), credit: credit - 1 };
                    self.queue.push_back((id, rest));
                }
            }
        }
    }
}

/// A body that arrives in chunks.
pub(super) struct Assembly {
    pub(super) body: BytesMut,
    next: u32,
    /// Chunks since credit was last given back.
    uncredited: u32,
    max: usize,
    share: Share,
}

impl Assembly {
    pub(super) fn new(first: &[u8], max: usize, budget: &Budget) -> Result<Self, RpcError> {
        let mut assembly = Self { body: BytesMut::new(), next: 0, uncredited: 0, max, share: budget.share() };
        assembly.append(first)?;
        Ok(assembly)
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), RpcError> {
        if self.body.len().saturating_add(chunk.len()) > self.max {
            return Err(RpcError::new(ErrorCode::TooLarge, format!("the body is larger than {} bytes", self.max)));
        }
        if !self.share.grow(chunk.len()) {
            return Err(overloaded("too many bodies are being received at once"));
        }
        if self.body.is_empty() && chunk.len() >= limits::CHUNK {
            // More follows: 64 KiB at once instead of by doubling.
            self.body.reserve(chunk.len().saturating_mul(4));
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    /// Takes chunk `n`; answers with credit to give back, if it is time.
    pub(super) fn item(&mut self, n: u32, chunk: &[u8]) -> Result<Option<u32>, RpcError> {
        if n != self.next {
            let message = format!("chunk {n} where {} was due", self.next);
            return Err(RpcError::new(ErrorCode::InvalidEnvelope, message));
        }
        self.append(chunk)?;
        self.next = self.next.saturating_add(1);
        self.uncredited += 1;
        if self.uncredited < limits::INITIAL_CREDIT / 2 {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.uncredited)))
    }
}

pub(super) fn overloaded(message: &str) -> RpcError {
    let mut error = RpcError::new(ErrorCode::Overloaded, message);
    error.retry_after = Some(Duration::from_millis(100));
    error
}
