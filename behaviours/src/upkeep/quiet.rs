//! Lets idle connections close although a protocol keeps substreams open on them.

use std::{
    fmt,
    ops::{Deref, DerefMut},
    task::{Context, Poll},
};

use futures::future::{MapOk, TryFutureExt};
use libp2p_core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, NetworkBehaviour, Stream, SubstreamProtocol, THandler,
    handler::{ConnectionEvent, InboundUpgradeSend, OutboundUpgradeSend, UpgradeInfoSend},
};

use super::around::around;
use crate::around::unwrapped;

/// A behaviour whose substreams do not keep connections alive.
///
/// gossipsub opens one substream per peer and direction for ever and does not call `Stream::ignore_for_keep_alive`, so
/// that any two peers of a swarm that once met stay connected: every swarm becomes a full mesh. Inside `Quiet` only
/// what the inner handler itself asks for (`connection_keep_alive`, in gossipsub: "is in the mesh") counts.
pub struct Quiet<B: NetworkBehaviour>(B, Shape<THandler<B>>);

type Inbound<H> = <<H as ConnectionHandler>::InboundProtocol as InboundUpgradeSend>::Output;
type Outbound<H> = <<H as ConnectionHandler>::OutboundProtocol as OutboundUpgradeSend>::Output;

/// What is done with a substream once its protocol is agreed on.
struct Shape<H: ConnectionHandler> {
    inbound: fn(Inbound<H>) -> Inbound<H>,
    outbound: fn(Outbound<H>) -> Outbound<H>,
}

impl<H: ConnectionHandler> Clone for Shape<H> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<H: ConnectionHandler> Copy for Shape<H> {}

impl<B: NetworkBehaviour> Quiet<B> {
    /// Wraps `inner`.
    pub fn new(inner: B) -> Self {
        Self::shaping(inner, |stream| stream, |stream| stream)
    }

    /// Wraps `inner`, and changes each substream once its protocol is agreed on, before `inner` gets it.
    pub fn shaping(
        inner: B,
        inbound: fn(Inbound<THandler<B>>) -> Inbound<THandler<B>>,
        outbound: fn(Outbound<THandler<B>>) -> Outbound<THandler<B>>,
    ) -> Self {
        Self(inner, Shape { inbound, outbound })
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

impl<B: NetworkBehaviour + fmt::Debug> fmt::Debug for Quiet<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Quiet").field(&self.0).finish()
    }
}

impl<B: NetworkBehaviour> Deref for Quiet<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

impl<B: NetworkBehaviour> DerefMut for Quiet<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.0
    }
}

around!(Quiet<B>, Handler<THandler<B>>, |quiet, handler| Handler(handler, quiet.1));

/// The handler of [`Quiet`].
pub struct Handler<H: ConnectionHandler>(H, Shape<H>);

impl<H: ConnectionHandler + fmt::Debug> fmt::Debug for Handler<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handler").field(&self.0).finish()
    }
}

impl<H: ConnectionHandler> ConnectionHandler for Handler<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = Hushed<H::InboundProtocol, Inbound<H>>;
    type OutboundProtocol = Hushed<H::OutboundProtocol, Outbound<H>>;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        let shape = self.1.inbound;
        self.0.listen_protocol().map_upgrade(|upgrade| Hushed { upgrade, shape })
    }

    fn connection_keep_alive(&self) -> bool {
        self.0.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        let shape = self.1.outbound;
        self.0.poll(cx).map(|event| event.map_protocol(|upgrade| Hushed { upgrade, shape }))
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
        if let Some(event) = unwrapped(event) {
            self.0.on_connection_event(event);
        }
    }
}

/// An upgrade that first tells its substream not to count for keep-alive.
pub struct Hushed<U, O> {
    upgrade: U,
    shape: fn(O) -> O,
}

impl<U: fmt::Debug, O> fmt::Debug for Hushed<U, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hushed").field(&self.upgrade).finish()
    }
}

impl<U: UpgradeInfoSend, O> UpgradeInfo for Hushed<U, O> {
    type Info = U::Info;
    type InfoIter = U::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.upgrade.protocol_info()
    }
}

impl<U: InboundUpgradeSend<Output = O>, O> InboundUpgrade<Stream> for Hushed<U, O> {
    type Output = O;
    type Error = U::Error;
    type Future = MapOk<U::Future, fn(O) -> O>;

    fn upgrade_inbound(self, mut stream: Stream, info: U::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.upgrade.upgrade_inbound(stream, info).map_ok(self.shape)
    }
}

impl<U: OutboundUpgradeSend<Output = O>, O> OutboundUpgrade<Stream> for Hushed<U, O> {
    type Output = O;
    type Error = U::Error;
    type Future = MapOk<U::Future, fn(O) -> O>;

    fn upgrade_outbound(self, mut stream: Stream, info: U::Info) -> Self::Future {
        stream.ignore_for_keep_alive();
        self.upgrade.upgrade_outbound(stream, info).map_ok(self.shape)
    }
}

#[cfg(test)]
#[path = "quiet_tests.rs"]
mod tests;
