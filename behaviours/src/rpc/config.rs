use std::time::Duration;

use p2pnode_wire::limits;
use serde::{Deserialize, Serialize};

/// Settings of the RPC behaviour. All sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Try the fast road first. Off: every call takes a substream of its own, as a stock libp2p peer would. Default on.
    pub fast: bool,
    /// Answer on the fast road. Off makes this node look like a stock peer. Default on.
    pub serve_fast: bool,
    /// Calls in flight per peer and direction; more are refused with `OVERLOADED`. Default 512.
    pub in_flight_per_peer: usize,
    /// Largest request or result body. Default 4 MiB.
    pub max_body: usize,
    /// Of a result that comes item by item, so much may be on its way or wait for its reader; an item counts 64 besides
    /// its bytes. Default 256 KiB.
    pub window: u32,
    /// Bodies being received from everybody together, so that many half-sent requests cannot fill the memory.
    /// Default 64 MiB.
    pub inbound_budget: usize,
    /// Answers of up to 64 KiB that a peer has not read, before no more of its calls are read either. Default 1 MiB.
    pub unread_per_peer: usize,
    /// Larger results on their way to one peer; what would exceed it is answered with `OVERLOADED`. Default 32 MiB.
    pub results_per_peer: usize,
    /// Calls of strangers and members alike may not ask for more time than this. Default 10 minutes.
    pub max_timeout: Duration,
    /// A request on the classic road must have arrived whole within this time of its substream. Default 10 s.
    pub read_timeout: Duration,
    /// Concurrent substreams of the classic road per peer and direction; further calls wait for their turn. Default 16.
    pub classic_streams: usize,
    /// How long a call waits for a connection and a substream before it counts as undeliverable, when its own time
    /// is longer. Default 15 s.
    pub open_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            fast: true,
            serve_fast: true,
            in_flight_per_peer: limits::MAX_IN_FLIGHT_PER_PEER,
            max_body: limits::MAX_BODY,
            window: limits::WINDOW,
            inbound_budget: 64 * 1024 * 1024,
            unread_per_peer: 1024 * 1024,
            results_per_peer: 32 * 1024 * 1024,
            max_timeout: Duration::from_secs(600),
            read_timeout: Duration::from_secs(10),
            classic_streams: 16,
            open_timeout: Duration::from_secs(15),
        }
    }
}
