//! Opens links on demand and remembers who has one.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use foldhash::HashMap;
use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, DialError, DialFailure, FromSwarm, NetworkBehaviour,
    NotifyHandler, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    behaviour::ConnectionEstablished,
    dial_opts::{DialOpts, PeerCondition},
};
use tokio::sync::oneshot;

use super::{
    handler::{Command, Handler, Report, Shared},
    link::Link,
};
use crate::{rpc::CallError, upkeep::is_relayed};

/// Calls that wait for one peer's link. More are refused: the peer does not answer fast enough to be worth a longer queue.
const MAX_WAITERS: usize = 512;

/// How calls to a peer travel.
#[derive(Clone)]
pub(crate) enum Route {
    Fast(Arc<Link>),
    Classic,
}

pub(crate) type Waiter = oneshot::Sender<Result<Route, CallError>>;

/// Links by peer, read by every caller, written by the behaviour.
#[derive(Clone, Default)]
pub(crate) struct Links(Arc<RwLock<HashMap<PeerId, Arc<Link>>>>);

impl Links {
    pub(crate) fn get(&self, peer: &PeerId) -> Option<Arc<Link>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(peer).cloned()
    }

    fn insert(&self, link: Arc<Link>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(link.peer, link);
    }

    /// Calls begin on a direct connection from now on; those under way end where they began.
    fn leave_relayed(&self, peer: &PeerId) {
        let mut links = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if links.get(peer).is_some_and(|link| is_relayed(&link.remote)) {
            links.remove(peer);
        }
    }

    fn remove(&self, link: &Arc<Link>) {
        let mut links = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if links.get(&link.peer).is_some_and(|known| Arc::ptr_eq(known, link)) {
            links.remove(&link.peer);
        }
    }

    fn remove_connection(&self, peer: &PeerId, connection: ConnectionId) {
        let mut links = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if links.get(peer).is_some_and(|link| link.connection == connection) {
            links.remove(peer);
        }
    }
}

#[derive(Default)]
struct Peer {
    /// The best one last: direct ones after circuits.
    connections: Vec<ConnectionId>,
    /// The peer has refused the fast road on a connection that still stands.
    classic: bool,
    /// A substream is being opened on this connection.
    opening: Option<ConnectionId>,
    waiters: Vec<Waiter>,
    /// Those who wait began on a connection that was ending; they get one dial of their own.
    dialled_again: bool,
}

pub struct Behaviour {
    shared: Shared,
    links: Links,
    peers: HashMap<PeerId, Peer>,
    events: VecDeque<ToSwarm<Infallible, Command>>,
}

impl Behaviour {
    pub(crate) fn new(shared: Shared, links: Links) -> Self {
        Self { shared, links, peers: HashMap::default(), events: VecDeque::new() }
    }

    /// Tells `waiter` how calls to `peer` travel, once that is known; dials the peer if need be.
    pub(crate) fn open(&mut self, peer: PeerId, waiter: Waiter) {
        if let Some(link) = self.links.get(&peer).filter(|link| !link.is_closed()) {
            let _ = waiter.send(Ok(Route::Fast(link)));
            return;
        }
        let known = self.peers.entry(peer).or_default();
        if known.classic && !known.connections.is_empty() {
            let _ = waiter.send(Ok(Route::Classic));
            return;
        }
        known.waiters.retain(|w| !w.is_closed());
        if known.waiters.len() >= MAX_WAITERS {
            let _ = waiter.send(Err(CallError::Busy { limit: MAX_WAITERS }));
            return;
        }
        known.waiters.push(waiter);
        if known.connections.is_empty() {
            self.dial(peer);
        } else {
            self.request(peer);
        }
    }

    fn dial(&mut self, peer: PeerId) {
        let opts = DialOpts::peer_id(peer).condition(PeerCondition::DisconnectedAndNotDialing).build();
        self.events.push_back(ToSwarm::Dial { opts });
    }

    /// Asks a connection's handler for the substream, or takes the classic road where the fast one is off.
    fn request(&mut self, peer: PeerId) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        if !self.shared.config.fast {
            known.classic = true;
            return self.settle(peer, &Ok(Route::Classic));
        }
        if known.opening.is_some() || known.waiters.is_empty() {
            return;
        }
        let Some(connection) = known.connections.last().copied() else { return };
        known.opening = Some(connection);
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id: peer,
            handler: NotifyHandler::One(connection),
            event: Command::Open,
        });
    }

    fn settle(&mut self, peer: PeerId, outcome: &Result<Route, CallError>) {
        let Some(known) = self.peers.get_mut(&peer) else { return };
        (known.opening, known.dialled_again) = (None, false);
        for waiter in known.waiters.drain(..) {
            let _ = waiter.send(outcome.clone());
        }
        if known.connections.is_empty() {
            self.peers.remove(&peer);
        }
    }

    fn closed(&mut self, event: &ConnectionClosed<'_>) {
        let (peer, connection) = (event.peer_id, event.connection_id);
        self.links.remove_connection(&peer, connection);
        let Some(known) = self.peers.get_mut(&peer) else { return };
        known.connections.retain(|c| *c != connection);
        let was_opening = known.opening == Some(connection);
        if was_opening {
            known.opening = None;
        }
        if known.connections.is_empty() {
            known.classic = false;
            known.waiters.retain(|waiter| !waiter.is_closed());
            // A call right after another was cut off meets the same connection, which is ending: nothing was sent yet.
            if !known.waiters.is_empty() && !std::mem::replace(&mut known.dialled_again, true) {
                return self.dial(peer);
            }
            self.settle(peer, &Err(CallError::Unreachable { reason: "the connection ended".into() }));
        } else if was_opening {
            self.request(peer);
        }
    }

    fn dial_failed(&mut self, event: &DialFailure<'_>) {
        let Some(peer) = event.peer_id else { return };
        // The condition of our own dial was not met: a dial by somebody else is under way, and its end will reach us.
        if matches!(event.error, DialError::DialPeerConditionFalse(_)) {
            return;
        }
        if self.peers.get(&peer).is_some_and(|known| known.connections.is_empty()) {
            self.settle(peer, &Err(CallError::Unreachable { reason: describe_dial_error(event.error) }));
        }
    }
}

/// A dial error for people: per address the innermost cause, not its wrapping.
pub fn describe_dial_error(error: &DialError) -> String {
    match error {
        DialError::NoAddresses => "no address of it is known".into(),
        DialError::Transport(errors) => {
            let parts: Vec<String> = errors.iter().map(|(addr, e)| format!("{addr}: {}", root(e))).collect();
            parts.join("; ")
        }
        other => root(other),
    }
}

fn root(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, connection, remote.clone(), self.shared.clone()))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new(peer, connection, addr.clone(), self.shared.clone()))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { peer_id, connection_id, endpoint, .. }) => {
                let connections = &mut self.peers.entry(peer_id).or_default().connections;
                if endpoint.is_relayed() {
                    connections.insert(0, connection_id);
                } else {
                    connections.push(connection_id);
                    self.links.leave_relayed(&peer_id);
                }
                self.request(peer_id);
            }
            FromSwarm::ConnectionClosed(event) => self.closed(&event),
            FromSwarm::DialFailure(event) => self.dial_failed(&event),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, report: THandlerOutEvent<Self>) {
        match report {
            Report::Opened(link) => {
                self.links.insert(link.clone());
                self.settle(peer, &Ok(Route::Fast(link)));
            }
            Report::Unsupported => {
                if let Some(known) = self.peers.get_mut(&peer) {
                    known.classic = true;
                }
                self.settle(peer, &Ok(Route::Classic));
            }
            Report::Failed(reason) => {
                tracing::debug!(%peer, ?connection, reason, "no RPC substream");
                self.settle(peer, &Err(CallError::Unreachable { reason }));
            }
            Report::Closed(link) => self.links.remove(&link),
        }
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.events.pop_front() {
            Some(event) => Poll::Ready(event),
            None => Poll::Pending,
        }
    }
}
