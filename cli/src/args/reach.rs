//! `p2pnode ping`, `netcheck` and `wait`: is it there yet, and which way?

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    given,
    value::{count, duration},
};

/// Between two pings.
const PAUSE: Duration = Duration::from_secs(1);

/// For bootstrap addresses to answer.
const ANSWERS: Duration = Duration::from_secs(4);

fn pause() -> Duration {
    PAUSE
}

fn answers() -> Duration {
    ANSWERS
}

/// Measure the round trip to a peer and show the path
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode ping calculator
  p2pnode ping calculator -c 10 -i 200ms
  p2pnode ping reviewer --require-direct

Without -c it stops at the first answer over a direct connection, after 10 tries at most: peers behind routers are reached over a \
relay first, and look for a direct way then. Exits: 6 no answer, 10 no direct connection with --require-direct.")]
pub(crate) struct Ping {
    /// Whom to ping
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// Send exactly this many
    #[arg(short, long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) count: Option<u32>,

    /// Stop at the first answer over a direct connection, also with -c
    #[arg(long)]
    #[serde(default)]
    pub(crate) until_direct: bool,

    /// The same, and exit 10 if none comes
    #[arg(long)]
    #[serde(default)]
    pub(crate) require_direct: bool,

    /// Pause between two of them
    #[arg(short, long, value_name = "DUR", value_parser = duration, default_value = "1s")]
    #[serde(default = "pause", with = "given::span")]
    pub(crate) interval: Duration,
}

/// Show what routers do to this host, and how it is reached from outside
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode netcheck --bootstrap seed.example.com:9999
  p2pnode netcheck --json

It asks the bootstrap addresses, those of the running node included, where they see this host: two of them, on two hosts, tell \
which kind of router is between. Where a node runs, its places with relays and what others reached are told, too.")]
pub(crate) struct Netcheck {
    /// Time for the addresses to answer
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "4s")]
    #[serde(default = "answers", with = "given::span")]
    pub(crate) wait: Duration,
}

/// Wait until something is there
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode wait peers 3 --swarm garden --timeout 30s
  p2pnode wait peer reviewer cap pytest

Conditions: online, peers N, peer NAME, cap NAME, swarm NAME. All must hold. Waits 30 s unless --timeout says otherwise.
Exit 10: not met; what is missing is printed.")]
pub(crate) struct Wait {
    /// What to wait for
    #[arg(value_name = "COND", required = true)]
    pub(crate) conditions: Vec<String>,
}
