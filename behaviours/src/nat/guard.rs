//! Lets a behaviour that dials what peers tell it dial public addresses only.

use std::{
    collections::HashSet,
    task::{Context, Poll},
};

use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::{ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandlerInEvent, ToSwarm};

use crate::{around::handlers_of, upkeep::is_public};

/// A behaviour whose dials go to public addresses only.
///
/// A peer behind a relay names the addresses to punch a hole to, and the client of AutoNAT those to try: either could
/// name a machine next to us.
#[derive(Debug)]
pub struct Guard<B> {
    inner: B,
    /// Its dials under way, as many as the Swarm has.
    dials: HashSet<ConnectionId>,
}

/// Why such a dial is refused.
#[derive(Debug, thiserror::Error)]
#[error("{0} is no public address, and was told by the peer itself")]
struct NotPublic(Multiaddr);

impl<B> Guard<B> {
    pub(super) fn new(inner: B) -> Self {
        Self { inner, dials: HashSet::new() }
    }

    /// Whether it began this dial.
    pub(super) fn dials(&self, connection: &ConnectionId) -> bool {
        self.dials.contains(connection)
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Guard<B> {
    type ConnectionHandler = B::ConnectionHandler;
    type ToSwarm = B::ToSwarm;

    handlers_of!(inner);

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        if self.dials.contains(&connection)
            && let Some(addr) = addresses.iter().find(|addr| !is_public(addr))
        {
            return Err(ConnectionDenied::new(NotPublic(addr.clone())));
        }
        self.inner.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match &event {
            FromSwarm::ConnectionEstablished(event) => drop(self.dials.remove(&event.connection_id)),
            FromSwarm::DialFailure(event) => drop(self.dials.remove(&event.connection_id)),
            _ => {}
        }
        self.inner.on_swarm_event(event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        let polled = self.inner.poll(cx);
        if let Poll::Ready(ToSwarm::Dial { opts }) = &polled {
            self.dials.insert(opts.connection_id());
        }
        polled
    }
}
