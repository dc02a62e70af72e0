use std::time::Duration;

use bytes::Bytes;
use p2pnode_wire::{
    limits,
    mail::{Mail, MailReply},
    protocol,
};

use crate::exchange::Exchange;

/// An acknowledgement or an error with its message.
const REPLY_MAX: usize = 8 * 1024;

/// A message as it travels: the signed bytes on the way out, opened and verified on the way in.
pub enum Letter {
    Sealed(Bytes),
    Opened(Box<Mail>, Bytes),
    /// Bytes that are no valid mail: answered with an error, so that an honest sender learns why.
    Unreadable(String),
}

pub struct Delivery;

impl Exchange for Delivery {
    type Request = Letter;
    type Response = MailReply;
    const PROTOCOL: &'static str = protocol::MAIL;
    const TIMEOUT: Duration = Duration::from_secs(10);
    const STREAMS: usize = 16;
    const MAX_REQUEST: usize = limits::MAIL_MAX;
    const MAX_RESPONSE: usize = REPLY_MAX;

    fn encode_request(request: &Letter) -> Vec<u8> {
        match request {
            Letter::Sealed(bytes) | Letter::Opened(_, bytes) => bytes.to_vec(),
            Letter::Unreadable(_) => Vec::new(),
        }
    }

    fn decode_request(bytes: Bytes) -> Result<Letter, String> {
        Ok(match Mail::open(bytes.clone()) {
            Ok((mail, _)) => Letter::Opened(Box::new(mail), bytes),
            Err(error) => Letter::Unreadable(error.to_string()),
        })
    }

    fn encode_response(response: &MailReply) -> Vec<u8> {
        response.encode()
    }

    fn decode_response(bytes: Bytes) -> Result<MailReply, String> {
        MailReply::decode(&bytes).map_err(|e| e.to_string())
    }
}
