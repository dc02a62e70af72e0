use std::{
    collections::{HashMap, VecDeque},
    fmt,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use libp2p_identity::PeerId;
use libp2p_request_response::{self as request_response, OutboundFailure, OutboundRequestId};
use libp2p_swarm::{FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, ToSwarm};
use p2pnode_wire::{
    hello::{Hello, HelloReply},
    ids::{SwarmId, SwarmName},
};

use super::{Config, Event, protocol::Greeting, state::State};
use crate::{Clock, alarm::Alarm, around::handlers_of, exchange::Codec};

type Inner = request_response::Behaviour<Codec<Greeting>>;

/// Greets every peer that connects and tells what they share with us.
pub struct Behaviour {
    inner: Inner,
    state: State,
    clock: Clock,
    /// Of our hellos under way; each ends with an answer or a failure.
    nonces: HashMap<OutboundRequestId, [u8; 16]>,
    events: VecDeque<Event>,
    /// For those who are greeted back later.
    alarm: Alarm,
    /// When, as of the last look.
    next: Option<Instant>,
    /// Greetings have come or connections changed since then.
    touched: bool,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hello::Behaviour")
    }
}

impl Behaviour {
    /// A behaviour of the node `own`, in no swarm yet and without a card.
    pub fn new(config: Config, own: PeerId) -> Self {
        let state = State::new(config, own);
        Self {
            inner: Codec::behaviour(),
            state,
            clock: Clock::default(),
            nonces: HashMap::new(),
            events: VecDeque::new(),
            alarm: Alarm::default(),
            next: None,
            touched: false,
        }
    }

    /// Judges by this clock whether cards of others have expired. Default: the system's.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
    }

    /// Shows this swarm to those who know it. `name` is told to everybody unless [`Config::hidden`].
    pub fn join(&mut self, swarm: SwarmId, name: Option<SwarmName>) {
        self.state.join(swarm, name);
        self.greet_all();
    }

    /// No longer shows this swarm.
    pub fn leave(&mut self, swarm: &SwarmId) {
        self.state.leave(swarm);
    }

    /// Replaces our signed card and greets everybody who is connected, so that they fetch it.
    pub fn set_card(&mut self, card: Bytes) {
        self.state.set_card(card);
        self.greet_all();
    }

    /// Greets a connected peer again, to learn its current card.
    pub fn greet(&mut self, peer: PeerId) {
        let hello = self.state.hello(&mut rand::rng());
        let nonce = hello.nonce;
        let request = self.inner.send_request(&peer, hello);
        self.nonces.insert(request, nonce);
    }

    /// Whether the first hello to a connected peer has neither been answered nor come to nothing: what the peer shares with
    /// this node is not known yet.
    pub fn is_greeting(&self, peer: &PeerId) -> bool {
        self.state.is_greeting(peer)
    }

    /// How many cards of other members are asked for from now on. Default (`None`): as many as others give, at most 32.
    pub fn want(&mut self, want: Option<u8>) {
        self.state.want(want);
    }

    /// Stops passing on the card of a member that is gone.
    pub fn forget(&mut self, peer: &PeerId) {
        self.state.forget(peer);
    }

    fn greet_back(&mut self) {
        for peer in self.state.due(Instant::now()) {
            self.greet(peer);
        }
        self.next = self.state.wake_at();
    }

    fn greet_all(&mut self) {
        let peers: Vec<PeerId> = self.state.peers().collect();
        for peer in peers {
            self.greet(peer);
        }
    }

    fn on_inner(&mut self, event: request_response::Event<Hello, HelloReply>) {
        use request_response::{Event as Inner, Message};
        self.touched = true;
        match event {
            Inner::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                let (reply, event, again) =
                    self.state.heard(peer, &request, (Instant::now(), self.clock.now_ms()), &mut rand::rng());
                // The peer hung up meanwhile: nobody to answer.
                let _ = self.inner.send_response(channel, reply);
                self.events.push_back(event);
                if again {
                    self.greet(peer);
                }
            }
            Inner::Message { peer, message: Message::Response { request_id, response }, .. } => {
                let Some(nonce) = self.nonces.remove(&request_id) else { return };
                let event = self.state.answered(peer, &nonce, &response, Instant::now(), self.clock.now_ms());
                self.events.push_back(event);
            }
            Inner::OutboundFailure { peer, error, request_id, .. } => {
                self.nonces.remove(&request_id);
                let unsupported = matches!(error, OutboundFailure::UnsupportedProtocols);
                if self.inner.is_connected(&peer) && self.state.may_retry(&peer, unsupported) {
                    // Of two connections that both ends dialled at once, the one that carried our hello was closed. That is told as a
                    // refusal if the protocol was not agreed on yet.
                    return self.greet(peer);
                }
                self.events.push_back(Event::Silent { peer, reason: error.to_string() });
            }
            Inner::InboundFailure { .. } | Inner::ResponseSent { .. } => {}
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Event;

    handlers_of!(inner);

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
        self.touched = true;
        match event {
            FromSwarm::ConnectionEstablished(c) if c.other_established == 0 => {
                self.state.connected(c.peer_id);
                self.greet(c.peer_id);
            }
            FromSwarm::ConnectionClosed(c) if c.remaining_established == 0 => self.state.disconnected(&c.peer_id),
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            if self.alarm.is_due(self.next, cx) || std::mem::take(&mut self.touched) {
                self.greet_back();
                continue;
            }
            match self.inner.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_inner(event),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are handled above"))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
