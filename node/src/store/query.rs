//! What is asked of a store. Empty filters fit everything.

use p2pnode_wire::ids::{ConversationId, EventId, MailId, PeerKey, SwarmId};

use uuid::Uuid;

use super::{
    rows::{InboxState, OutboxState, WorkState},
    search::Search,
};

/// In which order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// Which events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Of this swarm.
    pub swarm: Option<SwarmId>,
    /// Of this conversation.
    pub conversation: Option<ConversationId>,
    /// Of this author.
    pub author: Option<PeerKey>,
    /// Of one of these kinds.
    pub kinds: Vec<String>,
    /// Not before this time ([`EventRow::time_ms`](super::EventRow::time_ms)).
    pub since_ms: Option<u64>,
    /// Before this time.
    pub until_ms: Option<u64>,
    /// After (in `order`) this event, by (time, id): the next page.
    pub after: Option<(u64, EventId)>,
    /// By (time, id).
    pub order: Order,
    /// At most so many.
    pub limit: usize,
}

/// How much a conversation of messages with one peer has had, both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TalkUse {
    /// Messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Which conversations, by their last event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConversationQuery {
    /// Of this swarm.
    pub swarm: Option<SwarmId>,
    /// Whose id begins or ends with these hex digits (dashes do not count).
    pub id: Option<String>,
    /// After (newest first) this one, by (last, id): the next page.
    pub after: Option<(u64, ConversationId)>,
    /// At most so many.
    pub limit: usize,
}

/// Which messages to us. The most urgent first (5 before 1, none counts as 3), then the oldest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxQuery {
    /// In one of these states.
    pub states: Vec<InboxState>,
    /// From this author.
    pub author: Option<PeerKey>,
    /// Of this conversation.
    pub conversation: Option<ConversationId>,
    /// Whose id begins or ends with these hex digits (dashes do not count).
    pub id: Option<String>,
    /// From strangers, or not.
    pub stranger: Option<bool>,
    /// Only those our handler still has to do with.
    pub work: bool,
    /// At most so many.
    pub limit: usize,
}

/// Which messages of ours, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboxQuery {
    /// In one of these states.
    pub states: Vec<OutboxState>,
    /// To this peer.
    pub to: Option<PeerKey>,
    /// Of this conversation.
    pub conversation: Option<ConversationId>,
    /// Whose id begins or ends with these hex digits (dashes do not count).
    pub id: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A search over the texts of events and messages, the newest hits first.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchQuery {
    /// What for.
    pub search: Search,
    /// In this swarm.
    pub swarm: Option<SwarmId>,
    /// By this author.
    pub author: Option<PeerKey>,
    /// Not before this time.
    pub since_ms: Option<u64>,
    /// At most so many.
    pub limit: usize,
}

/// Where something was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Hit {
    /// In an event.
    Event(Box<super::EventRow>),
    /// In a message to us.
    Inbox(Box<super::InboxRow>),
    /// In a message of ours.
    Outbox(Box<super::OutboxRow>),
}

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Events.
    pub events: u64,
    /// Bytes of their signed form.
    pub event_bytes: u64,
    /// Conversations.
    pub conversations: u64,
    /// Feeds.
    pub feeds: u64,
    /// Messages to us.
    pub inbox: u64,
    /// Unread ones of these.
    pub unread: u64,
    /// Messages of ours.
    pub outbox: u64,
    /// Those still on their way.
    pub unsettled: u64,
    /// Artifacts.
    pub artifacts: u64,
    /// Their bytes.
    pub artifact_bytes: u64,
    /// Schedules.
    pub schedules: u64,
    /// Time of the oldest event.
    pub oldest_ms: Option<u64>,
    /// Time of the newest event.
    pub newest_ms: Option<u64>,
    /// Bytes on the disk, the log of what was written last with them; 0 in memory.
    pub file_bytes: u64,
    /// Bytes that are kept free beside them for the day when the disk is full.
    pub reserve_bytes: u64,
}

/// How much the inbox holds of one author, and of all strangers: for quotas. Deleted messages count until purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InboxUse {
    /// Messages of the author.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Messages of all strangers.
    pub stranger_messages: u64,
    /// Their bytes.
    pub stranger_bytes: u64,
}

/// A message that was taken before: what dedupe remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Who wrote it.
    pub author: PeerKey,
    /// Its id.
    pub id: MailId,
    /// SHA-256 of its signed bytes: another content under the same id is a conflict.
    pub sha256: [u8; 32],
    /// When it came.
    pub at_ms: u64,
}

impl EventQuery {
    /// Whether an event is asked for, whatever page it is on.
    pub(crate) fn fits(&self, row: &super::EventRow) -> bool {
        let time = row.time_ms();
        self.swarm.is_none_or(|swarm| row.event.swarm == swarm)
            && self.conversation.is_none_or(|conversation| row.event.conversation == conversation)
            && self.author.is_none_or(|author| row.event.author == author)
            && (self.kinds.is_empty() || self.kinds.contains(&row.event.kind))
            && self.since_ms.is_none_or(|since| time >= since)
            && self.until_ms.is_none_or(|until| time < until)
    }

    /// Whether it comes after the page before.
    pub(crate) fn is_after(&self, place: (u64, EventId)) -> bool {
        self.after.is_none_or(|after| match self.order {
            Order::Newest => place < after,
            Order::Oldest => place > after,
        })
    }
}

impl InboxQuery {
    /// Whether a message is asked for, but for its id.
    pub(crate) fn fits(&self, row: &super::InboxRow) -> bool {
        (self.states.is_empty() || self.states.contains(&row.state))
            && self.author.is_none_or(|author| row.mail.from == author)
            && self.conversation.is_none_or(|conversation| row.mail.conversation == conversation)
            && self.stranger.is_none_or(|stranger| row.stranger == stranger)
            && (!self.work || matches!(row.work, WorkState::Waiting | WorkState::Begun))
    }
}

impl OutboxQuery {
    /// Whether a message is asked for, but for its id.
    pub(crate) fn fits(&self, row: &super::OutboxRow) -> bool {
        (self.states.is_empty() || self.states.contains(&row.state))
            && self.to.is_none_or(|to| row.mail.to == to)
            && self.conversation.is_none_or(|conversation| row.mail.conversation == conversation)
    }
}

/// The first or last hex digits of an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IdPart(String);

impl IdPart {
    /// None if no id can have them: not hex, or too many.
    pub(crate) fn read(text: Option<&str>) -> Option<Self> {
        let digits: String = text.unwrap_or_default().chars().filter(|c| *c != '-').collect();
        (digits.len() <= 32 && digits.chars().all(|c| c.is_ascii_hexdigit())).then(|| Self(digits.to_ascii_lowercase()))
    }

    /// Small letters.
    #[cfg(feature = "store")]
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether an id begins or ends with them.
    pub(crate) fn fits(&self, id: &Uuid) -> bool {
        let mut buffer = Uuid::encode_buffer();
        let text: &str = id.as_simple().encode_lower(&mut buffer);
        self.0.is_empty() || text.starts_with(&self.0) || text.ends_with(&self.0)
    }
}
