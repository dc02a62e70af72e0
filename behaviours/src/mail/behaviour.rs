use std::{
    collections::{HashMap, VecDeque},
    fmt,
    task::{Context, Poll},
};

use bytes::Bytes;
use libp2p_identity::PeerId;
use libp2p_request_response::{self as request_response, OutboundFailure, OutboundRequestId, ResponseChannel};
use libp2p_swarm::{ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent, ToSwarm};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    mail::{Mail, MailAck, MailReply},
};
use tokio::sync::oneshot;

use super::protocol::{Delivery, Letter};
use crate::{around::handlers_of, exchange::Codec, peer::key_of};

/// Why a message was not acknowledged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// No connection could be made; nothing was sent.
    #[error("the peer could not be reached")]
    Unreachable,
    /// The peer does not take mail.
    #[error("the peer does not speak /p2pnode/mail/1")]
    Unsupported,
    /// The message may have arrived, but no acknowledgement came back.
    #[error("no acknowledgement: {0}")]
    Unacknowledged(String),
    /// The peer refused the message.
    #[error("{0}")]
    Refused(RpcError),
}

/// Where the acknowledgement of one message goes.
#[derive(Debug)]
pub struct Ticket(ResponseChannel<MailReply>);

/// A message for us.
#[derive(Debug)]
pub enum Event {
    /// Arrived, verified: signature, sender and addressee hold. Answer with [`Behaviour::acknowledge`] or
    /// [`Behaviour::refuse`].
    Arrived {
        /// The sender, as the connection proves it.
        peer: PeerId,
        /// The connection it came over.
        connection: ConnectionId,
        /// What it says.
        mail: Box<Mail>,
        /// The signed bytes.
        signed: Bytes,
        /// For the answer.
        ticket: Ticket,
    },
}

type Inner = request_response::Behaviour<Codec<Delivery>>;
type Waiter = oneshot::Sender<Result<MailAck, DeliverError>>;

/// Delivers and receives mail.
pub struct Behaviour {
    inner: Inner,
    own: PeerId,
    waiting: HashMap<OutboundRequestId, Waiter>,
    events: VecDeque<Event>,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("mail::Behaviour").field("waiting", &self.waiting.len()).finish_non_exhaustive()
    }
}

impl Behaviour {
    /// Mail of the node `own`.
    pub fn new(own: PeerId) -> Self {
        Self { inner: Codec::behaviour(), own, waiting: HashMap::new(), events: VecDeque::new() }
    }

    /// Delivers a sealed message, dialling the peer if need be; `done` hears how it ended.
    pub fn deliver(&mut self, peer: PeerId, sealed: Bytes, done: Waiter) {
        let id = self.inner.send_request(&peer, Letter::Sealed(sealed));
        self.waiting.insert(id, done);
    }

    /// Confirms a message.
    pub fn acknowledge(&mut self, ticket: Ticket, ack: MailAck) {
        // The sender is gone: it will deliver again and be told then.
        let _ = self.inner.send_response(ticket.0, MailReply::Ack(ack));
    }

    /// Refuses a message.
    pub fn refuse(&mut self, ticket: Ticket, error: RpcError) {
        let _ = self.inner.send_response(ticket.0, MailReply::Err(error));
    }

    fn on_inner(&mut self, event: request_response::Event<Letter, MailReply>) {
        use request_response::{Event as Inner, Message};
        match event {
            Inner::Message { peer, connection_id, message: Message::Request { request, channel, .. } } => {
                self.arrived(peer, connection_id, request, Ticket(channel));
            }
            Inner::Message { message: Message::Response { request_id, response }, .. } => {
                self.settle(
                    request_id,
                    match response {
                        MailReply::Ack(ack) => Ok(ack),
                        MailReply::Err(error) => Err(DeliverError::Refused(error)),
                    },
                );
            }
            Inner::OutboundFailure { request_id, error, .. } => self.settle(request_id, Err(failure(&error))),
            Inner::InboundFailure { .. } | Inner::ResponseSent { .. } => {}
        }
    }

    fn settle(&mut self, id: OutboundRequestId, outcome: Result<MailAck, DeliverError>) {
        if let Some(waiter) = self.waiting.remove(&id) {
            // Nobody waits for this one any more.
            let _ = waiter.send(outcome);
        }
    }

    fn arrived(&mut self, peer: PeerId, connection: ConnectionId, letter: Letter, ticket: Ticket) {
        match letter {
            Letter::Opened(mail, signed) => match self.check(&peer, &mail) {
                Ok(()) => self.events.push_back(Event::Arrived { peer, connection, mail, signed, ticket }),
                Err(error) => self.refuse(ticket, error),
            },
            Letter::Unreadable(reason) => self.refuse(ticket, RpcError::new(ErrorCode::InvalidEnvelope, reason)),
            Letter::Sealed(_) => self.refuse(ticket, RpcError::new(ErrorCode::InternalError, "mail was not opened")),
        }
    }

    /// Nobody carries other people's mail yet: the author must be the one who delivers, and we the addressee.
    fn check(&self, peer: &PeerId, mail: &Mail) -> Result<(), RpcError> {
        if key_of(peer) != Some(mail.from) {
            return Err(RpcError::new(ErrorCode::IdentityMismatch, "the message is signed by somebody else"));
        }
        if key_of(&self.own) != Some(mail.to) {
            return Err(RpcError::new(ErrorCode::IdentityMismatch, "the message is for somebody else"));
        }
        Ok(())
    }
}

fn failure(error: &OutboundFailure) -> DeliverError {
    match error {
        OutboundFailure::DialFailure => DeliverError::Unreachable,
        OutboundFailure::UnsupportedProtocols => DeliverError::Unsupported,
        other => DeliverError::Unacknowledged(other.to_string()),
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Event;

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
