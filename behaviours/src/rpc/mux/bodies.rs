//! Bodies too large for a frame: in chunks, under credit.

use std::{collections::VecDeque, time::Duration};

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    limits,
    rpc::Message,
};

use super::super::codec::{Budget, Share};

/// A body that leaves in chunks, as far as the receiver's credit goes.
struct Outgoing {
    id: u64,
    body: Bytes,
    next: u32,
    credit: u32,
}

/// Large bodies on their way out; they take turns, so that none starves another or a small call.
#[derive(Default)]
pub(super) struct Bodies(VecDeque<Outgoing>);

impl Bodies {
    pub(super) fn add(&mut self, id: u64, body: Bytes) {
        self.0.push_back(Outgoing { id, body, next: 0, credit: limits::INITIAL_CREDIT });
    }

    pub(super) fn credit(&mut self, id: u64, n: u32) {
        if let Some(body) = self.0.iter_mut().find(|b| b.id == id) {
            body.credit = body.credit.saturating_add(n);
        }
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.0.retain(|b| b.id != id);
    }

    /// Writes chunks until `out` holds `high` bytes or nothing may leave; `done` hears of each body that has left whole.
    pub(super) fn pump(&mut self, out: &mut BytesMut, high: usize, mut done: impl FnMut(u64)) {
        let mut blocked = 0;
        while out.len() < high && blocked < self.0.len() {
            let Some(mut turn) = self.0.pop_front() else { return };
            if turn.credit == 0 {
                blocked += 1;
                self.0.push_back(turn);
                continue;
            }
            blocked = 0;
            let chunk = turn.body.split_to(turn.body.len().min(limits::CHUNK));
            Message::Item { id: turn.id, n: turn.next, body: chunk, more: false }.encode_into(out);
            if turn.body.is_empty() {
                Message::End { id: turn.id }.encode_into(out);
                done(turn.id);
                continue;
            }
            turn.next = turn.next.saturating_add(1);
            turn.credit -= 1;
            self.0.push_back(turn);
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
