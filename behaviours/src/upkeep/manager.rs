//! Applies the limits, keeps what is held, and finds the addresses of a peer.

use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Instant,
};

use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
    behaviour::{ConnectionEstablished, DialFailure},
};

use super::{
    address::is_relayed,
    book::Book,
    hold::{Handler, Holds},
    state::State,
};

/// Stands first among the parts of upkeep, so that what it refuses costs nothing else.
#[derive(Debug)]
pub struct Manager {
    pub(super) state: State,
    pub(super) book: Book,
    pub(super) holds: Holds,
}

impl Manager {
    fn established(&mut self, event: &ConnectionEstablished<'_>) {
        let inbound = event.endpoint.is_listener();
        self.state.opened(event.connection_id, event.peer_id, inbound, event.endpoint.is_relayed());
        for addr in event.failed_addresses {
            self.book.failed(&event.peer_id, addr);
        }
        if event.endpoint.is_dialer() {
            self.book.worked(event.peer_id, event.endpoint.get_remote_address(), Instant::now());
        }
    }

    fn dial_failed(&mut self, event: &DialFailure<'_>) {
        self.state.failed(event.connection_id);
        let Some(peer) = event.peer_id else { return };
        match event.error {
            DialError::Transport(errors) => errors.iter().for_each(|(addr, _)| self.book.failed(&peer, addr)),
            DialError::WrongPeerId { address, .. } | DialError::LocalPeerId { address } => {
                self.book.remove(&peer, address);
            }
            _ => {}
        }
    }
}

impl NetworkBehaviour for Manager {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.state.accept(connection, remote, Instant::now()).map_err(ConnectionDenied::new)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.state.admit(&peer, true, is_relayed(local)).map_err(ConnectionDenied::new)?;
        Ok(self.holds.handler(&peer, connection))
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.state.dial(connection, peer.as_ref()).map_err(ConnectionDenied::new)?;
        Ok(peer.map(|peer| self.book.candidates(&peer, Instant::now())).unwrap_or_default())
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.state.admit(&peer, false, is_relayed(addr)).map_err(ConnectionDenied::new)?;
        Ok(self.holds.handler(&peer, connection))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.established(&event),
            FromSwarm::ConnectionClosed(event) => self.state.closed(event.connection_id),
            FromSwarm::DialFailure(event) => self.dial_failed(&event),
            FromSwarm::ListenFailure(event) => self.state.failed(event.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        libp2p_core::util::unreachable(event)
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
