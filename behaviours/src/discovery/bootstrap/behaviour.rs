use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    task::{Context, Poll},
    time::Instant,
};

use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionError, ConnectionId, DialError, DialFailure, FromSwarm, NetworkBehaviour, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm, dial_opts::DialOpts, dummy,
};

use super::state::State;
use crate::{alarm::Alarm, upkeep::PeerClosed};

/// How a dial of a configured address ended.
#[derive(Debug)]
pub enum Outcome {
    Reached { addr: Multiaddr, peer: PeerId },
    Failed { addr: Multiaddr, failures: u32, reason: String },
}

/// Dials configured addresses.
#[derive(Debug, Default)]
pub struct Behaviour {
    state: State,
    /// At most one per configured address.
    dials: HashMap<ConnectionId, usize>,
    events: VecDeque<ToSwarm<Outcome, Infallible>>,
    alarm: Alarm,
}

impl Behaviour {
    pub(crate) fn new(addresses: Vec<Multiaddr>) -> Self {
        let mut behaviour = Self::default();
        for addr in addresses {
            if !behaviour.add(addr.clone()) {
                tracing::warn!(%addr, "more bootstrap addresses than are used");
            }
        }
        behaviour
    }

    pub(crate) fn add(&mut self, addr: Multiaddr) -> bool {
        self.state.add(addr, Instant::now())
    }

    pub(crate) fn members(&mut self, count: usize) {
        self.state.members(count, Instant::now());
    }

    pub(crate) fn addresses(&self) -> impl Iterator<Item = (&Multiaddr, bool)> {
        self.state.addresses()
    }

    fn dial_failed(&mut self, event: &DialFailure<'_>) {
        let Some(index) = self.dials.remove(&event.connection_id) else { return };
        let now = Instant::now();
        if let (DialError::Denied { .. }, Some(peer)) = (event.error, event.peer_id)
            && self.state.answered(index, peer, now)
        {
            return;
        }
        // The swarm strikes out its own listen addresses; a dial of nothing else has none left.
        let itself = matches!(event.error, DialError::LocalPeerId { .. } | DialError::NoAddresses);
        let failed = self.state.failed(index, itself, now, &mut rand::rng());
        if let Some((addr, failures)) = failed {
            let (addr, reason) = (addr.clone(), crate::upkeep::describe(event.error));
            self.events.push_back(ToSwarm::GenerateEvent(Outcome::Failed { addr, failures, reason }));
        }
    }

    fn connected(&mut self, connection: ConnectionId, peer: PeerId) {
        let dial = self.dials.remove(&connection);
        if let Some(addr) = self.state.connected(peer, dial, Instant::now()) {
            let addr = addr.clone();
            self.events.push_back(ToSwarm::GenerateEvent(Outcome::Reached { addr, peer }));
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Outcome;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.connected(event.connection_id, event.peer_id),
            FromSwarm::ConnectionClosed(event) if event.remaining_established == 0 => {
                let idle = match event.cause {
                    Some(ConnectionError::KeepAliveTimeout) => true,
                    Some(ConnectionError::IO(error)) => PeerClosed::caused(error),
                    None => false,
                };
                self.state.disconnected(&event.peer_id, idle, Instant::now(), &mut rand::rng());
            }
            FromSwarm::DialFailure(event) => self.dial_failed(&event),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        libp2p_core::util::unreachable(event)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        let now = Instant::now();
        if let Some(dial) = self.state.next(now) {
            let opts = DialOpts::unknown_peer_id().address(dial.addr).build();
            self.dials.insert(opts.connection_id(), dial.index);
            return Poll::Ready(ToSwarm::Dial { opts });
        }
        if self.alarm.is_due(self.state.wake_at(), cx) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

#[cfg(test)]
#[path = "behaviour_tests.rs"]
mod tests;
