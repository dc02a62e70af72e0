//! The asker's side.

use std::{
    collections::BTreeMap,
    future::{Future, IntoFuture},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use futures::Stream;
use libp2p::PeerId;
use p2pnode_wire::{error::RpcError, ids::ConversationId};
use rmpv::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    driver::{Driver, Put},
    letters::Question,
    state::{AskEnd, Rules},
};
use crate::{node::Node, peers::PeerRef, talk::PublishError};

/// Words of members waiting to be looked at; a member that talks faster than that is cut short, not the others.
const WORD_QUEUE: usize = 256;

/// Events waiting for the reader of [`Asked`]; beyond that the ask waits for its reader.
const EVENT_QUEUE: usize = 256;

/// Why a question could not be put.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// This node is not in a swarm of that name.
    #[error("this node is not in a swarm \"{0}\"")]
    UnknownSwarm(String),
    /// The question with its context is larger than a message may be.
    #[error("the question has {size} bytes, the limit is {max}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Too many asks are under way.
    #[error("{limit} asks are under way already")]
    Busy {
        /// The limit, [`Limits::asks`](crate::Limits::asks).
        limit: usize,
    },
    /// The swarm could not be asked.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The node has stopped.
    #[error("the node is shutting down")]
    Shutdown,
}

/// What a member did with a question.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AskEvent {
    /// It wades in.
    Ack {
        /// Who.
        peer: PeerRef,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It tells how far it is.
    Progress {
        /// Who.
        peer: PeerRef,
        /// In its words.
        text: String,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It answers.
    Reply {
        /// Who.
        peer: PeerRef,
        /// The answer.
        result: Value,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It tried and failed, or went away.
    Failed {
        /// Who.
        peer: PeerRef,
        /// Why.
        error: RpcError,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It says that this is not for it.
    Declined {
        /// Who.
        peer: PeerRef,
        /// Since the question was put.
        elapsed: Duration,
    },
}

/// How an ask ended, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskOutcome {
    /// Why it ended.
    pub end: AskEnd,
    /// Members that take asks and got it.
    pub members: usize,
    /// Of these, how many waded in.
    pub acks: usize,
    /// How many answered.
    pub replies: usize,
    /// How many failed.
    pub failures: usize,
    /// How many declined.
    pub declined: usize,
    /// From question to end.
    pub elapsed: Duration,
}

/// A question about to be put: set what differs, then `.await`.
#[must_use = "an ask is sent when it is awaited"]
pub struct AskBuilder {
    node: Node,
    to: String,
    question: Question,
    rules: Rules,
    only: Option<Vec<PeerId>>,
    private: bool,
    trace: Option<String>,
}

impl AskBuilder {
    pub(crate) fn new(node: Node, to: String, text: String) -> Self {
        let rules = Rules {
            wait_first: Duration::from_secs(2),
            linger: Duration::from_millis(250),
            after_enough: Duration::ZERO,
            replies: None,
            timeout: None,
        };
        let question = Question { text, context: BTreeMap::new() };
        Self { node, to, question, rules, only: None, private: false, trace: None }
    }

    /// Asks these members alone, by direct message; nobody else hears question or answer.
    pub fn only(mut self, peers: impl IntoIterator<Item = PeerId>) -> Self {
        self.only = Some(peers.into_iter().collect());
        self
    }

    /// Asks each member by a direct message, so that the swarm does not hear the answers.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Carries a W3C `traceparent` along.
    pub fn trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = Some(trace.into());
        self
    }

    /// Adds a piece of context, by name.
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.question.context.insert(key.into(), value.into());
        self
    }

    /// Time for the whole ask. Default: none, once somebody has acked.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.rules.timeout = Some(time);
        self
    }

    /// Time for a first sign of life after discovery. Default 2 s.
    pub fn wait_first(mut self, time: Duration) -> Self {
        self.rules.wait_first = time;
        self
    }

    /// Ends with the first reply.
    pub fn first(self) -> Self {
        self.replies(1)
    }

    /// Ends with so many replies, or as much later as [`Self::linger`] says.
    pub fn replies(mut self, n: usize) -> Self {
        self.rules.replies = Some(n.max(1));
        self
    }

    /// How long to wait for others after the last one ended. Default 250 ms.
    pub fn linger(mut self, time: Duration) -> Self {
        self.rules.linger = time;
        self.rules.after_enough = time;
        self
    }

    async fn start(self) -> Result<Asked, AskError> {
        let (swarm, team) = self.node.place(&self.to).ok_or_else(|| AskError::UnknownSwarm(self.to.clone()))?;
        let conversation = ConversationId::new();
        let (words, inbox) = mpsc::channel(WORD_QUEUE);
        let registered = self.node.asks().register(conversation, words)?;
        let (events, stream) = mpsc::channel(EVENT_QUEUE);
        let (done, outcome) = oneshot::channel();
        let for_all = self.only.is_none();
        let put = Put {
            node: self.node,
            swarm,
            team,
            conversation,
            question: self.question,
            rules: self.rules,
            only: self.only,
        };
        let mut driver = Driver::new(put, inbox, events, registered);
        driver.check_size()?;
        if for_all && !self.private {
            driver.publish(self.trace).await?;
        }
        tokio::spawn(async move {
            // The asker no longer cares how it ended.
            let _ = done.send(driver.run().await);
        });
        Ok(Asked { conversation, stream, outcome, ended: None })
    }
}

impl IntoFuture for AskBuilder {
    type Output = Result<Asked, AskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// A question under way: a stream of what members do with it, which ends when the ask is over. Dropped before, the
/// members still at work are told that the answer is no longer wanted.
#[derive(Debug)]
#[must_use = "dropping it withdraws the question"]
pub struct Asked {
    conversation: ConversationId,
    stream: mpsc::Receiver<AskEvent>,
    outcome: oneshot::Receiver<AskOutcome>,
    ended: Option<AskOutcome>,
}

impl Asked {
    /// The conversation this ask opened.
    pub fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// Withdraws the question; the stream ends once the members at work have been told.
    pub fn close(&mut self) {
        self.stream.close();
    }

    /// How it ended; waits for the end. Events not read yet are dropped.
    pub async fn outcome(&mut self) -> Option<AskOutcome> {
        while self.stream.recv().await.is_some() {}
        if self.ended.is_none() {
            self.ended = (&mut self.outcome).await.ok();
        }
        self.ended
    }
}

impl Stream for Asked {
    type Item = AskEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AskEvent>> {
        self.stream.poll_recv(cx)
    }
}
