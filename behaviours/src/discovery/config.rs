use std::time::Duration;

use libp2p_core::Multiaddr;
use serde::{Deserialize, Serialize};

/// Settings of discovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Look for peers on the local network by multicast DNS. Default on.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub mdns: bool,
    /// Ask the local network this often. Default 30 s.
    pub mdns_interval: Duration,
    /// Take part in the DHT. Off: nothing is announced, answered or found there. Default on.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub dht: bool,
    /// Ask the DHT but do not answer in it: for nodes that live for one command or cannot be reached. Default off.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub client: bool,
    /// Requests of one lookup at a time. Default 3, as in the paper: at 8 the first record comes in 100 ms instead of 150, but a
    /// join dials a fifth more.
    pub parallelism: usize,
    /// Peers that hold each record. Default 8.
    pub replication: usize,
    /// A lookup ends after this time with what it has. Default 10 s.
    pub query_timeout: Duration,
    /// Records of others and of our own live this long without being announced again. Default 60 min.
    pub record_ttl: Duration,
    /// Our own records are announced again after this time; a third of `record_ttl` survives two missed rounds.
    /// Default 20 min.
    pub announce_interval: Duration,
    /// Addresses that are dialled until they answer, with or without a peer id; at most 64. Default none.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub bootstrap: Vec<Multiaddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            mdns: true,
            mdns_interval: Duration::from_secs(30),
            dht: true,
            client: false,
            parallelism: 3,
            replication: 8,
            query_timeout: Duration::from_secs(10),
            record_ttl: Duration::from_secs(60 * 60),
            announce_interval: Duration::from_secs(20 * 60),
            bootstrap: Vec::new(),
        }
    }
}
