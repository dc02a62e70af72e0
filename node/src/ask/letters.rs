//! How a question and what follows it look as mail.

use std::collections::BTreeMap;

use bytes::Bytes;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{ConversationId, MailId, PeerKey, SwarmId},
    mail::{Mail, MailMeta, Part, kind},
    msgpack,
    talk::Failure,
};
use rmpv::Value;
use serde::Serialize;

use crate::talk::Said;

/// Hours after which a question that found nobody is void.
const ASK_EXPIRES_MS: u64 = 24 * 3_600_000;

/// Words of an answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word {
    Ack,
    Progress(String),
    Reply(Value),
    Failed(RpcError),
    /// Not for me; or, from the asker, no longer wanted.
    Leave,
}

impl Word {
    /// As an event: its kind and its body.
    pub(crate) fn as_event(&self) -> (&'static str, Bytes) {
        use p2pnode_wire::talk::kind;
        match self {
            Self::Ack => (kind::ACK, Bytes::new()),
            Self::Progress(text) => (kind::PROGRESS, encode(text)),
            Self::Reply(value) => (kind::REPLY, encode(value)),
            Self::Failed(error) => (kind::ERROR, encode(&Failure::from(error))),
            Self::Leave => (kind::LEAVE, Bytes::new()),
        }
    }

    /// What an event says; none if it is something else.
    pub(crate) fn heard(said: Said) -> Option<Self> {
        match said {
            Said::Ack => Some(Self::Ack),
            Said::Progress(text) => Some(Self::Progress(text)),
            Said::Reply(value) => Some(Self::Reply(value)),
            Said::Failed(error) => Some(Self::Failed(error)),
            Said::Leave => Some(Self::Leave),
            _ => None,
        }
    }
}

/// A question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) context: BTreeMap<String, Value>,
}

pub(crate) struct Address {
    pub(crate) swarm: SwarmId,
    pub(crate) from: PeerKey,
    pub(crate) to: PeerKey,
    pub(crate) conversation: ConversationId,
}

fn mail(address: &Address, kind: &str, in_reply_to: Option<MailId>, parts: Vec<Part>, now_ms: u64) -> Mail {
    Mail {
        v: 1,
        id: MailId::new(),
        swarm: Some(address.swarm),
        from: address.from,
        to: address.to,
        kind: kind.to_owned(),
        conversation: address.conversation,
        in_reply_to,
        priority: None,
        via: Vec::new(),
        sent_ms: now_ms,
        not_after_ms: now_ms.saturating_add(ASK_EXPIRES_MS),
        trace: None,
        // Who asks or answers so waits as long as it runs; what waits longer is in the outbox.
        meta: Some(MailMeta { name: String::new(), live: true }.encode()),
        parts,
    }
}

/// A question as mail.
pub(crate) fn ask(address: &Address, question: &Question, now_ms: u64) -> Mail {
    let mut parts = vec![Part::Text(question.text.clone())];
    if !question.context.is_empty() {
        let pairs = question.context.iter().map(|(k, v)| (Value::from(k.as_str()), v.clone())).collect();
        parts.push(Part::Data(encode(&Value::Map(pairs))));
    }
    mail(address, kind::ASK, None, parts, now_ms)
}

/// Reads a question.
pub(crate) fn read_ask(mail: &Mail) -> Result<Question, String> {
    let mut question = Question { text: String::new(), context: BTreeMap::new() };
    for part in &mail.parts {
        match part {
            Part::Text(text) if question.text.is_empty() => question.text.clone_from(text),
            Part::Data(bytes) => question.context = msgpack::decode(bytes).map_err(|e| format!("its context: {e}"))?,
            _ => {}
        }
    }
    Ok(question)
}

/// A word as mail.
pub(crate) fn word(address: &Address, word: &Word, in_reply_to: MailId, now_ms: u64) -> Mail {
    let (kind, parts) = match word {
        Word::Ack => (kind::ACK, Vec::new()),
        Word::Progress(text) => (kind::PROGRESS, vec![Part::Text(text.clone())]),
        Word::Reply(Value::String(text)) if text.is_str() => {
            (kind::REPLY, vec![Part::Text(text.as_str().unwrap_or_default().to_owned())])
        }
        Word::Reply(value) => (kind::REPLY, vec![Part::Data(encode(value))]),
        Word::Failed(error) => (kind::ERROR, vec![Part::Data(encode(&Failure::from(error)))]),
        Word::Leave => (kind::LEAVE, Vec::new()),
    };
    mail(address, kind, Some(in_reply_to), parts, now_ms)
}

/// Reads a word; none if the mail is something else.
pub(crate) fn read_word(mail: &Mail) -> Option<Word> {
    let first = mail.parts.first();
    match mail.kind.as_str() {
        kind::ACK => Some(Word::Ack),
        kind::LEAVE => Some(Word::Leave),
        kind::PROGRESS => match first {
            Some(Part::Text(text)) => Some(Word::Progress(text.clone())),
            _ => None,
        },
        kind::REPLY => Some(match first {
            Some(Part::Text(text)) => Word::Reply(Value::from(text.as_str())),
            Some(Part::Data(bytes)) => reply_value(bytes),
            _ => Word::Reply(Value::Nil),
        }),
        kind::ERROR => match first {
            Some(Part::Data(bytes)) => msgpack::decode::<Failure>(bytes).ok().map(|f| Word::Failed(f.into())),
            _ => None,
        },
        _ => None,
    }
}

fn reply_value(bytes: &Bytes) -> Word {
    match msgpack::decode::<Value>(bytes) {
        Ok(value) => Word::Reply(value),
        Err(error) => {
            let message = format!("the reply cannot be read: {error}");
            Word::Failed(RpcError::new(ErrorCode::InvalidEnvelope, message))
        }
    }
}

fn encode<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(msgpack::encode(value))
}
