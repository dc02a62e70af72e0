//! `p2pnode ping` and `wait`: is it there yet?

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    given,
    value::{count, duration},
};

/// Between two pings.
const PAUSE: Duration = Duration::from_secs(1);

fn pause() -> Duration {
    PAUSE
}

/// Measure the round trip to a peer and show the path
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode ping calculator
  p2pnode ping calculator -c 10 -i 200ms

Without -c it stops at the first answer over a direct connection, after 10 tries at most. Exit 6: no answer.")]
pub(crate) struct Ping {
    /// Whom to ping
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// Send exactly this many
    #[arg(short, long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) count: Option<u32>,

    /// Pause between two of them
    #[arg(short, long, value_name = "DUR", value_parser = duration, default_value = "1s")]
    #[serde(default = "pause", with = "given::span")]
    pub(crate) interval: Duration,
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
