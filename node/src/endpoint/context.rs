use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use p2pnode_wire::ids::ConversationId;
use rmpv::Value;
use tokio_util::sync::CancellationToken;

use super::HandlerError;
use crate::{
    ask::Word,
    node::{Node, WeakNode},
    peers::PeerRef,
    talk::Talk,
};

/// What comes with a call.
#[derive(Clone)]
pub struct Context {
    /// Who calls; proven by the connection. The name is a label.
    pub caller: PeerRef,
    /// Where the call comes from.
    pub remote: Multiaddr,
    /// In the name of which swarm; none for a call of a public endpoint.
    pub swarm: Option<String>,
    /// The endpoint that was called.
    pub endpoint: Arc<str>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// Nodes the call has passed through.
    pub hop: u8,
    pub(super) node: WeakNode,
    pub(super) cancelled: CancellationToken,
    /// The conversation it was called into, by a broadcast.
    pub(super) talk: Option<Arc<Called>>,
}

/// The way back to who broadcast.
pub(super) struct Called {
    pub(super) talk: Talk,
    pub(super) acked: AtomicBool,
    pub(super) replied: AtomicBool,
}

impl Called {
    pub(super) fn new(talk: Talk) -> Self {
        Self { talk, acked: AtomicBool::new(false), replied: AtomicBool::new(false) }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.caller)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Whether it was called by a broadcast: then it may ack, report progress, reply more than once, or decline with
    /// [`HandlerError::decline`]. What the handler returns is its reply, unless it has replied or returns nothing.
    pub fn is_broadcast(&self) -> bool {
        self.talk.is_some()
    }

    /// The conversation that the broadcast is part of.
    pub fn conversation(&self) -> Option<ConversationId> {
        self.talk.as_ref().map(|called| called.talk.conversation())
    }

    /// Who brought the broadcast first: its author, or the member that passed it on by gossip. None in a call.
    pub fn via(&self) -> Option<PeerId> {
        self.talk.as_ref().map(|called| called.talk.source())
    }

    /// Tells everybody that this node wades in; once, however often it is called. Nothing in a call.
    ///
    /// # Errors
    /// It could not be said.
    pub async fn ack(&self) -> Result<(), HandlerError> {
        match &self.talk {
            Some(called) if !called.acked.swap(true, Ordering::AcqRel) => called.talk.say(&Word::Ack).await,
            _ => Ok(()),
        }
    }

    /// Tells everybody how far it is; acks first if that has not happened. Nothing in a call.
    ///
    /// # Errors
    /// It could not be said.
    pub async fn progress(&self, text: impl Into<String>) -> Result<(), HandlerError> {
        self.ack().await?;
        match &self.talk {
            Some(called) => called.talk.say(&Word::Progress(text.into())).await,
            None => Ok(()),
        }
    }

    /// Answers the broadcast; it may do so again.
    ///
    /// # Errors
    /// It could not be said, or this is a call, which is answered by what the handler returns.
    pub async fn reply(&self, value: impl Into<Value>) -> Result<(), HandlerError> {
        let Some(called) = &self.talk else {
            return Err(HandlerError::new("a call is answered by what the handler returns"));
        };
        called.replied.store(true, Ordering::Release);
        called.talk.say(&Word::Reply(value.into())).await
    }

    /// Whether the caller no longer waits.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Waits until the caller no longer waits. The handler's future is dropped then.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    pub(crate) fn weak_node(&self) -> WeakNode {
        self.node.clone()
    }

    /// Time until the caller stops waiting.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The node that was called, to call others from a handler; none while it stops.
    pub fn node(&self) -> Option<Node> {
        self.node.upgrade()
    }
}
