//! Taking a message in: once, within the quotas, and only where it belongs. The same for every store.

use std::time::Duration;

use bytes::Bytes;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    mail::{Mail, Part, Receipt, kind},
    msgpack,
};
use sha2::{Digest, Sha256};

use super::{MailLimits, outbox};
use crate::{
    history::text,
    store::{InboxQuery, InboxRow, InboxState, OutboxRow, OutboxState, StoreError, Taken, WorkState, Write},
};

/// A full inbox is emptied by people: no use in asking every second.
const FULL: Duration = Duration::from_secs(60);

/// Clocks may differ by so much.
const LEEWAY_MS: u64 = 120_000;

/// A message whose signature, sender and addressee hold.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    pub(crate) mail: Mail,
    pub(crate) raw: Bytes,
    /// From somebody outside our swarms.
    pub(crate) stranger: bool,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Took {
    /// It is in the inbox.
    New(Box<InboxRow>),
    /// It told what became of a message of ours.
    Told(Option<Box<OutboxRow>>),
    /// It was taken before.
    Known,
    /// Its sender is told why.
    Refused(RpcError),
}

/// SHA-256 of a message.
pub(crate) fn hash(raw: &[u8]) -> [u8; 32] {
    Sha256::digest(raw).into()
}

/// Takes a message.
pub(crate) fn take(
    tables: &mut dyn Write,
    arrival: &Arrival,
    now_ms: u64,
    limits: &MailLimits,
) -> Result<Took, StoreError> {
    let Arrival { mail, raw, stranger } = arrival;
    let sha256 = hash(raw);
    if let Some(before) = tables.taken(&mail.from, &mail.id)? {
        let refused = || RpcError::new(ErrorCode::Conflict, "another message with this id was taken before");
        return Ok(if before.sha256 == sha256 { Took::Known } else { Took::Refused(refused()) });
    }
    if mail.not_after_ms.saturating_add(LEEWAY_MS) < now_ms {
        return Ok(Took::Refused(RpcError::new(ErrorCode::Stale, "the message has expired")));
    }
    let taken = Taken { author: mail.from, id: mail.id, sha256, at_ms: now_ms };
    let word = match mail.kind.as_str() {
        kind::ACK | kind::PROGRESS | kind::RECEIPT => return told(tables, mail, &taken, now_ms),
        kind::REPLY | kind::ERROR | kind::LEAVE => true,
        _ => false,
    };
    if word {
        match answered(tables, mail)? {
            Ok(question) => settle(tables, question, now_ms)?,
            Err(why) => return Ok(Took::Refused(why)),
        }
    } else if limits.is_spent(tables, &mail.conversation, &mail.from, now_ms)? {
        let (messages, bytes) = (limits.conversation_messages, limits.conversation_bytes);
        let why = format!("the conversation has had {messages} messages or {bytes} bytes within an hour");
        return Ok(Took::Refused(RpcError::new(ErrorCode::BudgetExceeded, why)));
    } else if let Some(why) = over(tables, arrival, limits)? {
        return Ok(Took::Refused(why));
    }
    let work = if mail.kind == kind::ASK { WorkState::Waiting } else { WorkState::None };
    let row = InboxRow {
        raw: raw.clone(),
        mail: mail.clone(),
        received_ms: now_ms,
        state: InboxState::Unread,
        work,
        stranger: *stranger,
    };
    tables.put_inbox(&row, Some(&text::of_mail(mail)))?;
    tables.put_taken(&taken)?;
    Ok(Took::New(Box::new(row)))
}

fn unasked() -> RpcError {
    RpcError::new(ErrorCode::NotFound, "it answers no message of this node to its author")
}

/// The message of ours that this one is about, if its author is whom we wrote to.
fn about(tables: &dyn Write, mail: &Mail) -> Result<Option<OutboxRow>, StoreError> {
    let Some(question) = mail.in_reply_to else { return Ok(None) };
    Ok(tables.outbox_item(&question)?.filter(|row| row.mail.to == mail.from))
}

fn told(tables: &mut dyn Write, mail: &Mail, taken: &Taken, now_ms: u64) -> Result<Took, StoreError> {
    let Some(mut row) = about(tables, mail)? else { return Ok(Took::Refused(unasked())) };
    let receipt = match mail.parts.first() {
        Some(Part::Data(bytes)) if mail.kind == kind::RECEIPT => msgpack::decode(bytes).unwrap_or(Receipt::Delivered),
        _ => Receipt::Delivered,
    };
    let changed = outbox::receipt(&mut row, receipt, now_ms);
    if changed {
        tables.put_outbox(&row, None)?;
    }
    if mail.kind == kind::RECEIPT {
        tables.put_taken(taken)?;
    }
    Ok(Took::Told(changed.then(|| Box::new(row))))
}

/// The question of ours that this answers, for the first time; or why it is not taken.
fn answered(tables: &dyn Write, mail: &Mail) -> Result<Result<OutboxRow, RpcError>, StoreError> {
    let Some(row) = about(tables, mail)?.filter(|row| row.mail.kind == kind::ASK) else { return Ok(Err(unasked())) };
    let query = InboxQuery {
        author: Some(mail.from),
        conversation: Some(mail.conversation),
        limit: usize::MAX,
        ..InboxQuery::default()
    };
    let before = tables.inbox(&query)?.iter().any(|other| other.mail.in_reply_to == mail.in_reply_to);
    Ok(if before { Err(RpcError::new(ErrorCode::Conflict, "it was answered before")) } else { Ok(row) })
}

fn settle(tables: &mut dyn Write, mut question: OutboxRow, now_ms: u64) -> Result<(), StoreError> {
    if question.state != OutboxState::Read {
        (question.state, question.changed_ms) = (OutboxState::Read, now_ms);
        question.error.clear();
        tables.put_outbox(&question, None)?;
    }
    Ok(())
}

/// Why there is no room for it.
fn over(tables: &dyn Write, arrival: &Arrival, limits: &MailLimits) -> Result<Option<RpcError>, StoreError> {
    let used = tables.inbox_use(&arrival.mail.from)?;
    let bytes = arrival.raw.len() as u64;
    let full = if arrival.stranger {
        used.messages >= limits.per_stranger
            || used.stranger_messages >= limits.stranger_messages
            || used.stranger_bytes.saturating_add(bytes) > limits.stranger_bytes
    } else {
        used.messages >= limits.member_messages || used.bytes.saturating_add(bytes) > limits.member_bytes
    };
    Ok(full.then(|| {
        let mut error = RpcError::new(ErrorCode::InboxFull, "the inbox is full");
        error.retry_after = Some(FULL);
        error
    }))
}
