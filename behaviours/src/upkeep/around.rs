//! Behaviours around another.

/// `NetworkBehaviour` for `$outer`, whose field 0 is another behaviour: all is left to that one, but each of its
/// handlers becomes a `$handler` through `$wrap`.
macro_rules! around {
    ($outer:ident<B>, $handler:ty, |$this:ident, $inner:ident| $wrap:expr) => {
        impl<B: libp2p_swarm::NetworkBehaviour> libp2p_swarm::NetworkBehaviour for $outer<B> {
            type ConnectionHandler = $handler;
            type ToSwarm = B::ToSwarm;

            fn handle_pending_inbound_connection(
                &mut self,
                connection: libp2p_swarm::ConnectionId,
                local: &libp2p_core::Multiaddr,
                remote: &libp2p_core::Multiaddr,
            ) -> Result<(), libp2p_swarm::ConnectionDenied> {
                self.0.handle_pending_inbound_connection(connection, local, remote)
            }

            fn handle_established_inbound_connection(
                &mut self,
                connection: libp2p_swarm::ConnectionId,
                peer: libp2p_identity::PeerId,
                local: &libp2p_core::Multiaddr,
                remote: &libp2p_core::Multiaddr,
            ) -> Result<Self::ConnectionHandler, libp2p_swarm::ConnectionDenied> {
                let $inner = self.0.handle_established_inbound_connection(connection, peer, local, remote)?;
                let $this = self;
                Ok($wrap)
            }

            fn handle_pending_outbound_connection(
                &mut self,
                connection: libp2p_swarm::ConnectionId,
                peer: Option<libp2p_identity::PeerId>,
                addresses: &[libp2p_core::Multiaddr],
                role: libp2p_core::Endpoint,
            ) -> Result<Vec<libp2p_core::Multiaddr>, libp2p_swarm::ConnectionDenied> {
                self.0.handle_pending_outbound_connection(connection, peer, addresses, role)
            }

            fn handle_established_outbound_connection(
                &mut self,
                connection: libp2p_swarm::ConnectionId,
                peer: libp2p_identity::PeerId,
                addr: &libp2p_core::Multiaddr,
                role: libp2p_core::Endpoint,
                port_use: libp2p_core::transport::PortUse,
            ) -> Result<Self::ConnectionHandler, libp2p_swarm::ConnectionDenied> {
                let $inner = self.0.handle_established_outbound_connection(connection, peer, addr, role, port_use)?;
                let $this = self;
                Ok($wrap)
            }

            fn on_swarm_event(&mut self, event: libp2p_swarm::FromSwarm<'_>) {
                self.0.on_swarm_event(event);
            }

            fn on_connection_handler_event(
                &mut self,
                peer: libp2p_identity::PeerId,
                connection: libp2p_swarm::ConnectionId,
                event: libp2p_swarm::THandlerOutEvent<Self>,
            ) {
                self.0.on_connection_handler_event(peer, connection, event);
            }

            fn poll(
                &mut self,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<libp2p_swarm::ToSwarm<Self::ToSwarm, libp2p_swarm::THandlerInEvent<Self>>> {
                self.0.poll(cx)
            }
        }
    };
}

pub(super) use around;
