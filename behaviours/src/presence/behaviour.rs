use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    task::{Context, Poll},
    time::Instant,
};

use ed25519_dalek::SigningKey;
use libp2p_core::{Endpoint, Multiaddr, transport::PortUse};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    CloseConnection, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use p2pnode_wire::ids::{PeerKey, SwarmId};

use super::{
    Config, Event,
    handler::{Command, Handler, Report, Watch},
    state::State,
};
use crate::{
    alarm::Alarm,
    peer::{key_of, peer_of},
};

struct Connection {
    id: ConnectionId,
    /// No substream of ours could be had on it. That is so of a peer that does not speak this protocol, but of a connection that is
    /// about to break, too: the end of a substream that is being negotiated is told as a refusal.
    deaf: bool,
    /// Something was sent by it.
    used: bool,
}

/// Tells neighbours who is there, and hears it from them.
pub struct Behaviour {
    state: State,
    watch: Watch,
    /// Of all peers that have connections: at most what the limits of the Swarm let in.
    connections: BTreeMap<PeerKey, Vec<Connection>>,
    /// Commands and closings that the Swarm has not taken yet: a few for each connection.
    commands: VecDeque<ToSwarm<Event, Command>>,
    alarm: Alarm,
    /// When there is something to do by itself, as of the last look.
    next: Option<Instant>,
    /// Something has happened since then.
    touched: bool,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("presence::Behaviour")
    }
}

impl Behaviour {
    /// A behaviour of the node that signs with `key`, in no swarm yet. `first` is the incarnation it begins with: higher
    /// than in its earlier runs, such as milliseconds since 1970.
    pub fn new(config: Config, key: SigningKey, first: u64) -> Self {
        let watch = Watch { probe: config.probe, timeout: config.probe_timeout, hang_up: config.hang_up };
        Self {
            state: State::new(config, key, first, Instant::now()),
            watch,
            connections: BTreeMap::new(),
            commands: VecDeque::new(),
            alarm: Alarm::default(),
            next: None,
            touched: true,
        }
    }

    /// Takes part in this swarm.
    pub fn join(&mut self, swarm: SwarmId) {
        self.state.join(swarm);
    }

    /// What this node says of itself from now on: its name, and the number of its newest card.
    pub fn set_self(&mut self, name: String, card: u64) {
        self.state.set_self(name, card, Instant::now());
        self.touched = true;
    }

    /// A connected peer has proven that it is in these swarms. Who has not is neither heard nor told.
    pub fn member(&mut self, peer: &PeerId, swarms: &[SwarmId]) {
        let Some(key) = key_of(peer) else { return };
        let Some(connections) = self.connections.get(&key) else { return };
        let ids: Vec<ConnectionId> = connections.iter().map(|connection| connection.id).collect();
        self.state.neighbour_up(key, swarms, Instant::now());
        ids.into_iter().for_each(|connection| self.watch(*peer, connection));
        self.touched = true;
    }

    /// A member was lost: its connection broke, and it cannot be dialled.
    pub fn suspect(&mut self, peer: &PeerId) {
        if let Some(key) = key_of(peer) {
            self.state.suspect(key, Instant::now(), &mut rand::rng());
            self.touched = true;
        }
    }

    /// Tells all neighbours that this node leaves. Give them a moment before the connections are closed.
    pub fn leave(&mut self) {
        self.state.leave(Instant::now(), &mut rand::rng());
        self.touched = true;
    }

    fn watch(&mut self, peer: PeerId, connection: ConnectionId) {
        self.notify(peer, connection, Command::Watch(self.watch));
    }

    fn notify(&mut self, peer_id: PeerId, connection: ConnectionId, event: Command) {
        self.commands.push_back(ToSwarm::NotifyHandler { peer_id, handler: NotifyHandler::One(connection), event });
    }

    fn opened(&mut self, peer: PeerId, id: ConnectionId) {
        let Some(key) = key_of(&peer) else { return };
        self.connections.entry(key).or_default().push(Connection { id, deaf: false, used: false });
        self.hears(&key);
        if self.state.is_neighbour(&key) {
            self.watch(peer, id);
        }
    }

    fn closed(&mut self, peer: &PeerId, connection: ConnectionId) {
        let Some(key) = key_of(peer) else { return };
        let Some(connections) = self.connections.get_mut(&key) else { return };
        let used = connections.extract_if(.., |known| known.id == connection).any(|known| known.used && !known.deaf);
        if connections.is_empty() {
            self.connections.remove(&key);
            self.state.neighbour_down(&key, Instant::now());
        } else {
            if used {
                self.state.lost(&key);
            }
            self.hears(&key);
        }
        self.touched = true;
    }

    /// A substream was refused, or its connection is breaking.
    fn refused(&mut self, key: PeerKey, connection: ConnectionId) {
        let connections = self.connections.get_mut(&key);
        let refusing = connections.and_then(|those| those.iter_mut().find(|known| known.id == connection));
        // Each connection once, or two nodes could send in vain for ever.
        if let Some(refusing) = refusing.filter(|known| !known.deaf) {
            refusing.deaf = true;
            self.state.lost(&key);
        }
        self.hears(&key);
    }

    /// Whether the peer can be told anything.
    fn hears(&mut self, key: &PeerKey) {
        let hears = self.connections.get(key).is_some_and(|those| those.iter().any(|connection| !connection.deaf));
        self.state.hears(key, hears);
    }

    fn reported(&mut self, peer: PeerId, connection: ConnectionId, report: Report) {
        let Some(key) = key_of(&peer) else { return };
        let (now, mut rng) = (Instant::now(), rand::rng());
        match report {
            Report::Frame(frame) => self.state.receive(key, frame, now, &mut rng),
            Report::Malformed => self.state.silence(&key),
            Report::Failed { unsupported: true } => self.refused(key, connection),
            Report::Sent | Report::Failed { unsupported: false } => self.state.sent(&key),
            Report::Silent => {
                tracing::debug!(%peer, "does not answer");
                self.state.suspect(key, now, &mut rng);
            }
            Report::Dead => {
                let connection = CloseConnection::One(connection);
                self.commands.push_back(ToSwarm::CloseConnection { peer_id: peer, connection });
            }
        }
        self.touched = true;
    }

    /// Does what is due and hands out frames; true if there is something for the Swarm.
    fn turn(&mut self) -> bool {
        let (now, mut rng) = (Instant::now(), rand::rng());
        self.state.tick(now, &mut rng);
        for key in self.state.ready(now) {
            let connections = self.connections.get_mut(&key);
            let newest = connections.and_then(|those| those.iter_mut().rfind(|connection| !connection.deaf));
            let (Some(newest), Some(peer)) = (newest, peer_of(&key)) else { continue };
            if let Some(frame) = self.state.frame_for(&key, now, &mut rng) {
                newest.used = true;
                let connection = newest.id;
                self.notify(peer, connection, Command::Send(frame.encode().into()));
            }
        }
        self.next = self.state.wake_at(now);
        !self.commands.is_empty()
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(Handler::new())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(event) => self.opened(event.peer_id, event.connection_id),
            FromSwarm::ConnectionClosed(event) => self.closed(&event.peer_id, event.connection_id),
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, peer: PeerId, connection: ConnectionId, report: THandlerOutEvent<Self>) {
        self.reported(peer, connection, report);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(command) = self.commands.pop_front() {
                return Poll::Ready(command);
            }
            if std::mem::take(&mut self.touched) && self.turn() {
                continue;
            }
            if let Some(event) = self.state.take_changes() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            if !self.alarm.is_due(self.next, cx) {
                return Poll::Pending;
            }
            self.touched = true;
        }
    }
}

#[cfg(test)]
#[path = "behaviour_tests.rs"]
mod tests;
