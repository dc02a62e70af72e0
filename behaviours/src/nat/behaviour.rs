use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use libp2p_autonat::v2 as autonat;
use libp2p_core::{ConnectedPoint, Endpoint, Multiaddr, multiaddr::Protocol, transport::PortUse};
use libp2p_dcutr as dcutr;
use libp2p_identity::PeerId;
use libp2p_relay as relay;
use libp2p_swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, ListenOpts, NetworkBehaviour, NewExternalAddrCandidate,
    StreamProtocol, THandler, THandlerInEvent, ToSwarm,
    behaviour::{ConnectionClosed, ConnectionEstablished, DialFailure},
};
use libp2p_upnp as upnp;

use super::{
    Circuits,
    config::{Config, Relay},
    event::Event,
    guard::Guard,
    offer::{Members, Offer},
    parts::{Part, Parts},
    report::{Report, Tested, Upnp},
    state::{Ports, Seen, State, Step},
};
use crate::{
    alarm::Alarm,
    around::handlers_of,
    upkeep::{describe, ip_of, is_loopback, is_public, is_relayed},
};

/// Addresses that others are asked to try. libp2p-autonat (0.16) remembers each for ever, and peers invent them freely.
const MAX_CANDIDATES: usize = 32;

/// A circuit with a peer goes so long after a direct connection stands, for what is under way on it.
const GRACE: Duration = Duration::from_secs(3);

/// A connection.
#[derive(Debug)]
struct Line {
    peer: PeerId,
    relayed: bool,
    /// Where we dialled the peer, and whether from a port we listen on.
    dialled: Option<(Multiaddr, bool)>,
}

/// Finds out how this node looks from outside, and reaches those who cannot be dialled.
pub struct Behaviour {
    parts: Parts,
    state: State,
    members: Members,
    /// Dials under way, and over which transports we listened when they began: from that port they go, then.
    dials: HashMap<ConnectionId, Ports>,
    /// As many as the Swarm has connections.
    lines: HashMap<ConnectionId, Line>,
    /// Circuits that a direct connection has made superfluous.
    closing: VecDeque<(Instant, PeerId, ConnectionId)>,
    candidates: HashSet<Multiaddr>,
    events: VecDeque<ToSwarm<Event, THandlerInEvent<Parts>>>,
    told: Report,
    alarm: Alarm,
    /// Something has happened since the last look.
    touched: bool,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("nat::Behaviour").field("reachability", &self.state.reachability()).finish_non_exhaustive()
    }
}

impl Behaviour {
    /// A behaviour of the node `own`, and the transport of its circuits, unless it is to have none. With
    /// [`Config::upnp`] it must be made inside a tokio runtime.
    pub fn new(config: &Config, own: PeerId) -> (Self, Option<Circuits>) {
        let members = Members::default();
        let state = State::new(own, config);
        let (transport, circuits) = match config.relay {
            Relay::Off => (None, None),
            Relay::Auto | Relay::Server => {
                let (transport, behaviour) = relay::client::new(own);
                (Some(transport), Some(behaviour))
            }
        };
        let server = (config.relay == Relay::Server).then(|| Offer::new(hop(config, own), members.clone(), true));
        let answer = || Offer::new(Guard::new(autonat::server::Behaviour::default()), members.clone(), false);
        let parts = Parts {
            punch: circuits.is_some().then(|| Guard::new(dcutr::Behaviour::new(own))).into(),
            circuits: circuits.into(),
            hop: server.into(),
            probe: config.probe.then(autonat::client::Behaviour::default).into(),
            answer: config.probe.then(answer).into(),
            upnp: config.upnp.then(upnp::tokio::Behaviour::default).into(),
        };
        let behaviour = Self {
            parts,
            told: state.report(),
            state,
            members,
            dials: HashMap::new(),
            lines: HashMap::new(),
            closing: VecDeque::new(),
            candidates: HashSet::new(),
            events: VecDeque::new(),
            alarm: Alarm::default(),
            touched: true,
        };
        (behaviour, transport)
    }

    /// `peer` is a member of a swarm of ours: this node dials it back and carries circuits for it, if it does so at all.
    pub fn member(&mut self, peer: PeerId) {
        if self.members.add(peer) {
            self.parts.hop.as_mut().into_iter().for_each(Offer::look);
            self.parts.answer.as_mut().into_iter().for_each(Offer::look);
        }
    }

    /// What identify has told on a connection: what the peer speaks, where it listens, and where it sees us.
    pub fn identified(
        &mut self,
        connection: ConnectionId,
        protocols: &[StreamProtocol],
        listen: &[Multiaddr],
        observed: &Multiaddr,
    ) {
        let Some(line) = self.lines.get(&connection).filter(|line| !line.relayed) else { return };
        self.touched = true;
        let (peer, dialled) = (line.peer, line.dialled.clone());
        let offers = protocols.contains(&relay::HOP_PROTOCOL_NAME) && self.members.contains(&peer);
        let there = dialled.as_ref().map(|(addr, _)| addr.clone()).or_else(|| best_of(listen));
        self.state.offers(peer, there, offers);
        if let Some((addr, reused)) = dialled
            && let Some(from) = ip_of(&addr)
        {
            if reused && is_public(observed) {
                // identify puts the port we listen on into the place of another one that the router has chosen, but
                // that one is where the hole is.
                let candidate = NewExternalAddrCandidate { addr: observed };
                self.parts.punch.on_swarm_event(FromSwarm::NewExternalAddrCandidate(candidate));
            }
            self.state.seen(Seen { by: peer, from, addr: observed.clone(), reused });
        }
    }

    /// How this node looks from outside.
    pub fn report(&self) -> Report {
        self.state.report()
    }

    /// Whether an address is worth a test: a public one, and not one of too many.
    fn is_candidate(&mut self, addr: &Multiaddr) -> bool {
        if !is_public(addr) || self.candidates.contains(addr) {
            return is_public(addr);
        }
        self.candidates.len() < MAX_CANDIDATES && self.candidates.insert(addr.clone())
    }

    fn opened(&mut self, event: &ConnectionEstablished<'_>) {
        let ports = self.dials.remove(&event.connection_id).unwrap_or_default();
        let (relayed, dialled) = match event.endpoint {
            ConnectedPoint::Dialer { address, port_use, .. } => {
                let reused = *port_use == PortUse::Reuse && ports.covers(address);
                (is_relayed(address), Some((without_peer(address), reused)))
            }
            ConnectedPoint::Listener { local_addr, .. } => (is_relayed(local_addr), None),
        };
        self.lines.insert(event.connection_id, Line { peer: event.peer_id, relayed, dialled });
        self.tidy(event.peer_id);
    }

    /// Of a hole that is punched, the end that dials hears nothing else of it.
    fn dial_failed(&mut self, event: &DialFailure<'_>) {
        self.dials.remove(&event.connection_id);
        let punched = self.parts.punch.as_ref().is_some_and(|punch| punch.dials(&event.connection_id));
        if let Some(peer) = event.peer_id.filter(|_| punched) {
            let reason = describe(event.error);
            self.events.push_back(ToSwarm::GenerateEvent(Event::NotPunched { peer, reason }));
        }
    }

    /// Circuits with a peer that is connected directly are closed after a while.
    fn tidy(&mut self, peer: PeerId) {
        let of = |relayed| move |(_, line): &(&ConnectionId, &Line)| line.peer == peer && line.relayed == relayed;
        if !self.lines.iter().any(|line| of(false)(&line)) {
            return;
        }
        let at = Instant::now() + GRACE;
        for (connection, _) in self.lines.iter().filter(of(true)) {
            if !self.closing.iter().any(|(_, _, known)| known == connection) {
                self.closing.push_back((at, peer, *connection));
            }
        }
    }

    fn closed(&mut self, event: &ConnectionClosed<'_>) {
        self.lines.remove(&event.connection_id);
        self.closing.retain(|(_, _, known)| *known != event.connection_id);
        if !self.lines.values().any(|line| line.peer == event.peer_id && !line.relayed) {
            self.state.disconnected(&event.peer_id);
            self.closing.retain(|(_, peer, _)| *peer != event.peer_id);
        }
    }

    fn close_due(&mut self, now: Instant) {
        while let Some((at, peer_id, connection)) = self.closing.front().copied()
            && at <= now
        {
            self.closing.pop_front();
            let connection = CloseConnection::One(connection);
            self.events.push_back(ToSwarm::CloseConnection { peer_id, connection });
        }
    }

    fn on_part(&mut self, part: Part) {
        self.touched = true;
        match part {
            Part::Circuits(relay::client::Event::ReservationReqAccepted { relay_peer_id, .. }) => {
                if let Some(id) = self.state.accepted(&relay_peer_id) {
                    self.events.push_back(ToSwarm::RemoveListener { id });
                }
            }
            Part::Probe(autonat::client::Event { tested_addr: addr, result, .. }) => {
                let error = result.err().map(|error| error.to_string());
                self.state.tested(Tested { addr, error });
            }
            Part::Punch(dcutr::Event { remote_peer_id: peer, result }) => {
                let event = match result {
                    Ok(connection) => Event::Punched { peer, connection },
                    Err(error) => Event::NotPunched { peer, reason: error.to_string() },
                };
                self.events.push_back(ToSwarm::GenerateEvent(event));
            }
            Part::Upnp(event) => {
                self.state.upnp = match event {
                    upnp::Event::NewExternalAddr { external_addr, .. } => Upnp::Mapped(external_addr),
                    upnp::Event::ExpiredExternalAddr { .. } => Upnp::Searching,
                    upnp::Event::GatewayNotFound => Upnp::NoGateway,
                    upnp::Event::NonRoutableGateway => Upnp::NotRoutable,
                };
            }
            Part::Circuits(event) => tracing::debug!(?event, "a circuit of ours"),
            Part::Hop(event) => tracing::debug!(?event, "a circuit of others"),
            Part::Answer(event) => tracing::debug!(client = %event.client, addr = %event.tested_addr, "dialled back"),
        }
    }

    /// Carries out what the state has decided.
    fn act(&mut self) {
        let now = Instant::now();
        self.close_due(now);
        while let Some(step) = self.state.next(now) {
            self.events.push_back(match step {
                Step::Reserve { relay, addr } => {
                    let opts = ListenOpts::new(addr.with(Protocol::P2p(relay)).with(Protocol::P2pCircuit));
                    self.state.began(&relay, opts.listener_id());
                    ToSwarm::ListenOn { opts }
                }
                Step::Vouch(addr) => ToSwarm::ExternalAddrConfirmed(addr),
                Step::Retract(addr) => ToSwarm::ExternalAddrExpired(addr),
            });
        }
        let serves = self.state.serves();
        self.parts.answer.as_mut().into_iter().for_each(|offer| offer.set(serves));
        let report = self.state.report();
        if report != self.told {
            self.told = report;
            self.events.push_back(ToSwarm::GenerateEvent(Event::Changed));
        }
    }
}

/// The service of a relay, with our limits.
fn hop(config: &Config, own: PeerId) -> relay::Behaviour {
    let config = relay::Config {
        max_reservations: config.reservations,
        max_reservations_per_peer: 2,
        reservation_duration: config.reservation_time,
        max_circuits: config.circuits,
        max_circuits_per_peer: config.circuits_per_peer,
        max_circuit_duration: config.circuit_time,
        max_circuit_bytes: config.circuit_bytes,
        ..relay::Config::default()
    };
    let mut hop = relay::Behaviour::new(own, config);
    hop.set_status(Some(relay::Status::Enable));
    hop
}

/// The widest of a peer's own addresses.
fn best_of(addrs: &[Multiaddr]) -> Option<Multiaddr> {
    let direct = || addrs.iter().filter(|addr| !is_relayed(addr));
    let best = direct().find(|addr| is_public(addr)).or_else(|| direct().find(|addr| !is_loopback(addr)));
    best.or_else(|| direct().next()).map(without_peer)
}

fn without_peer(addr: &Multiaddr) -> Multiaddr {
    let mut addr = addr.clone();
    if matches!(addr.iter().last(), Some(Protocol::P2p(_))) {
        addr.pop();
    }
    addr
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Parts>;
    type ToSwarm = Event;

    handlers_of!(parts);

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.parts.handle_pending_inbound_connection(connection, local, remote)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let more = self.parts.handle_pending_outbound_connection(connection, peer, addresses, role)?;
        self.dials.insert(connection, self.state.ports());
        Ok(more)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        if let FromSwarm::NewExternalAddrCandidate(candidate) = &event
            && !self.is_candidate(candidate.addr)
        {
            return;
        }
        if let FromSwarm::DialFailure(event) = &event {
            self.dial_failed(event);
        }
        self.parts.on_swarm_event(event);
        self.touched = true;
        match event {
            FromSwarm::ConnectionEstablished(event) => self.opened(&event),
            FromSwarm::ConnectionClosed(event) => self.closed(&event),
            FromSwarm::NewListenAddr(event) => self.state.listens(event.addr),
            FromSwarm::ExpiredListenAddr(event) => self.state.listens_no_more(event.addr),
            FromSwarm::ExternalAddrConfirmed(event) => self.state.confirmed(event.addr),
            FromSwarm::ExternalAddrExpired(event) => self.state.expired(event.addr),
            FromSwarm::ListenerClosed(event) => self.state.lost(event.listener_id, Instant::now()),
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(event);
            }
            match self.parts.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(part)) => self.on_part(part),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are handled above"))),
                Poll::Pending if std::mem::take(&mut self.touched) => self.act(),
                Poll::Pending => {
                    let closing = self.closing.front().map(|(at, ..)| *at);
                    self.touched = self.alarm.is_due(self.state.wake_at().into_iter().chain(closing).min(), cx);
                    if !self.touched {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}
