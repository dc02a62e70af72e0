//! Keeps the handlers of connections off the futures that run them.

use std::{
    ops::{Deref, DerefMut},
    task::{Context, Poll},
};

use libp2p_swarm::{ConnectionHandler, ConnectionHandlerEvent, SubstreamProtocol, THandler, handler::ConnectionEvent};

use super::around::around;

/// A behaviour whose connection handlers lie on the heap.
///
/// The Swarm (0.48) runs each connection in a future that holds its handler several times over, once per state of the
/// future. With the handlers of a dozen protocols that was 22 KiB per connection, moved when it is started; a boxed one
/// is a pointer there. Put it around all behaviours of a Swarm.
#[derive(Debug, Default)]
pub struct Compact<B>(pub B);

impl<B> Deref for Compact<B> {
    type Target = B;

    fn deref(&self) -> &B {
        &self.0
    }
}

impl<B> DerefMut for Compact<B> {
    fn deref_mut(&mut self) -> &mut B {
        &mut self.0
    }
}

around!(Compact<B>, Boxed<THandler<B>>, |_compact, handler| Boxed(Box::new(handler)));

/// The handler of [`Compact`].
#[derive(Debug)]
pub struct Boxed<H>(Box<H>);

impl<H: ConnectionHandler> ConnectionHandler for Boxed<H> {
    type FromBehaviour = H::FromBehaviour;
    type ToBehaviour = H::ToBehaviour;
    type InboundProtocol = H::InboundProtocol;
    type OutboundProtocol = H::OutboundProtocol;
    type InboundOpenInfo = H::InboundOpenInfo;
    type OutboundOpenInfo = H::OutboundOpenInfo;

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol, Self::InboundOpenInfo> {
        self.0.listen_protocol()
    }

    fn connection_keep_alive(&self) -> bool {
        self.0.connection_keep_alive()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, Self::OutboundOpenInfo, Self::ToBehaviour>> {
        self.0.poll(cx)
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
        self.0.on_connection_event(event);
    }
}
