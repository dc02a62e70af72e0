//! What only a file can suffer.

mod damage;
mod figures;
mod processes;
mod room;
mod torn;
mod words;

use std::path::Path;

use super::*;
use crate::store::{
    EventQuery, EventRow, SearchQuery, Store,
    conformance::{Make, feed_row, inbox_row, outbox_row, search},
};

pub(super) fn options() -> Options {
    Options { reserve_bytes: 0, ..Options::default() }
}

pub(super) fn open(path: &Path) -> Store {
    Store::open(path, &options()).unwrap()
}

/// A row of one feed.
pub(super) fn event(seq: u64) -> EventRow {
    Make { seq, at_ms: seq, talk: (seq % 5) as u8, body: seq.to_be_bytes().repeat(4), ..Make::default() }.event()
}

/// Keeps events of one feed as a node does, the feed's row with them.
pub(super) fn put(tables: &mut dyn Write, rows: &[EventRow]) -> Result<()> {
    for row in rows {
        let feed = tables.feed(&row.feed())?.unwrap_or_else(|| feed_row(row.feed(), vec![(0, 0)]));
        tables.insert_event(row, &format!("text number {}", row.event.seq))?;
        tables.put_feed(&crate::store::FeedRow { held: vec![(0, row.event.seq + 1)], ..feed })?;
    }
    Ok(())
}

/// A file with something in every table.
pub(super) async fn populate(path: &Path, events: u64) {
    let store = open(path);
    let fill = move |tables: &mut dyn Write| {
        put(tables, &(0..events).map(event).collect::<Vec<_>>())?;
        for n in 0..10 {
            tables.put_inbox(&inbox_row(1 + n % 2, n, n, 5), Some("a letter"))?;
            tables.put_outbox(&outbox_row(n, n, u64::MAX), Some("a letter from us"))?;
        }
        tables.put_note("name", Some(b"value"))
    };
    store.write_durably(fill).await.unwrap();
    store.close().await.unwrap();
}

/// All that the tests have put there, in words.
pub(super) async fn contents(store: &Store) -> Result<String> {
    let look = |tables: &dyn Read| {
        let events = tables.events(&EventQuery { limit: usize::MAX, ..Default::default() })?;
        let query =
            |text| SearchQuery { search: search(text), swarm: None, author: None, since_ms: None, limit: 9_999 };
        let all = usize::MAX;
        let parts = [
            format!("{events:?}"),
            format!("{:?}", tables.feeds(None)?),
            format!(
                "{:?}",
                tables.conversations(&crate::store::ConversationQuery { limit: all, ..Default::default() })?
            ),
            format!("{:?}", tables.search(&query("text"))?),
            format!("{:?}", tables.search(&query("letter -us"))?),
            format!("{:?}", tables.search(&query("17 OR 23 OR us"))?),
            format!("{:?}", tables.inbox(&crate::store::InboxQuery { limit: all, ..Default::default() })?),
            format!("{:?}", tables.inbox_use(&crate::store::conformance::author(1))?),
            format!("{:?}", tables.outbox(&crate::store::OutboxQuery { limit: all, ..Default::default() })?),
            format!("{:?}", tables.note("name")?),
        ];
        Ok(parts.join("\n"))
    };
    store.read(look).await
}
