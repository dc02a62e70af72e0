//! Lets idle connections close although a protocol keeps substreams open on them.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    task::{Context, Poll},
};

use libp2p_core::{
    Endpoint, Multiaddr,
    transport::PortUse,
    upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo},
};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm, NetworkBehaviour, Stream,
    SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
    handler::{
        ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound, InboundUpgradeSend,
        ListenUpgradeError, OutboundUpgradeSend, UpgradeInfoSend,
    },
};

/// A behaviour whose substreams do not keep connections alive.
///
/// gossipsub opens one substream per peer and direction for ever and does not call `Stream::ignore_for_keep_alive`, so
/// that any two peers of a swarm that once met stay connected: every swarm becomes a full mesh. Inside `Quiet` only
/// what the inner handler itself asks for (`connection_keep_alive`, in gossipsub: "is in the mesh") counts.
#[derive(Debug, Default)]
pub struct Quiet<B>(B);

impl<B> Quiet<B> {
    /// Wraps `inner`.
    pub fn new(inner: B) -> Self {
        Self(inner)
    }

    /// The wrapped behaviour.
    pub fn inner(&self) -> &B {
        &self.0
    }

    /// The wrapped behaviour.
    pub fn inner_mut(&mut self) -> &mut B {
        &mut self.0
    }
}

impl<B> Deref for Quiet<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

impl<B> DerefMut for Quiet<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.0
    }
}

impl<B: NetworkBehaviour> NetworkBehaviour for Quiet<B> {
    type ConnectionHandler = Handler<THandler<B>>;
    type ToSwarm = B::ToSwarm;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.0.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0.handle_established_inbound_connection(connection, peer, local, remote).map(Handler)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.0.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        addr: &Multiaddr,
        role: Endpoint,
        port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.0.handle_established_outbound_connection(connection, peer, addr, role, port_use).map(Handler)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.0.on_swarm_event(event);
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, event: THandlerOutEvent<Self>) {
        self.0.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.0.poll(cx)
    }
}

/// The handler of [`Quiet`].
#[derive(Debug)]
pub struct Handler<H>(H);

impl<H: ConnectionHandler> ConnectionHandler for Handler<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Hushed<H::InboundProtocol>;
    type OutboundProtocol = Hushed<H::OutboundProtocol>;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.0.listen_protocol().map_upgrade(Hushed)
    }

    fn connection_keep_alive(&self) -> bool {
        self.0.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.0.poll(cx).map(|event| event.map_protocol(Hushed))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<Option<Self::ToBehaviour>> {
        self.0.poll_close(cx)
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        self.0.on_behaviour_event(event);
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
        use ConnectionEvent as E;
        self.0.on_connection_event(match event {
            E::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info }) => {
                E::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol, info })
            }
            E::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info }) => {
                E::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol, info })
            }
            E::AddressChange(change) => E::AddressChange(change),
            E::DialUpgradeError(DialUpgradeError { info, error }) => {
                E::DialUpgradeError(DialUpgradeError { info, error })
            }
            E::ListenUpgradeError(ListenUpgradeError { info, error }) => {
                E::ListenUpgradeError(ListenUpgradeError { info, error })
            }
            E::LocalProtocolsChange(change) => E::LocalProtocolsChange(change),
            E::RemoteProtocolsChange(change) => E::RemoteProtocolsChange(change),
            other => {
                tracing::debug!(event = %Unknown(&other), "a connection event this version does not know, dropped");
                return;
            }
        });
    }
}

/// Says only the direction of an event: its payload need not be `Debug`.
struct Unknown<'a, 'b, I: InboundUpgradeSend, O: OutboundUpgradeSend, A, B>(&'a ConnectionEvent<'b, I, O, A, B>);

impl<I: InboundUpgradeSend, O: OutboundUpgradeSend, A, B> fmt::Display for Unknown<'_, '_, I, O, A, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_inbound() { "inbound" } else { "other" })
    }
}

/// An upgrade that first tells its substream not to count for keep-alive.
#[derive(Debug)]
pub struct Hushed<U>(U);

impl<U: UpgradeInfoSend> UpgradeInfo for Hushed<U> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.protocol_info()
    }
}

impl<U: InboundUpgradeSend> InboundUpgrade<Stream> for Hushed<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_inbound(self, mut stream: Stream, info: U::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.0.upgrade_inbound(stream, info)
    }
}

impl<U: OutboundUpgradeSend> OutboundUpgrade<Stream> for Hushed<U> {
    type Output = U::Output;
    type Error = U::Error;
    type Future = U::Future;

    fn upgrade_outbound(self, mut stream: Stream, info: U::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.0.upgrade_outbound(stream, info)
    }
}

#[cfg(test)]
#[path = "quiet_tests.rs"]
mod tests;
