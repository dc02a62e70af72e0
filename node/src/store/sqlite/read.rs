//! Reading from the file.

use bytes::{Bytes, BytesMut};
use p2pnode_wire::ids::{ConversationId, EventId, MailId, PeerKey, SwarmId};
use rusqlite::{ToSql, types::Value};

use super::{
    decode::{inbox_code, outbox_code, schedule_row},
    open::{file_bytes, reserve_bytes},
    session::{Result, Session},
    table::{
        ARTIFACT, BLOB, COUNTED, Checked, EVENT, FEED, INBOX, NOTE, OUTBOX, PEER, SCHEDULE, TAKEN, TALK, Table, head,
        number,
    },
};
use crate::store::{
    query::{
        ConversationQuery, EventQuery, Hit, IdPart, InboxQuery, InboxUse, Order, OutboxQuery, SearchQuery, Stats,
        Taken, TalkUse,
    },
    rank::{BITS, Kind, floor, kind},
    rows::{
        ArtifactRow, ConversationRow, EventRow, FeedKey, FeedRow, InboxRow, OutboxRow, PeerRow, ScheduleRow, Waiting,
    },
    tables::Read,
};

/// Bytes of an artifact in one row.
pub(super) const PIECE: usize = 64 * 1024;

/// The conditions of a question, and their values.
#[derive(Default)]
struct Where {
    sql: Vec<String>,
    values: Vec<Value>,
}

impl Where {
    fn and(&mut self, sql: impl Into<String>, values: impl IntoIterator<Item = Value>) {
        self.sql.push(sql.into());
        self.values.extend(values);
    }

    /// One of these small numbers.
    fn one_of(&mut self, column: &str, codes: impl Iterator<Item = i64>) {
        let codes: Vec<String> = codes.map(|code| code.to_string()).collect();
        if !codes.is_empty() {
            self.and(format!("{column} IN ({})", codes.join(", ")), []);
        }
    }

    /// An id that begins or ends so. False if none can.
    fn id(&mut self, column: &str, id: Option<&str>) -> bool {
        let Some(part) = IdPart::read(id) else { return false };
        let digits = part.as_str().to_ascii_uppercase();
        if !digits.is_empty() {
            let (start, end) = (format!("{digits}*"), format!("*{digits}"));
            self.and(format!("(hex({column}) GLOB ? OR hex({column}) GLOB ?)"), [start.into(), end.into()]);
        }
        true
    }

    fn tail(&self, order: &str) -> String {
        match self.sql.is_empty() {
            true => format!("ORDER BY {order}"),
            false => format!("WHERE {} ORDER BY {order}", self.sql.join(" AND ")),
        }
    }

    fn values(&self) -> Vec<&dyn ToSql> {
        self.values.iter().map(|value| value as &dyn ToSql).collect()
    }
}

fn rows(n: i64) -> u64 {
    u64::try_from(n).unwrap_or_default()
}

impl Session<'_> {
    /// The number of a feed, and what is known of it.
    pub(super) fn feed_entry(&self, key: &FeedKey) -> Result<Option<Checked>> {
        let tail = "WHERE swarm = ? AND author = ? AND epoch = ?";
        self.one(&FEED, tail, &[&key.swarm.0, &key.author.0, &number(key.epoch)])
    }

    pub(super) fn event_entry(&self, id: &EventId) -> Result<Option<EventRow>> {
        let mut found = None;
        self.scan(&EVENT, "WHERE id = ?", &[&head(&id.0)], |row| {
            let row = self.event_row(row)?;
            let is = row.id == *id;
            found = is.then_some(row);
            Ok(!is)
        })?;
        Ok(found)
    }

    /// Rows of a table, until there are enough that fit.
    fn gather<T>(
        &self,
        table: &Table,
        tail: &str,
        values: &[&dyn ToSql],
        limit: usize,
        mut read: impl FnMut(Checked) -> Result<Option<T>>,
    ) -> Result<Vec<T>> {
        let mut out = Vec::new();
        if limit > 0 {
            self.scan(table, tail, values, |row| {
                out.extend(read(row)?);
                Ok(out.len() < limit)
            })?;
        }
        Ok(out)
    }

    pub(super) fn inbox_entry(&self, author: &PeerKey, id: &MailId) -> Result<Option<(Checked, InboxRow)>> {
        let mut found = None;
        self.scan(&INBOX, "WHERE id = ? AND +author = ?", &[id.0.as_bytes(), &head(&author.0)], |entry| {
            let row = self.inbox_row(entry.clone())?;
            let is = row.mail.from == *author;
            found = is.then_some((entry, row));
            Ok(!is)
        })?;
        Ok(found)
    }

    /// The row that the search index names.
    fn hit(&self, rank: i64, query: &SearchQuery) -> Result<Option<Hit>> {
        let kind = kind(rank).ok_or_else(|| self.damaged(format!("words {rank}: no number of a row")))?;
        let (table, column) = match kind {
            Kind::Event => (&EVENT, 10),
            Kind::Inbox => (&INBOX, 11),
            Kind::Outbox => (&OUTBOX, 11),
        };
        let entry = self.one(table, "WHERE rank = ?", &[&rank])?;
        let Some(entry) = entry.filter(|entry| entry.int(column) == 1) else {
            return Err(self.damaged(format!("words {rank}: names a row that is not there")));
        };
        let fits = |swarm: Option<SwarmId>, author: PeerKey| {
            query.swarm.is_none_or(|wanted| swarm == Some(wanted)) && query.author.is_none_or(|wanted| wanted == author)
        };
        Ok(match kind {
            Kind::Event => Some(self.event_row(entry)?)
                .filter(|row| fits(Some(row.event.swarm), row.event.author))
                .map(|row| Hit::Event(Box::new(row))),
            Kind::Inbox => Some(self.inbox_row(entry)?)
                .filter(|row| fits(row.mail.swarm, row.mail.from))
                .map(|row| Hit::Inbox(Box::new(row))),
            Kind::Outbox => Some(self.outbox_row(entry)?)
                .filter(|row| fits(row.mail.swarm, row.mail.from))
                .map(|row| Hit::Outbox(Box::new(row))),
        })
    }
}

/// Which events, but for what is compared after reading: `swarm` and `author` are parts of keys. One index is enough, the
/// narrowest; `+` keeps SQLite from taking another.
fn event_conditions(query: &EventQuery) -> Where {
    let mut conditions = Where::default();
    let since = query.since_ms.unwrap_or_default();
    let (mut from, mut to) = (floor(since), query.until_ms.map_or(i64::MAX, floor));
    match (query.order, query.after) {
        (Order::Newest, Some((time, _))) => to = to.min(floor(time.saturating_add(1))),
        (Order::Oldest, Some((time, _))) => from = from.max(floor(time)),
        _ => {}
    }
    if let Some(talk) = query.conversation {
        conditions.and("talk = ?", [talk.0.as_bytes().to_vec().into()]);
    }
    if let Some(author) = query.author {
        let plus = if query.conversation.is_some() { "+" } else { "" };
        conditions.and(format!("{plus}author = ?"), [head(&author.0).into()]);
    }
    if let Some(swarm) = query.swarm {
        let plus = if query.conversation.is_some() || query.author.is_some() { "+" } else { "" };
        conditions.and(format!("{plus}swarm = ?"), [head(&swarm.0).into()]);
    }
    if !query.kinds.is_empty() {
        let marks = vec!["?"; query.kinds.len()].join(", ");
        conditions.and(format!("kind IN ({marks})"), query.kinds.iter().cloned().map(Value::from));
    }
    conditions.and("rank >= ? AND rank < ?", [from.into(), to.into()]);
    conditions
}

impl Read for Session<'_> {
    fn feed(&self, key: &FeedKey) -> Result<Option<FeedRow>> {
        let row = self.feed_entry(key)?.filter(|row| !row.bytes(4).is_empty());
        row.map(|row| self.feed_row(&row)).transpose()
    }

    fn feeds(&self, swarm: Option<&SwarmId>) -> Result<Vec<FeedRow>> {
        let order = "ORDER BY swarm, author, epoch";
        let read = |row: Checked| self.feed_row(&row).map(Some);
        match swarm {
            Some(swarm) => {
                let tail = format!("WHERE swarm = ? AND state IS NOT NULL {order}");
                self.gather(&FEED, &tail, &[&swarm.0], usize::MAX, read)
            }
            None => self.gather(&FEED, &format!("WHERE state IS NOT NULL {order}"), &[], usize::MAX, read),
        }
    }

    fn event(&self, id: &EventId) -> Result<Option<EventRow>> {
        self.event_entry(id)
    }

    fn event_at(&self, feed: &FeedKey, seq: u64) -> Result<Option<EventRow>> {
        let Some(no) = self.feed_entry(feed)?.map(|row| row.int(0)) else { return Ok(None) };
        let row = self.one(&EVENT, "WHERE feed = ? AND seq = ?", &[&no, &number(seq)])?;
        row.map(|row| self.event_row(row)).transpose()
    }

    fn feed_events(
        &self,
        feed: &FeedKey,
        from: u64,
        to: u64,
        max_rows: usize,
        max_bytes: usize,
    ) -> Result<Vec<EventRow>> {
        let mut out: Vec<EventRow> = Vec::new();
        let Some(no) = self.feed_entry(feed)?.map(|row| row.int(0)) else { return Ok(out) };
        let mut bytes = 0usize;
        let tail = "WHERE feed = ? AND seq >= ? AND seq < ? ORDER BY seq";
        self.scan(&EVENT, tail, &[&no, &number(from), &number(to)], |row| {
            let row = self.event_row(row)?;
            bytes = bytes.saturating_add(row.raw.len());
            let fits = out.is_empty() || (out.len() < max_rows && bytes <= max_bytes);
            if fits {
                out.push(row);
            }
            Ok(fits)
        })?;
        Ok(out)
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>> {
        let conditions = event_conditions(query);
        let newest = query.order == Order::Newest;
        let tail = conditions.tail(if newest { "rank DESC" } else { "rank" });
        let mut out = self.gather(&EVENT, &tail, &conditions.values(), query.limit, |row| {
            let row = self.event_row(row)?;
            let fits = query.fits(&row) && query.is_after((row.time_ms(), row.id));
            Ok(fits.then_some(row))
        })?;
        // Two whose numbers would be the same are next to each other in the order in which they came.
        out.sort_by_key(|row| (row.time_ms(), row.id));
        if newest {
            out.reverse();
        }
        Ok(out)
    }

    fn conversations(&self, query: &ConversationQuery) -> Result<Vec<ConversationRow>> {
        let mut conditions = Where::default();
        if !conditions.id("id", query.id.as_deref()) {
            return Ok(Vec::new());
        }
        if let Some(swarm) = query.swarm {
            conditions.and("swarm = ?", [swarm.0.to_vec().into()]);
        }
        if let Some((last, id)) = query.after {
            conditions.and("(last, id) < (?, ?)", [number(last).into(), id.0.as_bytes().to_vec().into()]);
        }
        let tail = conditions.tail("last DESC, id DESC, swarm DESC");
        self.gather(&TALK, &tail, &conditions.values(), query.limit, |row| self.talk_row(&row).map(Some))
    }

    fn search(&self, query: &SearchQuery) -> Result<Vec<Hit>> {
        self.flush_words(true)?;
        let mut out = Vec::new();
        let sql = "SELECT rowid FROM words WHERE words MATCH ? AND rowid >= ? ORDER BY rowid DESC";
        let mut statement = self.ok(self.conn.prepare_cached(sql))?;
        let from = floor(query.since_ms.unwrap_or_default());
        let mut ranks = self.ok(statement.query((query.search.fts5(), from)))?;
        while out.len() < query.limit
            && let Some(rank) = self.ok(ranks.next())?
        {
            out.extend(self.hit(self.ok(rank.get(0))?, query)?);
        }
        Ok(out)
    }

    fn inbox_item(&self, author: &PeerKey, id: &MailId) -> Result<Option<InboxRow>> {
        Ok(self.inbox_entry(author, id)?.map(|(_, row)| row))
    }

    fn inbox(&self, query: &InboxQuery) -> Result<Vec<InboxRow>> {
        let mut conditions = Where::default();
        if !conditions.id("id", query.id.as_deref()) {
            return Ok(Vec::new());
        }
        conditions.one_of("state", query.states.iter().map(|state| inbox_code(*state)));
        if let Some(author) = query.author {
            conditions.and("author = ?", [head(&author.0).into()]);
        }
        if let Some(talk) = query.conversation {
            conditions.and("talk = ?", [talk.0.as_bytes().to_vec().into()]);
        }
        if let Some(stranger) = query.stranger {
            conditions.and("stranger = ?", [i64::from(stranger).into()]);
        }
        if query.work {
            conditions.and("work IN (1, 2)", []);
        }
        let tail = conditions.tail("urgency, received, author, id");
        self.gather(&INBOX, &tail, &conditions.values(), query.limit, |row| {
            let row = self.inbox_row(row)?;
            Ok(query.fits(&row).then_some(row))
        })
    }

    fn inbox_use(&self, author: &PeerKey) -> Result<InboxUse> {
        let author = head(&author.0);
        let count = |sql: &str, values: &[&dyn ToSql]| self.count(sql, values).map(|n| rows(n.unwrap_or_default()));
        Ok(InboxUse {
            messages: count("SELECT count(*) FROM inbox WHERE author = ?", &[&author])?,
            bytes: count("SELECT sum(size) FROM inbox WHERE author = ?", &[&author])?,
            stranger_messages: count("SELECT count(*) FROM inbox WHERE stranger = 1", &[])?,
            stranger_bytes: count("SELECT sum(size) FROM inbox WHERE stranger = 1", &[])?,
        })
    }

    fn talk_use(&self, id: &ConversationId, peer: &PeerKey, since_ms: u64) -> Result<TalkUse> {
        let (talk, peer, from) = (id.0.as_bytes(), head(&peer.0), floor(since_ms));
        let count = |sql| self.count(sql, &[&talk, &from, &peer]).map(|n| rows(n.unwrap_or_default()));
        Ok(TalkUse {
            messages: count("SELECT count(*) FROM inbox WHERE talk = ? AND rank >= ? AND author = ?")?
                + count("SELECT count(*) FROM outbox WHERE talk = ? AND rank >= ? AND dest = ?")?,
            bytes: count("SELECT sum(size) FROM inbox WHERE talk = ? AND rank >= ? AND author = ?")?
                + count("SELECT sum(length(raw)) FROM outbox WHERE talk = ? AND rank >= ? AND dest = ?")?,
        })
    }

    fn taken(&self, author: &PeerKey, id: &MailId) -> Result<Option<Taken>> {
        let row = self.one(&TAKEN, "WHERE author = ? AND id = ?", &[&author.0, id.0.as_bytes()])?;
        let taken = row.and_then(|row| Some((row.array(2)?, row.unsigned(3))));
        Ok(taken.map(|(sha256, at_ms)| Taken { author: *author, id: *id, sha256, at_ms }))
    }

    fn outbox_item(&self, id: &MailId) -> Result<Option<OutboxRow>> {
        let row = self.one(&OUTBOX, "WHERE id = ?", &[id.0.as_bytes()])?;
        row.map(|row| self.outbox_row(row)).transpose()
    }

    fn outbox(&self, query: &OutboxQuery) -> Result<Vec<OutboxRow>> {
        let mut conditions = Where::default();
        if !conditions.id("id", query.id.as_deref()) {
            return Ok(Vec::new());
        }
        conditions.one_of("state", query.states.iter().map(|state| outbox_code(*state)));
        if let Some(to) = query.to {
            conditions.and("dest = ?", [head(&to.0).into()]);
        }
        if let Some(talk) = query.conversation {
            conditions.and("talk = ?", [talk.0.as_bytes().to_vec().into()]);
        }
        let tail = conditions.tail("sent DESC, id DESC");
        self.gather(&OUTBOX, &tail, &conditions.values(), query.limit, |row| {
            let row = self.outbox_row(row)?;
            Ok(query.fits(&row).then_some(row))
        })
    }

    fn outbox_waiting(&self) -> Result<Vec<Waiting>> {
        let mut all = Vec::new();
        self.scan(&OUTBOX, "WHERE state = 0 ORDER BY sent, id", &[], |row| {
            all.push(self.outbox_row(row)?.waiting());
            Ok(true)
        })?;
        Ok(all)
    }

    fn artifacts(&self) -> Result<Vec<ArtifactRow>> {
        self.gather(&ARTIFACT, "ORDER BY name", &[], usize::MAX, |row| self.artifact_row(&row).map(Some))
    }

    fn artifact(&self, name: &str) -> Result<Option<ArtifactRow>> {
        let row = self.one(&ARTIFACT, "WHERE name = ?", &[&name])?;
        row.map(|row| self.artifact_row(&row)).transpose()
    }

    fn artifact_bytes(&self, sha256: &[u8; 32], offset: u64, max: usize) -> Result<Option<Bytes>> {
        let piece = u64::try_from(PIECE).unwrap_or(u64::MAX);
        let first = i64::try_from(offset / piece).unwrap_or(i64::MAX);
        let mut skip = usize::try_from(offset % piece).unwrap_or_default();
        let mut out = BytesMut::new();
        self.scan(&BLOB, "WHERE sha256 = ? AND no >= ? ORDER BY no", &[sha256, &first], |row| {
            let bytes = row.bytes(2).get(skip..).unwrap_or_default();
            skip = 0;
            out.extend_from_slice(bytes.get(..max - out.len()).unwrap_or(bytes));
            Ok(out.len() < max)
        })?;
        if out.is_empty() && self.count("SELECT no FROM blob WHERE sha256 = ? AND no = 0", &[sha256])?.is_none() {
            return Ok(None);
        }
        Ok(Some(out.freeze()))
    }

    fn schedules(&self) -> Result<Vec<ScheduleRow>> {
        self.gather(&SCHEDULE, "ORDER BY name", &[], usize::MAX, |row| Ok(Some(schedule_row(row))))
    }

    fn peers(&self, limit: usize) -> Result<Vec<PeerRow>> {
        self.gather(&PEER, "ORDER BY seen DESC, peer", &[], limit, |row| self.peer_row(row).map(Some))
    }

    fn note(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.one(&NOTE, "WHERE key = ?", &[&key])?.map(|mut row| Bytes::from(row.take_bytes(1))))
    }

    fn notes(&self, prefix: &str) -> Result<Vec<(String, Bytes)>> {
        self.gather(&NOTE, "WHERE substr(key, 1, length(?1)) = ?1 ORDER BY key", &[&prefix], usize::MAX, |mut row| {
            Ok(Some((row.take_text(0), row.take_bytes(1).into())))
        })
    }

    fn stats(&self) -> Result<Stats> {
        self.flush_totals()?;
        let totals = self.read_totals()?;
        let of = |table: &Table| {
            let found = COUNTED.iter().zip(totals).find(|(counted, _)| counted.name == table.name);
            found.map(|(_, total)| total).unwrap_or_default()
        };
        let count = |sql: &str| self.count(sql, &[]).map(|n| rows(n.unwrap_or_default()));
        let time = |sql: &str| self.count(sql, &[]).map(|rank| rank.map(|rank| rows(rank >> BITS)));
        Ok(Stats {
            events: rows(of(&EVENT).rows),
            event_bytes: rows(of(&EVENT).bytes),
            conversations: rows(of(&TALK).rows),
            feeds: count("SELECT count(*) FROM feed WHERE state IS NOT NULL")?,
            inbox: rows(of(&INBOX).rows),
            unread: count("SELECT count(*) FROM inbox WHERE state = 0")?,
            outbox: rows(of(&OUTBOX).rows),
            unsettled: count("SELECT count(*) FROM outbox WHERE state = 0")?,
            artifacts: rows(of(&ARTIFACT).rows),
            artifact_bytes: rows(of(&BLOB).bytes),
            schedules: rows(of(&SCHEDULE).rows),
            oldest_ms: time("SELECT min(rank) FROM event")?,
            newest_ms: time("SELECT max(rank) FROM event")?,
            file_bytes: file_bytes(self.path),
            reserve_bytes: reserve_bytes(self.path),
        })
    }

    fn cut_time(&self, swarm: &SwarmId, max_events: u64, max_bytes: u64) -> Result<Option<u64>> {
        let sql = "SELECT rank, length(raw) FROM event WHERE swarm = ? ORDER BY rank DESC";
        let mut statement = self.ok(self.conn.prepare_cached(sql))?;
        let mut found = self.ok(statement.query([head(&swarm.0)]))?;
        let (mut events, mut bytes) = (0u64, 0u64);
        while let Some(row) = self.ok(found.next())? {
            events = events.saturating_add(1);
            bytes = bytes.saturating_add(rows(self.ok(row.get(1))?));
            if events > max_events || bytes > max_bytes {
                let rank: i64 = self.ok(row.get(0))?;
                return Ok(Some(rows(rank >> BITS).saturating_add(1)));
            }
        }
        Ok(None)
    }
}
