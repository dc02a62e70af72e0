//! Writing to the file.

use std::collections::BTreeMap;

use p2pnode_wire::{
    ids::{ConversationId, MailId, PeerKey, SwarmId},
    msgpack,
};
use rusqlite::{ToSql, types::Value};
use sha2::{Digest, Sha256};

use super::{
    decode::{FeedState, inbox_code, outbox_code, work_code},
    read::PIECE,
    session::{Result, Session},
    table::{ARTIFACT, BLOB, Checked, EVENT, FEED, INBOX, NOTE, OUTBOX, PEER, SCHEDULE, TAKEN, Table, head, number},
};
use crate::store::{
    error::StoreError,
    query::Taken,
    rank::{Kind, STEP, inbox_rank, rank},
    rows::{ArtifactRow, EventRow, FeedKey, FeedRow, InboxRow, OutboxRow, PeerRow, ScheduleRow},
    search::index_text,
    tables::Write,
};

/// The words of a text, if there are any.
fn words(text: &str) -> Option<String> {
    Some(index_text(text)).filter(|words| !words.is_empty())
}

pub(super) fn swarm_bytes(swarm: Option<SwarmId>) -> Vec<u8> {
    swarm.map(|swarm| swarm.0.to_vec()).unwrap_or_default()
}

fn int(len: usize) -> Value {
    Value::Integer(i64::try_from(len).unwrap_or(i64::MAX))
}

impl Session<'_> {
    /// The number for a new row: its rank, or the next one that is free.
    fn place(&self, table: &Table, rank: i64) -> Result<i64> {
        let sql = format!("SELECT rank FROM {} WHERE rank = ?", table.name);
        let mut place = rank;
        while self.count(&sql, &[&place])?.is_some() {
            place = place
                .checked_add(STEP)
                .ok_or_else(|| StoreError::Full("no number is left at the end of time".into()))?;
        }
        Ok(place)
    }

    /// The number of a feed, which is made if there is none.
    fn feed_no(&self, key: &FeedKey) -> Result<i64> {
        if let Some(row) = self.feed_entry(key)? {
            return Ok(row.int(0));
        }
        self.new_feed(key, Value::Null)
    }

    fn new_feed(&self, key: &FeedKey, state: Value) -> Result<i64> {
        let no = self.count("SELECT max(no) FROM feed", &[])?.unwrap_or_default() + 1;
        self.insert(&FEED, feed_values(no, key, state))?;
        Ok(no)
    }

    /// Removes events with all that hangs on them; what they were.
    fn drop_events(&self, tail: &str, values: &[&dyn ToSql]) -> Result<Vec<Checked>> {
        let gone = self.delete(&EVENT, tail, values)?;
        let mut talks: BTreeMap<(ConversationId, SwarmId), u64> = BTreeMap::new();
        for row in &gone {
            self.index(row.int(0), row.int(10) == 1, None);
            let event = self.event_row(row.clone())?.event;
            *talks.entry((event.conversation, event.swarm)).or_default() += 1;
        }
        for ((talk, swarm), entries) in talks {
            self.talk_remove(talk, Some(swarm), entries)?;
        }
        Ok(gone)
    }

    fn drop_blob(&self, sha256: &[u8]) -> Result<()> {
        if self.count("SELECT 1 FROM artifact WHERE sha256 = ?", &[&sha256])?.is_none() {
            self.delete(&BLOB, "WHERE sha256 = ?", &[&sha256])?;
        }
        Ok(())
    }

    fn has_blob(&self, sha256: &[u8; 32]) -> Result<bool> {
        Ok(self.count("SELECT 1 FROM blob WHERE sha256 = ? AND no = 0", &[sha256])?.is_some())
    }

    fn put_blob(&self, row: &ArtifactRow, bytes: &[u8]) -> Result<()> {
        let sha256: [u8; 32] = Sha256::digest(bytes).into();
        if sha256 != row.sha256 || u64::try_from(bytes.len()) != Ok(row.size) {
            return Err(self.failed(format!("artifact {:?}: not the bytes of its hash and size", row.name)));
        }
        if self.has_blob(&sha256)? {
            return Ok(());
        }
        let empty: &[u8] = &[];
        let pieces = bytes.chunks(PIECE).chain(bytes.is_empty().then_some(empty));
        for (no, piece) in pieces.enumerate() {
            self.insert(&BLOB, vec![sha256.to_vec().into(), int(no), piece.to_vec().into()])?;
        }
        Ok(())
    }
}

fn feed_values(no: i64, key: &FeedKey, state: Value) -> Vec<Value> {
    vec![no.into(), key.swarm.0.to_vec().into(), key.author.0.to_vec().into(), number(key.epoch).into(), state]
}

fn inbox_values(rank: i64, row: &InboxRow, found: bool) -> Vec<Value> {
    let urgency = i64::from(u8::MAX) - i64::from(row.mail.priority.unwrap_or(3));
    vec![
        rank.into(),
        head(&row.mail.from.0).into(),
        row.mail.id.0.as_bytes().to_vec().into(),
        row.mail.conversation.0.as_bytes().to_vec().into(),
        swarm_bytes(row.mail.swarm).into(),
        urgency.into(),
        number(row.received_ms).into(),
        inbox_code(row.state).into(),
        work_code(row.work).into(),
        i64::from(row.stranger).into(),
        int(row.raw.len()),
        i64::from(found).into(),
        row.raw.to_vec().into(),
    ]
}

fn outbox_values(rank: i64, row: &OutboxRow, found: bool) -> Vec<Value> {
    vec![
        rank.into(),
        row.mail.id.0.as_bytes().to_vec().into(),
        head(&row.mail.to.0).into(),
        row.mail.conversation.0.as_bytes().to_vec().into(),
        swarm_bytes(row.mail.swarm).into(),
        number(row.mail.sent_ms).into(),
        outbox_code(row.state).into(),
        i64::from(row.attempts).into(),
        number(row.next_ms).into(),
        number(row.changed_ms).into(),
        row.error.clone().into(),
        i64::from(found).into(),
        row.raw.to_vec().into(),
    ]
}

impl Write for Session<'_> {
    fn put_feed(&mut self, row: &FeedRow) -> Result<()> {
        let state = FeedState { held: row.held.clone(), cut: row.cut, cut_head: row.cut_head, fork: row.fork.clone() };
        let state = Value::from(msgpack::encode(&state));
        match self.feed_entry(&row.key)? {
            Some(old) => self.update(&FEED, &old, feed_values(old.int(0), &row.key, state)),
            None => self.new_feed(&row.key, state).map(drop),
        }
    }

    fn remove_feed(&mut self, key: &FeedKey) -> Result<()> {
        let Some(no) = self.feed_entry(key)?.map(|row| row.int(0)) else { return Ok(()) };
        self.drop_events("WHERE feed = ?", &[&no])?;
        self.delete(&FEED, "WHERE no = ?", &[&no])?;
        Ok(())
    }

    fn insert_event(&mut self, row: &EventRow, text: &str) -> Result<bool> {
        if self.event_entry(&row.id)?.is_some() {
            return Ok(false);
        }
        let feed = self.feed_no(&row.feed())?;
        let seq = number(row.event.seq);
        if self.count("SELECT 1 FROM event WHERE feed = ? AND seq = ?", &[&feed, &seq])?.is_some() {
            return Ok(false);
        }
        let rank = self.place(&EVENT, rank(row.time_ms(), Kind::Event, &row.id.0))?;
        let words = words(text);
        let values = vec![
            rank.into(),
            head(&row.id.0).into(),
            feed.into(),
            seq.into(),
            head(&row.event.swarm.0).into(),
            head(&row.event.author.0).into(),
            row.event.conversation.0.as_bytes().to_vec().into(),
            row.event.kind.clone().into(),
            number(row.received_ms).into(),
            i64::from(row.live).into(),
            i64::from(words.is_some()).into(),
            row.raw.to_vec().into(),
        ];
        self.insert(&EVENT, values)?;
        self.index(rank, false, words);
        self.talk_add(row.event.conversation, Some(row.event.swarm), row.time_ms(), Some(row.id))?;
        Ok(true)
    }

    fn remove_events(&mut self, feed: &FeedKey, below: u64) -> Result<(u64, u64)> {
        let Some(entry) = self.feed_entry(feed)? else { return Ok((0, 0)) };
        let no = entry.int(0);
        let gone = self.drop_events("WHERE feed = ? AND seq < ?", &[&no, &number(below)])?;
        // Nothing is known of the feed but its events, and these are gone.
        let bare = entry.bytes(4).is_empty();
        if bare && self.count("SELECT 1 FROM event WHERE feed = ?", &[&no])?.is_none() {
            self.delete(&FEED, "WHERE no = ?", &[&no])?;
        }
        let bytes = gone.iter().map(|row| row.bytes(11).len()).sum::<usize>();
        Ok((u64::try_from(gone.len()).unwrap_or(u64::MAX), u64::try_from(bytes).unwrap_or(u64::MAX)))
    }

    fn remove_live(&mut self, before_ms: u64) -> Result<u64> {
        let gone = self.drop_events("WHERE live = 1 AND received < ?", &[&number(before_ms)])?;
        let mut feeds: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for row in &gone {
            feeds.entry(row.int(2)).or_default().push(row.unsigned(3));
        }
        for (no, seqs) in feeds {
            if self.count("SELECT 1 FROM event WHERE feed = ?", &[&no])?.is_none() {
                self.delete(&FEED, "WHERE no = ?", &[&no])?;
                continue;
            }
            let entry = self.one(&FEED, "WHERE no = ?", &[&no])?.filter(|row| !row.bytes(4).is_empty());
            let Some(entry) = entry else { continue };
            let mut row = self.feed_row(&entry)?;
            for seq in seqs {
                row.unhold(seq, seq.saturating_add(1));
            }
            self.put_feed(&row)?;
        }
        Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
    }

    fn put_inbox(&mut self, row: &InboxRow, text: Option<&str>) -> Result<()> {
        let (talk, swarm) = (row.mail.conversation, row.mail.swarm);
        let new = text.and_then(words);
        let Some((old, before)) = self.inbox_entry(&row.mail.from, &row.mail.id)? else {
            let rank = self.place(&INBOX, inbox_rank(row.time_ms(), &row.mail.from, &row.mail.id))?;
            self.insert(&INBOX, inbox_values(rank, row, new.is_some()))?;
            self.index(rank, false, new);
            return self.talk_add(talk, swarm, row.time_ms(), None);
        };
        let (rank, found) = (old.int(0), old.int(11) == 1);
        let finds = if text.is_some() { new.is_some() } else { found };
        self.update(&INBOX, &old, inbox_values(rank, row, finds))?;
        if text.is_some() {
            self.index(rank, found, new);
        }
        self.talk_move((before.mail.conversation, before.mail.swarm), (talk, swarm), rank)
    }

    fn remove_inbox(&mut self, author: &PeerKey, id: &MailId) -> Result<bool> {
        let Some((old, row)) = self.inbox_entry(author, id)? else { return Ok(false) };
        self.delete(&INBOX, "WHERE rank = ?", &[&old.int(0)])?;
        self.index(old.int(0), old.int(11) == 1, None);
        self.talk_remove(row.mail.conversation, row.mail.swarm, 1)?;
        Ok(true)
    }

    fn put_taken(&mut self, taken: &Taken) -> Result<()> {
        let (author, id) = (taken.author.0, *taken.id.0.as_bytes());
        self.delete(&TAKEN, "WHERE author = ? AND id = ?", &[&author, &id])?;
        let values = vec![author.to_vec().into(), id.to_vec().into(), taken.sha256.to_vec().into()];
        self.insert(&TAKEN, values.into_iter().chain([number(taken.at_ms).into()]).collect())
    }

    fn forget_taken(&mut self, before_ms: u64, keep: u64) -> Result<u64> {
        let rows = self.count("SELECT count(*) FROM taken", &[])?.unwrap_or_default();
        let spare = rows.saturating_sub(i64::try_from(keep).unwrap_or(i64::MAX)).max(0);
        let tail = "WHERE (author, id) IN (SELECT author, id FROM taken WHERE at < ? ORDER BY at, author, id LIMIT ?)";
        let gone = self.delete(&TAKEN, tail, &[&number(before_ms), &spare])?;
        Ok(u64::try_from(gone.len()).unwrap_or(u64::MAX))
    }

    fn put_outbox(&mut self, row: &OutboxRow, text: Option<&str>) -> Result<()> {
        let (talk, swarm) = (row.mail.conversation, row.mail.swarm);
        let new = text.and_then(words);
        let Some(old) = self.one(&OUTBOX, "WHERE id = ?", &[row.mail.id.0.as_bytes()])? else {
            let rank = self.place(&OUTBOX, rank(row.time_ms(), Kind::Outbox, row.mail.id.0.as_bytes()))?;
            self.insert(&OUTBOX, outbox_values(rank, row, new.is_some()))?;
            self.index(rank, false, new);
            return self.talk_add(talk, swarm, row.time_ms(), None);
        };
        let (rank, found) = (old.int(0), old.int(11) == 1);
        let finds = if text.is_some() { new.is_some() } else { found };
        self.update(&OUTBOX, &old, outbox_values(rank, row, finds))?;
        if text.is_some() {
            self.index(rank, found, new);
        }
        let before = self.outbox_row(old)?.mail;
        self.talk_move((before.conversation, before.swarm), (talk, swarm), rank)
    }

    fn remove_outbox(&mut self, id: &MailId) -> Result<bool> {
        let Some(old) = self.delete(&OUTBOX, "WHERE id = ?", &[id.0.as_bytes()])?.pop() else { return Ok(false) };
        self.index(old.int(0), old.int(11) == 1, None);
        let mail = self.outbox_row(old)?.mail;
        self.talk_remove(mail.conversation, mail.swarm, 1)?;
        Ok(true)
    }

    fn put_artifact(&mut self, row: &ArtifactRow, bytes: Option<&[u8]>) -> Result<()> {
        match bytes {
            Some(bytes) => self.put_blob(row, bytes)?,
            None if self.has_blob(&row.sha256)? => {}
            None => return Err(self.failed(format!("artifact {:?}: no bytes of its hash are kept", row.name))),
        }
        let old = self.delete(&ARTIFACT, "WHERE name = ?", &[&row.name])?.pop();
        let values = vec![row.name.clone().into(), row.sha256.to_vec().into(), msgpack::encode(row).into()];
        self.insert(&ARTIFACT, values)?;
        old.map_or(Ok(()), |old| self.drop_blob(old.bytes(1)))
    }

    fn remove_artifact(&mut self, name: &str) -> Result<bool> {
        let Some(old) = self.delete(&ARTIFACT, "WHERE name = ?", &[&name])?.pop() else { return Ok(false) };
        self.drop_blob(old.bytes(1))?;
        Ok(true)
    }

    fn put_schedule(&mut self, row: &ScheduleRow) -> Result<()> {
        self.remove_schedule(&row.name)?;
        let values = vec![row.name.clone().into(), row.spec.clone().into(), row.state.clone().into()];
        self.insert(&SCHEDULE, values.into_iter().chain([number(row.created_ms).into()]).collect())
    }

    fn remove_schedule(&mut self, name: &str) -> Result<bool> {
        Ok(!self.delete(&SCHEDULE, "WHERE name = ?", &[&name])?.is_empty())
    }

    fn replace_peers(&mut self, rows: &[PeerRow]) -> Result<()> {
        self.delete(&PEER, "", &[])?;
        let by_key: BTreeMap<PeerKey, &PeerRow> = rows.iter().map(|row| (row.peer, row)).collect();
        for row in by_key.into_values() {
            let values = vec![
                row.peer.0.to_vec().into(),
                number(row.seen_ms).into(),
                i64::from(row.in_table).into(),
                msgpack::encode(&row.addresses).into(),
                row.card.to_vec().into(),
            ];
            self.insert(&PEER, values)?;
        }
        Ok(())
    }

    fn put_note(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        self.delete(&NOTE, "WHERE key = ?", &[&key])?;
        match value {
            Some(value) => self.insert(&NOTE, vec![key.to_owned().into(), value.to_vec().into()]),
            None => Ok(()),
        }
    }
}
