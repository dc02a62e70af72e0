//! Taking an event in: where it belongs in its feed, and whether its author contradicts itself. The same for every store.

use bytes::Bytes;
use p2pnode_wire::{event::Event, ids::EventId};

use super::ranges::Ranges;
use crate::store::{EventRow, FeedKey, FeedRow, Fork, StoreError, Write};

/// An event whose signature holds.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) id: EventId,
    pub(crate) raw: Bytes,
    pub(crate) event: Event,
    /// By what it is found.
    pub(crate) text: String,
    /// Of an author that lives for one command.
    pub(crate) live: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Took {
    /// It is kept.
    New,
    /// It was kept before.
    Known,
    /// Retention was past it, there are too many gaps, or its author has forked this feed.
    Unwanted,
    /// It does not fit what is kept, from this place on: its author has signed two histories. It is kept as the proof.
    Fork(FeedKey, u64),
}

/// Keeps an event.
pub(crate) fn take(tables: &mut dyn Write, arrival: &Arrival, now_ms: u64) -> Result<Took, StoreError> {
    let Arrival { id, raw, event, text, live } = arrival;
    let row = EventRow { id: *id, raw: raw.clone(), event: event.clone(), received_ms: now_ms, live: *live };
    let key = row.feed();
    if let Some(there) = tables.event_at(&key, event.seq)? {
        return if there.id == *id { Ok(Took::Known) } else { fork(tables, key, event.seq, there.id, raw, now_ms) };
    }
    if *live {
        return Ok(if tables.insert_event(&row, text)? { Took::New } else { Took::Known });
    }
    let mut feed = tables.feed(&key)?.unwrap_or_else(|| FeedRow::new(key));
    let mut held = Ranges::new(&feed.held);
    if event.seq < feed.cut || held.refuses(event.seq) || feed.fork.is_some() {
        return Ok(Took::Unwanted);
    }
    if let Some((seq, other)) = contradicted(tables, &feed, event, id)? {
        return fork(tables, key, seq, other, raw, now_ms);
    }
    if !held.insert(event.seq) || !tables.insert_event(&row, text)? {
        return Ok(Took::Unwanted);
    }
    feed.held = held.as_slice().to_vec();
    tables.put_feed(&feed)?;
    Ok(Took::New)
}

/// The neighbour in its feed that this event does not fit to, and the neighbour's id.
fn contradicted(
    tables: &dyn Write,
    feed: &FeedRow,
    event: &Event,
    id: &EventId,
) -> Result<Option<(u64, EventId)>, StoreError> {
    let before = match event.seq.checked_sub(1) {
        None => None,
        Some(seq) if event.seq == feed.cut => feed.cut_head.map(|head| (seq, head)),
        Some(seq) => tables.event_at(&feed.key, seq)?.map(|row| (seq, row.id)),
    };
    if let Some((seq, there)) = before.filter(|(_, there)| event.prev != Some(*there)) {
        return Ok(Some((seq, there)));
    }
    let after = match event.seq.checked_add(1) {
        Some(seq) => tables.event_at(&feed.key, seq)?,
        None => None,
    };
    Ok(after.filter(|row| row.event.prev != Some(*id)).map(|row| (row.event.seq, row.id)))
}

fn fork(
    tables: &mut dyn Write,
    key: FeedKey,
    seq: u64,
    kept: EventId,
    other: &Bytes,
    now_ms: u64,
) -> Result<Took, StoreError> {
    let mut feed = tables.feed(&key)?.unwrap_or_else(|| FeedRow::new(key));
    if feed.fork.is_some() {
        return Ok(Took::Unwanted);
    }
    feed.fork = Some(Fork { seq, kept, other: other.clone(), found_ms: now_ms });
    tables.put_feed(&feed)?;
    Ok(Took::Fork(key, seq))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use p2pnode_wire::{
        ids::{ConversationId, PeerKey, SwarmId},
        sign::Signed,
    };

    use super::*;
    use crate::store::Store;

    fn sealed(seq: u64, prev: Option<EventId>, body: &'static str) -> Arrival {
        let key = SigningKey::from_bytes(&[7; 32]);
        let event = Event {
            v: 1,
            swarm: SwarmId([1; 32]),
            author: PeerKey(key.verifying_key().to_bytes()),
            epoch: 5,
            seq,
            prev,
            at_ms: 100 + seq,
            conversation: ConversationId::new(),
            kind: "note".into(),
            parent: None,
            seen: Vec::new(),
            mheads: Vec::new(),
            team: None,
            trace: None,
            meta: None,
            body: Bytes::from_static(body.as_bytes()),
        };
        let signed: Signed = event.seal(&key);
        Arrival { id: EventId(signed.id()), raw: signed.into_raw(), event, text: String::new(), live: false }
    }

    fn feed_of(n: u64) -> Vec<Arrival> {
        let mut feed: Vec<Arrival> = Vec::new();
        for seq in 0..n {
            feed.push(sealed(seq, feed.last().map(|event| event.id), "x"));
        }
        feed
    }

    async fn all(store: &Store, events: &[&Arrival]) -> Vec<Took> {
        let events: Vec<Arrival> = events.iter().map(|event| (*event).clone()).collect();
        let took = store.write(move |tables| events.iter().map(|event| take(tables, event, 1_000)).collect()).await;
        took.expect("memory does not fail")
    }

    #[tokio::test]
    async fn events_come_in_any_order_and_once() {
        let (store, feed) = (Store::memory(), feed_of(4));
        let took = all(&store, &[&feed[2], &feed[0], &feed[3], &feed[1], &feed[2]]).await;
        assert_eq!(took, [Took::New, Took::New, Took::New, Took::New, Took::Known]);
        let key = FeedKey { swarm: feed[0].event.swarm, author: feed[0].event.author, epoch: 5 };
        let row = store.read(move |tables| tables.feed(&key)).await.expect("reads").expect("a feed");
        assert_eq!(row.held, [(0, 4)]);
    }

    #[tokio::test]
    async fn another_event_in_the_same_place_is_a_fork_and_proves_it() {
        let (store, feed) = (Store::memory(), feed_of(3));
        let other = sealed(1, Some(feed[0].id), "another");
        let key = FeedKey { swarm: other.event.swarm, author: other.event.author, epoch: 5 };
        let took = all(&store, &[&feed[0], &feed[1], &other, &feed[2], &other]).await;
        assert_eq!(took, [Took::New, Took::New, Took::Fork(key, 1), Took::Unwanted, Took::Unwanted]);
        let row = store.read(move |tables| tables.feed(&key)).await.expect("reads").expect("a feed");
        let fork = row.fork.expect("the proof");
        assert_eq!((fork.seq, fork.kept, fork.other), (1, feed[1].id, other.raw));
    }

    #[tokio::test]
    async fn a_history_that_does_not_connect_is_a_fork() {
        let feed = feed_of(3);
        let rewritten = sealed(1, Some(EventId([9; 32])), "rewritten");
        for order in [[&feed[0], &rewritten], [&rewritten, &feed[2]]] {
            let took = all(&Store::memory(), &order).await;
            assert!(matches!(took[1], Took::Fork(..)), "{took:?}");
        }
    }

    #[tokio::test]
    async fn what_retention_has_cut_stays_away_and_its_head_counts() {
        let (store, feed) = (Store::memory(), feed_of(3));
        let key = FeedKey { swarm: feed[0].event.swarm, author: feed[0].event.author, epoch: 5 };
        let row = FeedRow { cut: 1, cut_head: Some(feed[0].id), ..FeedRow::new(key) };
        store.write(move |tables| tables.put_feed(&row)).await.expect("writes");
        let wrong = sealed(1, Some(EventId([9; 32])), "wrong");
        assert_eq!(all(&store, &[&feed[0], &feed[1]]).await, [Took::Unwanted, Took::New]);
        assert!(matches!(all(&store, &[&wrong]).await[..], [Took::Fork(..)]));
    }
}
