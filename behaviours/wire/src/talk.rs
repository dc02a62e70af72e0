//! What the events of a conversation carry.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{
    error::{ErrorCode, RpcError},
    limits,
    msgpack::{self, DecodeError},
    subject::Subject,
};

/// Kinds of events. Others are a program's own: they travel and are shown, and mean nothing to a node.
pub mod kind {
    /// A call to everybody who serves an endpoint, or, with [`ASK`](super::ASK), a question. Body: [`Message`](super::Message).
    pub const MESSAGE: &str = "message";
    /// "I wade in." No body. The parent is the message.
    pub const ACK: &str = "ack";
    /// How far it is: a string. The parent is the message.
    pub const PROGRESS: &str = "progress";
    /// An answer: any value. The parent is the message.
    pub const REPLY: &str = "reply";
    /// It failed: [`Failure`](super::Failure). The parent is the message.
    pub const ERROR: &str = "error";
    /// No body. Without parent: its author leaves the swarm. With a message as parent: its author has nothing to say to
    /// it, or, if it is the message's own author, wants no more answers.
    pub const LEAVE: &str = "leave";
    /// What a conversation came to.
    pub const SUMMARY: &str = "summary";
    /// Something that happened: [`Emitted`](super::Emitted).
    pub const EMIT: &str = "emit";
}

/// The endpoint of questions: `args` is the question, `kwargs` its context.
pub const ASK: &str = "_node.ask";

/// Addresses an asker gives.
pub const REPLY_ADDRS: usize = 4;
/// Bytes of one of them, and of the name of an endpoint.
const NAME_MAX: usize = 256;

/// The body of a `message`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Which endpoint, or [`ASK`].
    pub endpoint: String,
    /// MessagePack array: positional arguments.
    #[serde(with = "crate::bin")]
    pub args: Bytes,
    /// MessagePack map: arguments by name.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "crate::bin::option")]
    pub kwargs: Option<Bytes>,
    /// Where answers may be brought: the author may be a node that lives for one command. At most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply_addrs: Vec<String>,
    /// Answers are wanted until then, by the author's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_until_ms: Option<u64>,
    /// How many may connect to bring their answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want: Option<u32>,
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Message(to {}, {} bytes)", self.endpoint, self.args.len())
    }
}

impl Message {
    /// MessagePack.
    pub fn encode(&self) -> Bytes {
        msgpack::encode(self).into()
    }

    /// Reads.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let message: Self = msgpack::decode(body)?;
        let long = |text: &String| text.len() > NAME_MAX;
        if message.reply_addrs.len() > REPLY_ADDRS || message.reply_addrs.iter().any(long) || long(&message.endpoint) {
            return Err(DecodeError::Unexpected("too many addresses to reply to, or too long ones".into()));
        }
        Ok(message)
    }
}

/// The `meta` of an event: what its author is called, for those who do not have its card. A label, not a proof.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Its name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Its author lives for one command: for those who are there, not for a history.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub live: bool,
}

impl Meta {
    /// MessagePack.
    pub fn encode(&self) -> Bytes {
        msgpack::encode(self).into()
    }

    /// Reads; empty if it is something else.
    pub fn decode(meta: &[u8]) -> Self {
        let meta: Self = msgpack::decode(meta).unwrap_or_default();
        if meta.name.len() > NAME_MAX { Self::default() } else { meta }
    }
}

/// The body of an `error`: a row of the error table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Number of the row.
    pub number: u16,
    /// For people; its end, if it is long, since that is where a log tells what happened.
    pub message: String,
    /// Whether trying again may help.
    #[serde(default)]
    pub retryable: bool,
}

impl From<&RpcError> for Failure {
    fn from(error: &RpcError) -> Self {
        let message = &error.message;
        let start = message.len().saturating_sub(limits::FRAME_HEADER);
        let start = (start..message.len()).find(|at| message.is_char_boundary(*at)).unwrap_or(0);
        let message = message.get(start..).unwrap_or_default().to_owned();
        Self { number: error.code.number(), message, retryable: error.retryable }
    }
}

impl From<Failure> for RpcError {
    fn from(failure: Failure) -> Self {
        let code = ErrorCode::from_number(failure.number).unwrap_or(ErrorCode::HandlerFailed);
        let mut error = Self::new(code, failure.message);
        error.retryable = failure.retryable;
        error
    }
}

/// The body of an `emit`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// What happened.
    pub subject: Subject,
    /// MessagePack.
    #[serde(with = "crate::bin")]
    pub data: Bytes,
}

impl std::fmt::Debug for Emitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Emitted({}, {} bytes)", self.subject, self.data.len())
    }
}

impl Emitted {
    /// MessagePack.
    pub fn encode(&self) -> Bytes {
        msgpack::encode(self).into()
    }

    /// Reads.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        msgpack::decode(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        Message {
            endpoint: "sum".into(),
            args: Bytes::from_static(b"\x92\x01\x02"),
            kwargs: None,
            reply_addrs: vec!["/ip4/127.0.0.1/tcp/1".into()],
            reply_until_ms: Some(1),
            want: Some(32),
        }
    }

    #[test]
    fn bodies_come_back() {
        assert_eq!(Message::decode(&message().encode()), Ok(message()));
        let emitted = Emitted { subject: "a.b".parse().expect("a subject"), data: Bytes::from_static(b"\xc0") };
        assert_eq!(Emitted::decode(&emitted.encode()), Ok(emitted));
    }

    #[test]
    fn an_asker_gives_few_and_short_addresses() {
        let many = Message { reply_addrs: vec![String::new(); 5], ..message() };
        assert!(Message::decode(&many.encode()).is_err());
        let long = Message { reply_addrs: vec!["x".repeat(257)], ..message() };
        assert!(Message::decode(&long.encode()).is_err());
        let long = Message { endpoint: "x".repeat(257), ..message() };
        assert!(Message::decode(&long.encode()).is_err());
    }

    #[test]
    fn of_a_long_error_the_end_is_kept() {
        let error = RpcError::new(ErrorCode::HandlerFailed, format!("{}ä end", "ä".repeat(5_000)));
        let failure = Failure::from(&error);
        assert!(failure.message.len() <= limits::FRAME_HEADER && failure.message.ends_with("ä end"));
        assert_eq!(RpcError::from(failure).code, ErrorCode::HandlerFailed);
    }
}
