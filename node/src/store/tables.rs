//! The trait behind which SQLite and its twin in memory are. Small steps only: what they mean together is decided above,
//! once, for both.

use bytes::Bytes;
use p2pnode_wire::ids::{ConversationId, EventId, MailId, PeerKey, SwarmId};

use super::{
    error::StoreError,
    query::{
        ConversationQuery, EventQuery, Hit, InboxQuery, InboxUse, OutboxQuery, SearchQuery, Stats, Taken, TalkUse,
    },
    rows::{
        ArtifactRow, ConversationRow, EventRow, FeedKey, FeedRow, InboxRow, OutboxRow, PeerRow, ScheduleRow, Waiting,
    },
};

type Result<T> = std::result::Result<T, StoreError>;

/// Reading. All that is returned is whole: a row whose checksum does not hold is [`StoreError::Damaged`].
pub trait Read {
    /// A feed.
    fn feed(&self, key: &FeedKey) -> Result<Option<FeedRow>>;
    /// All feeds, or those of a swarm, in the order of their keys.
    fn feeds(&self, swarm: Option<&SwarmId>) -> Result<Vec<FeedRow>>;
    /// An event by its id.
    fn event(&self, id: &EventId) -> Result<Option<EventRow>>;
    /// The event of a feed at a place.
    fn event_at(&self, feed: &FeedKey, seq: u64) -> Result<Option<EventRow>>;
    /// Events of a feed with `from <= seq < to`, rising, until there are `max_rows` or `max_bytes` of signed bytes; the
    /// first one in any case.
    fn feed_events(
        &self,
        feed: &FeedKey,
        from: u64,
        to: u64,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<EventRow>>;
    /// Events by what they are.
    fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>>;
    /// Conversations of events and messages, the one with the newest entry first.
    fn conversations(&self, query: &ConversationQuery) -> Result<Vec<ConversationRow>>;
    /// Full-text search.
    fn search(&self, query: &SearchQuery) -> Result<Vec<Hit>>;
    /// A message to us.
    fn inbox_item(&self, author: &PeerKey, id: &MailId) -> Result<Option<InboxRow>>;
    /// Messages to us.
    fn inbox(&self, query: &InboxQuery) -> Result<Vec<InboxRow>>;
    /// How full the inbox is.
    fn inbox_use(&self, author: &PeerKey) -> Result<InboxUse>;
    /// Messages of a conversation with this peer, both ways, whose time is not before `since_ms`.
    fn talk_use(&self, id: &ConversationId, peer: &PeerKey, since_ms: u64) -> Result<TalkUse>;
    /// Whether, and as what, a message was taken before.
    fn taken(&self, author: &PeerKey, id: &MailId) -> Result<Option<Taken>>;
    /// A message of ours.
    fn outbox_item(&self, id: &MailId) -> Result<Option<OutboxRow>>;
    /// Messages of ours.
    fn outbox(&self, query: &OutboxQuery) -> Result<Vec<OutboxRow>>;
    /// Messages of ours that are on their way, the oldest first.
    fn outbox_waiting(&self) -> Result<Vec<Waiting>>;
    /// Artifacts, by name.
    fn artifacts(&self) -> Result<Vec<ArtifactRow>>;
    /// An artifact.
    fn artifact(&self, name: &str) -> Result<Option<ArtifactRow>>;
    /// Bytes of an artifact from `offset`, at most `max`; empty at the end. None if its bytes are not here.
    fn artifact_bytes(&self, sha256: &[u8; 32], offset: u64, max: usize) -> Result<Option<Bytes>>;
    /// Schedules, by name.
    fn schedules(&self) -> Result<Vec<ScheduleRow>>;
    /// Peers, the last seen first.
    fn peers(&self, limit: usize) -> Result<Vec<PeerRow>>;
    /// A value of the node itself.
    fn note(&self, key: &str) -> Result<Option<Bytes>>;
    /// Values of the node itself whose key begins so, by key.
    fn notes(&self, prefix: &str) -> Result<Vec<(String, Bytes)>>;
    /// How much is kept.
    fn stats(&self) -> Result<Stats>;
    /// The time ([`EventRow::time_ms`]) before which events of a swarm are to go, so that at most so many events and
    /// bytes of their signed form are left; none if there are no more already.
    fn cut_time(&self, swarm: &SwarmId, max_events: u64, max_bytes: u64) -> Result<Option<u64>>;
}

/// Writing, in one transaction with the reads between. It returns what was there before where that is of use.
pub trait Write: Read {
    /// Keeps a feed, new or changed.
    fn put_feed(&mut self, row: &FeedRow) -> Result<()>;
    /// Forgets a feed and all its events.
    fn remove_feed(&mut self, key: &FeedKey) -> Result<()>;
    /// Keeps an event that is not kept yet (neither its id nor its place), with the text by which it is found; an empty
    /// one is not found. False if its id or place is taken, and then nothing changed.
    fn insert_event(&mut self, row: &EventRow, text: &str) -> Result<bool>;
    /// Removes events of a feed with `seq < below`; their number and bytes.
    fn remove_events(&mut self, feed: &FeedKey, below: u64) -> Result<(u64, u64)>;
    /// Removes `live` events that came before `before_ms`, with feeds that are empty then; their number.
    fn remove_live(&mut self, before_ms: u64) -> Result<u64>;
    /// Keeps a message to us, new or changed. The text is searched; none leaves the old one.
    fn put_inbox(&mut self, row: &InboxRow, text: Option<&str>) -> Result<()>;
    /// Removes a message to us; false if there was none.
    fn remove_inbox(&mut self, author: &PeerKey, id: &MailId) -> Result<bool>;
    /// Remembers a message as taken.
    fn put_taken(&mut self, taken: &Taken) -> Result<()>;
    /// Forgets taken messages from before `before_ms`, but not the `keep` newest ones; their number.
    fn forget_taken(&mut self, before_ms: u64, keep: u64) -> Result<u64>;
    /// Keeps a message of ours, new or changed. The text is searched; none leaves the old one.
    fn put_outbox(&mut self, row: &OutboxRow, text: Option<&str>) -> Result<()>;
    /// Removes a message of ours; false if there was none.
    fn remove_outbox(&mut self, id: &MailId) -> Result<bool>;
    /// Keeps an artifact under its name; the one of that name before it is replaced, and bytes that no name needs any
    /// more are removed. `bytes` are its whole content, or none if bytes of that hash are kept already.
    fn put_artifact(&mut self, row: &ArtifactRow, bytes: Option<&[u8]>) -> Result<()>;
    /// Removes an artifact; false if there was none.
    fn remove_artifact(&mut self, name: &str) -> Result<bool>;
    /// Keeps a schedule, new or changed.
    fn put_schedule(&mut self, row: &ScheduleRow) -> Result<()>;
    /// Removes a schedule; false if there was none.
    fn remove_schedule(&mut self, name: &str) -> Result<bool>;
    /// Keeps these peers instead of those before.
    fn replace_peers(&mut self, rows: &[PeerRow]) -> Result<()>;
    /// Keeps a value of the node itself; none removes it.
    fn put_note(&mut self, key: &str, value: Option<&[u8]>) -> Result<()>;
}
