use std::time::Duration;

use bytes::Bytes;
use p2pnode_wire::{
    hello::{HELLO_MAX, HELLO_REPLY_MAX, Hello, HelloReply},
    protocol,
};

use crate::exchange::Exchange;

pub struct Greeting;

impl Exchange for Greeting {
    type Request = Hello;
    type Response = HelloReply;
    const PROTOCOL: &'static str = protocol::HELLO;
    /// A peer that has not answered by then is treated as one that does not speak hello.
    const TIMEOUT: Duration = Duration::from_secs(10);
    /// One of ours, one of theirs, and one that overtakes.
    const STREAMS: usize = 4;
    const MAX_REQUEST: usize = HELLO_MAX;
    const MAX_RESPONSE: usize = HELLO_REPLY_MAX;

    fn encode_request(request: &Hello) -> Vec<u8> {
        request.encode()
    }

    fn decode_request(bytes: Bytes) -> Result<Hello, String> {
        Hello::decode(&bytes).map_err(|e| e.to_string())
    }

    fn encode_response(response: &HelloReply) -> Vec<u8> {
        response.encode()
    }

    fn decode_response(bytes: Bytes) -> Result<HelloReply, String> {
        HelloReply::decode(&bytes).map_err(|e| e.to_string())
    }
}
