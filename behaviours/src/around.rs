//! What a behaviour that is built around another one leaves to it.

use libp2p_swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, InboundUpgradeSend,
    ListenUpgradeError, OutboundUpgradeSend,
};

/// An event of upgrades `J` and `P` as one of `I` and `O`, which give the same: for the handler inside one that wraps its
/// upgrades. None, and a line in the log, for an event that this version does not know.
pub(crate) fn unwrapped<I, O, J, P, A, B>(
    event: ConnectionEvent<'_, J, P, A, B>,
) -> Option<ConnectionEvent<'_, I, O, A, B>>
where
    I: InboundUpgradeSend,
    O: OutboundUpgradeSend,
    J: InboundUpgradeSend<Output = I::Output, Error = I::Error>,
    P: OutboundUpgradeSend<Output = O::Output, Error = O::Error>,
{
    use ConnectionEvent as E;
    Some(match event {
        E::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
            E::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
        }
        E::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
            E::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
        }
        E::AddressChange(change) => E::AddressChange(change),
        E::DialUpgradeError(DialUpgradeError { info, error }) => E::DialUpgradeError(DialUpgradeError { info, error }),
        E::ListenUpgradeError(ListenUpgradeError { info, error }) => {
            E::ListenUpgradeError(ListenUpgradeError { info, error })
        }
        E::LocalProtocolsChange(change) => E::LocalProtocolsChange(change),
        E::RemoteProtocolsChange(change) => E::RemoteProtocolsChange(change),
        other => {
            // Its payload need not be `Debug`.
            tracing::debug!(inbound = other.is_inbound(), "a connection event this version does not know, dropped");
            return None;
        }
    })
}

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
