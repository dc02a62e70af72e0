//! Writing to memory. Each step notes the way back.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use p2pnode_wire::ids::{EventId, MailId, PeerKey};
use sha2::{Digest, Sha256};

use super::{Kept, Memory, Result, Undo, count, failed};
use crate::store::{
    query::Taken,
    rows::{ArtifactRow, EventRow, FeedKey, FeedRow, InboxRow, OutboxRow, PeerRow, ScheduleRow},
    search::index_text,
    tables::Write,
};

impl Memory {
    /// Removes bytes that no artifact names any more.
    fn release(&mut self, sha256: [u8; 32]) {
        if !self.artifacts.values().any(|row| row.sha256 == sha256) {
            self.step(Undo::Blob(sha256, None));
        }
    }

    /// Removes events; their number and bytes.
    fn drop_events(&mut self, ids: &[EventId]) -> (u64, u64) {
        let mut bytes = 0;
        for id in ids {
            bytes += self.events.get(id).map_or(0, |kept| count(kept.row.raw.len()));
            self.step(Undo::Event(*id, None));
        }
        (count(ids.len()), bytes)
    }

    fn ids_of(&self, feed: &FeedKey, below: Option<u64>) -> Vec<EventId> {
        let from = self.places.range((*feed, 0)..);
        let ours = from.take_while(|((key, seq), _)| key == feed && below.is_none_or(|below| *seq < below));
        ours.map(|(_, id)| *id).collect()
    }
}

impl Write for Memory {
    fn put_feed(&mut self, row: &FeedRow) -> Result<()> {
        self.step(Undo::Feed(row.key, Some(row.clone())));
        Ok(())
    }

    fn remove_feed(&mut self, key: &FeedKey) -> Result<()> {
        let ids = self.ids_of(key, None);
        self.drop_events(&ids);
        self.step(Undo::Feed(*key, None));
        Ok(())
    }

    fn insert_event(&mut self, row: &EventRow, text: &str) -> Result<bool> {
        if self.events.contains_key(&row.id) || self.places.contains_key(&(row.feed(), row.event.seq)) {
            return Ok(false);
        }
        let kept = Kept { row: row.clone(), words: index_text(text), time_ms: row.time_ms() };
        self.step(Undo::Event(row.id, Some(Arc::new(kept))));
        Ok(true)
    }

    fn remove_events(&mut self, feed: &FeedKey, below: u64) -> Result<(u64, u64)> {
        let ids = self.ids_of(feed, Some(below));
        Ok(self.drop_events(&ids))
    }

    fn remove_live(&mut self, before_ms: u64) -> Result<u64> {
        let old: Vec<EventId> =
            self.live.iter().take_while(|(received, _)| *received < before_ms).map(|(_, id)| *id).collect();
        let mut gone: BTreeMap<FeedKey, Vec<u64>> = BTreeMap::new();
        for kept in old.iter().filter_map(|id| self.events.get(id)) {
            gone.entry(kept.row.feed()).or_default().push(kept.row.event.seq);
        }
        self.drop_events(&old);
        for (key, seqs) in gone {
            let Some(mut row) = self.feeds.get(&key).cloned() else { continue };
            for seq in seqs {
                row.unhold(seq, seq.saturating_add(1));
            }
            let empty = self.ids_of(&key, None).is_empty();
            self.step(Undo::Feed(key, (!empty).then_some(row)));
        }
        Ok(count(old.len()))
    }

    fn put_inbox(&mut self, row: &InboxRow, text: Option<&str>) -> Result<()> {
        let key = (row.mail.from, row.mail.id);
        let old = self.inbox.get(&key);
        let words = match text {
            Some(text) => index_text(text),
            None => old.map(|old| old.words.clone()).unwrap_or_default(),
        };
        let time_ms = old.map_or(row.time_ms(), |old| old.time_ms);
        self.step(Undo::Inbox(key, Some(Arc::new(Kept { row: row.clone(), words, time_ms }))));
        Ok(())
    }

    fn remove_inbox(&mut self, author: &PeerKey, id: &MailId) -> Result<bool> {
        let key = (*author, *id);
        let is = self.inbox.contains_key(&key);
        if is {
            self.step(Undo::Inbox(key, None));
        }
        Ok(is)
    }

    fn put_taken(&mut self, taken: &Taken) -> Result<()> {
        self.step(Undo::Taken((taken.author, taken.id), Some(*taken)));
        Ok(())
    }

    fn forget_taken(&mut self, before_ms: u64, keep: u64) -> Result<u64> {
        let spare = self.taken_times.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        let old: Vec<_> =
            self.taken_times.iter().take(spare).take_while(|(at, _)| *at < before_ms).map(|(_, key)| *key).collect();
        for key in &old {
            self.step(Undo::Taken(*key, None));
        }
        Ok(count(old.len()))
    }

    fn put_outbox(&mut self, row: &OutboxRow, text: Option<&str>) -> Result<()> {
        let old = self.outbox.get(&row.mail.id);
        let words = match text {
            Some(text) => index_text(text),
            None => old.map(|old| old.words.clone()).unwrap_or_default(),
        };
        let time_ms = old.map_or(row.time_ms(), |old| old.time_ms);
        self.step(Undo::Outbox(row.mail.id, Some(Arc::new(Kept { row: row.clone(), words, time_ms }))));
        Ok(())
    }

    fn remove_outbox(&mut self, id: &MailId) -> Result<bool> {
        let is = self.outbox.contains_key(id);
        if is {
            self.step(Undo::Outbox(*id, None));
        }
        Ok(is)
    }

    fn put_artifact(&mut self, row: &ArtifactRow, bytes: Option<&[u8]>) -> Result<()> {
        match bytes {
            Some(bytes) => {
                let sha256: [u8; 32] = Sha256::digest(bytes).into();
                if sha256 != row.sha256 || count(bytes.len()) != row.size {
                    return Err(failed(format!("artifact {:?}: not the bytes of its hash and size", row.name)));
                }
                self.step(Undo::Blob(sha256, Some(Bytes::copy_from_slice(bytes))));
            }
            None if self.blobs.contains_key(&row.sha256) => {}
            None => return Err(failed(format!("artifact {:?}: no bytes of its hash are kept", row.name))),
        }
        let old = self.artifacts.get(&row.name).map(|old| old.sha256);
        self.step(Undo::Artifact(row.name.clone(), Some(row.clone())));
        if let Some(old) = old {
            self.release(old);
        }
        Ok(())
    }

    fn remove_artifact(&mut self, name: &str) -> Result<bool> {
        let Some(sha256) = self.artifacts.get(name).map(|row| row.sha256) else { return Ok(false) };
        self.step(Undo::Artifact(name.to_owned(), None));
        self.release(sha256);
        Ok(true)
    }

    fn put_schedule(&mut self, row: &ScheduleRow) -> Result<()> {
        self.step(Undo::Schedule(row.name.clone(), Some(row.clone())));
        Ok(())
    }

    fn remove_schedule(&mut self, name: &str) -> Result<bool> {
        let is = self.schedules.contains_key(name);
        if is {
            self.step(Undo::Schedule(name.to_owned(), None));
        }
        Ok(is)
    }

    fn replace_peers(&mut self, rows: &[PeerRow]) -> Result<()> {
        let by_key: BTreeMap<PeerKey, &PeerRow> = rows.iter().map(|row| (row.peer, row)).collect();
        let mut rows: Vec<PeerRow> = by_key.into_values().cloned().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.seen_ms));
        self.step(Undo::Peers(rows));
        Ok(())
    }

    fn put_note(&mut self, key: &str, value: Option<&[u8]>) -> Result<()> {
        self.step(Undo::Note(key.to_owned(), value.map(Bytes::copy_from_slice)));
        Ok(())
    }
}
