//! What is kept, row by row.

use bytes::Bytes;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, EventId, MailId, PeerKey, SwarmId},
    mail::Mail,
};
use serde::{Deserialize, Serialize};

/// The latest time there is, in the year 2248: times that are larger count as this one. A file orders its rows by time
/// and some bits more in one number.
pub const TIME_MAX: u64 = (1 << 43) - 1;

/// One author's feed of one run in one swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FeedKey {
    /// In which swarm.
    pub swarm: SwarmId,
    /// Whose.
    pub author: PeerKey,
    /// The run.
    pub epoch: u64,
}

/// What is known of a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedRow {
    /// Which.
    pub key: FeedKey,
    /// Numbers of events that are kept: ranges `[from, to)`, rising, apart. At most 64.
    pub held: Vec<(u64, u64)>,
    /// Retention has removed what is below; it is never fetched again.
    pub cut: u64,
    /// Id of the last event that retention removed, which the first kept one names as its predecessor.
    pub cut_head: Option<EventId>,
    /// The author has signed two different histories: the proof.
    pub fork: Option<Fork>,
}

impl FeedRow {
    /// Says that retention has removed what is below `below`, of which `head` was the last event that was kept.
    pub fn cut_below(&mut self, below: u64, head: Option<EventId>) {
        if below <= self.cut {
            return;
        }
        // Only the event just below the cut is the predecessor of the first one above.
        let whole = self.held.iter().any(|(from, to)| (*from..*to).contains(&(below - 1)));
        self.cut_head = head.filter(|_| whole);
        self.cut = below;
        self.unhold(0, below);
    }

    /// Takes the numbers `from..to` out of `held`.
    pub fn unhold(&mut self, from: u64, to: u64) {
        let held = std::mem::take(&mut self.held);
        for (start, end) in held {
            let parts = [(start, end.min(from)), (start.max(to), end)];
            self.held.extend(parts.into_iter().filter(|(start, end)| start < end));
        }
    }
}

impl FeedRow {
    /// A feed of which nothing is kept yet.
    pub fn new(key: FeedKey) -> Self {
        Self { key, held: Vec::new(), cut: 0, cut_head: None, fork: None }
    }
}

/// Two signed events of one author that cannot both be in one feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// Where the histories part.
    pub seq: u64,
    /// The event that is kept.
    pub kept: EventId,
    /// The other one's signed bytes.
    #[serde(with = "p2pnode_wire::bin")]
    pub other: Bytes,
    /// When it was found, milliseconds since 1970 on our clock.
    pub found_ms: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// SHA-256 of `raw`.
    pub id: EventId,
    /// The signed bytes, as they came.
    pub raw: Bytes,
    /// What they say.
    pub event: Event,
    /// When it came, milliseconds since 1970 on our clock.
    pub received_ms: u64,
    /// Of an author that lived for one command: kept for ten minutes, never told to others.
    pub live: bool,
}

impl EventRow {
    /// Its feed.
    pub fn feed(&self) -> FeedKey {
        FeedKey { swarm: self.event.swarm, author: self.event.author, epoch: self.event.epoch }
    }

    /// What counts as its time: the author's clock, but not later than it came. Who dates an event ahead does not keep
    /// it on top.
    pub fn time_ms(&self) -> u64 {
        self.event.at_ms.min(self.received_ms).min(TIME_MAX)
    }
}

/// A conversation in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationRow {
    /// Its id.
    pub id: ConversationId,
    /// In which swarm; none for direct messages outside of any.
    pub swarm: Option<SwarmId>,
    /// Time of its first event that is kept ([`EventRow::time_ms`]).
    pub started_ms: u64,
    /// Time of its last one.
    pub last_ms: u64,
    /// Events and messages kept.
    pub entries: u64,
    /// Its first event, if any.
    pub first: Option<EventId>,
}

/// What the owner of an inbox has done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InboxState {
    /// Nothing.
    Unread,
    /// Read it.
    Read,
    /// Put it away.
    Archived,
    /// Thrown it away; kept until purged.
    Deleted,
}

/// What this node's own handler has done with a message that asks for work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkState {
    /// It asks for none.
    None,
    /// Not begun.
    Waiting,
    /// Begun; after a restart it was interrupted.
    Begun,
    /// Ended, well or not.
    Done,
}

/// A message to us.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxRow {
    /// The signed bytes, as they came.
    pub raw: Bytes,
    /// What they say. Author and id name the row.
    pub mail: Mail,
    /// When it came, on our clock.
    pub received_ms: u64,
    /// Its owner's doing.
    pub state: InboxState,
    /// Our handler's doing.
    pub work: WorkState,
    /// From somebody outside our swarms.
    pub stranger: bool,
}

impl InboxRow {
    /// What counts as its time, as with [`EventRow::time_ms`]; that of the row when it was kept first.
    pub fn time_ms(&self) -> u64 {
        self.mail.sent_ms.min(self.received_ms).min(TIME_MAX)
    }
}

/// How far a message of ours has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxState {
    /// On its way; tried again and again.
    Sent,
    /// The other node has it, on its disk.
    Stored,
    /// The other node has given it to a handler or shown it.
    Delivered,
    /// It was read.
    Read,
    /// It was not taken before it expired.
    Expired,
    /// The other node has refused it for good.
    Refused,
}

impl OutboxState {
    /// Whether nobody has to do anything about it any more.
    pub fn is_settled(self) -> bool {
        self != Self::Sent
    }
}

/// A message of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// The signed bytes.
    pub raw: Bytes,
    /// What they say. Its id names the row.
    pub mail: Mail,
    /// How far it has come.
    pub state: OutboxState,
    /// Tries so far.
    pub attempts: u32,
    /// When to try next, milliseconds since 1970 on our clock; no meaning once settled.
    pub next_ms: u64,
    /// When `state` changed last.
    pub changed_ms: u64,
    /// Why the last try failed; empty if it did not.
    pub error: String,
}

/// A message of ours on its way, without what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// Its id.
    pub id: MailId,
    /// For whom.
    pub to: PeerKey,
    /// Where it belongs: messages of one conversation to one peer go one after the other.
    pub conversation: ConversationId,
    /// Tries so far.
    pub attempts: u32,
    /// When it expires, milliseconds since 1970.
    pub not_after_ms: u64,
}

impl OutboxRow {
    /// A message that is to go, sealed already, from `now_ms` on.
    pub(crate) fn new(mail: Mail, raw: Bytes, now_ms: u64) -> Self {
        Self {
            raw,
            mail,
            state: OutboxState::Sent,
            attempts: 0,
            next_ms: now_ms,
            changed_ms: now_ms,
            error: String::new(),
        }
    }

    /// What is to be known of it as long as it is on its way.
    pub(crate) fn waiting(&self) -> Waiting {
        let Mail { id, to, conversation, not_after_ms, .. } = self.mail;
        Waiting { id, to, conversation, attempts: self.attempts, not_after_ms }
    }

    /// What counts as its time.
    pub fn time_ms(&self) -> u64 {
        self.mail.sent_ms.min(TIME_MAX)
    }
}

/// A small document that this node serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRow {
    /// A label, never a path.
    pub name: String,
    /// What it is, such as `metadata`.
    pub kind: String,
    /// MIME type.
    pub mime: String,
    /// `json`, `text`, `base64` or empty: how programs of the older systems see it.
    pub encoding: String,
    /// For people.
    pub description: String,
    /// MessagePack map, or empty.
    #[serde(with = "p2pnode_wire::bin")]
    pub meta: Bytes,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes, which names them.
    pub sha256: [u8; 32],
    /// Who gave it to us; none for our own.
    pub origin: Option<PeerKey>,
    /// When it was kept, on our clock.
    pub created_ms: u64,
}

/// A schedule and how far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleRow {
    /// Names the row.
    pub name: String,
    /// What is to be done when, as its owner wrote it (JSON).
    pub spec: String,
    /// How far it is (JSON).
    pub state: String,
    /// When it was made, on our clock.
    pub created_ms: u64,
}

/// A peer to be found again after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerRow {
    /// Who.
    pub peer: PeerKey,
    /// Where it was reached.
    pub addresses: Vec<String>,
    /// Its last card, signed; empty if none is known.
    pub card: Bytes,
    /// When it was seen last, on our clock.
    pub seen_ms: u64,
    /// Whether it was in the routing table.
    pub in_table: bool,
}
