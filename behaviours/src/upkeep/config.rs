use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Settings of the upkeep behaviour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Program name and version that identify shows to peers; cut to 64 characters. Default `p2pnode/<version>`.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub agent: String,
    /// How many connections, and how fast.
    pub limits: Limits,
    /// A ping is sent this long after the last one: for round trips, and for peers that take no part in presence, which
    /// notices silence sooner. Default 60 s.
    pub ping_interval: Duration,
    /// An unanswered ping counts as failed after this time. Default 10 s.
    pub ping_timeout: Duration,
    /// Failed pings in a row after which a connection is closed: a host that is switched off closes nothing itself.
    /// Default 2.
    pub ping_failures: u32,
    /// Do not tell peers our listen addresses. Default off.
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub hide_addresses: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            agent: concat!("p2pnode/", env!("CARGO_PKG_VERSION")).into(),
            limits: Limits::default(),
            ping_interval: Duration::from_secs(60),
            ping_timeout: Duration::from_secs(10),
            ping_failures: 2,
            hide_addresses: false,
        }
    }
}

/// Numbers of connections. A connection costs about 70 KiB and 5 ms of CPU at each end.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Inbound handshakes at once. Default 16.
    pub pending_in: usize,
    /// Of these, from one IP address (IPv6: one /56), so that one slow opener does not take them all. Default 4.
    pub pending_in_per_ip: usize,
    /// Dials at once, besides those to members and to addresses without a peer id. Default 32.
    pub pending_out: usize,
    /// Inbound connections, besides those of members. Default 128.
    pub inbound: usize,
    /// Outbound connections, besides those with members. Default 64.
    pub outbound: usize,
    /// All connections. Default 160.
    pub total: usize,
    /// Connections with peers that are neither members nor configured; the rest of `total` is kept for those.
    /// Default 128.
    pub strangers: usize,
    /// Connections with one peer: one, and one that crosses or replaces it. Default 2.
    pub per_peer: usize,
    /// Inbound connections from one IPv4 address or IPv6 /56. Default 16.
    pub per_ip: usize,
    /// New inbound connections per second from one IPv4 address or IPv6 /56. Default 0.5.
    pub rate_per_ip: f64,
    /// How many new ones may come at once. Default 16.
    pub burst_per_ip: u32,
    /// No limits per IP for loopback and private addresses: many nodes on one host or behind one NAT are the normal
    /// case there. Default on.
    pub exempt_private: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending_in: 16,
            pending_in_per_ip: 4,
            pending_out: 32,
            inbound: 128,
            outbound: 64,
            total: 160,
            strangers: 128,
            per_peer: 2,
            per_ip: 16,
            rate_per_ip: 0.5,
            burst_per_ip: 16,
            exempt_private: true,
        }
    }
}
