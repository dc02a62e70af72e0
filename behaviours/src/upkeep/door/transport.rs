use std::{
    collections::HashMap,
    error::Error,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::Instant,
};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p_core::{
    Multiaddr, Transport,
    transport::{DialOpts, ListenerId, TransportError, TransportEvent},
};

use super::{
    super::host::Host,
    state::{State, Step, Ticket},
};

/// A transport that lets in only so many handshakes at once, and shares these places fairly among hosts.
///
/// Put it around the upgraded transport, so that a handshake is all of encryption and multiplexer. While all places are
/// taken, newcomers wait in a bounded line; the host with most handshakes under way gives up its oldest, at once to a
/// host that has fewer and after some time to one of its own. So connections that were opened and say nothing neither
/// keep others out nor pile up. Addresses without an IP (the memory transport) pass uncounted.
#[derive(Debug)]
pub struct Door<T: Transport> {
    inner: T,
    shared: Arc<Mutex<Shared>>,
    waiting: HashMap<Ticket, Incoming<T::ListenerUpgrade>>,
    timer: Option<Delay>,
}

#[derive(Debug)]
struct Shared {
    state: State,
    /// Of the handshakes under way.
    wakers: HashMap<Ticket, Waker>,
    /// Of the transport: somebody has left.
    door: Option<Waker>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Incoming<U> {
    listener_id: ListenerId,
    upgrade: U,
    local_addr: Multiaddr,
    send_back_addr: Multiaddr,
}

impl<U> Incoming<U> {
    fn into_event<E>(self, place: Option<Place>) -> TransportEvent<Handshake<U>, E> {
        let Self { listener_id, upgrade, local_addr, send_back_addr } = self;
        TransportEvent::Incoming { listener_id, upgrade: Handshake { upgrade, place }, local_addr, send_back_addr }
    }
}

impl<T: Transport> Door<T> {
    /// At most `places` handshakes at once; 0 counts as 1.
    pub fn new(inner: T, places: usize) -> Self {
        let state = State::new(places.max(1));
        let shared = Shared { state, wakers: HashMap::new(), door: None };
        Self { inner, shared: Arc::new(Mutex::new(shared)), waiting: HashMap::new(), timer: None }
    }

    /// The next handshake that may begin.
    fn admit(&mut self, cx: &mut Context<'_>) -> Option<TransportEvent<Handshake<T::ListenerUpgrade>, T::Error>> {
        let mut shared = lock(&self.shared);
        shared.door = Some(cx.waker().clone());
        loop {
            let now = Instant::now();
            match shared.state.next(now) {
                Step::Admit(ticket) => {
                    let place = Place { ticket, shared: self.shared.clone(), succeeded: false };
                    drop(shared);
                    match self.waiting.remove(&ticket) {
                        Some(incoming) => return Some(incoming.into_event(Some(place))),
                        None => drop(place),
                    }
                    shared = lock(&self.shared);
                }
                Step::Evict(ticket) => {
                    if let Some(waker) = shared.wakers.get(&ticket) {
                        waker.wake_by_ref();
                    }
                }
                Step::Wait(at) => {
                    let timer = self.timer.insert(Delay::new(at.saturating_duration_since(now)));
                    if timer.poll_unpin(cx).is_pending() {
                        return None;
                    }
                }
                Step::Nothing => {
                    self.timer = None;
                    return None;
                }
            }
        }
    }
}

impl<T> Transport for Door<T>
where
    T: Transport + Unpin,
    T::ListenerUpgrade: Unpin,
    T::Error: 'static,
{
    type Output = T::Output;
    type Error = DoorError<T::Error>;
    type ListenerUpgrade = Handshake<T::ListenerUpgrade>;
    type Dial = futures::future::MapErr<T::Dial, fn(T::Error) -> Self::Error>;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, addr).map_err(|error| error.map(DoorError::Transport))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, addr: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        use futures::TryFutureExt;
        let dial = self.inner.dial(addr, opts).map_err(|error| error.map(DoorError::Transport))?;
        Ok(dial.map_err(DoorError::Transport as fn(T::Error) -> Self::Error))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let this = self.get_mut();
        loop {
            if let Some(event) = this.admit(cx) {
                return Poll::Ready(event.map_err(DoorError::Transport));
            }
            let event = match Pin::new(&mut this.inner).poll(cx) {
                Poll::Ready(event) => event,
                Poll::Pending => return Poll::Pending,
            };
            let (listener_id, upgrade, local_addr, send_back_addr) = match event {
                TransportEvent::Incoming { listener_id, upgrade, local_addr, send_back_addr } => {
                    (listener_id, upgrade, local_addr, send_back_addr)
                }
                other => {
                    let other = other.map_upgrade(|upgrade| Handshake { upgrade, place: None });
                    return Poll::Ready(other.map_err(DoorError::Transport));
                }
            };
            let host = Host::of(&send_back_addr);
            let incoming = Incoming { listener_id, upgrade, local_addr, send_back_addr };
            let Some(host) = host else {
                return Poll::Ready(incoming.into_event(None));
            };
            let (ticket, dropped) = lock(&this.shared).state.arrive(host);
            this.waiting.insert(ticket, incoming);
            if let Some(dropped) = dropped {
                this.waiting.remove(&dropped);
            }
        }
    }
}

/// Held as long as a handshake is under way.
#[derive(Debug)]
struct Place {
    ticket: Ticket,
    shared: Arc<Mutex<Shared>>,
    succeeded: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        shared.wakers.remove(&self.ticket);
        shared.state.left(self.ticket, self.succeeded, Instant::now());
        if let Some(door) = shared.door.take() {
            door.wake();
        }
    }
}

/// An inbound handshake that ends early when its place is needed.
#[derive(Debug)]
pub struct Handshake<U> {
    upgrade: U,
    place: Option<Place>,
}

impl<U, O, E> Future for Handshake<U>
where
    U: Future<Output = Result<O, E>> + Unpin,
{
    type Output = Result<O, DoorError<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(place) = &this.place {
            let mut shared = lock(&place.shared);
            if shared.state.is_evicted(place.ticket) {
                return Poll::Ready(Err(DoorError::Evicted));
            }
            match shared.wakers.get_mut(&place.ticket) {
                Some(waker) => waker.clone_from(cx.waker()),
                None => drop(shared.wakers.insert(place.ticket, cx.waker().clone())),
            }
        }
        let done = std::task::ready!(this.upgrade.poll_unpin(cx));
        if let Some(mut place) = this.place.take() {
            place.succeeded = done.is_ok();
        }
        Poll::Ready(done.map_err(DoorError::Transport))
    }
}

/// A handshake that had to make room, or an error of the transport.
#[derive(Debug)]
pub enum DoorError<E> {
    /// It had taken its time, and others waited.
    Evicted,
    /// From the transport behind the door.
    Transport(E),
}

impl<E: fmt::Display> fmt::Display for DoorError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evicted => f.write_str("the handshake made no progress while others waited for its place"),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl<E: Error + 'static> Error for DoorError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Evicted => None,
            Self::Transport(error) => error.source(),
        }
    }
}
