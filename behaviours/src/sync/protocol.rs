use std::time::Duration;

use bytes::Bytes;
use p2pnode_wire::{
    limits, protocol,
    sync::{SyncReply, SyncRequest},
};

use crate::exchange::Exchange;

/// As many ranges as may be wanted, with their keys.
const REQUEST_MAX: usize = 64 * 1024;

/// Events, the largest one on top, and what is around them; a list of feeds is smaller.
const REPLY_MAX: usize = limits::SYNC_BYTES + 2 * limits::EVENT_MAX;

/// The protocol.
#[derive(Debug)]
pub struct CatchUp;

impl Exchange for CatchUp {
    type Request = SyncRequest;
    type Response = SyncReply;
    const PROTOCOL: &'static str = protocol::SYNC;
    /// Half a megabyte over a slow line.
    const TIMEOUT: Duration = Duration::from_secs(20);
    /// One is the rule.
    const STREAMS: usize = 4;
    const MAX_REQUEST: usize = REQUEST_MAX;
    const MAX_RESPONSE: usize = REPLY_MAX;

    fn encode_request(request: &SyncRequest) -> Vec<u8> {
        request.encode()
    }

    fn decode_request(bytes: Bytes) -> Result<SyncRequest, String> {
        SyncRequest::decode(&bytes).map_err(|error| error.to_string())
    }

    fn encode_response(reply: &SyncReply) -> Vec<u8> {
        reply.encode()
    }

    fn decode_response(bytes: Bytes) -> Result<SyncReply, String> {
        SyncReply::decode(&bytes).map_err(|error| error.to_string())
    }
}
