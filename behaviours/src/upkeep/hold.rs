//! Keeps connections alive while somebody needs them.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p_core::upgrade::DeniedUpgrade;
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, ConnectionId, SubstreamProtocol, handler::ConnectionEvent,
};

/// Entries without a guard are swept when there are more than this many. Guards are bounded by what the program does.
const SWEEP_AT: usize = 1_024;

#[derive(Debug, Default)]
struct Needs {
    guards: usize,
    until: Option<Instant>,
    /// The tasks of this peer's connections, told when the last guard goes. At most as many as connections per peer.
    wakers: HashMap<ConnectionId, Waker>,
}

/// The needs of one peer's connections.
#[derive(Debug, Default)]
struct Peer(Mutex<Needs>);

impl Peer {
    fn lock(&self) -> MutexGuard<'_, Needs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        let wakers: Vec<Waker> = self.lock().wakers.values().cloned().collect();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Who is held. Cheap to clone; may be used outside the swarm's task.
#[derive(Clone, Default)]
pub struct Holds(Arc<Mutex<HashMap<PeerId, Arc<Peer>>>>);

impl fmt::Debug for Holds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Holds")
    }
}

impl Holds {
    /// Keeps the connections with `peer`, present and future, until the guard is dropped.
    pub fn hold(&self, peer: &PeerId) -> Hold {
        let peer = self.peer(peer);
        peer.lock().guards += 1;
        Hold(peer)
    }

    /// Keeps the connections with `peer` for at least `time` from now.
    pub fn keep(&self, peer: &PeerId, time: Duration) {
        let peer = self.peer(peer);
        let until = Instant::now() + time;
        {
            let mut needs = peer.lock();
            needs.until = needs.until.max(Some(until));
        }
        peer.wake();
    }

    /// Drops the time given by [`Self::keep`]: the peer has left, or is no member any more.
    pub fn release(&self, peer: &PeerId) {
        let peer = self.peer(peer);
        peer.lock().until = None;
        peer.wake();
    }

    pub(super) fn handler(&self, peer: &PeerId, connection: ConnectionId) -> Handler {
        Handler { peer: self.peer(peer), connection, timer: None }
    }

    fn peer(&self, peer: &PeerId) -> Arc<Peer> {
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= SWEEP_AT {
            let now = Instant::now();
            peers.retain(|_, known| Arc::strong_count(known) > 1 || known.lock().until.is_some_and(|at| at > now));
        }
        peers.entry(*peer).or_default().clone()
    }
}

/// Keeps the connections with one peer while it lives.
#[must_use = "dropping it lets the connections close"]
pub struct Hold(Arc<Peer>);

impl fmt::Debug for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hold")
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        self.0.lock().guards += 1;
        Self(self.0.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let left = {
            let mut needs = self.0.lock();
            needs.guards = needs.guards.saturating_sub(1);
            needs.guards
        };
        if left == 0 {
            self.0.wake();
        }
    }
}

/// Answers whether a connection is held.
pub struct Handler {
    peer: Arc<Peer>,
    connection: ConnectionId,
    /// Fires when the time given by `keep` is over, so that the idle timer starts then.
    timer: Option<(Instant, Delay)>,
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hold::Handler")
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        self.peer.lock().wakers.remove(&self.connection);
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = DeniedUpgrade;
    type OutboundProtocol = DeniedUpgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<DeniedUpgrade> {
        SubstreamProtocol::new(DeniedUpgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        let needs = self.peer.lock();
        needs.guards > 0 || needs.until.is_some_and(|until| until > Instant::now())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionHandlerEvent<DeniedUpgrade, (), Infallible>> {
        let until = {
            let mut needs = self.peer.lock();
            needs.wakers.insert(self.connection, cx.waker().clone());
            needs.until
        };
        self.arm(until);
        if let Some((_, delay)) = self.timer.as_mut()
            && delay.poll_unpin(cx).is_ready()
        {
            self.timer = None;
        }
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, event: Infallible) {
        libp2p_core::util::unreachable(event)
    }

    fn on_connection_event(&mut self, _: ConnectionEvent<'_, DeniedUpgrade, DeniedUpgrade, (), ()>) {}
}

impl Handler {
    fn arm(&mut self, until: Option<Instant>) {
        let Some(until) = until else { return };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || self.timer.as_ref().is_some_and(|(at, _)| *at == until) {
            return;
        }
        self.timer = Some((until, Delay::new(left)));
    }
}
