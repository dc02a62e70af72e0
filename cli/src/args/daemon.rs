//! `p2pnode down`, `status` and `logs`: the node that runs.

use clap::Args;
use serde::{Deserialize, Serialize};

use super::value::count;

/// Leave and stop the node that runs in the background
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode down
  p2pnode down --profile tools

Returns when the process has ended. Nothing runs: exit 0, too.")]
pub(crate) struct Down {}

/// Show the running node on one screen
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode status
  p2pnode status --json --profile tools

Exits: 0 it runs, 3 nothing runs, 10 with --strict when something is wrong with it.")]
pub(crate) struct Status {
    /// Exit 10 unless all is well
    #[arg(long)]
    #[serde(default)]
    pub(crate) strict: bool,
}

/// Print the log of the node that runs in the background
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode logs -n 100
  p2pnode logs -f

The log outlives the node. It is one of the files of the profile; at 10 MiB it is renamed and a new one begun.")]
pub(crate) struct Logs {
    /// Print what comes, too, until Ctrl-C
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// Begin so many lines before the end
    #[arg(short = 'n', long, value_name = "N", value_parser = count, default_value = "50")]
    pub(crate) lines: u32,
}
