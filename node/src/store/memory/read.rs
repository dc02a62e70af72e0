//! Reading from memory.

use bytes::Bytes;
use p2pnode_wire::ids::{ConversationId, EventId, MailId, PeerKey, SwarmId};

use super::{Entry, Memory, Result, Talk, count};
use crate::store::{
    query::{
        ConversationQuery, EventQuery, Hit, IdPart, InboxQuery, InboxUse, Order, OutboxQuery, SearchQuery, Stats,
        Taken, TalkUse,
    },
    rank::{Kind, inbox_rank, rank},
    rows::{
        ArtifactRow, ConversationRow, EventRow, FeedKey, FeedRow, InboxRow, InboxState, OutboxRow, PeerRow,
        ScheduleRow, Waiting,
    },
    tables::Read,
};

/// Clones at most so many of them.
fn rows<'a, T: Clone + 'a>(found: impl Iterator<Item = &'a T>, limit: usize) -> Vec<T> {
    found.take(limit).cloned().collect()
}

impl Memory {
    fn conversation(&self, talk: &Talk) -> Option<ConversationRow> {
        let entries = self.talks.get(talk)?;
        let first = entries.iter().find_map(|(_, entry)| match entry {
            Entry::Event(id) => Some(*id),
            _ => None,
        });
        Some(ConversationRow {
            id: talk.0,
            swarm: talk.1,
            started_ms: entries.first()?.0,
            last_ms: entries.last()?.0,
            entries: count(entries.len()),
            first,
        })
    }

    /// The places (time, id) of events among which the asked ones are, in order.
    fn places_of<'a>(&'a self, query: &EventQuery) -> Box<dyn DoubleEndedIterator<Item = (u64, EventId)> + 'a> {
        match (query.conversation, query.swarm) {
            (Some(conversation), Some(swarm)) => {
                let entries = self.talks.get(&(conversation, Some(swarm)));
                Box::new(entries.into_iter().flatten().filter_map(|(time, entry)| match entry {
                    Entry::Event(id) => Some((*time, *id)),
                    _ => None,
                }))
            }
            _ => Box::new(self.times.iter().copied()),
        }
    }
}

impl Read for Memory {
    fn feed(&self, key: &FeedKey) -> Result<Option<FeedRow>> {
        Ok(self.feeds.get(key).cloned())
    }

    fn feeds(&self, swarm: Option<&SwarmId>) -> Result<Vec<FeedRow>> {
        Ok(rows(self.feeds.values().filter(|row| swarm.is_none_or(|swarm| row.key.swarm == *swarm)), usize::MAX))
    }

    fn event(&self, id: &EventId) -> Result<Option<EventRow>> {
        Ok(self.events.get(id).map(|kept| kept.row.clone()))
    }

    fn event_at(&self, feed: &FeedKey, seq: u64) -> Result<Option<EventRow>> {
        self.places.get(&(*feed, seq)).map_or(Ok(None), |id| self.event(id))
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
        let mut bytes = 0usize;
        if from >= to {
            return Ok(out);
        }
        for id in self.places.range((*feed, from)..(*feed, to)).map(|(_, id)| id) {
            let Some(kept) = self.events.get(id) else { continue };
            bytes = bytes.saturating_add(kept.row.raw.len());
            if !out.is_empty() && (out.len() >= max_rows || bytes > max_bytes) {
                break;
            }
            out.push(kept.row.clone());
        }
        Ok(out)
    }

    fn events(&self, query: &EventQuery) -> Result<Vec<EventRow>> {
        let places = self.places_of(query);
        let ordered: Box<dyn Iterator<Item = (u64, EventId)>> = match query.order {
            Order::Oldest => Box::new(places),
            Order::Newest => Box::new(places.rev()),
        };
        let found = ordered.filter(|place| query.is_after(*place)).filter_map(|(_, id)| self.events.get(&id));
        Ok(rows(found.map(|kept| &kept.row).filter(|row| query.fits(row)), query.limit))
    }

    fn conversations(&self, query: &ConversationQuery) -> Result<Vec<ConversationRow>> {
        let Some(part) = IdPart::read(query.id.as_deref()) else { return Ok(Vec::new()) };
        let fits = |(last, talk): &&(u64, Talk)| {
            query.swarm.is_none_or(|swarm| talk.1 == Some(swarm))
                && query.after.is_none_or(|after| (*last, talk.0) < after)
                && part.fits(&talk.0.0)
        };
        let found = self.recent.iter().rev().filter(fits);
        Ok(found.filter_map(|(_, talk)| self.conversation(talk)).take(query.limit).collect())
    }

    fn search(&self, query: &SearchQuery) -> Result<Vec<Hit>> {
        let fits = |time: u64, swarm: Option<SwarmId>, author: PeerKey, words: &str| {
            query.since_ms.is_none_or(|since| time >= since)
                && query.swarm.is_none_or(|wanted| swarm == Some(wanted))
                && query.author.is_none_or(|wanted| author == wanted)
                && !words.is_empty()
                && query.search.finds(words)
        };
        let mut found: Vec<(i64, Entry)> = Vec::new();
        for (id, kept) in &self.events {
            if fits(kept.time_ms, Some(kept.row.event.swarm), kept.row.event.author, &kept.words) {
                found.push((rank(kept.time_ms, Kind::Event, &id.0), Entry::Event(*id)));
            }
        }
        for (key, kept) in &self.inbox {
            if fits(kept.time_ms, kept.row.mail.swarm, kept.row.mail.from, &kept.words) {
                found.push((inbox_rank(kept.time_ms, &key.0, &key.1), Entry::Inbox(key.0, key.1)));
            }
        }
        for (id, kept) in &self.outbox {
            if fits(kept.time_ms, kept.row.mail.swarm, kept.row.mail.from, &kept.words) {
                found.push((rank(kept.time_ms, Kind::Outbox, id.0.as_bytes()), Entry::Outbox(*id)));
            }
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        let hits = found.into_iter().take(query.limit).filter_map(|(_, entry)| match entry {
            Entry::Event(id) => self.events.get(&id).map(|kept| Hit::Event(Box::new(kept.row.clone()))),
            Entry::Inbox(author, id) => {
                self.inbox.get(&(author, id)).map(|kept| Hit::Inbox(Box::new(kept.row.clone())))
            }
            Entry::Outbox(id) => self.outbox.get(&id).map(|kept| Hit::Outbox(Box::new(kept.row.clone()))),
        });
        Ok(hits.collect())
    }

    fn inbox_item(&self, author: &PeerKey, id: &MailId) -> Result<Option<InboxRow>> {
        Ok(self.inbox.get(&(*author, *id)).map(|kept| kept.row.clone()))
    }

    fn inbox(&self, query: &InboxQuery) -> Result<Vec<InboxRow>> {
        let Some(part) = IdPart::read(query.id.as_deref()) else { return Ok(Vec::new()) };
        let mut found: Vec<_> = self
            .inbox
            .values()
            .map(|kept| &kept.row)
            .filter(|row| query.fits(row) && part.fits(&row.mail.id.0))
            .collect();
        found.sort_by_key(|row| {
            (std::cmp::Reverse(row.mail.priority.unwrap_or(3)), row.received_ms, row.mail.from, row.mail.id)
        });
        Ok(rows(found.into_iter(), query.limit))
    }

    fn inbox_use(&self, author: &PeerKey) -> Result<InboxUse> {
        let mut used = InboxUse::default();
        for kept in self.inbox.values() {
            let bytes = count(kept.row.raw.len());
            if kept.row.mail.from == *author {
                used.messages += 1;
                used.bytes += bytes;
            }
            if kept.row.stranger {
                used.stranger_messages += 1;
                used.stranger_bytes += bytes;
            }
        }
        Ok(used)
    }

    fn talk_use(&self, id: &ConversationId, peer: &PeerKey, since_ms: u64) -> Result<TalkUse> {
        let came = self.inbox.values().filter(|kept| kept.row.mail.from == *peer);
        let came = came.map(|kept| (&kept.row.mail, kept.time_ms, kept.row.raw.len()));
        let went = self.outbox.values().filter(|kept| kept.row.mail.to == *peer);
        let all = came.chain(went.map(|kept| (&kept.row.mail, kept.time_ms, kept.row.raw.len())));
        let of = all.filter(|(mail, time_ms, _)| mail.conversation == *id && *time_ms >= since_ms);
        Ok(of.fold(TalkUse::default(), |used, (.., bytes)| TalkUse {
            messages: used.messages + 1,
            bytes: used.bytes + count(bytes),
        }))
    }

    fn taken(&self, author: &PeerKey, id: &MailId) -> Result<Option<Taken>> {
        Ok(self.taken.get(&(*author, *id)).copied())
    }

    fn outbox_item(&self, id: &MailId) -> Result<Option<OutboxRow>> {
        Ok(self.outbox.get(id).map(|kept| kept.row.clone()))
    }

    fn outbox(&self, query: &OutboxQuery) -> Result<Vec<OutboxRow>> {
        let Some(part) = IdPart::read(query.id.as_deref()) else { return Ok(Vec::new()) };
        let mut found: Vec<_> = self
            .outbox
            .values()
            .map(|kept| &kept.row)
            .filter(|row| query.fits(row) && part.fits(&row.mail.id.0))
            .collect();
        found.sort_by_key(|row| std::cmp::Reverse((row.mail.sent_ms, row.mail.id)));
        Ok(rows(found.into_iter(), query.limit))
    }

    fn outbox_waiting(&self) -> Result<Vec<Waiting>> {
        let mut waiting: Vec<_> =
            self.outbox.values().map(|kept| &kept.row).filter(|row| !row.state.is_settled()).collect();
        waiting.sort_by_key(|row| (row.mail.sent_ms, row.mail.id));
        Ok(waiting.into_iter().map(OutboxRow::waiting).collect())
    }

    fn artifacts(&self) -> Result<Vec<ArtifactRow>> {
        Ok(rows(self.artifacts.values(), usize::MAX))
    }

    fn artifact(&self, name: &str) -> Result<Option<ArtifactRow>> {
        Ok(self.artifacts.get(name).cloned())
    }

    fn artifact_bytes(&self, sha256: &[u8; 32], offset: u64, max: usize) -> Result<Option<Bytes>> {
        let Some(blob) = self.blobs.get(sha256) else { return Ok(None) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(blob.len());
        Ok(Some(blob.slice(from..from.saturating_add(max).min(blob.len()))))
    }

    fn schedules(&self) -> Result<Vec<ScheduleRow>> {
        Ok(rows(self.schedules.values(), usize::MAX))
    }

    fn peers(&self, limit: usize) -> Result<Vec<PeerRow>> {
        Ok(rows(self.peers.iter(), limit))
    }

    fn note(&self, key: &str) -> Result<Option<Bytes>> {
        Ok(self.notes.get(key).cloned())
    }

    fn notes(&self, prefix: &str) -> Result<Vec<(String, Bytes)>> {
        let notes = self.notes.iter().filter(|(key, _)| key.starts_with(prefix));
        let mut notes: Vec<_> = notes.map(|(key, value)| (key.clone(), value.clone())).collect();
        notes.sort();
        Ok(notes)
    }

    fn stats(&self) -> Result<Stats> {
        let unread = self.inbox.values().filter(|kept| kept.row.state == InboxState::Unread).count();
        let unsettled = self.outbox.values().filter(|kept| !kept.row.state.is_settled()).count();
        Ok(Stats {
            events: count(self.events.len()),
            event_bytes: self.event_bytes,
            conversations: count(self.talks.len()),
            feeds: count(self.feeds.len()),
            inbox: count(self.inbox.len()),
            unread: count(unread),
            outbox: count(self.outbox.len()),
            unsettled: count(unsettled),
            artifacts: count(self.artifacts.len()),
            artifact_bytes: self.blobs.values().map(|blob| count(blob.len())).sum(),
            schedules: count(self.schedules.len()),
            oldest_ms: self.times.first().map(|(time, _)| *time),
            newest_ms: self.times.last().map(|(time, _)| *time),
            file_bytes: 0,
            reserve_bytes: 0,
        })
    }

    fn cut_time(&self, swarm: &SwarmId, max_events: u64, max_bytes: u64) -> Result<Option<u64>> {
        let (mut events, mut bytes) = (0u64, 0u64);
        for (time, id) in self.times.iter().rev() {
            let Some(kept) = self.events.get(id).filter(|kept| kept.row.event.swarm == *swarm) else { continue };
            events = events.saturating_add(1);
            bytes = bytes.saturating_add(count(kept.row.raw.len()));
            if events > max_events || bytes > max_bytes {
                return Ok(Some(time.saturating_add(1)));
            }
        }
        Ok(None)
    }
}
