use std::{
    collections::{HashMap, VecDeque},
    fmt,
    task::{Context, Poll},
};

use libp2p_identity::PeerId;
use libp2p_request_response::{self as request_response, OutboundFailure, OutboundRequestId, ResponseChannel};
use libp2p_swarm::{FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, ToSwarm};
use tokio::sync::oneshot;

use super::codec::{Codec, Exchange};
use crate::around::handlers_of;

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExchangeError {
    /// No connection could be made.
    #[error("the peer could not be reached")]
    Unreachable,
    /// The peer does not speak the protocol.
    #[error("the peer does not speak this protocol")]
    Unsupported,
    /// The connection broke, the answer took too long or cannot be read, or the peer does not want to answer us.
    #[error("no answer: {0}")]
    Failed(String),
}

/// Where the answer to one question goes.
#[must_use = "dropping it refuses"]
pub struct Ticket<E: Exchange>(ResponseChannel<E::Response>);

impl<E: Exchange> fmt::Debug for Ticket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

/// A peer wants something. Answer with [`Behaviour::answer`].
pub struct Asked<E: Exchange> {
    /// Who asks, as the connection proves it.
    pub peer: PeerId,
    /// What.
    pub request: E::Request,
    /// For the answer.
    pub ticket: Ticket<E>,
}

impl<E: Exchange> fmt::Debug for Asked<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asked").field("peer", &self.peer).finish_non_exhaustive()
    }
}

type Inner<E> = request_response::Behaviour<Codec<E>>;
type Waiter<E> = oneshot::Sender<Result<<E as Exchange>::Response, ExchangeError>>;

/// Asks peers, and tells what they ask.
pub struct Behaviour<E: Exchange> {
    inner: Inner<E>,
    waiting: HashMap<OutboundRequestId, Waiter<E>>,
    events: VecDeque<Asked<E>>,
}

impl<E: Exchange> fmt::Debug for Behaviour<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl<E: Exchange> Default for Behaviour<E> {
    fn default() -> Self {
        Self { inner: Codec::behaviour(), waiting: HashMap::new(), events: VecDeque::new() }
    }
}

impl<E: Exchange> Behaviour<E> {
    /// Asks a peer, dialling it if need be; `done` hears the answer.
    pub fn ask(&mut self, peer: PeerId, request: E::Request, done: Waiter<E>) {
        let id = self.inner.send_request(&peer, request);
        self.waiting.insert(id, done);
    }

    /// Answers.
    pub fn answer(&mut self, ticket: Ticket<E>, reply: E::Response) {
        // The asker is gone: it will ask again.
        let _ = self.inner.send_response(ticket.0, reply);
    }

    fn on_inner(&mut self, event: request_response::Event<E::Request, E::Response>) {
        use request_response::{Event as Inner, Message};
        match event {
            Inner::Message { peer, message: Message::Request { request, channel, .. }, .. } => {
                self.events.push_back(Asked { peer, request, ticket: Ticket(channel) });
            }
            Inner::Message { message: Message::Response { request_id, response }, .. } => {
                self.settle(request_id, Ok(response));
            }
            Inner::OutboundFailure { request_id, error, .. } => self.settle(request_id, Err(failure(&error))),
            Inner::InboundFailure { .. } | Inner::ResponseSent { .. } => {}
        }
    }

    fn settle(&mut self, id: OutboundRequestId, outcome: Result<E::Response, ExchangeError>) {
        if let Some(waiter) = self.waiting.remove(&id) {
            // Nobody waits for this one any more.
            let _ = waiter.send(outcome);
        }
    }
}

fn failure(error: &OutboundFailure) -> ExchangeError {
    match error {
        OutboundFailure::DialFailure => ExchangeError::Unreachable,
        OutboundFailure::UnsupportedProtocols => ExchangeError::Unsupported,
        other => ExchangeError::Failed(other.to_string()),
    }
}

impl<E: Exchange> NetworkBehaviour for Behaviour<E> {
    type ConnectionHandler = THandler<Inner<E>>;
    type ToSwarm = Asked<E>;

    handlers_of!(inner);

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            match self.inner.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_inner(event),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are handled above"))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
