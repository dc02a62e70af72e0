//! `p2pnode down`, `status` and `logs`: the node that runs.

use clap::{Args, ValueEnum};
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

/// Tell others whether the running node takes work
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode availability busy
  p2pnode availability

It serves and answers all the same; `find --available` leaves it out, and others are listed before it. Until it stops.")]
pub(crate) struct Availability {
    /// What to tell; without it, what is told now is printed
    #[arg(value_enum, value_name = "online|busy|offline", hide_possible_values = true)]
    #[serde(default)]
    pub(crate) availability: Option<Takes>,
}

/// Whether a node takes work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Takes {
    /// It does.
    Online,
    /// It has enough to do.
    Busy,
    /// It is there, but takes none.
    Offline,
}

impl From<Takes> for p2pnode::Availability {
    fn from(takes: Takes) -> Self {
        match takes {
            Takes::Online => Self::Online,
            Takes::Busy => Self::Busy,
            Takes::Offline => Self::Offline,
        }
    }
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
