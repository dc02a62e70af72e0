//! Conversations: a row for each, kept with every message that comes and goes, so that a list of them reads nothing else.

use p2pnode_wire::ids::{ConversationId, EventId, SwarmId};
use rusqlite::types::Value;

use super::{
    session::{Result, Session},
    table::{Checked, EVENT, TALK, head, number},
    write::swarm_bytes,
};
use crate::store::rank::BITS;

type Talk = (ConversationId, Option<SwarmId>);

fn time(rank: i64) -> u64 {
    u64::try_from(rank >> BITS).unwrap_or_default()
}

fn values(talk: Talk, last: u64, started: u64, entries: u64, first: Option<(u64, EventId)>) -> Vec<Value> {
    vec![
        talk.0.0.as_bytes().to_vec().into(),
        swarm_bytes(talk.1).into(),
        number(last).into(),
        number(started).into(),
        number(entries).into(),
        first.map(|(_, id)| id.0.to_vec()).into(),
        first.map(|(time, _)| number(time)).into(),
    ]
}

impl Session<'_> {
    fn talk_entry(&self, talk: Talk) -> Result<Option<Checked>> {
        self.one(&TALK, "WHERE id = ? AND swarm = ?", &[talk.0.0.as_bytes(), &swarm_bytes(talk.1)])
    }

    /// One more entry.
    pub(super) fn talk_add(
        &self,
        id: ConversationId,
        swarm: Option<SwarmId>,
        time: u64,
        event: Option<EventId>,
    ) -> Result<()> {
        let talk = (id, swarm);
        let event = event.map(|id| (time, id));
        let Some(old) = self.talk_entry(talk)? else {
            return self.insert(&TALK, values(talk, time, time, 1, event));
        };
        let before = old.array(5).map(|id| (old.unsigned(6), EventId(id)));
        let first = before.into_iter().chain(event).min();
        let (last, started) = (old.unsigned(2).max(time), old.unsigned(3).min(time));
        self.update(&TALK, &old, values(talk, last, started, old.unsigned(4).saturating_add(1), first))
    }

    /// Some entries less, whose rows are gone already.
    pub(super) fn talk_remove(&self, id: ConversationId, swarm: Option<SwarmId>, entries: u64) -> Result<()> {
        let talk = (id, swarm);
        let old = self.talk_entry(talk)?;
        let Some(old) = old else { return Err(self.damaged(format!("talk {id}: missing"))) };
        let left = old.unsigned(4).saturating_sub(entries);
        let ends = (self.end(talk, "ORDER BY rank")?, self.end(talk, "ORDER BY rank DESC")?);
        match ends {
            (Some(first), Some(last)) if left > 0 => {
                let event = self.first_event(talk)?;
                self.update(&TALK, &old, values(talk, time(last), time(first), left, event))
            }
            _ => self.delete(&TALK, "WHERE id = ? AND swarm = ?", &[id.0.as_bytes(), &swarm_bytes(swarm)]).map(drop),
        }
    }

    /// An entry whose content has changed, and with it, perhaps, where it belongs.
    pub(super) fn talk_move(&self, from: Talk, to: Talk, rank: i64) -> Result<()> {
        if from == to {
            return Ok(());
        }
        self.talk_remove(from.0, from.1, 1)?;
        self.talk_add(to.0, to.1, time(rank), None)
    }

    /// The number of the first or last row of a conversation, in whatever table.
    fn end(&self, talk: Talk, order: &str) -> Result<Option<i64>> {
        let (id, swarm) = (talk.0.0.as_bytes(), swarm_bytes(talk.1));
        let mut ends = Vec::new();
        if let Some(swarm) = talk.1 {
            let sql = format!("SELECT rank FROM event WHERE talk = ? AND +swarm = ? {order} LIMIT 1");
            ends.extend(self.count(&sql, &[id, &head(&swarm.0)])?);
        }
        for table in ["inbox", "outbox"] {
            let sql = format!("SELECT rank FROM {table} WHERE talk = ? AND swarm = ? {order} LIMIT 1");
            ends.extend(self.count(&sql, &[id, &swarm])?);
        }
        Ok(if order.ends_with("DESC") { ends.into_iter().max() } else { ends.into_iter().min() })
    }

    fn first_event(&self, talk: Talk) -> Result<Option<(u64, EventId)>> {
        let Some(swarm) = talk.1 else { return Ok(None) };
        let tail = "WHERE talk = ? AND +swarm = ? ORDER BY rank";
        let row = self.one(&EVENT, tail, &[talk.0.0.as_bytes(), &head(&swarm.0)])?;
        let row = row.map(|row| self.event_row(row)).transpose()?;
        Ok(row.map(|row| (row.time_ms(), row.id)))
    }
}
