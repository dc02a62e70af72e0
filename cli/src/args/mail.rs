//! `p2pnode send`, `reply`, `inbox` and `outbox`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::{given, value::duration};

/// Write to a peer, there or not; it is tried until it has the message
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode send reviewer \"run the tests\" --priority 4
  p2pnode send reviewer --ask \"is this right?\" --response --timeout 5m

The running node keeps the message and tries for a week, or as long as --expires says. TARGET is a name, name@swarm, \
cap:X, role:X, an id or a prefix of it. TEXT is `-` for stdin, the text of a file if it begins with @.

Exits: 3 no node runs here, 4 the other refused it, 5 nobody of that name, 6 no answer in time, 7 its answer is a failure.")]
pub(crate) struct Send {
    /// For whom
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,

    /// What to say
    #[arg(value_name = "TEXT")]
    pub(crate) text: String,

    /// 1 to 5, 5 is the most urgent; none counts as 3
    #[arg(long, value_name = "1-5", value_parser = clap::value_parser!(u8).range(1..=5))]
    #[serde(default)]
    pub(crate) priority: Option<u8>,

    /// It is a question to the other's ask handler
    #[arg(long)]
    #[serde(default)]
    pub(crate) ask: bool,

    /// Wait for the answer and print it
    #[arg(long)]
    #[serde(default)]
    pub(crate) response: bool,

    /// How long to try [default: 7 days]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    #[serde(default, with = "given::span::maybe")]
    pub(crate) expires: Option<Duration>,

    /// It belongs to this conversation
    #[arg(long, value_name = "ID")]
    #[serde(default)]
    pub(crate) conversation: Option<String>,

    /// The text was read already.
    #[arg(skip)]
    #[serde(skip, default = "yes")]
    pub(crate) read: bool,
}

/// What comes over the control socket is the text itself.
fn yes() -> bool {
    true
}

/// Answer a message of the inbox
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(
    allow_missing_positional = true,
    after_help = "\
Examples:
  p2pnode reply \"they pass\"
  p2pnode reply 9f31c2d4 @report.txt

Without ID it answers the last message that came from a member. TEXT is `-` for stdin, the text of a file if it begins with @."
)]
pub(crate) struct Reply {
    /// Which message: the last digits of its id, or the first
    #[arg(value_name = "ID")]
    #[serde(default)]
    pub(crate) id: Option<String>,

    /// What to say
    #[arg(value_name = "TEXT", required = true)]
    pub(crate) text: String,

    /// 1 to 5, 5 is the most urgent; none counts as 3
    #[arg(long, value_name = "1-5", value_parser = clap::value_parser!(u8).range(1..=5))]
    #[serde(default)]
    pub(crate) priority: Option<u8>,

    /// The text was read already.
    #[arg(skip)]
    #[serde(skip, default = "yes")]
    pub(crate) read: bool,
}

/// Read the messages that came, and keep order among them
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  p2pnode inbox --unread
  p2pnode inbox show 9f31c2d4

An ID is the last digits of it, or the first, as many as it takes. What was archived or deleted is listed with --all; \
`purge` removes what was deleted. Messages of nodes that are in no swarm of this one are marked `requests`."
)]
pub(crate) struct Inbox {
    /// What to do; without it, the list.
    #[command(subcommand)]
    pub(crate) verb: Option<InboxVerb>,

    /// Also what was archived or deleted
    #[arg(long, conflicts_with = "unread")]
    pub(crate) all: bool,

    /// Only what nobody has read yet
    #[arg(long)]
    pub(crate) unread: bool,

    /// Only from this peer: name, or id
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
}

/// Which messages are listed.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct InboxList {
    /// Also what was archived or deleted
    #[arg(long, conflicts_with = "unread")]
    pub(crate) all: bool,

    /// Only what nobody has read yet
    #[arg(long)]
    pub(crate) unread: bool,

    /// Only from this peer: name, or id
    #[arg(long, value_name = "NAME")]
    pub(crate) from: Option<String>,
}

/// What to do with messages.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum InboxVerb {
    /// List them, the most urgent first
    List(InboxList),
    /// Print one, and mark it as read
    Show {
        /// Which message
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Mark as read
    Read {
        /// Which messages
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Put away
    Archive {
        /// Which messages
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Throw away; `purge` removes them
    Delete {
        /// Which messages
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
    },
    /// Remove what was deleted
    Purge {},
}

impl Inbox {
    /// What to do, wherever it was said.
    pub(crate) fn verb(&self) -> InboxVerb {
        self.verb.clone().unwrap_or_else(|| {
            InboxVerb::List(InboxList { all: self.all, unread: self.unread, from: self.from.clone() })
        })
    }
}

/// Look after the messages of this node that are on their way
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode outbox
  p2pnode outbox rm 9f31c2d4

`rm` takes a message back that has not arrived, unless it is being handed over right now; one that has goes from the list.")]
pub(crate) struct Outbox {
    /// What to do; without it, the list.
    #[command(subcommand)]
    pub(crate) verb: Option<OutboxVerb>,
}

/// What to do with messages of this node.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum OutboxVerb {
    /// List them, the newest first
    List {},
    /// Print one
    Show {
        /// Which message
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Take one back, or from the list
    Rm {
        /// Which message
        #[arg(value_name = "ID")]
        id: String,
    },
}
