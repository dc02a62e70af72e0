use p2pnode_behaviours::{discovery, gossip, hello, nat, presence, rpc, upkeep};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    history::{Compaction, Retention},
    mail::MailLimits,
};

/// Every number that bounds what a node holds, takes and does, with its default. See `docs/limits.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Swarms this node may be in; each costs a mesh of its own. Default 32.
    pub swarms: usize,
    /// Endpoints it may serve. Default 1,024.
    pub endpoints: usize,
    /// Peers it remembers, connected or not, with their cards (at most 16 KiB each). Default 4,096.
    pub peers: usize,
    /// Its own asks under way at once. Default 1,024.
    pub asks: usize,
    /// Questions of others it works on at once; more are told that it is busy. Default 256.
    pub answering: usize,
    /// Connections and what keeps them alive.
    pub upkeep: upkeep::Config,
    /// Reaching those behind routers, and being reached there.
    pub nat: nat::Config,
    /// What peers exchange when they meet.
    pub hello: hello::Config,
    /// Who is there, also without a connection.
    pub presence: presence::Config,
    /// Calls.
    pub rpc: rpc::Config,
    /// Events of swarms.
    pub gossip: gossip::Config,
    /// How much of each swarm's conversations is kept.
    pub history: Retention,
    /// When long conversations are folded into a summary.
    pub compaction: Compaction,
    /// How much mail is kept.
    pub mail: MailLimits,
    /// Finding peers.
    pub discovery: discovery::Config,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            swarms: 32,
            endpoints: 1_024,
            peers: 4_096,
            asks: 1_024,
            answering: 256,
            upkeep: upkeep::Config::default(),
            nat: nat::Config::default(),
            hello: hello::Config::default(),
            presence: presence::Config::default(),
            rpc: rpc::Config::default(),
            gossip: gossip::Config::default(),
            history: Retention::default(),
            compaction: Compaction::default(),
            mail: MailLimits::default(),
            discovery: discovery::Config::default(),
        }
    }
}
