use bytes::Bytes;
use p2pnode_wire::{
    hello::{HELLO_MAX, HELLO_REPLY_MAX, Hello, HelloReply},
    protocol,
};

use crate::exchange::Exchange;

pub(super) const PROTOCOL: &str = protocol::HELLO;

pub struct Greeting;

impl Exchange for Greeting {
    type Request = Hello;
    type Response = HelloReply;
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
