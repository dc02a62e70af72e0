use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;
use p2pnode_wire::{
    ids::{ConversationId, EventId},
    talk::kind,
};

use super::{ConversationEvent, Draft, PublishError, Said};
use crate::{
    events::{Events, NodeEvent},
    node::Node,
};

/// A conversation of a swarm, as a stream of what is said in it from now on. It has no end of its own: nobody knows
/// whether somebody will speak again.
#[must_use = "a stream that nobody reads"]
pub struct Conversation {
    node: Node,
    swarm: String,
    id: ConversationId,
    opened: Option<(EventId, usize)>,
    events: Events,
    lagged: u64,
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Conversation {
    pub(crate) fn new(
        node: Node,
        swarm: String,
        id: ConversationId,
        opened: Option<(EventId, usize)>,
        events: Events,
    ) -> Self {
        Self { node, swarm, id, opened, events, lagged: 0 }
    }

    /// Its id.
    pub fn id(&self) -> ConversationId {
        self.id
    }

    /// The event that opened it, where this node did.
    pub fn message(&self) -> Option<EventId> {
        self.opened.map(|(id, _)| id)
    }

    /// Members that had it at once; the others have it from them.
    pub fn reached(&self) -> usize {
        self.opened.map_or(0, |(_, reached)| reached)
    }

    /// Events that this reader was too slow for, and has missed.
    pub fn lagged(&self) -> u64 {
        self.lagged
    }

    /// Only the answers: who replied, and what.
    pub fn replies(self) -> impl Stream<Item = (crate::peers::PeerRef, rmpv::Value)> + Send {
        futures::StreamExt::filter_map(self, |event| {
            futures::future::ready(match event.said {
                Said::Reply(value) => Some((event.author, value)),
                _ => None,
            })
        })
    }

    /// Tells those still at work that no more answers are wanted.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn close(self) -> Result<(), PublishError> {
        let Some((message, _)) = self.opened else { return Ok(()) };
        let swarm = self.node.swarm_id(&self.swarm).ok_or(PublishError::UnknownSwarm(self.swarm))?;
        let draft = Draft {
            team: None,
            swarm,
            conversation: self.id,
            kind: kind::LEAVE,
            parent: Some(message),
            trace: None,
            body: bytes::Bytes::new(),
        };
        self.node.publish(draft).await.map(drop)
    }
}

impl Stream for Conversation {
    type Item = ConversationEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match ready!(Pin::new(&mut self.events).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(NodeEvent::Lagged(n)) => self.lagged += n,
                Some(NodeEvent::Conversation(event)) if event.conversation == self.id => {
                    return Poll::Ready(Some(*event));
                }
                Some(_) => {}
            }
        }
    }
}
