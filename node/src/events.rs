//! What a node notices, for those who watch.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use libp2p::Multiaddr;
use p2pnode_wire::ids::ConversationId;
use tokio::sync::broadcast;

use crate::{
    history::Summary,
    mail::{InboxMail, OutboxMail},
    peers::{Peer, PeerRef},
    talk::{ConversationEvent, Said},
};

/// Events a slow reader may lag behind before it is told [`NodeEvent::Lagged`].
pub(crate) const EVENT_QUEUE: usize = 1_024;

/// What goes to those who watch. Behind a pointer: the channel makes room for all of [`EVENT_QUEUE`] at once, which were
/// 440 KiB a node.
pub(crate) type Told = Arc<NodeEvent>;

/// Something that happened at or around this node.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum NodeEvent {
    /// This node can be reached at this address.
    Listening(Multiaddr),
    /// A member of one of our swarms appeared, or came back.
    PeerJoined(Peer),
    /// A member has a new card.
    PeerUpdated(Peer),
    /// The connection to a member broke, and it has not answered since.
    PeerSuspect(Peer),
    /// A member cannot be reached any more.
    PeerOffline(Peer),
    /// A member said goodbye, or a one-command node has ended.
    PeerLeft(PeerRef),
    /// Somebody asks this node.
    AskReceived {
        /// Who asks.
        from: PeerRef,
        /// Where the question came from.
        remote: Option<Multiaddr>,
        /// Its conversation.
        conversation: ConversationId,
        /// The question.
        text: String,
    },
    /// This node's ask handler has ended.
    AskFinished {
        /// Who asked.
        from: PeerRef,
        /// Its conversation.
        conversation: ConversationId,
        /// `reply`, `declined`, `cancelled`, or `failed: …`.
        outcome: String,
        /// From arrival to the end.
        elapsed: Duration,
    },
    /// Somebody called an endpoint of this node.
    CallServed {
        /// Who called.
        from: PeerRef,
        /// Which endpoint.
        endpoint: String,
        /// Whether it answered with a result.
        ok: bool,
        /// The error, if not.
        error: Option<String>,
        /// From arrival to the answer.
        elapsed: Duration,
    },
    /// Somebody said something to a swarm of ours, this node included.
    Conversation(Box<ConversationEvent>),
    /// This node has fetched what it had missed of a swarm's conversations.
    CaughtUp {
        /// Which swarm.
        swarm: String,
        /// Who had it.
        with: PeerRef,
        /// How many events.
        events: usize,
    },
    /// The middle of a conversation was folded into a summary.
    Compacted {
        /// In which swarm.
        swarm: String,
        /// Which one.
        conversation: ConversationId,
        /// What was said, in few words.
        summary: Box<Summary>,
    },
    /// A member has signed two different histories: what it says and what it said cannot both be trusted. The one that came
    /// first is kept; nothing more of this feed is.
    FeedForked {
        /// In which swarm.
        swarm: String,
        /// Who.
        author: PeerRef,
        /// Which of its runs.
        epoch: u64,
    },
    /// A message for this node has been kept.
    MailArrived(Box<InboxMail>),
    /// A message of this node has come further, or not: see its state.
    MailChanged(Box<OutboxMail>),
    /// A schedule of this node has run.
    ScheduleRan {
        /// Its name.
        name: String,
        /// When it runs.
        when: String,
        /// `ok`, or `failed: …`.
        outcome: String,
        /// From its start to its end.
        elapsed: Duration,
    },
    /// Something an operator should know.
    Warning(String),
    /// The reader was too slow: so many events are missing here.
    Lagged(u64),
}

impl NodeEvent {
    /// What [`Node::on`](crate::Node::on) calls it: `peer.joined`, `conversation.ack`, or the subject of an emitted event.
    /// An emitted event cannot pass for one of the node's own.
    pub fn name(&self) -> Option<String> {
        let name = match self {
            Self::PeerJoined(_) => "peer.joined",
            Self::PeerUpdated(_) => "peer.updated",
            Self::PeerSuspect(_) => "peer.suspect",
            Self::PeerOffline(_) => "peer.offline",
            Self::PeerLeft(_) => "peer.left",
            Self::MailArrived(_) => "mail.arrived",
            Self::MailChanged(_) => "mail.changed",
            Self::ScheduleRan { .. } => "schedule.ran",
            Self::Compacted { .. } => "conversation.compacted",
            Self::Conversation(event) => {
                return Some(match &event.said {
                    Said::Emitted { subject, .. } if !is_own(subject) => subject.clone(),
                    Said::Emitted { .. } => "conversation.emit".into(),
                    Said::Other { .. } => "conversation.other".into(),
                    said => format!("conversation.{}", said.kind()),
                });
            }
            _ => return None,
        };
        Some(name.to_owned())
    }
}

/// Subjects that only the node itself may use.
fn is_own(subject: &str) -> bool {
    matches!(subject.split('.').next(), Some("peer" | "conversation" | "mail" | "schedule"))
}

/// A stream of [`NodeEvent`]s. Never ends while the node runs; a slow reader loses events and is told how many.
pub struct Events {
    inner: Pin<Box<dyn Stream<Item = NodeEvent> + Send>>,
}

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Told>) -> Self {
        let inner = futures::stream::unfold(receiver, |mut receiver| async move {
            match receiver.recv().await {
                Ok(event) => Some((Arc::unwrap_or_clone(event), receiver)),
                Err(broadcast::error::RecvError::Lagged(n)) => Some((NodeEvent::Lagged(n), receiver)),
                Err(broadcast::error::RecvError::Closed) => None,
            }
        });
        Self { inner: Box::pin(inner) }
    }
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Stream for Events {
    type Item = NodeEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<NodeEvent>> {
        self.inner.as_mut().poll_next(cx)
    }
}
