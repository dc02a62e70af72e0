//! `p2pnode ask`.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    given::{self, Given},
    value::{count, duration},
};

/// Ask a swarm, or one peer; acks and replies stream in
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(
    override_usage = "p2pnode ask [OPTIONS] [SWARM] TEXT",
    after_help = "\
SWARM may be left out where only one can be seen. TEXT is the question; `-` reads it from stdin.

Examples:
  p2pnode ask garden \"who is there?\"
  git diff | p2pnode ask garden --first --raw -
  p2pnode ask garden --to reviewer \"is this safe?\"     nobody else hears it

Ends when everybody who acked has answered. Nobody acks: exit 6 after --wait-first, counted from the end of discovery.

Exits: 0 somebody replied, 6 nobody did, 7 only failures, 9 fewer than --replies or --quorum."
)]
pub(crate) struct Ask {
    /// Swarm to ask, if given, and the question.
    // Not two fields with `allow_missing_positional`: clap then refuses `ask garden --json "hi"`.
    #[arg(value_name = "TEXT", required = true, num_args = 1..=2, hide = true)]
    #[serde(skip)]
    words: Vec<String>,

    /// The question, once it was read: what `-` stood for.
    #[arg(skip)]
    pub(crate) text: String,

    /// Ask these alone, by direct message: name, cap:X, role:X, id (repeatable)
    #[arg(long, value_name = "TARGET")]
    #[serde(default)]
    pub(crate) to: Vec<String>,

    /// Add context: KEY=VALUE, KEY=@FILE or @FILE (repeatable)
    #[arg(long = "context", value_name = "KEY=VALUE")]
    #[serde(skip)]
    pub(crate) context_words: Vec<String>,

    /// The context, once it was read.
    #[arg(skip)]
    #[serde(default, with = "given::named")]
    pub(crate) context: Vec<(String, Given)>,

    /// End with the first reply
    #[arg(long, conflicts_with = "replies")]
    #[serde(default)]
    pub(crate) first: bool,

    /// End with this many replies; fewer is exit 9
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) replies: Option<u32>,

    /// Wait for all, but exit 9 if fewer than this many replied
    #[arg(long, value_name = "N", value_parser = count, conflicts_with = "replies")]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) quorum: Option<u32>,

    /// How long to wait for the first ack [default: 2s, with --bootstrap 10s]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    #[serde(default, with = "given::span::maybe")]
    pub(crate) wait_first: Option<Duration>,

    /// How long to stay for others after the last wanted reply [default: 250ms]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    #[serde(default, with = "given::span::maybe")]
    pub(crate) linger: Option<Duration>,

    /// Print only the bodies of the replies
    #[arg(long)]
    #[serde(default)]
    pub(crate) raw: bool,
}

impl Ask {
    /// The swarm, if one was given.
    pub(crate) fn swarm(&self) -> Option<&str> {
        self.words.split_last().and_then(|(_, before)| before.first()).map(String::as_str)
    }

    /// The word that is the question or names it; none where the question came as it is.
    pub(crate) fn word(&self) -> Option<&str> {
        self.words.last().map(String::as_str)
    }

    /// Replies that are needed for success.
    pub(crate) fn wanted(&self) -> usize {
        self.replies.or(self.quorum).map_or(1, |number| number as usize)
    }

    /// Replies that end it before all have answered.
    pub(crate) fn wanted_early(&self) -> Option<usize> {
        self.replies.map(|number| number as usize).or(self.first.then_some(1))
    }
}
