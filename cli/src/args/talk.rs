//! `p2pnode broadcast`, `emit`, `subscribe`, `serve` and `watch`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::{Deserialize, Serialize};

use super::{
    given::{self, Given},
    value::{count, duration},
};

/// Call an endpoint of everybody in a swarm who serves it
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(
    allow_negative_numbers = true,
    after_help = "\
Examples:
  p2pnode broadcast garden \"who can review this?\"            a question to all ask handlers
  p2pnode broadcast garden --endpoint review @a.diff --replies 2
  p2pnode broadcast garden --endpoint sum 1 2 --wait 1s

Ends when it is sent. With --replies it stays for so many answers, with --wait for so long.

Exits: 0 sent, 6 nobody of the swarm took it, 9 fewer than --replies."
)]
pub(crate) struct Broadcast {
    /// Swarm
    #[arg(value_name = "SWARM")]
    #[serde(skip)]
    pub(crate) broadcast_swarm: String,

    /// Arguments by position, as for `call`; without --endpoint the question
    #[arg(value_name = "ARG")]
    #[serde(default)]
    pub(crate) args: Vec<Given>,

    /// Which endpoint; without it, the ask handlers
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    pub(crate) endpoint: Option<String>,

    /// Argument by name (repeatable)
    #[arg(short = 'k', long = "kwarg", value_name = "NAME=VALUE", value_parser = given::pair)]
    #[serde(default, rename = "kwargs", with = "given::named")]
    pub(crate) named: Vec<(String, Given)>,

    /// Stay for this many replies; fewer is exit 9
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) replies: Option<u32>,

    /// Stay for so long and print what is said [default: not at all; 30s with --replies]
    #[arg(long, value_name = "DUR", value_parser = duration)]
    #[serde(default, with = "given::span::maybe")]
    pub(crate) wait: Option<Duration>,

    /// Print only the bodies of the replies
    #[arg(long)]
    #[serde(default)]
    pub(crate) raw: bool,
}

/// Tell a swarm that something happened
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode emit document.uploaded '{\"name\":\"q.pdf\"}'
  p2pnode emit build.done --swarm garden

DATA is JSON if it parses as JSON, the bytes of a file if it begins with @, `-` for stdin, else text.

Exits: 0 a member took it, 6 nobody was there.")]
pub(crate) struct Emit {
    /// What happened: words with dots between them
    #[arg(value_name = "SUBJECT")]
    pub(crate) subject: String,

    /// More about it
    #[arg(value_name = "DATA")]
    #[serde(default)]
    pub(crate) data: Option<Given>,

    /// It belongs to this conversation [default: a new one]
    #[arg(long, value_name = "ID")]
    #[serde(default)]
    pub(crate) conversation: Option<String>,
}

/// Print what is emitted, as it comes
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode subscribe 'document.>'         all that begin so
  p2pnode subscribe 'document.*' --json  any one word
  p2pnode subscribe 'document.>' --exec ./index.sh
  p2pnode subscribe --mail --exec ./answer.sh

Quote the pattern: shells read * and > themselves. Runs until Ctrl-C, --count or --timeout. A program that is run gets the \
event as JSON on stdin and P2PNODE_* variables; four run at once, 64 events wait, what comes then is dropped and counted. \
`p2pnode mute PEER` keeps a peer from starting any.")]
pub(crate) struct Subscribe {
    /// Subjects: `*` stands for any one word, `>` at the end for one or more
    #[arg(value_name = "PATTERN", required_unless_present = "mail")]
    #[serde(default)]
    pub(crate) pattern: Option<String>,

    /// Run this program for each; split by shell rules, no shell runs
    #[arg(long, value_name = "CMD")]
    #[serde(skip)]
    pub(crate) exec: Option<String>,

    /// The program and its arguments, once they were read.
    #[arg(skip)]
    #[serde(default, rename = "exec")]
    pub(crate) argv: Vec<String>,

    /// Also, or only, for messages that arrive in the inbox of the running node
    #[arg(long, requires = "exec")]
    #[serde(default)]
    pub(crate) mail: bool,

    /// End after this many
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, deserialize_with = "given::maybe_count")]
    pub(crate) count: Option<u32>,
}

/// Whom to mute, or to hear again.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode mute chatterbox
  p2pnode unmute 12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo

What a muted peer says is heard and kept as before, but no program of `subscribe --exec` is run for it.")]
pub(crate) struct Mute {
    /// Who: name, id, cap:X, role:X; `mute` without it lists who is muted
    #[arg(value_name = "PEER")]
    #[serde(default)]
    pub(crate) peer: Option<String>,
}

/// Whom to block, or to let be.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode block nuisance
  p2pnode unblock 12D3KooWQYhTNQdmr3ArTeUHRYzFg94BKyTkoWBDWez9kSCVe2Xo

The running node does not connect with a blocked peer, lists it nowhere, and tells nothing of what it says. What it says to
the swarm is still kept for others; in an open swarm it can come back with a new key.")]
pub(crate) struct Block {
    /// Who: name, id, or the beginning of one; `block` without it lists who is blocked
    #[arg(value_name = "PEER")]
    #[serde(default)]
    pub(crate) peer: Option<String>,
}

/// Make a program callable in a swarm
#[derive(Debug, Clone, Args)]
#[command(
    override_usage = "p2pnode serve [OPTIONS] NAME -- CMD [ARG]...",
    after_help = "\
Examples:
  p2pnode serve shout --swarm garden -- tr a-z A-Z
  p2pnode serve resize --swarm garden --concurrency 4 -- python resize.py
  p2pnode call cap:shout shout \"three words\"

The command runs once for each call; nothing a caller sends becomes part of it. One text argument arrives as it is on \
stdin, one binary argument likewise, anything else as JSON. What it prints is the result: JSON if it parses, else text. \
Exit 75 means \"not me\", any other code but 0 is a failure, lines on file descriptor 3 are progress. \
A node of its own, with the name of the endpoint as capability; `p2pnode up --help` tells what a program sees."
)]
pub(crate) struct Serve {
    /// Name of the endpoint
    #[arg(value_name = "NAME")]
    pub(crate) endpoint: String,

    /// The command and its arguments
    #[arg(value_name = "CMD", last = true, required = true, num_args = 1..)]
    pub(crate) command: Vec<String>,

    /// Runs at once; more wait a moment, then are told to come back
    #[arg(long, value_name = "N", value_parser = count, default_value = "1")]
    pub(crate) concurrency: u32,

    /// How long one run may take [default: 5m]
    #[arg(long = "deadline", alias = "run-limit", value_name = "DUR", value_parser = duration)]
    pub(crate) run_limit: Option<Duration>,

    /// Each line it prints is an item, told at once: to `call --stream`, and to who broadcast; to others the list of all
    #[arg(long)]
    pub(crate) stream: bool,

    /// JSON Schema of the arguments, for `call --list` and for callers that are language models
    #[arg(long, value_name = "FILE")]
    pub(crate) schema: Option<PathBuf>,

    /// What it does, for `call --list`
    #[arg(long, value_name = "TEXT")]
    pub(crate) describe: Option<String>,

    /// Not listed: who knows the name may call it
    #[arg(long = "unlisted")]
    pub(crate) private: bool,

    /// Pass this variable of the environment on to the program (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) env_allow: Vec<String>,

    /// Advertise a further capability (repeatable)
    #[arg(long, value_name = "NAME[=DESCRIPTION]")]
    pub(crate) cap: Vec<String>,

    /// Name of the node [default: a word and four letters]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Listen on this port instead of 9999 or the first free one
    #[arg(long, value_name = "N")]
    pub(crate) port: Option<u16>,

    /// Who may call in an open swarm
    #[arg(long, value_name = "WHO", value_enum, default_value_t)]
    pub(crate) allow: super::up::Allow,
}

/// Watch a swarm: joins, leaves, questions, answers
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode watch garden
  p2pnode watch --json | jq -c 'select(.kind == \"reply\")'

One line per event, in the words of `up`. Nodes that live for one command are not told of; -v shows them too. \
Runs until Ctrl-C or --timeout.")]
pub(crate) struct Watch {
    /// Swarm; without it, all that can be seen
    #[arg(value_name = "SWARM")]
    #[serde(skip)]
    pub(crate) watch_swarm: Option<String>,

    /// One line per event; as without it, until there is a full screen
    #[arg(long, hide = true)]
    #[serde(skip)]
    pub(crate) plain: bool,

    /// Only events of these kinds, in the words of `--json`; all without.
    #[arg(skip)]
    #[serde(default)]
    pub(crate) kind: Vec<String>,
}
