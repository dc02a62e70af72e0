//! What a substream shares with those who call over it ([`Link`]) and those who answer ([`Inbound`]).
//!
//! Callers write their frames straight into the link's buffer, under a lock held for one frame, and wake the
//! connection's task once per batch; the task takes the whole buffer at once. Nobody waits for anybody.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Instant,
};

use bytes::{Bytes, BytesMut};
use futures::task::AtomicWaker;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;
use p2pnode_wire::{error::RpcError, rpc::Message};
use tokio::sync::oneshot;

use super::{
    super::{CallError, Config, Incoming, Request, Responder, Road, Service, client::Span, codec::Budget},
    inbox::Inbox,
    state::{Callee, Caller, Gone, Violation},
};

/// With this many calls under way, the writer lets others add theirs before it writes: one write for many calls.
/// With few it would only add latency (measured: 10–31 % with one).
pub(super) const COALESCE_AT: usize = 32;

/// Bytes of large bodies that may wait in a link's buffer; small frames add to it, bounded by the calls in flight.
const HIGH_WATER: usize = 128 * 1024;

/// An emptied buffer is used again unless it is larger than this, or little is under way.
const KEEP_CAPACITY: usize = 256 * 1024;

/// Calls made and served, by road.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) fast_calls: AtomicU64,
    pub(crate) classic_calls: AtomicU64,
    pub(crate) fast_served: AtomicU64,
    pub(crate) classic_served: AtomicU64,
}

pub(crate) type Answer = Result<Bytes, CallError>;

/// A mutex whose holder can only have panicked between two complete frames: the data is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who waits for the end of a call.
enum Waiter {
    Whole(oneshot::Sender<Answer>),
    Items(Arc<Inbox>),
}

impl Waiter {
    fn tell(self, outcome: Answer) {
        match self {
            // The caller may have stopped waiting in this very moment.
            Self::Whole(sender) => drop(sender.send(outcome)),
            Self::Items(inbox) => match outcome {
                Ok(result) => inbox.whole(result),
                Err(error) => inbox.end(Err(error)),
            },
        }
    }
}

struct Calling {
    out: BytesMut,
    calls: Caller<Waiter>,
    closed: bool,
}

/// Why a call is not on the wire.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// The link is closed; here is the call.
    Closed(Box<Request>),
    /// It cannot be sent.
    Refused(CallError),
}

/// The caller's side of one substream.
pub struct Link {
    pub(crate) peer: PeerId,
    pub(crate) connection: ConnectionId,
    pub(crate) remote: Multiaddr,
    state: Mutex<Calling>,
    waker: AtomicWaker,
}

impl Link {
    pub(crate) fn new(
        peer: PeerId,
        connection: ConnectionId,
        remote: Multiaddr,
        config: &Config,
        budget: Budget,
    ) -> Arc<Self> {
        let state = Calling { out: BytesMut::new(), calls: Caller::new(config, budget), closed: false };
        Arc::new(Self { peer, connection, remote, state: Mutex::new(state), waker: AtomicWaker::new() })
    }

    /// Puts a call on the wire. The id cancels it.
    pub(crate) fn start(&self, request: Request, span: Span) -> Result<(u64, oneshot::Receiver<Answer>), NotStarted> {
        let (sender, receiver) = oneshot::channel();
        let id = self.send(Waiter::Whole(sender), None, request, span)?;
        Ok((id, receiver))
    }

    /// Puts a call on the wire whose result goes to `inbox`, item by item. The id cancels it.
    pub(crate) fn start_items(&self, inbox: &Arc<Inbox>, request: Request, span: Span) -> Result<u64, NotStarted> {
        self.send(Waiter::Items(inbox.clone()), Some(inbox.clone()), request, span)
    }

    fn send(&self, waiter: Waiter, inbox: Option<Arc<Inbox>>, request: Request, span: Span) -> Result<u64, NotStarted> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.closed {
            drop(guard);
            return Err(NotStarted::Closed(Box::new(request)));
        }
        let idle = state.out.is_empty();
        let started = state.calls.start((waiter, inbox), request, span, &mut state.out);
        drop(guard);
        let id = started.map_err(|(_, error)| NotStarted::Refused(error))?;
        if idle {
            self.waker.wake();
        }
        Ok(id)
    }

    /// The reader of a stream has taken some of it: the peer may send so much more.
    pub(crate) fn give(&self, id: u64, n: u32) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.calls.give(id, n, &mut state.out) {
            drop(guard);
            self.waker.wake();
        }
    }

    /// The caller has dropped its call.
    pub(crate) fn cancel(&self, id: u64) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.calls.cancel(id, &mut state.out).is_some() {
            drop(guard);
            self.waker.wake();
        }
    }

    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.state).calls.len()
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.state).closed
    }

    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// A frame from the callee.
    pub(crate) fn receive(&self, message: Message) -> Result<(), Violation> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let ended = state.calls.receive(message, &mut state.out)?;
        drop(guard);
        if let Some((waiter, outcome)) = ended {
            waiter.tell(outcome);
        }
        Ok(())
    }

    /// What is to be written next, and when [`Link::expire`] is due.
    pub(crate) fn take(&self, spare: BytesMut) -> (BytesMut, Option<Instant>) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.calls.pump(&mut state.out, HIGH_WATER);
        (batch(&mut state.out, spare, state.calls.len()), state.calls.earliest())
    }

    pub(crate) fn expire(&self, now: Instant) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let late = state.calls.expire(now, &mut state.out);
        drop(guard);
        for waiter in late {
            waiter.tell(Err(CallError::TimedOut { sent: true }));
        }
    }

    /// The substream is gone; calls under way may have run.
    pub(crate) fn close(&self, reason: &str) {
        let mut guard = lock(&self.state);
        guard.closed = true;
        let lost = guard.calls.close();
        drop(guard);
        for waiter in lost {
            waiter.tell(Err(CallError::Lost { reason: reason.to_owned() }));
        }
    }
}

struct Serving {
    out: BytesMut,
    calls: Callee,
    closed: bool,
}

/// The callee's side of one substream.
pub(crate) struct Inbound {
    peer: PeerId,
    remote: Multiaddr,
    state: Mutex<Serving>,
    waker: AtomicWaker,
}

impl Inbound {
    pub(crate) fn new(peer: PeerId, remote: Multiaddr, config: &Config, budget: Budget) -> Arc<Self> {
        let state = Serving { out: BytesMut::new(), calls: Callee::new(config, budget), closed: false };
        Arc::new(Self { peer, remote, state: Mutex::new(state), waker: AtomicWaker::new() })
    }

    pub(crate) fn in_flight(&self) -> usize {
        lock(&self.state).calls.len()
    }

    pub(crate) fn register(&self, waker: &std::task::Waker) {
        self.waker.register(waker);
    }

    /// The caller does not read its answers.
    pub(crate) fn unread(&self) -> bool {
        let state = lock(&self.state);
        state.calls.unread(&state.out)
    }

    /// A frame from the caller; a whole request goes to `service`. True if the caller does not read its answers.
    pub(crate) fn receive(
        self: &Arc<Self>,
        message: Message,
        now: Instant,
        service: &dyn Service,
        counters: &Counters,
    ) -> Result<bool, Violation> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let arrived = state.calls.receive(message, &mut state.out)?;
        let unread = state.calls.unread(&state.out);
        drop(guard);
        let Some(arrived) = arrived else { return Ok(unread) };
        let stream = arrived.request.window.is_some();
        counters.fast_served.fetch_add(1, Ordering::Relaxed);
        service.serve(Incoming {
            peer: self.peer,
            remote: self.remote.clone(),
            road: Road::Fast,
            deadline: now + arrived.request.timeout,
            request: arrived.request,
            cancelled: arrived.cancelled,
            reply: Responder::fast(self.clone(), arrived.id, stream),
        });
        Ok(unread)
    }

    pub(crate) fn finish(&self, id: u64, outcome: Result<Bytes, RpcError>) {
        self.write(|calls, out| calls.finish(id, outcome, out));
    }

    /// The handler is about to send items, to a caller that takes them as they come.
    pub(crate) fn begin_items(&self, id: u64) {
        self.write(|calls, out| calls.begin_items(id, out));
    }

    /// Sends an item; ready when it has left whole.
    pub(crate) fn poll_item(&self, id: u64, item: &mut Option<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let sent = self.write(|calls, out| calls.poll_item(id, item, out, HIGH_WATER, cx));
        sent.unwrap_or(Poll::Ready(Err(Gone)))
    }

    pub(crate) fn finish_items(&self, id: u64, outcome: Result<(), RpcError>) {
        self.write(|calls, out| calls.finish_items(id, outcome, out));
    }

    /// Lets a handler write; none once the substream is gone. The first who writes wakes the connection's task.
    fn write<T>(&self, work: impl FnOnce(&mut Callee, &mut BytesMut) -> T) -> Option<T> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.closed {
            return None;
        }
        let idle = state.out.is_empty();
        let done = work(&mut state.calls, &mut state.out);
        let wake = idle && !state.out.is_empty();
        drop(guard);
        if wake {
            self.waker.wake();
        }
        Some(done)
    }

    pub(crate) fn take(&self, spare: BytesMut) -> BytesMut {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.calls.pump(&mut state.out, HIGH_WATER);
        batch(&mut state.out, spare, state.calls.len())
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.calls.close();
    }
}

/// What has been written so far. While much is under way, the buffer of the last batch takes the next: one that is new grows
/// step by step, and each step copies all that is in it. Little under way is no reason to keep one.
fn batch(out: &mut BytesMut, spare: BytesMut, under_way: usize) -> BytesMut {
    let keep = under_way >= COALESCE_AT && spare.capacity() <= KEEP_CAPACITY;
    let spare = if keep { spare } else { BytesMut::new() };
    if !out.is_empty() {
        return std::mem::replace(out, spare);
    }
    if under_way < COALESCE_AT || out.capacity() < spare.capacity() {
        *out = spare;
    }
    BytesMut::new()
}
