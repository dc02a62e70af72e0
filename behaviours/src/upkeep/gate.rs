//! Refuses, at the transport, to dial what the address rules refuse.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use futures::future::{MapErr, TryFutureExt};
use libp2p_core::{
    Multiaddr, Transport,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};

use super::address::{AddressRules, Refusal};

/// A transport that dials only what [`AddressRules`] allow.
///
/// Put one directly around each transport that opens sockets, below DNS, where it sees resolved addresses whoever
/// asked for the dial (Kademlia and identify dial what peers told them). Put a second one around the DNS transport:
/// it refuses names the user did not give, and lets a trusted name resolve to an address of this host.
#[derive(Debug, Clone)]
pub struct Gate<T> {
    inner: T,
    rules: AddressRules,
}

impl<T> Gate<T> {
    /// Guards `inner`.
    pub fn new(inner: T, rules: AddressRules) -> Self {
        Self { inner, rules }
    }
}

/// A dial that the rules refused, or an error of the transport.
#[derive(Debug)]
pub enum GateError<E> {
    /// Nothing was sent: the address is one this node does not dial.
    Refused(Refusal),
    /// From the guarded transport.
    Transport(E),
}

impl<E: fmt::Display> fmt::Display for GateError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "not dialled: {refusal}"),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for GateError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Refused(_) => None,
            Self::Transport(error) => error.source(),
        }
    }
}

type Wrapped<F, E> = MapErr<F, fn(E) -> GateError<E>>;

impl<T> Transport for Gate<T>
where
    T: Transport + Unpin,
    T::Error: 'static,
{
    type Output = T::Output;
    type Error = GateError<T::Error>;
    type ListenerUpgrade = Wrapped<T::ListenerUpgrade, T::Error>;
    type Dial = Wrapped<T::Dial, T::Error>;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, addr).map_err(|error| error.map(GateError::Transport))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, addr: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.rules.allows_dial(&addr).map_err(|refusal| TransportError::Other(GateError::Refused(refusal)))?;
        let dial = self.inner.dial(addr, opts).map_err(|error| error.map(GateError::Transport))?;
        Ok(dial.map_err(GateError::Transport as fn(T::Error) -> Self::Error))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.get_mut().inner).poll(cx).map(|event| {
            event
                .map_upgrade(|upgrade| upgrade.map_err(GateError::Transport as fn(T::Error) -> Self::Error))
                .map_err(GateError::Transport)
        })
    }
}
