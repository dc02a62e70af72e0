//! What a substream shares with those who call over it ([`Link`]) and those who answer ([`Inbound`]).
//!
//! Callers write their frames straight into the link's buffer, under a lock held for one frame, and wake the
//! connection's task once per batch; the task takes the whole buffer at once. Nobody waits for anybody.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
    super::{CallError, Config, Incoming, Request, Responder, Road, Service, codec::Budget},
    state::{Callee, Caller, Violation},
};

/// Bytes of large bodies that may wait in a link's buffer; small frames add to it, bounded by the calls in flight.
const HIGH_WATER: usize = 128 * 1024;

/// An emptied buffer larger than this is not kept.
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

struct Calling {
    out: BytesMut,
    calls: Caller<oneshot::Sender<Answer>>,
    closed: Option<String>,
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
        let state = Calling { out: BytesMut::new(), calls: Caller::new(config, budget), closed: None };
        Arc::new(Self { peer, connection, remote, state: Mutex::new(state), waker: AtomicWaker::new() })
    }

    /// Puts a call on the wire. The id cancels it.
    pub(crate) fn start(
        &self,
        request: Request,
        deadline: Instant,
    ) -> Result<(u64, oneshot::Receiver<Answer>), CallError> {
        let (sender, receiver) = oneshot::channel();
        let now = Instant::now();
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if let Some(reason) = &state.closed {
            return Err(CallError::Unreachable { reason: reason.clone() });
        }
        let idle = state.out.is_empty();
        let id = state.calls.start(sender, request, deadline, now, &mut state.out).map_err(|(_, error)| error)?;
        drop(guard);
        if idle {
            self.waker.wake();
        }
        Ok((id, receiver))
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
        lock(&self.state).closed.is_some()
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
        if let Some((token, outcome)) = ended {
            // The caller may have stopped waiting in this very moment.
            let _ = token.send(outcome);
        }
        Ok(())
    }

    /// What is to be written next, and when [`Link::expire`] is due.
    pub(crate) fn take(&self, spare: BytesMut) -> (BytesMut, Option<Instant>) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.calls.pump(&mut state.out, HIGH_WATER);
        (std::mem::replace(&mut state.out, recycle(spare)), state.calls.earliest())
    }

    pub(crate) fn expire(&self, now: Instant) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let late = state.calls.expire(now, &mut state.out);
        drop(guard);
        for token in late {
            let _ = token.send(Err(CallError::TimedOut { sent: true }));
        }
    }

    /// The substream is gone; calls under way may have run.
    pub(crate) fn close(&self, reason: &str) {
        let mut guard = lock(&self.state);
        if guard.closed.is_none() {
            guard.closed = Some(reason.to_owned());
        }
        let lost = guard.calls.close();
        drop(guard);
        for token in lost {
            let _ = token.send(Err(CallError::Lost { reason: reason.to_owned() }));
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

    /// A frame from the caller; a whole request goes to `service`.
    pub(crate) fn receive(
        self: &Arc<Self>,
        message: Message,
        service: &dyn Service,
        counters: &Counters,
    ) -> Result<(), Violation> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let arrived = state.calls.receive(message, &mut state.out)?;
        drop(guard);
        let Some(arrived) = arrived else { return Ok(()) };
        counters.fast_served.fetch_add(1, Ordering::Relaxed);
        service.serve(Incoming {
            peer: self.peer,
            remote: self.remote.clone(),
            road: Road::Fast,
            deadline: Instant::now() + arrived.request.timeout,
            request: arrived.request,
            cancelled: arrived.cancelled,
            reply: Responder::fast(self.clone(), arrived.id),
        });
        Ok(())
    }

    pub(crate) fn finish(&self, id: u64, outcome: Result<Bytes, RpcError>) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        if state.closed {
            return;
        }
        let idle = state.out.is_empty();
        state.calls.finish(id, outcome, &mut state.out);
        drop(guard);
        if idle {
            self.waker.wake();
        }
    }

    pub(crate) fn take(&self, spare: BytesMut) -> BytesMut {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.calls.pump(&mut state.out, HIGH_WATER);
        std::mem::replace(&mut state.out, recycle(spare))
    }

    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closed = true;
        state.calls.close();
    }
}

fn recycle(spare: BytesMut) -> BytesMut {
    if spare.capacity() > KEEP_CAPACITY { BytesMut::new() } else { spare }
}
