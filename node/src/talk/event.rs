use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use libp2p::PeerId;
use p2pnode_wire::{
    error::RpcError,
    event::Event,
    ids::{ConversationId, EventId},
    msgpack,
    talk::{self, Emitted, Failure, Message, Meta, kind},
};
use rmpv::Value;
use serde::de::DeserializeOwned;

use crate::peers::{PeerRef, Peers};

/// An event as it came out of its feed.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) event: Arc<Event>,
    pub(crate) id: EventId,
    pub(crate) author: PeerId,
    /// Who brought it.
    pub(crate) source: PeerId,
    /// Published by this node.
    pub(crate) own: bool,
}

impl Heard {
    /// Its author by the name on its card, or, if that is not known, by the one it gives itself in the event.
    pub(crate) fn author_of(&self, peers: &Peers) -> PeerRef {
        let mut author = peers.reference(self.author);
        if author.name.is_empty() {
            author.name = self.event.meta.as_deref().map(|meta| Meta::decode(meta).name).unwrap_or_default();
        }
        author
    }
}

/// Something a member said to its swarm; its author is proven by a signature.
#[derive(Debug, Clone, PartialEq)]
pub struct ConversationEvent {
    /// Its id: the hash of its bytes.
    pub id: EventId,
    /// In which swarm.
    pub swarm: String,
    /// Who says it.
    pub author: PeerRef,
    /// Whether this node said it.
    pub own: bool,
    /// Who brought it first: its author, or a member that passed it on.
    pub via: PeerId,
    /// In which conversation.
    pub conversation: ConversationId,
    /// The event it answers.
    pub parent: Option<EventId>,
    /// Which run of the author, and its place in it, without gaps.
    pub feed: (u64, u64),
    /// The author's clock; for display only.
    pub at: SystemTime,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// What is said.
    pub said: Said,
}

/// What a [`ConversationEvent`] says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Said {
    /// A question to all who take questions.
    Ask {
        /// The question.
        text: String,
        /// What comes along, by name.
        context: BTreeMap<String, Value>,
    },
    /// A call to all who serve an endpoint.
    Broadcast {
        /// Which.
        endpoint: String,
        /// Positional arguments.
        args: Vec<Value>,
        /// Arguments by name.
        kwargs: BTreeMap<String, Value>,
    },
    /// "I wade in."
    Ack,
    /// How far it is.
    Progress(String),
    /// An answer.
    Reply(Value),
    /// It failed.
    Failed(RpcError),
    /// Its author leaves the swarm; or, with a parent, declines, or wants no more answers.
    Leave,
    /// Something happened.
    Emitted {
        /// What.
        subject: String,
        /// More about it.
        data: Value,
    },
    /// Of a kind this version does not know, or with a body that cannot be read.
    Other {
        /// Its kind.
        kind: String,
        /// Its bytes.
        body: Bytes,
    },
}

impl Said {
    /// `ask`, `broadcast`, `ack`, `progress`, `reply`, `failed`, `leave`, `emit`, or the own kind.
    pub fn kind(&self) -> &str {
        match self {
            Self::Ask { .. } => "ask",
            Self::Broadcast { .. } => "broadcast",
            Self::Ack => "ack",
            Self::Progress(_) => "progress",
            Self::Reply(_) => "reply",
            Self::Failed(_) => "failed",
            Self::Leave => "leave",
            Self::Emitted { .. } => "emit",
            Self::Other { kind, .. } => kind,
        }
    }

    pub(crate) fn read(event: &Event) -> Self {
        let read = match event.kind.as_str() {
            kind::ACK => Some(Self::Ack),
            kind::LEAVE => Some(Self::Leave),
            kind::PROGRESS => msgpack::decode(&event.body).ok().map(Self::Progress),
            kind::REPLY => value(&event.body).map(Self::Reply),
            kind::ERROR => msgpack::decode::<Failure>(&event.body).ok().map(|failure| Self::Failed(failure.into())),
            kind::EMIT => Emitted::decode(&event.body).ok().and_then(|emitted| {
                Some(Self::Emitted { subject: emitted.subject.to_string(), data: value(&emitted.data)? })
            }),
            kind::MESSAGE => Message::decode(&event.body).ok().and_then(|message| message_said(&message)),
            _ => None,
        };
        read.unwrap_or_else(|| Self::Other { kind: event.kind.clone(), body: event.body.clone() })
    }
}

/// No body stands for nil.
fn value(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() { Some(Value::Nil) } else { msgpack::decode(bytes).ok() }
}

fn message_said(message: &Message) -> Option<Said> {
    let args: Vec<Value> = msgpack::decode(&message.args).ok()?;
    let kwargs = match &message.kwargs {
        Some(kwargs) => msgpack::decode(kwargs).ok()?,
        None => BTreeMap::new(),
    };
    if message.endpoint != talk::ASK {
        return Some(Said::Broadcast { endpoint: message.endpoint.clone(), args, kwargs });
    }
    let text = args.first().and_then(Value::as_str)?.to_owned();
    Some(Said::Ask { text, context: kwargs })
}

impl ConversationEvent {
    /// What was emitted or replied, as a type.
    ///
    /// # Errors
    /// In words: it is something else, or says nothing of that kind.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, String> {
        match &self.said {
            Said::Emitted { data: value, .. } | Said::Reply(value) => {
                rmpv::ext::from_value(value.clone()).map_err(|error| error.to_string())
            }
            other => Err(format!("a {} event has no data", other.kind())),
        }
    }

    pub(crate) fn new(heard: &Heard, swarm: String, author: PeerRef) -> Self {
        Self { own: heard.own, via: heard.source, ..Self::kept(heard.id, &heard.event, swarm, author) }
    }

    /// As it is found in a history, which does not tell who brought it.
    pub(crate) fn kept(id: EventId, event: &Event, swarm: String, author: PeerRef) -> Self {
        Self {
            id,
            swarm,
            own: false,
            via: author.id,
            author,
            conversation: event.conversation,
            parent: event.parent,
            feed: (event.epoch, event.seq),
            at: UNIX_EPOCH.checked_add(Duration::from_millis(event.at_ms)).unwrap_or(UNIX_EPOCH),
            trace: event.trace.clone(),
            said: Said::read(event),
        }
    }
}
