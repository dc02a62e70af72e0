//! `p2pnode conv` and `history`: what is kept.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    given,
    value::{bytes, count, duration},
};

/// Entries in a list.
const LIMIT: u32 = 20;

/// Events that are not folded.
const KEEP: u32 = 25;

fn keep() -> u32 {
    KEEP
}

fn limit() -> u32 {
    LIMIT
}

/// Shape of what is printed for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// One object.
    Json,
    /// An object a line.
    Ndjson,
    /// A table with a header.
    Csv,
    /// Markdown.
    Md,
}

/// Read conversations: what was said, by whom, in order
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(transparent)]
#[command(after_help = "\
Examples:
  p2pnode conv show 9f31c2d4
  p2pnode conv export 9f31c2d4 --format md
  p2pnode conv compact 9f31c2d4 --keep 10 && p2pnode conv show 9f31c2d4 --condensed

An ID is the last digits of it, or the first, as many as it takes. Works without a running node, on the database of the \
profile; `follow` and `compact` need one.")]
pub(crate) struct Conv {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: ConvVerb,
}

impl Conv {
    /// It goes on until somebody stops it.
    pub(crate) fn is_endless(&self) -> bool {
        matches!(self.verb, ConvVerb::Follow { .. })
    }

    /// Only the node that keeps it can do it.
    pub(crate) fn needs_node(&self) -> bool {
        matches!(self.verb, ConvVerb::Follow { .. } | ConvVerb::Compact { .. })
    }
}

/// What to do with conversations.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum ConvVerb {
    /// List them, the one with the newest entry first
    List {
        /// At most this many
        #[arg(long, value_name = "N", value_parser = count, default_value_t = LIMIT)]
        #[serde(default = "limit", deserialize_with = "given::count")]
        limit: u32,
    },
    /// Print one; with --json also a hash of it, which members can compare
    Show {
        /// Which conversation
        #[arg(value_name = "ID")]
        id: String,
        /// With its summary instead of what that tells
        #[arg(long)]
        #[serde(default)]
        condensed: bool,
    },
    /// Fold the middle of one into a summary; nothing is removed
    Compact {
        /// Which conversation
        #[arg(value_name = "ID")]
        id: String,
        /// The last N events stay as they are
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32), default_value_t = KEEP)]
        #[serde(default = "keep")]
        keep: u32,
    },
    /// Print one, and what comes, until Ctrl-C
    Follow {
        /// Which conversation
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Print one for programs, or as a document
    Export {
        /// Which conversation
        #[arg(value_name = "ID")]
        id: String,
        /// In which form
        #[arg(long, value_name = "FORM", value_enum, default_value = "json")]
        #[serde(default = "json")]
        format: Format,
    },
}

fn json() -> Format {
    Format::Json
}

/// How several words are searched for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[value(rename_all = "UPPER")]
pub(crate) enum Logic {
    /// All of them are to be there.
    #[default]
    And,
    /// One is enough.
    Or,
}

/// Which entries.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Filter {
    /// Only by this peer, or to it: name, or id
    #[arg(long, value_name = "NAME")]
    pub(crate) agent: Option<String>,

    /// Only of this kind: ask, broadcast, ack, progress, reply, failed, emit, message (repeatable)
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<String>,

    /// Only of the last N days
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "since")]
    pub(crate) days: Option<u32>,

    /// Not before: a time, a date, or how long ago (2h)
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,

    /// At most this many [default: 20; all for export]
    #[arg(long, value_name = "N", value_parser = count)]
    pub(crate) limit: Option<u32>,

    /// In which form [default: a table; ndjson for export]
    #[arg(long, value_name = "FORM", value_enum)]
    pub(crate) format: Option<Format>,

    /// How several words are searched for, and nothing else
    #[arg(long, value_name = "HOW", value_enum, ignore_case = true)]
    pub(crate) logic: Option<Logic>,
}

/// Search what was said in swarms and written to this node
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(transparent)]
#[command(after_help = "\
Examples:
  p2pnode history search 'sunrise NEAR gossip' --days 7
  p2pnode history list --agent reviewer --kind reply --format csv

Search takes words, \"phrases\", prefix*, -not, OR, a NEAR b, NEAR/5 and parentheses. Only --swarm NAME if one is named. \
Works without a running node, on the database of the profile; `cleanup` needs one, `salvage` none.")]
pub(crate) struct History {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: HistoryVerb,
}

/// What to do with what is kept.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum HistoryVerb {
    /// List entries, the newest first
    List(Filter),
    /// Print one in full
    Show {
        /// Which event or message
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Find words; hits are in [brackets]
    Search {
        /// What for
        #[arg(value_name = "TEXT")]
        text: String,
        /// Which entries.
        #[command(flatten)]
        #[serde(default)]
        filter: Filter,
    },
    /// Tell how much is kept
    Stats {},
    /// Print everything for programs, the oldest first
    Export(Filter),
    /// Remove what is old, or too much
    Cleanup(Cleanup),
    /// Save what is whole from a damaged database, and keep that beside
    Salvage {},
}

/// What to remove.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Cleanup {
    /// Events older than this, cut at whole hours
    #[arg(long, value_name = "DUR", value_parser = duration, required_unless_present = "max_size")]
    #[serde(with = "given::span::maybe")]
    pub(crate) older_than: Option<Duration>,

    /// The oldest events, until those of each swarm have no more bytes than this (10MB, 64MiB)
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) max_size: Option<u64>,

    /// Only tell what would go
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}
