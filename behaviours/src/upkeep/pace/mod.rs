//! The addresses of a peer are tried one after the other, not all at once.

mod state;

use std::{
    collections::HashMap,
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Instant,
};

use futures::{
    FutureExt,
    future::{BoxFuture, poll_fn},
};
use futures_timer::Delay;
use libp2p_core::{
    Endpoint, Multiaddr, Transport,
    multiaddr::Protocol,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};
use libp2p_identity::PeerId;

use self::state::{Group, Rank, Verdict};

/// A transport that tries the addresses of a peer one after the other, the next one when one fails or takes long.
///
/// The Swarm dials up to eight addresses of a peer at once and keeps the connection that is ready first. A host with
/// two interfaces has eight with loopback and QUIC: each dial cost both ends eight handshakes, of which seven were
/// thrown away, and fifty nodes that started together kept two cores busy for minutes. `Config::with_smart_dial` of
/// libp2p-swarm (0.48) prefers QUIC, does not hurry when an address fails, starts everything within 90 ms in a private
/// network, and delays memory addresses by 100 ms.
///
/// Order: this host, private, public, relayed; in each TCP before QUIC; in each as they were given. An attempt goes on
/// alone for 150 ms on this host and in private networks, for 250 ms elsewhere (RFC 8305 §5). Dials without a peer id,
/// and those of a hole punch, begin at once.
pub struct Pace<T> {
    inner: T,
    groups: Groups,
    next: u64,
}

impl<T: fmt::Debug> fmt::Debug for Pace<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pace({:?})", self.inner)
    }
}

impl<T> Pace<T> {
    /// Paces the dials of `inner`.
    pub fn new(inner: T) -> Self {
        Self { inner, groups: Groups::default(), next: 0 }
    }
}

/// Peers being dialled: as many as the Swarm has dials under way.
#[derive(Debug, Clone, Default)]
struct Groups(Arc<Mutex<HashMap<PeerId, Group>>>);

impl Groups {
    fn lock(&self) -> MutexGuard<'_, HashMap<PeerId, Group>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt's place in its group, until it has succeeded, failed, or was dropped because another one succeeded.
struct Place {
    groups: Groups,
    peer: PeerId,
    id: u64,
}

impl Place {
    fn ask(&self, cx: &Context<'_>) -> Verdict {
        match self.groups.lock().get_mut(&self.peer) {
            Some(group) => group.ask(self.id, cx.waker(), Instant::now()),
            None => Verdict::Start,
        }
    }

    async fn turn(&self) {
        let mut timer: Option<Delay> = None;
        poll_fn(|cx| {
            loop {
                match self.ask(cx) {
                    Verdict::Start => return Poll::Ready(()),
                    Verdict::Later => return Poll::Pending,
                    Verdict::Wait(left) => {
                        let timer = timer.insert(Delay::new(left));
                        if timer.poll_unpin(cx).is_pending() {
                            return Poll::Pending;
                        }
                    }
                }
            }
        })
        .await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut groups = self.groups.lock();
        if groups.get_mut(&self.peer).is_some_and(|group| group.remove(self.id)) {
            groups.remove(&self.peer);
        }
    }
}

fn peer_of(addr: &Multiaddr) -> Option<PeerId> {
    match addr.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

impl<T> Transport for Pace<T>
where
    T: Transport + Unpin,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, Result<T::Output, T::Error>>;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, addr)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, addr: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        let peer = peer_of(&addr).filter(|_| opts.role == Endpoint::Dialer);
        let rank = Rank::of(&addr);
        let dial = self.inner.dial(addr, opts)?;
        let Some(peer) = peer else { return Ok(dial.boxed()) };
        self.next += 1;
        let place = Place { groups: self.groups.clone(), peer, id: self.next };
        self.groups.lock().entry(peer).or_default().add(place.id, rank);
        Ok(async move {
            place.turn().await;
            dial.await
        }
        .boxed())
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.get_mut().inner).poll(cx)
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
