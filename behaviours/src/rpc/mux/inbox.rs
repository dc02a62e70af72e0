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
    /// An item.
    Item(Bytes),
    /// The last was the last.
    End(Result<(), CallError>),
}

/// A queue that the connection's task fills and one reader empties. The peer sends no more than the reader's window.
pub(crate) struct Inbox(Mutex<State>);

/// Who empties an [`Inbox`]: takes all there is at once, so that neither waits for the other item by item.
pub(crate) struct Reader {
    inbox: Arc<Inbox>,
    /// Taken and not yet read, with what each cost.
    taken: VecDeque<(Bytes, u32)>,
    /// Read and not yet given back.
    owed: u32,
    /// Bytes of it.
    read: usize,
    /// When it is given back.
    quarter: u32,
}

struct State {
    /// Whole items that the reader has not taken, and what each cost.
    ready: VecDeque<(Bytes, u32)>,
    /// The beginning of an item that comes in parts.
    part: BytesMut,
    part_cost: u32,
    /// Number of the next frame.
    next: u32,
    quarter: u32,
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
            quarter: window.div_ceil(4),
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
        self.lock().frame(n, body, more)
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
}

impl Reader {
    /// The only one of `inbox`.
    pub(crate) fn new(inbox: Arc<Inbox>) -> Self {
        let quarter = inbox.lock().quarter;
        Self { inbox, taken: VecDeque::new(), owed: 0, read: 0, quarter }
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    /// The next item, or the end, which is told again and again; and what the peer may send more, if it is time to say
    /// so.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> (Poll<Taken>, Option<u32>) {
        if self.taken.is_empty() {
            let mut state = self.inbox.lock();
            if state.ready.is_empty() {
                return state.nothing(cx);
            }
            std::mem::swap(&mut self.taken, &mut state.ready);
        }
        let Some((item, cost)) = self.taken.pop_front() else { return (Poll::Pending, None) };
        self.owed = self.owed.saturating_add(cost);
        // A result that came as one was never counted.
        self.read = self.read.saturating_add(if cost > 0 { item.len() } else { 0 });
        let credit = if self.owed >= self.quarter { self.give_back() } else { None };
        (Poll::Ready(Taken::Item(item)), credit)
    }

    fn give_back(&mut self) -> Option<u32> {
        let mut state = self.inbox.lock();
        state.share.shrink(std::mem::take(&mut self.read));
        state.owed = state.owed.saturating_add(std::mem::take(&mut self.owed));
        state.credit()
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
            if self.reader.is_some() {
                self.let_part_come();
            }
            return Ok(self.credit());
        }
        let item = if self.part.is_empty() {
            body
        } else {
            self.part.extend_from_slice(&body);
            self.part.split().freeze()
        };
        self.ready.push_back((item, std::mem::take(&mut self.part_cost)));
        self.wake();
        Ok(None)
    }

    /// The reader has read all there is.
    fn nothing(&mut self, cx: &mut Context<'_>) -> (Poll<Taken>, Option<u32>) {
        if let Some(outcome) = &self.ended {
            return (Poll::Ready(Taken::End(outcome.clone())), None);
        }
        self.reader = Some(cx.waker().clone());
        self.let_part_come();
        (Poll::Pending, self.credit())
    }

    /// An item may be larger than the window: while the reader has nothing else to read, its parts are given back as
    /// they come.
    fn let_part_come(&mut self) {
        self.owed = self.owed.saturating_add(std::mem::take(&mut self.part_cost));
    }

    /// A quarter of a window at a time: a frame for each item would cost as much as the item, and a window that is given
    /// back late stands still meanwhile.
    fn credit(&mut self) -> Option<u32> {
        if self.ended.is_some() || self.owed < self.quarter {
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
