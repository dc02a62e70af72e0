//! What every store has to do, for both engines: the same random steps are done with both, and every answer is compared.

mod random;
mod steps;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, EventId, MailId, PeerKey, SwarmId},
    mail::{Mail, Part},
};
use uuid::Uuid;

use super::{
    EventRow, FeedKey, FeedRow, InboxRow, InboxState, OutboxRow, OutboxState, Store, WorkState,
    search::{Join, Search},
};

pub(crate) fn key(n: u8) -> SigningKey {
    SigningKey::from_bytes(&[n; 32])
}

pub(crate) fn author(n: u8) -> PeerKey {
    PeerKey(key(n).verifying_key().to_bytes())
}

pub(crate) fn swarm(n: u8) -> SwarmId {
    SwarmId([n; 32])
}

pub(crate) fn talk(n: u8) -> ConversationId {
    ConversationId(Uuid::from_bytes([n; 16]))
}

pub(crate) fn mail_id(n: u8) -> MailId {
    let mut bytes = [7; 16];
    bytes[0] = n;
    bytes[13] = n.wrapping_mul(67);
    bytes[15] = n.wrapping_mul(31);
    MailId(Uuid::from_bytes(bytes))
}

/// An event, of which the places and times matter.
#[derive(Debug, Clone)]
pub(crate) struct Make {
    pub(crate) author: u8,
    pub(crate) swarm: u8,
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) talk: u8,
    pub(crate) at_ms: u64,
    pub(crate) received_ms: u64,
    pub(crate) live: bool,
    pub(crate) body: Vec<u8>,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            author: 1,
            swarm: 1,
            epoch: 1,
            seq: 0,
            talk: 1,
            at_ms: 1_000,
            received_ms: 2_000,
            live: false,
            body: vec![0xc0],
        }
    }
}

impl Make {
    pub(crate) fn feed(&self) -> FeedKey {
        FeedKey { swarm: swarm(self.swarm), author: author(self.author), epoch: self.epoch }
    }

    pub(crate) fn event(&self) -> EventRow {
        let event = Event {
            v: 1,
            swarm: swarm(self.swarm),
            author: author(self.author),
            epoch: self.epoch,
            seq: self.seq,
            prev: None,
            at_ms: self.at_ms,
            conversation: talk(self.talk),
            kind: if self.seq.is_multiple_of(3) { "reply" } else { "message" }.into(),
            parent: None,
            seen: Vec::new(),
            mheads: Vec::new(),
            team: None,
            trace: None,
            meta: None,
            body: Bytes::from(self.body.clone()),
        };
        let signed = event.seal(&key(self.author));
        EventRow {
            id: EventId(signed.id()),
            raw: signed.into_raw(),
            event,
            received_ms: self.received_ms,
            live: self.live,
        }
    }
}

pub(crate) fn mail(from: u8, id: u8, talk_no: u8, sent_ms: u64, priority: Option<u8>) -> (Mail, Bytes) {
    let mail = Mail {
        v: 1,
        id: mail_id(id),
        swarm: talk_no.is_multiple_of(2).then(|| swarm(1)),
        from: author(from),
        to: author(9),
        kind: "message".into(),
        conversation: talk(talk_no),
        in_reply_to: None,
        priority,
        via: Vec::new(),
        sent_ms,
        not_after_ms: u64::MAX,
        trace: None,
        meta: None,
        parts: vec![Part::Text("hello".into())],
    };
    let raw = mail.seal(&key(from)).into_raw();
    (mail, raw)
}

pub(crate) fn inbox_row(from: u8, id: u8, talk: u8, sent_ms: u64) -> InboxRow {
    let (mail, raw) = mail(from, id, talk, sent_ms, (!id.is_multiple_of(6)).then_some(id % 6));
    InboxRow { raw, mail, received_ms: 50, state: InboxState::Unread, work: WorkState::None, stranger: id % 2 == 1 }
}

pub(crate) fn outbox_row(id: u8, talk: u8, sent_ms: u64) -> OutboxRow {
    let (mail, raw) = mail(1, id, talk, sent_ms, None);
    OutboxRow {
        raw,
        mail,
        state: OutboxState::Sent,
        attempts: 0,
        next_ms: sent_ms,
        changed_ms: 0,
        error: String::new(),
    }
}

pub(crate) fn feed_row(key: FeedKey, held: Vec<(u64, u64)>) -> FeedRow {
    FeedRow { key, held, cut: 0, cut_head: None, fork: None }
}

pub(crate) fn search(text: &str) -> Search {
    Search::parse(text, Join::All).unwrap()
}

/// Everything of the suite.
pub(crate) async fn all(store: &Store) {
    steps::events(store).await;
    steps::order_and_pages(store).await;
    steps::extremes(store).await;
    steps::live(store).await;
    steps::failing_jobs(store).await;
    steps::inbox(store).await;
    steps::outbox(store).await;
    steps::taken(store).await;
    steps::artifacts(store).await;
    steps::small_tables(store).await;
    steps::cut_time(store).await;
    steps::searches(store).await;
}

#[tokio::test]
async fn memory_does_what_a_store_does() {
    let store = Store::memory();
    all(&store).await;
    store.close().await.unwrap();
    assert!(matches!(store.read(|tables| tables.stats()).await, Err(super::StoreError::Closed)));
}

#[tokio::test]
async fn memory_stays_within_its_bounds() {
    let store = Store::memory_with(super::MemoryLimits { events: 10, bytes: 1 << 20 });
    let rows: Vec<EventRow> = (0..25).map(|seq| Make { seq, at_ms: seq, ..Make::default() }.event()).collect();
    let ids: Vec<EventId> = rows.iter().map(|row| row.id).collect();
    let feed = rows[0].feed();
    for row in rows {
        let to = row.event.seq + 1;
        let put = move |tables: &mut dyn super::Write| {
            let mut feed = tables.feed(&row.feed())?.unwrap_or_else(|| feed_row(row.feed(), Vec::new()));
            feed.held = vec![(feed.cut, to)];
            tables.insert_event(&row, "text")?;
            tables.put_feed(&feed)
        };
        store.write(put).await.unwrap();
    }
    let (row, stats) = store.read(move |tables| Ok((tables.feed(&feed)?, tables.stats()?))).await.unwrap();
    let row = row.unwrap();
    assert_eq!((row.held, row.cut, row.cut_head, stats.events), (vec![(15, 25)], 15, Some(ids[14]), 10));
    let store = Store::memory_with(super::MemoryLimits { events: 10, bytes: 1_000 });
    for seq in 0..9 {
        let row = Make { seq, ..Make::default() }.event();
        store.write(move |tables| tables.insert_event(&row, "")).await.unwrap();
    }
    let stats = store.read(|tables| tables.stats()).await.unwrap();
    assert!(stats.events > 0 && stats.event_bytes <= 1_000);
}

#[cfg(feature = "store")]
#[tokio::test]
async fn a_file_does_what_a_store_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("node.db");
    let options = super::Options { reserve_bytes: 4096, ..super::Options::default() };
    let store = Store::open(&path, &options).unwrap();
    all(&store).await;
    assert_eq!(store.verify(true).unwrap(), Vec::<String>::new());
    store.close().await.unwrap();
    assert!(matches!(store.read(|tables| tables.stats()).await, Err(super::StoreError::Closed)));
    assert!(matches!(store.write(|tables| tables.stats()).await, Err(super::StoreError::Closed)));
    drop(store);
    let again = Store::open(&path, &options).unwrap();
    again.close().await.unwrap();
}
