//! Sending.

use std::{future::IntoFuture, pin::Pin, time::Duration};

use libp2p::PeerId;
use p2pnode_behaviours::key_of;
use p2pnode_wire::{
    ids::{ConversationId, MailId},
    limits::MAIL_MAX,
    mail::{Mail, MailMeta, Part, kind},
};

use super::Note;
use crate::{
    history::text,
    node::Node,
    store::{OutboxQuery, OutboxRow, OutboxState, StoreError, Write},
    target::{Target, TargetError},
};

/// Priorities, 5 the most urgent.
const PRIORITIES: std::ops::RangeInclusive<u8> = 1..=5;

/// Why a message was not accepted for sending.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// For whom?
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It is to go to this node itself.
    #[error("a node does not write to itself")]
    Own,
    /// Priorities are 1 to 5.
    #[error("{0} is no priority: 1 to 5, 5 is the most urgent")]
    Priority(u8),
    /// It is larger than a message may be.
    #[error("it has {size} bytes; a message may have {max}", max = MAIL_MAX)]
    TooLarge {
        /// Bytes of the message.
        size: usize,
    },
    /// So many messages are on their way already.
    #[error("{limit} messages are on their way already")]
    Full {
        /// The limit, [`MailLimits::outbox`](super::MailLimits::outbox).
        limit: u64,
    },
    /// This conversation has had more within an hour than people write: two programs may be answering each other.
    #[error(
        "this conversation has had {messages} messages or {bytes} bytes within an hour: two programs may be answering each \
         other. It may go on in an hour, or in a new conversation"
    )]
    Budget {
        /// The limit, [`MailLimits::conversation_messages`](super::MailLimits::conversation_messages).
        messages: u64,
        /// The limit, [`MailLimits::conversation_bytes`](super::MailLimits::conversation_bytes).
        bytes: u64,
    },
    /// There is no such message to answer.
    #[error("there is no message {0} in the inbox")]
    NoSuchMessage(MailId),
    /// It could not be kept, and so is not sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This node lives for one command: it keeps nothing.
    #[error("a node that lives for one command keeps no messages")]
    Ephemeral,
    /// The node has stopped.
    #[error("the node is shutting down")]
    Shutdown,
}

/// A message about to be sent: set what differs, then `.await`. What comes back is its id, once it is kept; the node then
/// tries until the other has it, or it expires.
#[must_use = "a message is sent when it is awaited"]
#[derive(Debug)]
pub struct Send {
    node: Node,
    to: Target,
    kind: &'static str,
    parts: Vec<Part>,
    swarm: String,
    conversation: Option<ConversationId>,
    in_reply_to: Option<MailId>,
    priority: Option<u8>,
    expires: Option<Duration>,
}

impl Send {
    pub(crate) fn new(node: Node, to: Target, text: String) -> Self {
        Self {
            node,
            to,
            kind: kind::MESSAGE,
            parts: vec![Part::Text(text)],
            swarm: String::new(),
            conversation: None,
            in_reply_to: None,
            priority: None,
            expires: None,
        }
    }

    /// It is a question to the other's ask handler: the answer comes into the inbox, whenever it comes.
    pub fn question(mut self) -> Self {
        self.kind = kind::ASK;
        self
    }

    /// In the name of this swarm. Default: the first one of this node.
    pub fn swarm(mut self, name: impl Into<String>) -> Self {
        self.swarm = name.into();
        self
    }

    /// Adds a part.
    pub fn part(mut self, part: Part) -> Self {
        self.parts.push(part);
        self
    }

    /// 1 to 5, 5 is the most urgent. Default none, which counts as 3.
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = Some(priority);
        self
    }

    /// It belongs to this conversation. Default: a new one.
    pub fn conversation(mut self, id: ConversationId) -> Self {
        self.conversation = Some(id);
        self
    }

    /// It answers this message.
    pub(crate) fn in_reply_to(mut self, id: MailId) -> Self {
        self.in_reply_to = Some(id);
        self
    }

    /// How long to try. Default 7 days.
    pub fn expires(mut self, after: Duration) -> Self {
        self.expires = Some(after);
        self
    }

    async fn run(self) -> Result<MailId, SendError> {
        let node = self.node.clone();
        let store = node.inner().store.clone().ok_or(SendError::Ephemeral)?;
        if let Some(priority) = self.priority.filter(|priority| !PRIORITIES.contains(priority)) {
            return Err(SendError::Priority(priority));
        }
        let to = node.recipient(&self.to).await?;
        if to == node.peer_id() {
            return Err(SendError::Own);
        }
        let limits = node.mail_limits().clone();
        let mail = self.mail(to, limits.expires)?;
        let raw = mail.seal(&node.signing_key()).into_raw();
        if raw.len() > MAIL_MAX {
            return Err(SendError::TooLarge { size: raw.len() });
        }
        let (id, now) = (mail.id, mail.sent_ms);
        let text = text::of_mail(&mail);
        let row = OutboxRow::new(mail, raw, now);
        let waiting = row.waiting();
        let keep = move |tables: &mut dyn Write| {
            let query = OutboxQuery { states: vec![OutboxState::Sent], limit: 1, ..OutboxQuery::default() };
            // Counting all is for the rare case that there are many.
            if !tables.outbox(&query)?.is_empty() && tables.stats()?.unsettled >= limits.outbox {
                return Ok(Err(SendError::Full { limit: limits.outbox }));
            }
            if limits.is_spent(tables, &waiting.conversation, &waiting.to, now)? {
                let (messages, bytes) = (limits.conversation_messages, limits.conversation_bytes);
                return Ok(Err(SendError::Budget { messages, bytes }));
            }
            tables.put_outbox(&row, Some(&text))?;
            Ok(Ok(()))
        };
        // What is kept goes, also if nobody waits for this any more.
        let kept = tokio::spawn(async move {
            store.write_durably(keep).await??;
            node.post(Note::Queued(waiting)).await;
            Ok::<(), SendError>(())
        });
        kept.await.unwrap_or(Err(SendError::Shutdown))?;
        Ok(id)
    }

    fn mail(&self, to: PeerId, expires: Duration) -> Result<Mail, SendError> {
        let node = &self.node;
        let (from, to) = (key_of(&node.peer_id()), key_of(&to));
        let (Some(from), Some(to)) = (from, to) else { return Err(SendError::Own) };
        let now = node.now_ms();
        let life = u64::try_from(self.expires.unwrap_or(expires).as_millis()).unwrap_or(u64::MAX);
        Ok(Mail {
            v: 1,
            id: MailId::new(),
            swarm: node.swarm_id(&self.swarm),
            from,
            to,
            kind: self.kind.to_owned(),
            conversation: self.conversation.unwrap_or_else(ConversationId::new),
            in_reply_to: self.in_reply_to,
            priority: self.priority,
            via: Vec::new(),
            sent_ms: now,
            not_after_ms: now.saturating_add(life),
            trace: None,
            meta: Some(MailMeta { name: node.name().to_owned(), live: false }.encode()),
            parts: self.parts.clone(),
        })
    }
}

impl IntoFuture for Send {
    type Output = Result<MailId, SendError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + std::marker::Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}
