use std::{
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::Stream;
use p2pnode_wire::{
    ids::{ConversationId, EventId},
    msgpack,
    subject::{Pattern, Subject, SubjectError},
    talk::{Emitted, kind},
};
use serde::Serialize;

use super::{ConversationEvent, Draft, PublishError, Said, announce};
use crate::{
    events::{Events, NodeEvent},
    node::Node,
};

/// Something that happened, about to be told to a swarm: set what differs, then `.await`.
#[must_use = "an event is sent when it is awaited"]
pub struct Emit {
    node: Node,
    swarm: String,
    subject: Result<Subject, SubjectError>,
    data: Result<Bytes, String>,
    conversation: ConversationId,
    parent: Option<EventId>,
}

impl Emit {
    pub(crate) fn new(node: Node, subject: &str, data: &impl Serialize) -> Self {
        Self {
            node,
            swarm: String::new(),
            subject: subject.parse(),
            data: msgpack::try_encode(data).map(Bytes::from),
            conversation: ConversationId::new(),
            parent: None,
        }
    }

    /// To this swarm instead of the first one this node is in; `garden/backend` is a team of it.
    pub fn to(mut self, swarm: impl Into<String>) -> Self {
        self.swarm = swarm.into();
        self
    }

    /// In a conversation that exists, instead of a new one.
    pub fn conversation(mut self, id: ConversationId) -> Self {
        self.conversation = id;
        self
    }

    /// As a consequence of another event.
    pub fn parent(mut self, event: EventId) -> Self {
        self.parent = Some(event);
        self
    }

    async fn publish(self) -> Result<Sent, PublishError> {
        let emitted = Emitted { subject: self.subject?, data: self.data.map_err(PublishError::Arguments)? };
        let (swarm, team) = self.node.place(&self.swarm).ok_or(PublishError::UnknownSwarm(self.swarm))?;
        let draft = Draft {
            swarm,
            team,
            conversation: self.conversation,
            kind: kind::EMIT,
            parent: self.parent,
            trace: None,
            body: emitted.encode(),
        };
        let (id, reached) = announce(&self.node, draft).await?;
        Ok(Sent { id, reached })
    }
}

/// An event that is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// Its id.
    pub id: EventId,
    /// Members that had it at once; the others have it from them. With none it waits ten seconds for the first.
    pub reached: usize,
}

impl IntoFuture for Emit {
    type Output = Result<Sent, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.publish())
    }
}

/// Emitted events whose subject matches a pattern: `document.*` for any one word, `document.>` for all that begin so.
#[must_use = "a stream that nobody reads"]
pub struct Subscription {
    pattern: Pattern,
    events: Events,
    lagged: u64,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscription").field("pattern", &self.pattern).finish_non_exhaustive()
    }
}

impl Subscription {
    pub(crate) fn new(pattern: Pattern, events: Events) -> Self {
        Self { pattern, events, lagged: 0 }
    }

    /// Events that this reader was too slow for, of whatever subject.
    pub fn lagged(&self) -> u64 {
        self.lagged
    }
}

impl Stream for Subscription {
    type Item = ConversationEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.events).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(NodeEvent::Lagged(n)) => self.lagged += n,
                Some(NodeEvent::Conversation(event)) => {
                    if let Said::Emitted { subject, .. } = &event.said
                        && self.pattern.matches(subject)
                    {
                        return Poll::Ready(Some(*event));
                    }
                }
                Some(_) => {}
            }
        }
    }
}
