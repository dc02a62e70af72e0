use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    fmt, io,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p_core::{Endpoint, Multiaddr, transport::ListenerId, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_mdns as mdns;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, DialError, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm,
    behaviour::NewListenAddr,
    dial_opts::{DialOpts, PeerCondition},
    dummy,
};

use super::state::State;
use crate::{alarm::Alarm, discovery::Config, upkeep::AddressRules};

/// Entries of the inner behaviour, which keeps whatever the network says for as long as it says (up to 136 years) and
/// searches it linearly: beyond this many it starts anew.
const MAX_ENTRIES: usize = 1_024;

/// It starts anew at most this often: each start opens sockets.
const RESTART: Duration = Duration::from_secs(2);

/// A peer seen in the local network.
#[derive(Debug)]
pub struct Found {
    pub(crate) peer: PeerId,
    pub(crate) addrs: Vec<Multiaddr>,
}

/// Multicast DNS, if it is on and this host lets us.
pub struct Behaviour {
    own: PeerId,
    config: mdns::Config,
    rules: AddressRules,
    inner: Option<mdns::tokio::Behaviour>,
    error: Option<String>,
    started: Instant,
    state: State,
    /// To be told to a new inner behaviour. As many as this node listens on.
    listening: HashMap<Multiaddr, ListenerId>,
    events: VecDeque<ToSwarm<Found, Infallible>>,
    alarm: Alarm,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mdns::Behaviour {{ on: {} }}", self.inner.is_some())
    }
}

impl Behaviour {
    pub(crate) fn new(config: &Config, own: PeerId, rules: AddressRules) -> Self {
        let mdns = mdns::Config { query_interval: config.mdns_interval, enable_ipv6: false, ..mdns::Config::default() };
        let now = Instant::now();
        let mut behaviour = Self {
            own,
            config: mdns,
            rules,
            inner: None,
            error: None,
            started: now,
            state: State::new(now),
            listening: HashMap::new(),
            events: VecDeque::new(),
            alarm: Alarm::default(),
        };
        if config.mdns {
            behaviour.start();
        }
        behaviour
    }

    /// Why it is not running although it should.
    pub(crate) fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    pub(crate) fn is_running(&self) -> bool {
        self.inner.is_some()
    }

    pub(crate) fn forget(&mut self, peer: PeerId, now: Instant) {
        self.state.forget(peer, now);
    }

    fn start(&mut self) {
        self.started = Instant::now();
        match self.open() {
            Ok(inner) => {
                self.inner = Some(inner);
                self.error = None;
            }
            Err(error) => {
                tracing::warn!(%error, "no multicast DNS: peers of the local network are not found by themselves");
                self.inner = None;
                self.error = Some(error.to_string());
            }
        }
    }

    fn open(&self) -> io::Result<mdns::tokio::Behaviour> {
        let mut inner = mdns::tokio::Behaviour::new(self.config.clone(), self.own)?;
        for (addr, listener_id) in &self.listening {
            inner.on_swarm_event(FromSwarm::NewListenAddr(NewListenAddr { listener_id: *listener_id, addr }));
        }
        Ok(inner)
    }

    fn discovered(&mut self, list: Vec<(PeerId, Multiaddr)>) {
        let now = Instant::now();
        let mut news: HashMap<PeerId, Vec<Multiaddr>> = HashMap::new();
        for (peer, addr) in list {
            if peer != self.own && self.rules.allows(&addr).is_ok() && self.state.discovered(peer, addr.clone(), now) {
                news.entry(peer).or_default().push(addr);
            }
        }
        let found = news.into_iter().map(|(peer, addrs)| ToSwarm::GenerateEvent(Found { peer, addrs }));
        self.events.extend(found);
        let entries = self.inner.as_ref().map(|inner| inner.discovered_nodes().len()).unwrap_or_default();
        if entries > MAX_ENTRIES && now.duration_since(self.started) >= RESTART {
            tracing::warn!(entries, "the local network shows more peers than it can have: starting anew");
            self.start();
        }
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) {
        while let Some(Poll::Ready(event)) = self.inner.as_mut().map(|inner| inner.poll(cx)) {
            match event {
                ToSwarm::GenerateEvent(mdns::Event::Discovered(list)) => self.discovered(list),
                ToSwarm::GenerateEvent(mdns::Event::Expired(list)) => {
                    list.iter().for_each(|(peer, addr)| self.state.expired(peer, addr));
                }
                // It tells everybody about every address, unbounded; we tell what we keep.
                _ => {}
            }
        }
    }

    fn dial_next(&mut self, cx: &mut Context<'_>) {
        let now = Instant::now();
        while let Some((peer, addrs)) = self.state.next(now) {
            let opts =
                DialOpts::peer_id(peer).addresses(addrs).condition(PeerCondition::DisconnectedAndNotDialing).build();
            self.events.push_back(ToSwarm::Dial { opts });
        }
        if self.alarm.is_due(self.state.wake_at(now), cx) {
            cx.waker().wake_by_ref();
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Found;

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
        if let Some(inner) = self.inner.as_mut() {
            inner.on_swarm_event(event);
        }
        match event {
            FromSwarm::NewListenAddr(event) => {
                self.listening.insert(event.addr.clone(), event.listener_id);
            }
            FromSwarm::ExpiredListenAddr(event) => {
                self.listening.remove(event.addr);
            }
            FromSwarm::ConnectionEstablished(event) => self.state.connected(event.peer_id),
            FromSwarm::ConnectionClosed(event) if event.remaining_established == 0 => {
                self.state.disconnected(&event.peer_id);
            }
            FromSwarm::DialFailure(event) => {
                if let (Some(peer), false) = (event.peer_id, is_crossing(event.error)) {
                    self.state.failed(&peer, Instant::now(), &mut rand::rng());
                }
            }
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
        self.poll_inner(cx);
        if self.inner.is_some() {
            self.dial_next(cx);
        }
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// The dial was not made since another to the same peer is under way; that one reports.
fn is_crossing(error: &DialError) -> bool {
    matches!(error, DialError::DialPeerConditionFalse(PeerCondition::NotDialing))
}

#[cfg(test)]
#[path = "behaviour_tests.rs"]
mod tests;
