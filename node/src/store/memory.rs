//! What is kept, in memory: for nodes without a disk and for simulations. No thread, no clock, no hash order: every run
//! is the same.

mod read;
mod write;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use p2pnode_wire::ids::{ConversationId, EventId, MailId, PeerKey, SwarmId};

use super::{
    error::StoreError,
    query::Taken,
    rows::{ArtifactRow, EventRow, FeedKey, FeedRow, InboxRow, OutboxRow, PeerRow, ScheduleRow},
};

type Result<T> = std::result::Result<T, StoreError>;

/// What a store without a disk keeps of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Events.
    pub events: usize,
    /// Bytes of their signed form.
    pub bytes: usize,
}

impl Default for MemoryLimits {
    /// What a small machine has to spare.
    fn default() -> Self {
        Self { events: 100_000, bytes: 64 * 1024 * 1024 }
    }
}

/// A row, the words by which it is found, and the time it had when it came.
#[derive(Debug)]
struct Kept<T> {
    row: T,
    words: String,
    time_ms: u64,
}

/// What a conversation consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Entry {
    Event(EventId),
    Inbox(PeerKey, MailId),
    Outbox(MailId),
}

type Talk = (ConversationId, Option<SwarmId>);

/// How to get back to what was before one step.
#[derive(Debug)]
enum Undo {
    Feed(FeedKey, Option<FeedRow>),
    Event(EventId, Option<Arc<Kept<EventRow>>>),
    Inbox((PeerKey, MailId), Option<Arc<Kept<InboxRow>>>),
    Outbox(MailId, Option<Arc<Kept<OutboxRow>>>),
    Taken((PeerKey, MailId), Option<Taken>),
    Artifact(String, Option<ArtifactRow>),
    Blob([u8; 32], Option<Bytes>),
    Schedule(String, Option<ScheduleRow>),
    Peers(Vec<PeerRow>),
    Note(String, Option<Bytes>),
}

/// The tables, and what is derived from them.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    limits: MemoryLimits,
    feeds: BTreeMap<FeedKey, FeedRow>,
    events: BTreeMap<EventId, Arc<Kept<EventRow>>>,
    inbox: BTreeMap<(PeerKey, MailId), Arc<Kept<InboxRow>>>,
    outbox: BTreeMap<MailId, Arc<Kept<OutboxRow>>>,
    taken: BTreeMap<(PeerKey, MailId), Taken>,
    artifacts: BTreeMap<String, ArtifactRow>,
    blobs: BTreeMap<[u8; 32], Bytes>,
    schedules: BTreeMap<String, ScheduleRow>,
    peers: Vec<PeerRow>,
    notes: BTreeMap<String, Bytes>,

    places: BTreeMap<(FeedKey, u64), EventId>,
    times: BTreeSet<(u64, EventId)>,
    live: BTreeSet<(u64, EventId)>,
    talks: BTreeMap<Talk, BTreeSet<(u64, Entry)>>,
    recent: BTreeSet<(u64, Talk)>,
    taken_times: BTreeSet<(u64, (PeerKey, MailId))>,
    event_bytes: u64,

    journal: Vec<Undo>,
}

/// Puts a value under a key, or none; what was there.
fn swap<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: Option<V>) -> Option<V> {
    match value {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    }
}

/// Rows are counted in `u64`, as files and peers do.
fn count(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

fn failed(reason: impl Into<String>) -> StoreError {
    StoreError::Failed { path: PathBuf::from("memory"), reason: reason.into() }
}

impl Memory {
    pub(crate) fn new(limits: MemoryLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Runs a job; what it has written goes away again if it fails.
    pub(crate) fn transaction<R>(&mut self, job: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        self.journal.clear();
        let result = job(self);
        match result {
            Ok(_) => self.trim(),
            Err(_) => self.roll_back(),
        }
        self.journal.clear();
        result
    }

    fn roll_back(&mut self) {
        while let Some(undo) = self.journal.pop() {
            self.apply(undo);
        }
    }

    /// Does one step; the step back.
    fn apply(&mut self, step: Undo) -> Undo {
        match step {
            Undo::Feed(key, row) => Undo::Feed(key, swap(&mut self.feeds, key, row)),
            Undo::Event(id, kept) => self.apply_event(id, kept),
            Undo::Inbox(key, kept) => self.apply_inbox(key, kept),
            Undo::Outbox(id, kept) => self.apply_outbox(id, kept),
            Undo::Taken(key, taken) => {
                let new = taken.map(|taken| taken.at_ms);
                let old = swap(&mut self.taken, key, taken);
                if let Some(old) = &old {
                    self.taken_times.remove(&(old.at_ms, key));
                }
                if let Some(at_ms) = new {
                    self.taken_times.insert((at_ms, key));
                }
                Undo::Taken(key, old)
            }
            Undo::Artifact(name, row) => Undo::Artifact(name.clone(), swap(&mut self.artifacts, name, row)),
            Undo::Blob(hash, bytes) => Undo::Blob(hash, swap(&mut self.blobs, hash, bytes)),
            Undo::Schedule(name, row) => Undo::Schedule(name.clone(), swap(&mut self.schedules, name, row)),
            Undo::Peers(rows) => Undo::Peers(std::mem::replace(&mut self.peers, rows)),
            Undo::Note(key, value) => Undo::Note(key.clone(), swap(&mut self.notes, key, value)),
        }
    }

    fn step(&mut self, step: Undo) {
        let back = self.apply(step);
        self.journal.push(back);
    }

    fn apply_event(&mut self, id: EventId, kept: Option<Arc<Kept<EventRow>>>) -> Undo {
        let new = kept.clone();
        let old = swap(&mut self.events, id, kept);
        if let Some(old) = &old {
            self.places.remove(&(old.row.feed(), old.row.event.seq));
            self.times.remove(&(old.time_ms, id));
            self.live.remove(&(old.row.received_ms, id));
            self.event_bytes = self.event_bytes.saturating_sub(count(old.row.raw.len()));
            self.untalk((old.row.event.conversation, Some(old.row.event.swarm)), old.time_ms, Entry::Event(id));
        }
        if let Some(new) = new {
            self.places.insert((new.row.feed(), new.row.event.seq), id);
            self.times.insert((new.time_ms, id));
            if new.row.live {
                self.live.insert((new.row.received_ms, id));
            }
            self.event_bytes = self.event_bytes.saturating_add(count(new.row.raw.len()));
            self.talk((new.row.event.conversation, Some(new.row.event.swarm)), new.time_ms, Entry::Event(id));
        }
        Undo::Event(id, old)
    }

    fn apply_inbox(&mut self, key: (PeerKey, MailId), kept: Option<Arc<Kept<InboxRow>>>) -> Undo {
        let new = kept.clone();
        let old = swap(&mut self.inbox, key, kept);
        let entry = Entry::Inbox(key.0, key.1);
        if let Some(old) = &old {
            self.untalk((old.row.mail.conversation, old.row.mail.swarm), old.time_ms, entry);
        }
        if let Some(new) = new {
            self.talk((new.row.mail.conversation, new.row.mail.swarm), new.time_ms, entry);
        }
        Undo::Inbox(key, old)
    }

    fn apply_outbox(&mut self, id: MailId, kept: Option<Arc<Kept<OutboxRow>>>) -> Undo {
        let new = kept.clone();
        let old = swap(&mut self.outbox, id, kept);
        if let Some(old) = &old {
            self.untalk((old.row.mail.conversation, old.row.mail.swarm), old.time_ms, Entry::Outbox(id));
        }
        if let Some(new) = new {
            self.talk((new.row.mail.conversation, new.row.mail.swarm), new.time_ms, Entry::Outbox(id));
        }
        Undo::Outbox(id, old)
    }

    /// Adds to a conversation.
    fn talk(&mut self, talk: Talk, time_ms: u64, entry: Entry) {
        let entries = self.talks.entry(talk).or_default();
        if let Some((last, _)) = entries.last() {
            self.recent.remove(&(*last, talk));
        }
        entries.insert((time_ms, entry));
        if let Some((last, _)) = entries.last() {
            self.recent.insert((*last, talk));
        }
    }

    /// Takes from a conversation.
    fn untalk(&mut self, talk: Talk, time_ms: u64, entry: Entry) {
        let Some(entries) = self.talks.get_mut(&talk) else { return };
        if let Some((last, _)) = entries.last() {
            self.recent.remove(&(*last, talk));
        }
        entries.remove(&(time_ms, entry));
        match entries.last() {
            Some((last, _)) => {
                self.recent.insert((*last, talk));
            }
            None => {
                self.talks.remove(&talk);
            }
        }
    }

    /// Cuts the feeds with the oldest events until the rest fits. After a job, so that no job writes back a feed from
    /// before the cut.
    fn trim(&mut self) {
        let bytes = count(self.limits.bytes);
        while self.events.len() > self.limits.events || self.event_bytes > bytes {
            let Some((_, oldest)) = self.times.first().copied() else { return };
            let Some(kept) = self.events.get(&oldest) else { return };
            let (feed, below) = (kept.row.feed(), kept.row.event.seq.saturating_add(1));
            self.cut(feed, below);
        }
    }

    /// Removes the events of a feed below a number and says so in the feed's row.
    fn cut(&mut self, feed: FeedKey, below: u64) {
        let ids: Vec<EventId> = self.places.range((feed, 0)..(feed, below)).map(|(_, id)| *id).collect();
        // An event with the highest of all numbers is below nothing.
        let top = self.places.get(&(feed, u64::MAX)).copied().filter(|_| below == u64::MAX);
        for id in ids.iter().chain(&top) {
            self.step(Undo::Event(*id, None));
        }
        if let Some(row) = self.feeds.get(&feed) {
            let mut row = row.clone();
            row.cut_below(below, ids.last().copied());
            self.step(Undo::Feed(feed, Some(row)));
        }
    }
}
