use std::{
    collections::{HashMap, VecDeque},
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p_allow_block_list as block_list;
use libp2p_core::{ConnectedPoint, Endpoint, Multiaddr, multiaddr::Protocol};
use libp2p_identify as identify;
use libp2p_identity::{Keypair, PeerId};
use libp2p_ping as ping;
use libp2p_swarm::{
    CloseConnection, ConnectionDenied, ConnectionError, ConnectionId, DialError, FromSwarm, ListenError,
    NetworkBehaviour, StreamProtocol, THandler, THandlerInEvent, ToSwarm,
    behaviour::{ConnectionClosed, ConnectionEstablished},
};

use super::{
    address::{AddressRules, first_hop, is_relayed, relay_of},
    book::{Book, Source},
    config::Config,
    event::{Cause, Event},
    failure::{describe, innermost},
    hold::{Hold, Holds},
    manager::Manager,
    orderly::PeerClosed,
    parts::{Part, Parts},
    state::State,
    twin::Twins,
};
use crate::around::handlers_of;

/// Of a peer's identify message: more is cut.
const MAX_AGENT: usize = 64;
/// Of a peer's identify message: more is cut. A message has 4 KiB anyway.
const MAX_ADDRESSES: usize = 10;
/// Of a peer's identify message: more is cut.
const MAX_PROTOCOLS: usize = 64;

/// Told by identify as the version of our network.
const PROTOCOL_VERSION: &str = "p2pnode/1";

#[derive(Debug)]
struct Open {
    peer: PeerId,
    remote: Multiaddr,
    failed_pings: u32,
    silent: bool,
}

/// Connections: who may, how many, for how long, and where peers are.
pub struct Behaviour {
    parts: Parts,
    twins: Twins,
    ping_failures: u32,
    open: HashMap<ConnectionId, Open>,
    events: VecDeque<ToSwarm<Event, THandlerInEvent<Parts>>>,
    timer: Option<Delay>,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upkeep::Behaviour {{ connections: {} }}", self.open.len())
    }
}

impl Behaviour {
    /// A behaviour of the node with this key. Give the same `rules` to the [`Gate`](super::Gate) of the transport.
    pub fn new(config: Config, keypair: &Keypair, rules: AddressRules) -> Self {
        let own = keypair.public().to_peer_id();
        let agent = cut(config.agent);
        // No signed peer record: libp2p-identify makes one in Rust's own form, and js-libp2p drops the whole message over it.
        // Who sends the message has proven its key to the connection already.
        let identify = identify::Config::new(PROTOCOL_VERSION.to_owned(), keypair.public())
            .with_agent_version(agent)
            .with_push_listen_addr_updates(true)
            .with_hide_listen_addrs(config.hide_addresses)
            // Its cache believes any address; ours is the book.
            .with_cache_size(0);
        let ping = ping::Config::new().with_interval(config.ping_interval).with_timeout(config.ping_timeout);
        let manager =
            Manager { state: State::new(config.limits), book: Book::new(own, rules), holds: Holds::default() };
        Self {
            parts: Parts {
                manager,
                blocked: block_list::Behaviour::default(),
                ping: ping::Behaviour::new(ping),
                identify: identify::Behaviour::new(identify),
            },
            twins: Twins::default(),
            ping_failures: config.ping_failures.max(1),
            open: HashMap::new(),
            events: VecDeque::new(),
            timer: None,
        }
    }

    /// Keeps the connections with `peer` while the guard lives.
    pub fn hold(&self, peer: &PeerId) -> Hold {
        self.parts.manager.holds.hold(peer)
    }

    /// Holds connections from anywhere, also outside the swarm's task.
    pub fn holds(&self) -> Holds {
        self.parts.manager.holds.clone()
    }

    /// Keeps the connections with a member for at least `time` from now: call it whenever they are used.
    pub fn keep_member(&self, peer: &PeerId, time: Duration) {
        self.parts.manager.holds.keep(peer, time);
    }

    /// `peer` takes no slot of strangers: a member of a swarm of ours, or configured. False when there are too many.
    pub fn member(&mut self, peer: PeerId) -> bool {
        self.parts.manager.state.member(peer)
    }

    /// `peer` is no member any more.
    pub fn stranger(&mut self, peer: &PeerId) {
        self.parts.manager.state.stranger(peer);
        self.parts.manager.holds.release(peer);
    }

    /// Whether `peer` is a member or configured.
    pub fn is_member(&self, peer: &PeerId) -> bool {
        self.parts.manager.state.is_member(peer)
    }

    /// Remembers where `peer` may be; see [`Book::learn`].
    pub fn learn(&mut self, peer: PeerId, addr: &Multiaddr, source: Source, teller: Option<&Multiaddr>) -> bool {
        self.parts.manager.book.learn(peer, addr, source, teller)
    }

    /// Where `peer` may be.
    pub fn addresses(&self, peer: &PeerId) -> Vec<(Multiaddr, Source)> {
        self.parts.manager.book.addresses(peer)
    }

    /// The address book.
    pub fn book(&self) -> &Book {
        &self.parts.manager.book
    }

    /// Forgets the addresses of `peer`.
    pub fn forget(&mut self, peer: &PeerId) {
        self.parts.manager.book.forget(peer);
    }

    /// Refuses and closes connections with `peer`. False if it was blocked already.
    pub fn block(&mut self, peer: PeerId) -> bool {
        self.parts.blocked.block_peer(peer)
    }

    /// Lets `peer` connect again. False if it was not blocked.
    pub fn unblock(&mut self, peer: PeerId) -> bool {
        self.parts.blocked.unblock_peer(peer)
    }

    /// Whether `peer` is blocked.
    pub fn is_blocked(&self, peer: &PeerId) -> bool {
        self.parts.blocked.blocked_peers().contains(peer)
    }

    /// Who is blocked.
    pub fn blocked(&self) -> impl Iterator<Item = &PeerId> {
        self.parts.blocked.blocked_peers().iter()
    }

    /// Asks `peer` to look at our identify message again, after protocols or addresses changed.
    pub fn push_identify(&mut self, peer: PeerId) {
        self.parts.identify.push([peer]);
    }

    /// The remote address of an open connection.
    pub fn remote_of(&self, connection: &ConnectionId) -> Option<&Multiaddr> {
        self.open.get(connection).map(|open| &open.remote)
    }

    fn emit(&mut self, event: Event) {
        self.events.push_back(ToSwarm::GenerateEvent(event));
    }

    fn opened(&mut self, event: &ConnectionEstablished<'_>) {
        let remote = self.remote_end(event.endpoint);
        let open = Open { peer: event.peer_id, remote: remote.clone(), failed_pings: 0, silent: false };
        self.open.insert(event.connection_id, open);
        self.emit(Event::Connected {
            peer: event.peer_id,
            connection: event.connection_id,
            remote,
            first: event.other_established == 0,
            dialer: event.endpoint.is_dialer(),
        });
    }

    /// Where the peer is. Of one that came over a relay the transport tells the id alone; our end of the circuit has the
    /// rest, but for the relay's id if the relay was dialled without it.
    fn remote_end(&self, endpoint: &ConnectedPoint) -> Multiaddr {
        match endpoint {
            ConnectedPoint::Listener { local_addr, send_back_addr } if is_relayed(local_addr) => {
                let mut hop = first_hop(local_addr);
                let relay = || self.open.values().find(|open| open.remote == hop).map(|open| open.peer);
                if relay_of(local_addr).is_none()
                    && let Some(relay) = relay()
                {
                    hop.push(Protocol::P2p(relay));
                }
                hop.into_iter().chain([Protocol::P2pCircuit]).chain(send_back_addr).collect()
            }
            other => other.get_remote_address().clone(),
        }
    }

    fn closed(&mut self, event: &ConnectionClosed<'_>) {
        let silent = self.open.remove(&event.connection_id).is_some_and(|open| open.silent);
        let cause = match event.cause {
            None if silent => Cause::Silent,
            None => Cause::Local,
            Some(ConnectionError::KeepAliveTimeout) => Cause::Idle,
            Some(ConnectionError::IO(error)) if PeerClosed::caused(error) => Cause::Peer,
            Some(ConnectionError::IO(error)) => Cause::Error(innermost(error)),
        };
        self.emit(Event::Disconnected {
            peer: event.peer_id,
            connection: event.connection_id,
            last: event.remaining_established == 0,
            cause,
        });
    }

    fn dial_failed(&mut self, peer: Option<PeerId>, error: &DialError) {
        if let DialError::LocalPeerId { address } = error {
            self.twins.dialled(address, Instant::now());
        }
        let attempts = match error {
            // Somebody else is already connected or dialling: nothing has failed.
            DialError::DialPeerConditionFalse(_) => return,
            DialError::Transport(errors) => errors.iter().map(|(addr, e)| (addr.clone(), innermost(e))).collect(),
            DialError::WrongPeerId { obtained, address } => {
                vec![(address.clone(), format!("another peer answered: {obtained}"))]
            }
            DialError::LocalPeerId { address } => vec![(address.clone(), "this is the node itself".to_owned())],
            _ => Vec::new(),
        };
        self.emit(Event::DialFailed { peer, attempts, reason: describe(error) });
    }

    fn on_part(&mut self, event: Part) {
        match event {
            Part::Ping(ping::Event { peer, connection, result }) => self.on_ping(peer, connection, result),
            Part::Identify(event) => match *event {
                identify::Event::Received { peer_id, connection_id, info } => {
                    self.identified(peer_id, connection_id, info);
                }
                identify::Event::Error { peer_id, error, .. } => {
                    tracing::debug!(peer = %peer_id, %error, "no identify");
                }
                identify::Event::Sent { .. } | identify::Event::Pushed { .. } => {}
            },
        }
    }

    fn on_ping(&mut self, peer: PeerId, connection: ConnectionId, result: Result<Duration, ping::Failure>) {
        let Some(open) = self.open.get_mut(&connection) else { return };
        match result {
            Ok(rtt) => {
                open.failed_pings = 0;
                self.emit(Event::Rtt { peer, connection, rtt });
            }
            // A peer of another make; nothing is known about its health.
            Err(ping::Failure::Unsupported) => {}
            Err(failure) => {
                open.failed_pings += 1;
                tracing::debug!(%peer, %failure, failed = open.failed_pings, "a ping failed");
                if open.failed_pings >= self.ping_failures {
                    open.silent = true;
                    let connection = CloseConnection::One(connection);
                    self.events.push_back(ToSwarm::CloseConnection { peer_id: peer, connection });
                }
            }
        }
    }

    fn identified(&mut self, peer: PeerId, connection: ConnectionId, info: identify::Info) {
        let mut listen_addrs = info.listen_addrs;
        listen_addrs.truncate(MAX_ADDRESSES);
        if let Some(teller) = self.open.get(&connection).map(|open| open.remote.clone()) {
            for addr in &listen_addrs {
                self.parts.manager.book.learn(peer, addr, Source::Identify, Some(&teller));
            }
        }
        let protocols: Vec<StreamProtocol> = info.protocols.into_iter().take(MAX_PROTOCOLS).collect();
        let (agent, observed) = (cut(info.agent_version), info.observed_addr);
        self.emit(Event::Identified { peer, agent, protocols, listen_addrs, connection, observed });
    }

    fn poll_twins(&mut self, cx: &mut Context<'_>) {
        while let Some(remote) = self.twins.poll(Instant::now()) {
            self.emit(Event::DuplicateIdentity { remote });
        }
        let Some(at) = self.twins.wake_at() else {
            self.timer = None;
            return;
        };
        let left = at.saturating_duration_since(Instant::now()).max(Duration::from_millis(10));
        let timer = self.timer.get_or_insert_with(|| Delay::new(left));
        if timer.poll_unpin(cx).is_ready() {
            self.timer = None;
            cx.waker().wake_by_ref();
        }
    }
}

fn cut(text: String) -> String {
    if text.chars().count() <= MAX_AGENT { text } else { text.chars().take(MAX_AGENT).collect() }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Parts>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.parts.handle_pending_inbound_connection(connection, local, remote)
    }

    handlers_of!(parts);

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.parts.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.parts.on_swarm_event(event);
        match event {
            FromSwarm::ConnectionEstablished(event) => self.opened(&event),
            FromSwarm::ConnectionClosed(event) => self.closed(&event),
            FromSwarm::DialFailure(event) => self.dial_failed(event.peer_id, event.error),
            FromSwarm::ListenFailure(event) => {
                if let ListenError::LocalPeerId { .. } = event.error {
                    self.twins.accepted(event.local_addr, event.send_back_addr, Instant::now());
                }
            }
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.parts.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_part(event),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are handled above"))),
                Poll::Pending => {
                    self.poll_twins(cx);
                    if self.events.is_empty() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "behaviour_tests.rs"]
mod tests;
