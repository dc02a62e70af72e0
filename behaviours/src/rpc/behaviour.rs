use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::FutureExt;
use futures_timer::Delay;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_request_response::{self as request_response, OutboundFailure, OutboundRequestId, ResponseChannel};
use libp2p_swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, StreamProtocol, THandler,
    THandlerInEvent, ToSwarm, behaviour::ConnectionEstablished,
};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    protocol,
    rpc::Req,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    CallError, Client, Codec, Config, Incoming, Reply, Request, Responder, Road, Service,
    client::{Command, Whole},
    codec::Budget,
    lines::Lines,
    mux::{self, Counters, Links, Shared},
};
use crate::around::handlers_of;

/// Calls on their way to the swarm task: first calls to a peer, and all of the classic road.
const COMMAND_QUEUE: usize = 256;

/// Answers of the classic road on their way to the swarm task: all its substreams of 128 connections at once.
const REPLY_QUEUE: usize = 2_048;

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude")]
pub struct Roads {
    fast: mux::Behaviour,
    classic: request_response::Behaviour<Codec>,
}

/// RPC emits no events: calls come through the [`Service`], answers through the [`Client`].
pub type Event = std::convert::Infallible;

type Outcome = oneshot::Sender<Result<Whole, CallError>>;

/// A call on the classic road whose substream was asked for.
struct Waiting {
    deadline: Instant,
    reply: Outcome,
}

/// A call on the classic road that waits for its turn.
struct Queued {
    req: Box<Req>,
    deadline: Instant,
    reply: Outcome,
}

type ClassicAnswer = (ResponseChannel<Reply>, Reply);

/// Carries calls over both roads. Create one per Swarm with [`Behaviour::new`] and keep the [`Client`].
pub struct Behaviour {
    roads: Roads,
    service: Arc<dyn Service>,
    counters: Arc<Counters>,
    config: Arc<Config>,
    commands: mpsc::Receiver<Command>,
    waiting: HashMap<OutboundRequestId, Waiting>,
    /// Calls on the classic road beyond the substreams one peer gives us.
    lines: Lines<OutboundRequestId, Queued>,
    /// Sweeps calls of the classic road whose time is over; request-response has one time limit for all.
    sweep: Option<(Instant, Delay)>,
    replies: (mpsc::Sender<ClassicAnswer>, mpsc::Receiver<ClassicAnswer>),
    connections: HashMap<ConnectionId, (Multiaddr, CancellationToken)>,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("rpc::Behaviour").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Behaviour {
    /// A behaviour that hands calls to `service`, and the client that makes calls through it.
    pub fn new(config: Config, service: Arc<dyn Service>) -> (Self, Client) {
        let config = Arc::new(config);
        let counters = Arc::<Counters>::default();
        let budget = Budget::new(config.inbound_budget);
        let links = Links::default();
        let (sender, commands) = mpsc::channel(COMMAND_QUEUE);
        let shared = Shared {
            config: config.clone(),
            service: service.clone(),
            counters: counters.clone(),
            budget: budget.clone(),
        };
        let roads =
            Roads { fast: mux::Behaviour::new(shared, links.clone()), classic: classic(&config, budget.clone()) };
        let client = Client { commands: sender, links, counters: counters.clone(), config: config.clone(), budget };
        let lines = Lines::new(config.classic_streams, config.in_flight_per_peer);
        let behaviour = Self {
            roads,
            service,
            counters,
            config,
            commands,
            waiting: HashMap::new(),
            lines,
            sweep: None,
            replies: mpsc::channel(REPLY_QUEUE),
            connections: HashMap::new(),
        };
        (behaviour, client)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open { peer, reply } => self.roads.fast.open(peer, reply),
            Command::Classic { peer, req, deadline, reply } => {
                if let Err(Queued { reply, .. }) = self.lines.push(peer, Queued { req, deadline, reply }) {
                    let _ = reply.send(Err(CallError::Busy { limit: self.config.in_flight_per_peer }));
                }
                self.arm(deadline);
                self.depart(peer);
            }
        }
    }

    /// Sends as many calls of the classic road to `peer` as may be under way at once.
    fn depart(&mut self, peer: PeerId) {
        while let Some(Queued { req, deadline, reply }) = self.lines.next(&peer) {
            if reply.is_closed() || deadline <= Instant::now() {
                let _ = reply.send(Err(CallError::TimedOut { sent: false }));
                continue;
            }
            let id = self.roads.classic.send_request(&peer, *req);
            self.lines.began(peer, id);
            self.waiting.insert(id, Waiting { deadline, reply });
        }
    }

    /// request-response has done with it, well or not.
    fn ended(&mut self, id: OutboundRequestId) {
        if let Some(peer) = self.lines.ended(&id) {
            self.depart(peer);
        }
    }

    fn arm(&mut self, deadline: Instant) {
        if self.sweep.as_ref().is_none_or(|(armed, _)| deadline < *armed) {
            self.sweep = Some((deadline, Delay::new(deadline.saturating_duration_since(Instant::now()))));
        }
    }

    fn poll_sweep(&mut self, cx: &mut Context<'_>) {
        while let Some((_, delay)) = self.sweep.as_mut()
            && delay.poll_unpin(cx).is_ready()
        {
            self.sweep = None;
            let now = Instant::now();
            let late: Vec<_> = self.waiting.iter().filter(|(_, w)| w.deadline <= now).map(|(id, _)| *id).collect();
            for id in late {
                self.answered(id, Err(CallError::TimedOut { sent: true }));
            }
            for Queued { reply, .. } in self.lines.remove_if(|queued| queued.deadline <= now) {
                let _ = reply.send(Err(CallError::TimedOut { sent: false }));
            }
            let queued = self.lines.queued().map(|queued| queued.deadline);
            if let Some(next) = self.waiting.values().map(|w| w.deadline).chain(queued).min() {
                self.arm(next);
            }
        }
    }

    fn answered(&mut self, id: OutboundRequestId, outcome: Result<Whole, CallError>) {
        if let Some(waiting) = self.waiting.remove(&id) {
            let _ = waiting.reply.send(outcome);
        }
    }

    fn classic_event(&mut self, event: request_response::Event<Req, Reply>) {
        use request_response::{Event, Message};
        match event {
            Event::Message { peer, connection_id, message: Message::Request { request, channel, .. } } => {
                self.serve(peer, connection_id, request, channel);
            }
            Event::Message { message: Message::Response { request_id, response }, .. } => {
                let stream = response.stream;
                let outcome = response.outcome.map(|result| Whole { result, stream });
                self.answered(request_id, outcome.map_err(CallError::Remote));
                self.ended(request_id);
            }
            Event::OutboundFailure { request_id, error, .. } => {
                self.answered(request_id, Err(failure(error)));
                self.ended(request_id);
            }
            Event::InboundFailure { peer, error, .. } => {
                tracing::debug!(%peer, %error, "a call on the classic road was not answered");
            }
            Event::ResponseSent { .. } => {}
        }
    }

    fn serve(&mut self, peer: PeerId, connection: ConnectionId, req: Req, channel: ResponseChannel<Reply>) {
        let Some((remote, ended)) = self.connections.get(&connection) else { return };
        self.counters.classic_served.fetch_add(1, Ordering::Relaxed);
        let (id, replies) = (req.id, self.replies.0.clone());
        let reply = move |outcome, stream| {
            if replies.try_send((channel, Reply { id, outcome, stream })).is_err() {
                tracing::warn!("answers of the classic road pile up; one was dropped");
            }
        };
        let reply = Responder::classic(Box::new(reply), req.window.is_some());
        let request = Request::from_req(req, self.config.max_timeout);
        let deadline = Instant::now() + request.timeout;
        self.service.serve(Incoming {
            peer,
            remote: remote.clone(),
            road: Road::Classic,
            request,
            deadline,
            cancelled: ended.child_token(),
            reply,
        });
    }

    fn answer(&mut self, (channel, mut reply): ClassicAnswer) {
        if let Ok(result) = &reply.outcome
            && result.len() > self.config.max_body
        {
            let message = format!("the result has {} bytes, the limit is {}", result.len(), self.config.max_body);
            reply.outcome = Err(RpcError::new(ErrorCode::TooLarge, message));
        }
        // The caller is gone: nobody to tell.
        let _ = self.roads.classic.send_response(channel, reply);
    }
}

fn classic(config: &Config, budget: Budget) -> request_response::Behaviour<Codec> {
    let settings = request_response::Config::default()
        // Covers the handler too; each call's own deadline is shorter and kept by us.
        .with_request_timeout(config.max_timeout + Duration::from_secs(5))
        // Counts both directions, and drops what is beyond; ours never is, see `Lines`.
        .with_max_concurrent_streams(config.classic_streams.saturating_mul(2));
    let protocols = [(StreamProtocol::new(protocol::RPC), request_response::ProtocolSupport::Full)];
    request_response::Behaviour::with_codec(Codec::with_budget(config, budget), protocols, settings)
}

fn failure(error: OutboundFailure) -> CallError {
    match error {
        OutboundFailure::DialFailure => CallError::Unreachable { reason: "it could not be dialled".into() },
        OutboundFailure::Timeout => CallError::TimedOut { sent: true },
        OutboundFailure::ConnectionClosed => CallError::Lost { reason: "the connection ended".into() },
        OutboundFailure::UnsupportedProtocols => CallError::Unsupported,
        OutboundFailure::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            CallError::Malformed(error.to_string())
        }
        OutboundFailure::Io(error) => CallError::Lost { reason: error.to_string() },
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Roads>;
    type ToSwarm = Event;

    fn handle_pending_inbound_connection(
        &mut self,
        connection: ConnectionId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.roads.handle_pending_inbound_connection(connection, local, remote)
    }

    handlers_of!(roads);

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.roads.handle_pending_outbound_connection(connection, peer, addresses, role)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionEstablished(ConnectionEstablished { connection_id, endpoint, .. }) => {
                let remote = endpoint.get_remote_address().clone();
                self.connections.insert(connection_id, (remote, CancellationToken::new()));
            }
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                if let Some((_, ended)) = self.connections.remove(&connection_id) {
                    ended.cancel();
                }
            }
            _ => {}
        }
        self.roads.on_swarm_event(event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            while let Poll::Ready(Some(command)) = self.commands.poll_recv(cx) {
                self.command(command);
            }
            while let Poll::Ready(Some(answer)) = self.replies.1.poll_recv(cx) {
                self.answer(answer);
            }
            self.poll_sweep(cx);
            match self.roads.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(RoadsEvent::Classic(event))) => self.classic_event(event),
                Poll::Ready(ToSwarm::GenerateEvent(RoadsEvent::Fast(never))) => match never {},
                Poll::Ready(other) => {
                    return Poll::Ready(other.map_out(|_| unreachable!("events are handled above")));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
