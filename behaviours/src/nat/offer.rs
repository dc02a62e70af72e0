//! Offers a service to members only: others are not even told that it is there.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    iter::Flatten,
    option,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures::{
    future::{Either, Pending, pending},
    task::AtomicWaker,
};
use libp2p_core::{
    Endpoint, Multiaddr,
    transport::PortUse,
    upgrade::{InboundUpgrade, UpgradeInfo},
};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, Stream,
    SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    handler::{ConnectionEvent, InboundUpgradeSend, UpgradeInfoSend},
};

use crate::{around::unwrapped, upkeep::is_relayed};

/// Members known here: as many as upkeep knows.
const MAX_MEMBERS: usize = 4_096;

/// Doors of connections that are gone are swept when there are more than this many. The Swarm has fewer connections.
const SWEEP_AT: usize = 512;

/// Who is a member. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Members(Arc<Mutex<HashSet<PeerId>>>);

impl Members {
    /// False if it was known, or there are too many.
    pub(super) fn add(&self, peer: PeerId) -> bool {
        let mut members = self.lock();
        members.len() < MAX_MEMBERS && members.insert(peer)
    }

    pub(super) fn contains(&self, peer: &PeerId) -> bool {
        self.lock().contains(peer)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<PeerId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the service is offered on one connection.
#[derive(Debug, Default)]
struct Door {
    open: AtomicBool,
    /// The connection's task looks again at what it offers.
    waker: AtomicWaker,
}

impl Door {
    fn set(&self, open: bool) {
        if self.open.swap(open, Ordering::Relaxed) != open {
            self.waker.wake();
        }
    }
}

/// A behaviour whose protocol is offered on direct connections with members, and only while it is on.
///
/// A member is known a moment after the connection: identify then tells it what is new. A stranger does not learn that
/// there is a service, and cannot begin to use it.
pub struct Offer<B> {
    inner: B,
    on: bool,
    members: Members,
    doors: HashMap<ConnectionId, (PeerId, Weak<Door>)>,
}

impl<B: fmt::Debug> fmt::Debug for Offer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Offer").field(&self.inner).finish()
    }
}

impl<B: NetworkBehaviour> Offer<B> {
    pub(super) fn new(inner: B, members: Members, on: bool) -> Self {
        Self { inner, on, members, doors: HashMap::new() }
    }

    /// Offers it, or no more.
    pub(super) fn set(&mut self, on: bool) {
        if self.on != on {
            self.on = on;
            self.look();
        }
    }

    /// Opens the doors of members.
    pub(super) fn look(&mut self) {
        for (peer, door) in self.doors.values() {
            if let Some(door) = door.upgrade() {
                door.set(self.on && self.members.contains(peer));
            }
        }
    }

    fn handler(&mut self, connection: ConnectionId, peer: PeerId, relayed: bool, inner: THandler<B>) -> THandler<Self> {
        if self.doors.len() >= SWEEP_AT {
            self.doors.retain(|_, (_, door)| door.strong_count() > 0);
        }
        let door = Arc::new(Door::default());
        door.set(!relayed && self.on && self.members.contains(&peer));
        if !relayed {
            self.doors.insert(connection, (peer, Arc::downgrade(&door)));
        }
        Handler { inner, door }
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Offer<B> {
    type ConnectionHandler = Handler<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.inner.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self.inner.handle_established_inbound_connection(connection, peer, local, remote)?;
        Ok(self.handler(connection, peer, is_relayed(local), handler))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let handler = self.inner.handle_established_outbound_connection(connection, peer, addr, role, port_use)?;
        Ok(self.handler(connection, peer, is_relayed(addr), handler))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::ConnectionClosed(event) = &event {
            self.doors.remove(&event.connection_id);
        }
        self.inner.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.inner.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.inner.poll(cx)
    }
}

/// The handler of [`Offer`].
#[derive(Debug)]
pub struct Handler<H> {
    inner: H,
    door: Arc<Door>,
}

impl<H> Handler<H> {
    fn is_open(&self) -> bool {
        self.door.open.load(Ordering::Relaxed)
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Handler<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Offered<H::InboundProtocol>;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        let open = self.is_open();
        self.inner.listen_protocol().map_upgrade(|upgrade| Offered(open.then_some(upgrade)))
    }

    /// A service keeps no connection that it does not serve.
    fn connection_keep_alive(&self) -> bool {
        self.is_open() && self.inner.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.door.waker.register(cx.waker());
        self.inner.poll(cx)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.inner.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.inner.on_behaviour_event(event);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<
            '_,
            Self::InboundProtocol,
            Self::OutboundProtocol,
            Self::InboundOpenInfo,
            Self::OutboundOpenInfo,
        >,
    ) {
        if let Some(event) = unwrapped(event) {
            self.inner.on_connection_event(event);
        }
    }
}

/// An upgrade with a protocol, or with none.
#[derive(Debug)]
pub struct Offered<U>(Option<U>);

impl<U: UpgradeInfoSend> UpgradeInfo for Offered<U> {
    type Info = U::Info;
    type InfoIter = Flatten<option::IntoIter<U::InfoIter>>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.as_ref().map(UpgradeInfoSend::protocol_info).into_iter().flatten()
    }
}

impl<U: InboundUpgradeSend> InboundUpgrade<Stream> for Offered<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = Either<U::Future, Pending<Result<U::Output, U::Error>>>;

    fn upgrade_inbound(self, stream: Stream, info: U::Info) -> Self::Future {
        match self.0 {
            Some(upgrade) => Either::Left(upgrade.upgrade_inbound(stream, info)),
            // Nothing was offered, so nothing can have been agreed on.
            None => Either::Right(pending()),
        }
    }
}
