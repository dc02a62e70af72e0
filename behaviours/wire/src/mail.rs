//! Direct messages, signed by their author.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorCode, RpcError},
    ids::{ConversationId, EventId, MailId, PeerKey, SwarmId},
    limits,
    msgpack::{self, DecodeError},
    sign::{Domain, SignError, Signed},
};

/// What a message is.
pub mod kind {
    /// A question to an ask handler.
    pub const ASK: &str = "ask";
    /// "I wade in."
    pub const ACK: &str = "ack";
    /// How far it is.
    pub const PROGRESS: &str = "progress";
    /// An answer.
    pub const REPLY: &str = "reply";
    /// It failed.
    pub const ERROR: &str = "error";
    /// Not for me; no longer wanted.
    pub const LEAVE: &str = "leave";
    /// A text from one to another.
    pub const MESSAGE: &str = "message";
    /// What became of a message: [`Receipt`](super::Receipt).
    pub const RECEIPT: &str = "receipt";
}

/// The `meta` of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailMeta {
    /// What its author is called, for those who do not have its card. A label, not a proof.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its author waits for the answer as long as it runs, and no longer: nobody keeps this message for later.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}

impl MailMeta {
    /// MessagePack.
    pub fn encode(&self) -> Bytes {
        msgpack::encode(self).into()
    }

    /// Reads; empty if it is something else.
    pub fn decode(meta: &[u8]) -> Self {
        msgpack::decode(meta).unwrap_or_default()
    }
}

/// The only part of a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// A program has it, or it was shown.
    Delivered,
    /// It was read.
    Read,
}

/// Nodes a message may have passed.
const VIA_MAX: usize = 8;
/// Parts of a message.
const PARTS_MAX: usize = 64;
/// Bytes of a kind.
const KIND_MAX: usize = 64;

/// Why bytes are no mail.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MailError {
    /// Larger than the limit.
    #[error("{0} bytes; the limit is {max}", max = limits::MAIL_MAX)]
    TooLarge(usize),
    /// The signature.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The payload.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A field is not acceptable.
    #[error("{0}")]
    Invalid(&'static str),
}

/// A piece of a message.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// For people.
    Text(String),
    /// MessagePack.
    Data(Bytes),
    /// A document.
    File {
        /// A label; never a path.
        name: String,
        /// MIME type.
        mime: String,
        /// Its bytes.
        bytes: Bytes,
    },
}

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(text) => write!(f, "Text({} bytes)", text.len()),
            Self::Data(bytes) => write!(f, "Data({} bytes)", bytes.len()),
            Self::File { name, bytes, .. } => write!(f, "File({name:?}, {} bytes)", bytes.len()),
        }
    }
}

/// A part as it travels: a tag and the fields of all kinds.
#[derive(Serialize, Deserialize)]
struct PartWire {
    t: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::bin::option")]
    data: Option<Bytes>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mime: Option<String>,
}

impl From<&Part> for PartWire {
    fn from(part: &Part) -> Self {
        let empty = |t: &str| Self { t: t.to_owned(), text: None, data: None, name: None, mime: None };
        match part {
            Part::Text(text) => Self { text: Some(text.clone()), ..empty("text") },
            Part::Data(data) => Self { data: Some(data.clone()), ..empty("data") },
            Part::File { name, mime, bytes } => {
                Self { name: Some(name.clone()), mime: Some(mime.clone()), data: Some(bytes.clone()), ..empty("file") }
            }
        }
    }
}

impl TryFrom<PartWire> for Part {
    type Error = MailError;

    fn try_from(wire: PartWire) -> Result<Self, MailError> {
        match (wire.t.as_str(), wire.text, wire.data) {
            ("text", Some(text), _) => Ok(Self::Text(text)),
            ("data", _, Some(data)) => Ok(Self::Data(data)),
            ("file", _, Some(bytes)) => {
                Ok(Self::File { name: wire.name.unwrap_or_default(), mime: wire.mime.unwrap_or_default(), bytes })
            }
            _ => Err(MailError::Invalid("a part of an unknown kind, or without content")),
        }
    }
}

/// A message.
#[derive(Debug, Clone, PartialEq)]
pub struct Mail {
    /// 1.
    pub v: u8,
    /// Unique per author.
    pub id: MailId,
    /// In the name of which swarm.
    pub swarm: Option<SwarmId>,
    /// Who signs it.
    pub from: PeerKey,
    /// For whom.
    pub to: PeerKey,
    /// One of [`kind`], or an own one.
    pub kind: String,
    /// Its conversation.
    pub conversation: ConversationId,
    /// The message it answers.
    pub in_reply_to: Option<MailId>,
    /// 1 to 5.
    pub priority: Option<u8>,
    /// Nodes it has passed.
    pub via: Vec<PeerKey>,
    /// The author's clock.
    pub sent_ms: u64,
    /// Void from then on.
    pub not_after_ms: u64,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// MessagePack map.
    pub meta: Option<Bytes>,
    /// Its content.
    pub parts: Vec<Part>,
}

#[derive(Serialize, Deserialize)]
struct MailWire {
    v: u8,
    id: MailId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    swarm: Option<SwarmId>,
    from: PeerKey,
    to: PeerKey,
    kind: String,
    conversation: ConversationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_reply_to: Option<MailId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<u8>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    via: Vec<PeerKey>,
    sent_ms: u64,
    not_after_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::bin::option")]
    meta: Option<Bytes>,
    #[serde(with = "crate::bin")]
    parts: Bytes,
}

impl Mail {
    /// Signs it.
    pub fn seal(&self, key: &SigningKey) -> Signed {
        let parts: Vec<PartWire> = self.parts.iter().map(PartWire::from).collect();
        let wire = MailWire {
            v: self.v,
            id: self.id,
            swarm: self.swarm,
            from: self.from,
            to: self.to,
            kind: self.kind.clone(),
            conversation: self.conversation,
            in_reply_to: self.in_reply_to,
            priority: self.priority,
            via: self.via.clone(),
            sent_ms: self.sent_ms,
            not_after_ms: self.not_after_ms,
            trace: self.trace.clone(),
            meta: self.meta.clone(),
            parts: Bytes::from(msgpack::encode(&parts)),
        };
        Signed::seal(Domain::Mail, key, &msgpack::encode(&wire))
    }

    /// Reads without verifying: what was verified before.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn peek(raw: Bytes) -> Result<(Self, Signed), MailError> {
        let (wire, signed) = Self::envelope(raw)?;
        wire.into_mail().map(|mail| (mail, signed))
    }

    /// Reads and verifies.
    ///
    /// # Errors
    /// [`MailError`].
    pub fn open(raw: Bytes) -> Result<(Self, Signed), MailError> {
        let (wire, signed) = Self::envelope(raw)?;
        signed.verify(Domain::Mail, &wire.from)?;
        wire.into_mail().map(|mail| (mail, signed))
    }

    fn envelope(raw: Bytes) -> Result<(MailWire, Signed), MailError> {
        if raw.len() > limits::MAIL_MAX {
            return Err(MailError::TooLarge(raw.len()));
        }
        let signed = Signed::parse(raw)?;
        let wire: MailWire = msgpack::decode(&signed.payload())?;
        if wire.v != 1 || wire.kind.is_empty() || wire.kind.len() > KIND_MAX || wire.via.len() > VIA_MAX {
            return Err(MailError::Invalid("another version, or a kind or route that is too long"));
        }
        Ok((wire, signed))
    }
}

impl MailWire {
    fn into_mail(self) -> Result<Mail, MailError> {
        let wire = self;
        let parts: Vec<PartWire> = msgpack::decode(&wire.parts)?;
        if parts.len() > PARTS_MAX {
            return Err(MailError::Invalid("too many parts"));
        }
        let parts = parts.into_iter().map(Part::try_from).collect::<Result<_, _>>()?;
        Ok(Mail {
            v: wire.v,
            id: wire.id,
            swarm: wire.swarm,
            from: wire.from,
            to: wire.to,
            kind: wire.kind,
            conversation: wire.conversation,
            in_reply_to: wire.in_reply_to,
            priority: wire.priority,
            via: wire.via,
            sent_ms: wire.sent_ms,
            not_after_ms: wire.not_after_ms,
            trace: wire.trace,
            meta: wire.meta,
            parts,
        })
    }
}

/// A message has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailAck {
    /// Which.
    pub id: MailId,
    /// Whether it will survive a crash of the receiver.
    pub stored: bool,
    /// SHA-256 of the message as it came: who has it right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<EventId>,
}

/// The answer to a delivery.
#[derive(Debug, Clone, PartialEq)]
pub enum MailReply {
    /// It has arrived.
    Ack(MailAck),
    /// It was refused.
    Err(RpcError),
}

#[derive(Serialize, Deserialize)]
struct ReplyWire {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ack: Option<MailAck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    number: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl MailReply {
    /// MessagePack.
    pub fn encode(&self) -> Vec<u8> {
        let mut wire = ReplyWire { ack: None, number: None, message: None, retryable: None, retry_after_ms: None };
        match self {
            Self::Ack(ack) => wire.ack = Some(*ack),
            Self::Err(error) => {
                wire.number = Some(error.code.number());
                wire.message = Some(error.message.chars().take(1_024).collect());
                wire.retryable = Some(error.retryable);
                wire.retry_after_ms = error.retry_after.and_then(|d| u64::try_from(d.as_millis()).ok());
            }
        }
        msgpack::encode(&wire)
    }

    /// Reads.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let wire: ReplyWire = msgpack::decode(bytes)?;
        if let Some(ack) = wire.ack {
            return Ok(Self::Ack(ack));
        }
        let number = wire.number.ok_or_else(|| DecodeError::Unexpected("neither an ack nor an error".into()))?;
        let code = ErrorCode::from_number(number).unwrap_or(ErrorCode::InternalError);
        let mut error = RpcError::new(code, wire.message.unwrap_or_default());
        error.retryable = wire.retryable.unwrap_or_default();
        error.retry_after = wire.retry_after_ms.map(std::time::Duration::from_millis);
        Ok(Self::Err(error))
    }
}
