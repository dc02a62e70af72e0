use std::{
    future::{Future, IntoFuture},
    pin::Pin,
};

use bytes::Bytes;
use p2pnode_wire::{
    ids::{ConversationId, EventId},
    talk::{Message, kind},
};

use super::{Conversation, Draft, PublishError, announce};
use crate::{endpoint::Arguments, node::Node};

/// A call to everybody who serves an endpoint, about to be made: set what differs, then `.await`. It is over when the
/// event is out; the [`Conversation`] brings what members say to it.
#[must_use = "a broadcast is made when it is awaited"]
pub struct Broadcast {
    node: Node,
    swarm: String,
    endpoint: String,
    args: Result<Arguments, String>,
    conversation: ConversationId,
    parent: Option<EventId>,
    trace: Option<String>,
}

impl Broadcast {
    pub(crate) fn new(node: Node, endpoint: String, args: Result<Arguments, String>) -> Self {
        let (swarm, conversation) = (String::new(), ConversationId::new());
        Self { node, swarm, endpoint, args, conversation, parent: None, trace: None }
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

    /// As an answer to an event.
    pub fn parent(mut self, event: EventId) -> Self {
        self.parent = Some(event);
        self
    }

    /// Carries a W3C `traceparent` along.
    pub fn trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = Some(trace.into());
        self
    }

    async fn publish(self) -> Result<Conversation, PublishError> {
        let arguments = self.args.map_err(PublishError::Arguments)?;
        let (swarm, team) = self.node.place(&self.swarm).ok_or(PublishError::UnknownSwarm(self.swarm))?;
        let mut message = encode_args(self.endpoint, arguments);
        // Who has not met this node acts on its word only after it has connected.
        message.reply_addrs = self.node.reply_addrs();
        let body = message.encode();
        // Before the event is out, so that no answer is missed.
        let events = self.node.events();
        let draft = Draft {
            swarm,
            team,
            conversation: self.conversation,
            kind: kind::MESSAGE,
            parent: self.parent,
            trace: self.trace,
            body,
        };
        let (id, reached) = announce(&self.node, draft).await?;
        let name = self.node.swarm_name(&swarm).unwrap_or_default();
        Ok(Conversation::new(self.node, name, self.conversation, Some((id, reached)), events))
    }
}

pub(crate) fn encode_args(endpoint: String, arguments: Arguments) -> Message {
    // Nil, or nothing at all, are no arguments by name.
    let kwargs = Some(arguments.kwargs).filter(|kwargs| kwargs.len() > 1);
    let args = if arguments.args.is_empty() { Bytes::from_static(&[0x90]) } else { arguments.args };
    Message { endpoint, args, kwargs, reply_addrs: Vec::new(), reply_until_ms: None, want: None }
}

impl IntoFuture for Broadcast {
    type Output = Result<Conversation, PublishError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.publish())
    }
}
