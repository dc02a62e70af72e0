//! Each method, with what is at its edges. Each function leaves the store as it found it, but for what it says.

use std::collections::BTreeSet;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{Make, author, feed_row, inbox_row, mail_id, outbox_row, search, swarm, talk};
use crate::store::{
    ArtifactRow, ConversationQuery, EventQuery, EventRow, Fork, Hit, InboxQuery, InboxState, InboxUse, Order,
    OutboxQuery, OutboxState, PeerRow, Read, ScheduleRow, SearchQuery, Store, StoreError, TIME_MAX, Taken, WorkState,
    Write,
};

type Result<T> = std::result::Result<T, StoreError>;

/// Runs a job that writes, and must go well.
async fn write<R: Send + 'static>(store: &Store, job: impl FnOnce(&mut dyn Write) -> Result<R> + Send + 'static) -> R {
    store.write(job).await.unwrap()
}

async fn read<R: Send + 'static>(store: &Store, job: impl FnOnce(&dyn Read) -> Result<R> + Send + 'static) -> R {
    store.read(job).await.unwrap()
}

async fn put(store: &Store, rows: &[EventRow]) {
    let rows = rows.to_vec();
    write(store, move |tables| {
        for row in &rows {
            assert!(tables.insert_event(row, "some text")?);
        }
        Ok(())
    })
    .await;
}

async fn clear(store: &Store, makes: &[Make]) {
    let feeds: BTreeSet<_> = makes.iter().map(Make::feed).collect();
    write(store, move |tables| feeds.iter().try_for_each(|feed| tables.remove_feed(feed))).await;
}

pub(super) async fn events(store: &Store) {
    let makes: Vec<Make> = (0..10).map(|seq| Make { seq, at_ms: 100 + seq, ..Make::default() }).collect();
    let rows: Vec<EventRow> = makes.iter().map(Make::event).collect();
    put(store, &rows).await;
    let feed = rows[0].feed();
    let (first, other) = (rows[0].clone(), Make { at_ms: 5, body: vec![1], ..Make::default() }.event());
    let (same, taken) =
        write(store, move |tables| Ok((tables.insert_event(&first, "")?, tables.insert_event(&other, "")?))).await;
    assert!(!same && !taken, "an id and a place are taken once");

    let mut known = feed_row(feed, vec![(0, 3), (4, 10)]);
    known.cut_head = Some(rows[0].id);
    known.fork = Some(Fork { seq: 3, kept: rows[3].id, other: rows[4].raw.clone(), found_ms: u64::MAX });
    let row = known.clone();
    write(store, move |tables| tables.put_feed(&row)).await;
    let expected = rows.clone();
    read(store, move |tables| {
        assert_eq!(tables.feed(&feed)?, Some(known.clone()));
        assert_eq!(tables.feeds(None)?, vec![known.clone()]);
        assert_eq!(tables.feeds(Some(&swarm(1)))?, vec![known]);
        assert_eq!(tables.feeds(Some(&swarm(2)))?, vec![]);
        for row in &expected {
            assert_eq!(tables.event(&row.id)?.as_ref(), Some(row));
            assert_eq!(tables.event_at(&feed, row.event.seq)?.as_ref(), Some(row));
        }
        assert_eq!(tables.event_at(&feed, 10)?, None);
        let seqs = |from, to, rows, bytes| -> Result<Vec<u64>> {
            Ok(tables.feed_events(&feed, from, to, rows, bytes)?.iter().map(|row| row.event.seq).collect())
        };
        assert_eq!(seqs(2, 5, 100, usize::MAX)?, vec![2, 3, 4]);
        assert_eq!(seqs(2, 9, 2, usize::MAX)?, vec![2, 3]);
        assert_eq!(seqs(2, 9, 0, 0)?, vec![2], "the first one in any case");
        assert_eq!(seqs(2, 9, 9, expected[2].raw.len() + expected[3].raw.len())?, vec![2, 3]);
        assert_eq!(seqs(5, 5, 9, 9)?, Vec::<u64>::new());
        assert_eq!(seqs(9, 2, 9, 9)?, Vec::<u64>::new());
        let stats = tables.stats()?;
        assert_eq!((stats.events, stats.feeds, stats.conversations), (10, 1, 1));
        assert_eq!(stats.event_bytes, expected.iter().map(|row| row.raw.len() as u64).sum::<u64>());
        assert_eq!((stats.oldest_ms, stats.newest_ms), (Some(100), Some(109)));
        Ok(())
    })
    .await;
    let bytes: u64 = rows[..4].iter().map(|row| row.raw.len() as u64).sum();
    assert_eq!(write(store, move |tables| tables.remove_events(&feed, 4)).await, (4, bytes));
    let talks = read(store, |tables| tables.conversations(&ConversationQuery { limit: 9, ..Default::default() })).await;
    assert_eq!((talks[0].entries, talks[0].started_ms, talks[0].first), (6, 104, Some(rows[4].id)));
    clear(store, &makes).await;
    let stats = read(store, |tables| tables.stats()).await;
    assert_eq!((stats.events, stats.event_bytes, stats.feeds, stats.conversations), (0, 0, 0, 0));
}

pub(super) async fn order_and_pages(store: &Store) {
    // Many at the same time: the id decides.
    let makes: Vec<Make> = (0..40u64)
        .map(|n| Make {
            author: 1 + (n % 2) as u8,
            swarm: 1 + (n % 3 == 0) as u8,
            talk: (n % 4) as u8,
            seq: n,
            at_ms: 100 + n / 10,
            ..Make::default()
        })
        .collect();
    let mut rows: Vec<EventRow> = makes.iter().map(Make::event).collect();
    put(store, &rows).await;
    rows.sort_by_key(|row| (row.time_ms(), row.id));
    for order in [Order::Oldest, Order::Newest] {
        let mut expected = rows.clone();
        if order == Order::Newest {
            expected.reverse();
        }
        read(store, move |tables| {
            let mut query = EventQuery { order, limit: 7, ..Default::default() };
            let mut got = Vec::new();
            loop {
                let page = tables.events(&query)?;
                let Some(last) = page.last() else { break };
                query.after = Some((last.time_ms(), last.id));
                got.extend(page);
            }
            assert_eq!(got, expected);
            let check = |query: EventQuery, fits: &dyn Fn(&EventRow) -> bool| -> Result<()> {
                let wanted: Vec<_> = expected.iter().filter(|row| fits(row)).cloned().collect();
                assert_eq!(tables.events(&EventQuery { limit: 99, order, ..query })?, wanted);
                Ok(())
            };
            let all = EventQuery::default;
            check(EventQuery { swarm: Some(swarm(2)), ..all() }, &|row| row.event.swarm == swarm(2))?;
            check(EventQuery { author: Some(author(2)), ..all() }, &|row| row.event.author == author(2))?;
            check(EventQuery { conversation: Some(talk(3)), ..all() }, &|row| row.event.conversation == talk(3))?;
            check(EventQuery { kinds: vec!["reply".into(), "x".into()], ..all() }, &|row| row.event.kind == "reply")?;
            check(EventQuery { since_ms: Some(102), ..all() }, &|row| row.time_ms() >= 102)?;
            check(EventQuery { until_ms: Some(102), ..all() }, &|row| row.time_ms() < 102)?;
            check(EventQuery { since_ms: Some(101), until_ms: Some(102), ..all() }, &|row| row.time_ms() == 101)?;
            check(EventQuery { since_ms: Some(u64::MAX), ..all() }, &|_| false)?;
            check(EventQuery { until_ms: Some(0), ..all() }, &|_| false)?;
            let both = EventQuery { author: Some(author(1)), conversation: Some(talk(2)), ..all() };
            check(both, &|row| row.event.author == author(1) && row.event.conversation == talk(2))?;
            assert_eq!(tables.events(&EventQuery { limit: 0, ..all() })?, vec![]);
            Ok(())
        })
        .await;
    }
    read(store, |tables| {
        let all = tables.conversations(&ConversationQuery { limit: 99, ..Default::default() })?;
        assert_eq!(all.len(), 8, "a conversation of each swarm: {all:?}");
        assert!(all.is_sorted_by(|a, b| (a.last_ms, a.id, a.swarm) > (b.last_ms, b.id, b.swarm)));
        let of = |query| tables.conversations(&ConversationQuery { limit: 99, ..query }).map(|rows| rows.len());
        assert_eq!(of(ConversationQuery { id: Some("0303-03".into()), ..Default::default() })?, 2);
        assert_eq!(of(ConversationQuery { id: Some("04".into()), ..Default::default() })?, 0);
        assert_eq!(of(ConversationQuery { id: Some("nix".into()), ..Default::default() })?, 0);
        assert_eq!(of(ConversationQuery { id: Some("*".into()), ..Default::default() })?, 0);
        assert_eq!(of(ConversationQuery { swarm: Some(swarm(2)), ..Default::default() })?, 4);
        let after = Some((all[1].last_ms, all[1].id));
        let rest = tables.conversations(&ConversationQuery { after, limit: 99, ..Default::default() })?;
        assert!(rest.iter().all(|row| Some((row.last_ms, row.id)) < after));
        Ok(())
    })
    .await;
    clear(store, &makes).await;
}

pub(super) async fn extremes(store: &Store) {
    let ends = [0, 1, i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX - 1, u64::MAX];
    let mut makes = Vec::new();
    for (n, epoch) in ends.into_iter().enumerate() {
        for seq in ends {
            makes.push(Make { epoch, seq, at_ms: u64::MAX, received_ms: ends[n], ..Make::default() });
        }
    }
    let mut rows: Vec<EventRow> = makes.iter().map(Make::event).collect();
    put(store, &rows).await;
    rows.sort_by_key(|row| (row.time_ms(), row.id));
    read(store, move |tables| {
        assert_eq!(tables.events(&EventQuery { order: Order::Oldest, limit: 99, ..Default::default() })?, rows);
        for epoch in ends {
            let feed = Make { epoch, ..Make::default() }.feed();
            let seqs: Vec<u64> =
                tables.feed_events(&feed, 0, u64::MAX, 99, usize::MAX)?.iter().map(|row| row.event.seq).collect();
            assert_eq!(seqs, &ends[..5], "rising, as unsigned numbers");
            assert!(tables.event_at(&feed, u64::MAX)?.is_some());
        }
        assert_eq!(tables.stats()?.newest_ms, Some(TIME_MAX));
        Ok(())
    })
    .await;
    clear(store, &makes).await;
}

pub(super) async fn live(store: &Store) {
    let make = |epoch, seq, live, received_ms| Make { epoch, seq, live, received_ms, ..Make::default() };
    let makes = [make(1, 0, true, 10), make(1, 1, true, 20), make(2, 0, true, 10), make(3, 0, false, 10)];
    put(store, &makes.iter().map(Make::event).collect::<Vec<_>>()).await;
    let feeds: Vec<_> = [&makes[0], &makes[2], &makes[3]].map(Make::feed).into();
    let keys = feeds.clone();
    let removed = write(store, move |tables| {
        tables.put_feed(&feed_row(keys[0], vec![(0, 2)]))?;
        tables.put_feed(&feed_row(keys[1], vec![(0, 1)]))?;
        tables.put_feed(&feed_row(keys[2], vec![(0, 1)]))?;
        tables.remove_live(20)
    })
    .await;
    assert_eq!(removed, 2);
    read(store, move |tables| {
        assert_eq!(tables.feed(&feeds[0])?.unwrap().held, vec![(1, 2)]);
        assert_eq!(tables.feed(&feeds[1])?, None);
        assert_eq!(tables.feed(&feeds[2])?.unwrap().held, vec![(0, 1)]);
        assert_eq!(tables.stats()?.events, 2);
        Ok(())
    })
    .await;
    clear(store, &makes).await;
}

pub(super) async fn failing_jobs(store: &Store) {
    let row = Make::default().event();
    let (kept, feed) = (Make { seq: 1, ..Make::default() }.event(), row.feed());
    put(store, std::slice::from_ref(&kept)).await;
    let before = read(store, |tables| tables.stats()).await;
    let (one, two) = (row.clone(), row.clone());
    let step = move |tables: &mut dyn Write, row: &EventRow| -> Result<()> {
        tables.insert_event(row, "lost words")?;
        tables.put_feed(&feed_row(feed, vec![(0, 2)]))?;
        tables.remove_events(&feed, 9)?;
        tables.put_inbox(&inbox_row(1, 1, 1, 5), Some("lost words"))?;
        tables.put_outbox(&outbox_row(1, 1, 5), Some("lost words"))?;
        tables.put_note("lost", Some(b"x"))?;
        tables.replace_peers(&[])?;
        // In the job itself they are found.
        assert_eq!(tables.search(&hits("lost", 9))?.len(), 2);
        Ok(())
    };
    let failed = store.write(move |tables| step(tables, &one).and(Err::<(), _>(StoreError::Full("no".into())))).await;
    assert!(matches!(failed, Err(StoreError::Full(_))), "{failed:?}");
    let panicked = store
        .write(move |tables| -> Result<()> {
            step(tables, &two)?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(&panicked, Err(StoreError::Failed { reason, .. }) if reason.contains("on purpose")));
    read(store, move |tables| {
        let mut now = tables.stats()?;
        now.file_bytes = before.file_bytes;
        assert_eq!(now, before);
        assert_eq!(tables.event(&kept.id)?, Some(kept));
        assert_eq!(tables.event(&row.id)?, None);
        assert_eq!(tables.feed(&feed)?, None);
        assert_eq!(tables.search(&hits("lost", 9))?, vec![]);
        assert_eq!(tables.search(&hits("some", 9))?.len(), 1);
        assert_eq!(tables.note("lost")?, None);
        Ok(())
    })
    .await;
    clear(store, &[Make::default()]).await;
}

fn hits(text: &str, limit: usize) -> SearchQuery {
    SearchQuery { search: search(text), swarm: None, author: None, since_ms: None, limit }
}

pub(super) async fn inbox(store: &Store) {
    let rows: Vec<_> = (0..12).map(|n| inbox_row(1 + n % 3, n, n % 4, 100 + u64::from(n))).collect();
    let all = rows.clone();
    write(store, move |tables| all.iter().try_for_each(|row| tables.put_inbox(row, Some("first words")))).await;
    let mut changed = rows[2].clone();
    changed.state = InboxState::Read;
    changed.work = WorkState::Begun;
    let row = changed.clone();
    write(store, move |tables| tables.put_inbox(&row, None)).await;
    read(store, move |tables| {
        assert_eq!(tables.inbox_item(&changed.mail.from, &changed.mail.id)?, Some(changed.clone()));
        assert_eq!(tables.inbox_item(&author(5), &changed.mail.id)?, None);
        let got = tables.inbox(&InboxQuery { limit: 99, ..Default::default() })?;
        assert_eq!(got.len(), 12);
        let urgency = |row: &crate::store::InboxRow| std::cmp::Reverse(row.mail.priority.unwrap_or(3));
        assert!(got.is_sorted_by_key(|row| (urgency(row), row.received_ms, row.mail.from, row.mail.id)));
        assert_eq!(tables.inbox(&InboxQuery { limit: 2, ..Default::default() })?, got[..2]);
        let ids = |query| -> Result<usize> { Ok(tables.inbox(&InboxQuery { limit: 99, ..query })?.len()) };
        assert_eq!(ids(InboxQuery { states: vec![InboxState::Unread], ..Default::default() })?, 11);
        assert_eq!(ids(InboxQuery { author: Some(author(1)), ..Default::default() })?, 4);
        assert_eq!(ids(InboxQuery { conversation: Some(talk(1)), ..Default::default() })?, 3);
        assert_eq!(ids(InboxQuery { stranger: Some(true), ..Default::default() })?, 6);
        assert_eq!(ids(InboxQuery { work: true, ..Default::default() })?, 1);
        assert_eq!(ids(InboxQuery { id: Some(mail_id(3).to_string()), ..Default::default() })?, 1);
        assert_eq!(ids(InboxQuery { id: Some(mail_id(3).short().to_uppercase()), ..Default::default() })?, 1);
        let bytes =
            |rows: &mut dyn Iterator<Item = &crate::store::InboxRow>| rows.map(|row| row.raw.len() as u64).sum();
        let used = InboxUse {
            messages: 4,
            bytes: bytes(&mut rows.iter().filter(|row| row.mail.from == author(1))),
            stranger_messages: 6,
            stranger_bytes: bytes(&mut rows.iter().filter(|row| row.stranger)),
        };
        assert_eq!(tables.inbox_use(&author(1))?, used);
        assert_eq!(tables.search(&hits("first", 99))?.len(), 12, "no text leaves the old one");
        assert_eq!(tables.stats()?.unread, 11);
        Ok(())
    })
    .await;
    let replaced = inbox_row(1, 0, 0, 100);
    let found = write(store, move |tables| {
        tables.put_inbox(&replaced, Some("second"))?;
        Ok((tables.search(&hits("first", 99))?.len(), tables.search(&hits("second", 99))?.len()))
    })
    .await;
    assert_eq!(found, (11, 1));
    write(store, |tables| {
        for n in 0..12 {
            assert!(tables.remove_inbox(&author(1 + n % 3), &mail_id(n))?);
            assert!(!tables.remove_inbox(&author(1 + n % 3), &mail_id(n))?);
        }
        assert_eq!(tables.stats()?.conversations, 0);
        assert_eq!(tables.search(&hits("first OR second", 99))?, vec![]);
        Ok(())
    })
    .await;
}

pub(super) async fn outbox(store: &Store) {
    let ends = [5, 3, 3, u64::MAX, 0, 7];
    let rows: Vec<_> = (0u8..6).map(|n| outbox_row(n, n % 2, ends[usize::from(n)])).collect();
    let all = rows.clone();
    write(store, move |tables| all.iter().try_for_each(|row| tables.put_outbox(row, Some("words")))).await;
    let mut settled = rows[4].clone();
    (settled.state, settled.attempts, settled.error) = (OutboxState::Refused, 7, "no".into());
    let row = settled.clone();
    write(store, move |tables| tables.put_outbox(&row, None)).await;
    read(store, move |tables| {
        assert_eq!(tables.outbox_item(&mail_id(4))?, Some(settled));
        let times = |rows: &[crate::store::OutboxRow]| rows.iter().map(|row| row.next_ms).collect::<Vec<_>>();
        let waiting: Vec<_> = tables.outbox_waiting()?.iter().map(|waiting| waiting.id).collect();
        assert_eq!(waiting, [1, 2, 0, 5, 3].map(mail_id));
        let got = tables.outbox(&OutboxQuery { limit: 99, ..Default::default() })?;
        assert_eq!(times(&got), vec![u64::MAX, 7, 5, 3, 3, 0]);
        let count = |query| -> Result<usize> { Ok(tables.outbox(&OutboxQuery { limit: 99, ..query })?.len()) };
        assert_eq!(count(OutboxQuery { states: vec![OutboxState::Refused], ..Default::default() })?, 1);
        assert_eq!(count(OutboxQuery { to: Some(author(9)), ..Default::default() })?, 6);
        assert_eq!(count(OutboxQuery { conversation: Some(talk(1)), ..Default::default() })?, 3);
        assert_eq!(count(OutboxQuery { id: Some(mail_id(1).short()), ..Default::default() })?, 1);
        let stats = tables.stats()?;
        assert_eq!((stats.outbox, stats.unsettled), (6, 5));
        assert_eq!(tables.search(&hits("words", 9))?.len(), 6);
        Ok(())
    })
    .await;
    write(store, |tables| {
        for n in 0..6 {
            assert!(tables.remove_outbox(&mail_id(n))?);
        }
        assert!(!tables.remove_outbox(&mail_id(0))?);
        Ok(())
    })
    .await;
}

pub(super) async fn taken(store: &Store) {
    let taken = |n: u8, at_ms| Taken { author: author(1), id: mail_id(n), sha256: [n; 32], at_ms };
    write(store, move |tables| {
        for n in 0..10 {
            tables.put_taken(&taken(n, u64::from(n)))?;
        }
        tables.put_taken(&taken(0, u64::MAX))?;
        assert_eq!(tables.taken(&author(1), &mail_id(0))?, Some(taken(0, u64::MAX)));
        assert_eq!(tables.taken(&author(2), &mail_id(0))?, None);
        assert_eq!(tables.forget_taken(5, 0)?, 4);
        assert_eq!(tables.forget_taken(99, 4)?, 2);
        assert_eq!(tables.taken(&author(1), &mail_id(6))?, None);
        assert_eq!(tables.taken(&author(1), &mail_id(7))?, Some(taken(7, 7)));
        assert_eq!(tables.forget_taken(u64::MAX, u64::MAX)?, 0);
        assert_eq!(tables.forget_taken(u64::MAX, 0)?, 3);
        tables.put_taken(&taken(0, 0))?;
        assert_eq!(tables.forget_taken(u64::MAX, 0)?, 1);
        Ok(())
    })
    .await;
    write(store, |tables| tables.forget_taken(u64::MAX, 0)).await;
}

pub(super) async fn artifacts(store: &Store) {
    let bytes: Vec<u8> = (0..150_000u32).map(|n| (n % 251) as u8).collect();
    let artifact = |name: &str, bytes: &[u8]| ArtifactRow {
        name: name.into(),
        kind: "metadata".into(),
        mime: "text/plain".into(),
        encoding: String::new(),
        description: "ü".into(),
        meta: Bytes::from_static(b"\x80"),
        size: bytes.len() as u64,
        sha256: Sha256::digest(bytes).into(),
        origin: Some(author(3)),
        created_ms: u64::MAX,
    };
    write(store, move |tables| {
        let (a, b) = (artifact("a", &bytes), artifact("b", &bytes));
        assert!(tables.put_artifact(&a, None).is_err(), "no bytes yet");
        assert!(tables.put_artifact(&a, Some(b"other")).is_err(), "other bytes");
        tables.put_artifact(&b, Some(&bytes))?;
        tables.put_artifact(&a, None)?;
        assert_eq!(tables.artifacts()?, vec![a.clone(), b]);
        assert_eq!(tables.artifact("a")?, Some(a.clone()));
        assert_eq!(tables.artifact("c")?, None);
        let part =
            |offset, max| Ok::<_, StoreError>(tables.artifact_bytes(&a.sha256, offset, max)?.map(|b| b.to_vec()));
        assert_eq!(part(0, usize::MAX)?.unwrap(), bytes);
        assert_eq!(part(65_530, 20)?.unwrap(), &bytes[65_530..65_550]);
        assert_eq!(part(149_999, 20)?.unwrap(), &bytes[149_999..]);
        assert_eq!(part(150_000, 20)?.unwrap(), b"");
        assert_eq!(part(u64::MAX, 20)?.unwrap(), b"");
        assert_eq!(part(3, 0)?.unwrap(), b"");
        assert_eq!(tables.artifact_bytes(&[0; 32], 0, 9)?, None);
        let stats = tables.stats()?;
        assert_eq!((stats.artifacts, stats.artifact_bytes), (2, 150_000));
        tables.put_artifact(&artifact("a", b""), Some(b""))?;
        assert_eq!(tables.artifact_bytes(&Sha256::digest(b"").into(), 0, 9)?, Some(Bytes::new()));
        assert!(tables.remove_artifact("b")?);
        assert!(!tables.remove_artifact("b")?);
        assert_eq!(tables.artifact_bytes(&a.sha256, 0, 9)?, None, "no name needs them");
        assert!(tables.remove_artifact("a")?);
        assert_eq!(tables.stats()?.artifact_bytes, 0);
        Ok(())
    })
    .await;
}

pub(super) async fn small_tables(store: &Store) {
    let schedule = |name: &str, created_ms| ScheduleRow {
        name: name.into(),
        spec: "{}".into(),
        state: "\u{0}".into(),
        created_ms,
    };
    let peer = |n: u8, seen_ms| PeerRow {
        peer: author(n),
        addresses: vec!["/ip4/127.0.0.1/tcp/1".into()],
        card: Bytes::from(vec![n; 3]),
        seen_ms,
        in_table: n == 1,
    };
    write(store, move |tables| {
        tables.put_schedule(&schedule("b", 1))?;
        tables.put_schedule(&schedule("a", u64::MAX))?;
        tables.put_schedule(&schedule("b", 2))?;
        assert_eq!(tables.schedules()?, vec![schedule("a", u64::MAX), schedule("b", 2)]);
        assert!(tables.remove_schedule("a")? && tables.remove_schedule("b")? && !tables.remove_schedule("a")?);
        tables.replace_peers(&[peer(1, 5), peer(2, u64::MAX), peer(3, 0)])?;
        assert_eq!(tables.peers(2)?, vec![peer(2, u64::MAX), peer(1, 5)]);
        tables.replace_peers(&[])?;
        assert_eq!(tables.peers(9)?, vec![]);
        tables.put_note("k", Some(b"1"))?;
        tables.put_note("k", Some(b""))?;
        assert_eq!(tables.note("k")?, Some(Bytes::new()));
        tables.put_note("k", None)?;
        assert_eq!(tables.note("k")?, None);
        Ok(())
    })
    .await;
}

pub(super) async fn cut_time(store: &Store) {
    let makes: Vec<Make> = (0..10).map(|seq| Make { seq, at_ms: 10 + seq / 2, ..Make::default() }).collect();
    let rows: Vec<EventRow> = makes.iter().map(Make::event).collect();
    put(store, &rows).await;
    read(store, move |tables| {
        let size: u64 = rows[6..].iter().map(|row| row.raw.len() as u64).sum();
        assert_eq!(tables.cut_time(&swarm(1), 10, u64::MAX)?, None);
        assert_eq!(tables.cut_time(&swarm(2), 0, 0)?, None);
        assert_eq!(tables.cut_time(&swarm(1), 4, u64::MAX)?, Some(13));
        assert_eq!(tables.cut_time(&swarm(1), 3, u64::MAX)?, Some(14), "those of one time go together");
        assert_eq!(tables.cut_time(&swarm(1), 99, size)?, Some(13));
        assert_eq!(tables.cut_time(&swarm(1), 0, 0)?, Some(15));
        Ok(())
    })
    .await;
    clear(store, &makes).await;
}

pub(super) async fn searches(store: &Store) {
    let texts = ["The quick brown fox", "Der schnelle braune Fuchs, Zoë", "", "fox NEAR \"quotes\" * - 東京 🦀"];
    let makes: Vec<Make> =
        (0..4u64).map(|seq| Make { seq, at_ms: 10 * seq, swarm: 1 + (seq % 2) as u8, ..Make::default() }).collect();
    let rows: Vec<EventRow> = makes.iter().map(Make::event).collect();
    let all = rows.clone();
    write(store, move |tables| {
        for (row, text) in all.iter().zip(texts) {
            tables.insert_event(row, text)?;
        }
        tables.put_inbox(&inbox_row(2, 1, 1, 15), Some("a fox in the inbox"))?;
        tables.put_outbox(&outbox_row(1, 1, 20), Some("a fox in the outbox"))
    })
    .await;
    read(store, move |tables| {
        let times = |query: SearchQuery| -> Result<Vec<u64>> { Ok(tables.search(&query)?.iter().map(time).collect()) };
        assert_eq!(times(hits("fox", 9))?, vec![30, 20, 15, 0], "the newest first");
        assert_eq!(times(hits("fox", 2))?, vec![30, 20]);
        assert_eq!(times(hits("fox", 0))?, Vec::<u64>::new());
        assert_eq!(times(SearchQuery { since_ms: Some(15), ..hits("fox", 9) })?, vec![30, 20, 15]);
        assert_eq!(times(SearchQuery { swarm: Some(swarm(2)), ..hits("fox", 9) })?, vec![30]);
        assert_eq!(times(SearchQuery { author: Some(author(2)), ..hits("fox", 9) })?, vec![15]);
        assert_eq!(times(hits("zoe", 9))?, vec![10]);
        assert_eq!(times(hits("東京", 9))?, vec![30]);
        assert_eq!(times(hits("\"near quotes\"", 9))?, vec![30]);
        assert_eq!(times(hits("quick NEAR/1 fox", 9))?, vec![0]);
        assert_eq!(times(hits("quick NEAR/0 fox", 9))?, Vec::<u64>::new());
        Ok(())
    })
    .await;
    write(store, |tables| {
        tables.remove_inbox(&author(2), &mail_id(1))?;
        tables.remove_outbox(&mail_id(1)).map(drop)
    })
    .await;
    clear(store, &makes).await;
    assert_eq!(read(store, |tables| tables.search(&hits("fox", 9))).await, vec![]);
}

pub(super) fn time(hit: &Hit) -> u64 {
    match hit {
        Hit::Event(row) => row.time_ms(),
        Hit::Inbox(row) => row.time_ms(),
        Hit::Outbox(row) => row.time_ms(),
    }
}
