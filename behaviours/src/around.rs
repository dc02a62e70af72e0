//! What a behaviour that is built around another one leaves to it.

/// In `impl NetworkBehaviour`: connections have the handlers of the behaviour in this field, and what these say is for it.
macro_rules! handlers_of {
    ($inner:ident) => {
        fn handle_established_inbound_connection(
            &mut self,
            connection: ::libp2p_swarm::ConnectionId,
            peer: ::libp2p_identity::PeerId,
            local: &::libp2p_core::Multiaddr,
            remote: &::libp2p_core::Multiaddr,
        ) -> Result<::libp2p_swarm::THandler<Self>, ::libp2p_swarm::ConnectionDenied> {
            self.$inner.handle_established_inbound_connection(connection, peer, local, remote)
        }

        fn handle_established_outbound_connection(
            &mut self,
            connection: ::libp2p_swarm::ConnectionId,
            peer: ::libp2p_identity::PeerId,
            addr: &::libp2p_core::Multiaddr,
            role: ::libp2p_core::Endpoint,
            port_use: ::libp2p_core::transport::PortUse,
        ) -> Result<::libp2p_swarm::THandler<Self>, ::libp2p_swarm::ConnectionDenied> {
            self.$inner.handle_established_outbound_connection(connection, peer, addr, role, port_use)
        }

        fn on_connection_handler_event(
            &mut self,
            peer: ::libp2p_identity::PeerId,
            connection: ::libp2p_swarm::ConnectionId,
            event: ::libp2p_swarm::THandlerOutEvent<Self>,
        ) {
            self.$inner.on_connection_handler_event(peer, connection, event);
        }
    };
}

pub(crate) use handlers_of;
