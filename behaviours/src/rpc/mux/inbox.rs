//! Items of a streamed result, between the connection's task and whoever reads them.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    rpc::item_cost,
};

use super::super::{CallError, codec::Budget, codec::Share};

/// What came of asking for the next item.
pub(crate) enum Taken {
    /// An item, and what the peer may send more for it, if it is time to say so.
    Item(Bytes, Option<u32>),
    /// The last was the last.
    End(Result<(), CallError>),
}

/// A queue that the connection's task fills and one reader empties. The peer sends no more than the reader's window.
pub(crate) struct Inbox(Mutex<State>);

struct State {
    /// Whole items and what each cost.
    ready: VecDeque<(Bytes, u32)>,
    /// The beginning of an item that comes in parts.
    part: BytesMut,
    part_cost: u32,
    /// Number of the next frame.
    next: u32,
    window: u32,
    /// What the peer may still send.
    left: i64,
    /// What has been read and not been given back.
    owed: u32,
    max_item: usize,
    share: Share,
    /// The peer has begun to answer.
    begun: bool,
    ended: Option<Result<(), CallError>>,
    reader: Option<Waker>,
}

impl Inbox {
    /// An empty one; `window` is what the peer was told.
    pub(crate) fn new(window: u32, max_item: usize, budget: &Budget) -> Arc<Self> {
        Arc::new(Self(Mutex::new(State {
            ready: VecDeque::new(),
            part: BytesMut::new(),
            part_cost: 0,
            next: 0,
            window,
            left: window.into(),
            owed: 0,
            max_item,
            share: budget.share(),
            begun: false,
            ended: None,
            reader: None,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The peer has said that items follow.
    pub(crate) fn begin(&self) {
        let mut state = self.lock();
        state.begun = true;
        state.wake();
    }

    /// A frame of the peer; answers with what it may send more, if it is time to say so.
    pub(crate) fn frame(&self, n: u32, body: Bytes, more: bool) -> Result<Option<u32>, RpcError> {
        let mut state = self.lock();
        let credit = state.frame(n, body, more)?;
        state.wake();
        Ok(credit)
    }

    /// A result that came as one: it is the only item.
    pub(crate) fn whole(&self, result: Bytes) {
        let mut state = self.lock();
        state.ready.push_back((result, 0));
        state.end(Ok(()));
    }

    /// Nothing follows. What has come can still be read.
    pub(crate) fn end(&self, outcome: Result<(), CallError>) {
        self.lock().end(outcome);
    }

    /// Ready once the peer has begun to answer, or never will: then with the reason, if nothing came before it.
    pub(crate) fn poll_begun(&self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        let mut state = self.lock();
        match &state.ended {
            Some(Err(error)) if !state.begun && state.ready.is_empty() => Poll::Ready(Err(error.clone())),
            Some(_) => Poll::Ready(Ok(())),
            None if state.begun => Poll::Ready(Ok(())),
            None => {
                state.reader = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next item, or the end, which is told again and again.
    pub(crate) fn poll_take(&self, cx: &mut Context<'_>) -> Poll<Taken> {
        let mut state = self.lock();
        if let Some((item, cost)) = state.ready.pop_front() {
            if cost > 0 {
                state.share.shrink(item.len());
            }
            state.owed = state.owed.saturating_add(cost);
            state.let_part_come();
            let credit = state.credit();
            return Poll::Ready(Taken::Item(item, credit));
        }
        if let Some(outcome) = &state.ended {
            return Poll::Ready(Taken::End(outcome.clone()));
        }
        state.reader = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl State {
    fn frame(&mut self, n: u32, body: Bytes, more: bool) -> Result<Option<u32>, RpcError> {
        if n != self.next {
            let message = format!("item {n} where {} was due", self.next);
            return Err(RpcError::new(ErrorCode::InvalidEnvelope, message));
        }
        if self.left <= 0 {
            return Err(RpcError::new(ErrorCode::InvalidEnvelope, "more than there was credit for"));
        }
        if self.part.len().saturating_add(body.len()) > self.max_item {
            let message = format!("an item is larger than {} bytes", self.max_item);
            return Err(RpcError::new(ErrorCode::TooLarge, message));
        }
        if !self.share.grow(body.len()) {
            return Err(RpcError::new(ErrorCode::Overloaded, "too many bodies are being received at once"));
        }
        let cost = item_cost(&body);
        self.next = self.next.wrapping_add(1);
        self.left = self.left.saturating_sub(cost.into());
        self.part_cost = self.part_cost.saturating_add(cost);
        if more {
            self.part.extend_from_slice(&body);
            self.let_part_come();
            return Ok(self.credit());
        }
        let item = if self.part.is_empty() {
            body
        } else {
            self.part.extend_from_slice(&body);
            self.part.split().freeze()
        };
        self.ready.push_back((item, std::mem::take(&mut self.part_cost)));
        Ok(None)
    }

    /// An item may be larger than the window: while the reader has nothing else to read, its parts are given back as
    /// they come.
    fn let_part_come(&mut self) {
        if self.ready.is_empty() {
            self.owed = self.owed.saturating_add(std::mem::take(&mut self.part_cost));
        }
    }

    /// Half a window at a time: a frame for each item would cost as much as the item.
    fn credit(&mut self) -> Option<u32> {
        if self.ended.is_some() || self.owed < self.window.div_ceil(2) {
            return None;
        }
        let n = std::mem::take(&mut self.owed);
        self.left = self.left.saturating_add(n.into());
        Some(n)
    }

    fn end(&mut self, outcome: Result<(), CallError>) {
        if self.ended.is_none() {
            self.part = BytesMut::new();
            self.ended = Some(outcome);
        }
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }
}
