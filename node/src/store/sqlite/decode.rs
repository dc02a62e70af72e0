//! From rows to what they say.

use bytes::Bytes;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, EventId, PeerKey, SwarmId},
    mail::Mail,
    msgpack,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{
    session::{Result, Session},
    table::{ARTIFACT, Checked, EVENT, FEED, INBOX, OUTBOX, PEER, TALK, Table, head},
};
use crate::store::rows::{
    ArtifactRow, ConversationRow, EventRow, FeedKey, FeedRow, Fork, InboxRow, InboxState, OutboxRow, OutboxState,
    PeerRow, ScheduleRow, WorkState,
};

/// What is known of a feed, in one value.
#[derive(Serialize, Deserialize)]
pub(super) struct FeedState {
    pub(super) held: Vec<(u64, u64)>,
    pub(super) cut: u64,
    pub(super) cut_head: Option<EventId>,
    pub(super) fork: Option<Fork>,
}

const INBOX_STATES: [InboxState; 4] = [InboxState::Unread, InboxState::Read, InboxState::Archived, InboxState::Deleted];
const WORK_STATES: [WorkState; 4] = [WorkState::None, WorkState::Waiting, WorkState::Begun, WorkState::Done];
const OUTBOX_STATES: [OutboxState; 6] = [
    OutboxState::Sent,
    OutboxState::Stored,
    OutboxState::Delivered,
    OutboxState::Read,
    OutboxState::Expired,
    OutboxState::Refused,
];

/// The number of a state, as the file has it.
fn code<T: PartialEq>(all: &[T], state: &T) -> i64 {
    all.iter().position(|one| one == state).and_then(|at| i64::try_from(at).ok()).unwrap_or_default()
}

pub(super) fn inbox_code(state: InboxState) -> i64 {
    code(&INBOX_STATES, &state)
}

pub(super) fn work_code(state: WorkState) -> i64 {
    code(&WORK_STATES, &state)
}

pub(super) fn outbox_code(state: OutboxState) -> i64 {
    code(&OUTBOX_STATES, &state)
}

fn state<T: Copy>(all: &[T], code: i64) -> Option<T> {
    usize::try_from(code).ok().and_then(|at| all.get(at)).copied()
}

impl Session<'_> {
    /// What a value says, or damage.
    fn say<T>(&self, said: Option<T>, table: &Table, name: &str) -> Result<T> {
        said.ok_or_else(|| self.damaged(format!("{name}: not what {} keeps", table.name)))
    }

    pub(super) fn feed_key(&self, row: &Checked) -> Result<FeedKey> {
        let name = row.name(&FEED);
        Ok(FeedKey {
            swarm: SwarmId(self.say(row.array(1), &FEED, &name)?),
            author: PeerKey(self.say(row.array(2), &FEED, &name)?),
            epoch: row.unsigned(3),
        })
    }

    pub(super) fn feed_row(&self, row: &Checked) -> Result<FeedRow> {
        let key = self.feed_key(row)?;
        let state: Option<FeedState> = msgpack::decode(row.bytes(4)).ok();
        let FeedState { held, cut, cut_head, fork } = self.say(state, &FEED, &row.name(&FEED))?;
        Ok(FeedRow { key, held, cut, cut_head, fork })
    }

    pub(super) fn event_row(&self, mut row: Checked) -> Result<EventRow> {
        let name = row.name(&EVENT);
        let raw = Bytes::from(row.take_bytes(11));
        let id = EventId(Sha256::digest(&raw).into());
        let event = Event::peek(raw.clone()).ok().map(|(event, _)| event);
        let event = self.say(event.filter(|_| head(&id.0) == row.int(1)), &EVENT, &name)?;
        Ok(EventRow { id, raw, event, received_ms: row.unsigned(8), live: row.int(9) == 1 })
    }

    pub(super) fn inbox_row(&self, mut row: Checked) -> Result<InboxRow> {
        let name = row.name(&INBOX);
        let raw = Bytes::from(row.take_bytes(12));
        let mail = Mail::peek(raw.clone()).ok().map(|(mail, _)| mail);
        Ok(InboxRow {
            raw,
            mail: self.say(mail, &INBOX, &name)?,
            received_ms: row.unsigned(6),
            state: self.say(state(&INBOX_STATES, row.int(7)), &INBOX, &name)?,
            work: self.say(state(&WORK_STATES, row.int(8)), &INBOX, &name)?,
            stranger: row.int(9) == 1,
        })
    }

    pub(super) fn outbox_row(&self, mut row: Checked) -> Result<OutboxRow> {
        let name = row.name(&OUTBOX);
        let raw = Bytes::from(row.take_bytes(12));
        let mail = Mail::peek(raw.clone()).ok().map(|(mail, _)| mail);
        Ok(OutboxRow {
            raw,
            mail: self.say(mail, &OUTBOX, &name)?,
            state: self.say(state(&OUTBOX_STATES, row.int(6)), &OUTBOX, &name)?,
            attempts: u32::try_from(row.int(7)).unwrap_or(u32::MAX),
            next_ms: row.unsigned(8),
            changed_ms: row.unsigned(9),
            error: row.take_text(10),
        })
    }

    pub(super) fn talk_row(&self, row: &Checked) -> Result<ConversationRow> {
        let name = row.name(&TALK);
        let swarm = match row.bytes(1).is_empty() {
            true => None,
            false => Some(SwarmId(self.say(row.array(1), &TALK, &name)?)),
        };
        Ok(ConversationRow {
            id: ConversationId(Uuid::from_bytes(self.say(row.array(0), &TALK, &name)?)),
            swarm,
            last_ms: row.unsigned(2),
            started_ms: row.unsigned(3),
            entries: row.unsigned(4),
            first: row.array(5).map(EventId),
        })
    }

    pub(super) fn artifact_row(&self, row: &Checked) -> Result<ArtifactRow> {
        self.say(msgpack::decode(row.bytes(2)).ok(), &ARTIFACT, &row.name(&ARTIFACT))
    }

    pub(super) fn peer_row(&self, mut row: Checked) -> Result<PeerRow> {
        let name = row.name(&PEER);
        Ok(PeerRow {
            peer: PeerKey(self.say(row.array(0), &PEER, &name)?),
            seen_ms: row.unsigned(1),
            in_table: row.int(2) == 1,
            addresses: self.say(msgpack::decode(row.bytes(3)).ok(), &PEER, &name)?,
            card: Bytes::from(row.take_bytes(4)),
        })
    }
}

pub(super) fn schedule_row(mut row: Checked) -> ScheduleRow {
    ScheduleRow { name: row.take_text(0), spec: row.take_text(1), state: row.take_text(2), created_ms: row.unsigned(3) }
}
