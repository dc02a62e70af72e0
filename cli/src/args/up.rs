//! `p2pnode up`.

use clap::{Args, ValueEnum};

use super::value::pair;

/// From where calls are answered in an open swarm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Allow {
    /// Callers of this host and of private address ranges.
    #[default]
    Private,
    /// Callers from anywhere.
    Any,
}

/// What the node has to do with circuits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Relay {
    /// Be reached over a relay of a member where nobody can dial this node
    #[default]
    Auto,
    /// Have nothing to do with relays
    Off,
    /// Carry circuits for members, besides: for hosts with a public address
    Server,
}

/// The one endpoint of `serve`.
#[derive(Debug, Clone)]
pub(crate) struct Single {
    /// Its name.
    pub(crate) endpoint: String,
    /// What it runs.
    pub(crate) command: Vec<String>,
    /// Runs at once.
    pub(crate) concurrency: usize,
    /// How long one may take.
    pub(crate) run_limit: Option<std::time::Duration>,
    /// Each line is an item.
    pub(crate) stream: bool,
    /// JSON Schema of its arguments.
    pub(crate) schema: Option<serde_json::Value>,
    /// For people.
    pub(crate) describe: Option<String>,
    /// Not listed.
    pub(crate) private: bool,
    /// Variables passed on.
    pub(crate) env_allow: Vec<String>,
}

/// Start a node here and serve until Ctrl-C
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode up garden --demo                  a node with four endpoints to play with
  p2pnode up garden --ask './review.sh'     a script answers: task on stdin, answer on stdout
  p2pnode up --bootstrap p2pn1maw...        into the swarm of a ticket

A [[hook]] in config.toml of the folder for settings (~/.config/p2pnode, or $P2PNODE_HOME) runs a program for each event or \
message, as `subscribe --exec` does: on = \"build.>\" or mail = true, swarm = \"garden\" if only that, exec = \"notify-send p2pnode\".

Programs (--ask, --serve): the command is split by shell rules, but no shell runs. One text argument arrives as it is on \
stdin, one binary argument likewise, anything else as JSON; a question with context as {\"text\": ..., \"context\": ...}. \
What the program prints is the result: JSON if it parses, else text. Exit 75 means \"not me\", any other code but 0 is a \
failure, lines on file descriptor 3 are progress. Four run at once, for 5 minutes at most.

A program sees PATH, HOME, USER, LOGNAME, LANG, LC_*, TMPDIR, TZ and P2PNODE_CALLER, P2PNODE_CALLER_NAME, P2PNODE_SWARM, \
P2PNODE_ENDPOINT, P2PNODE_CONVERSATION, P2PNODE_TRACE.")]
pub(crate) struct Up {
    /// Swarms to be in
    #[arg(value_name = "SWARM")]
    pub(crate) swarms: Vec<String>,

    /// Serve ask, echo, sum and time
    #[arg(long)]
    pub(crate) demo: bool,

    /// Answer questions with a program
    #[arg(long, value_name = "CMD")]
    pub(crate) ask: Option<String>,

    /// Make a program callable under a name (repeatable)
    #[arg(long, value_name = "NAME=CMD", value_parser = pair)]
    pub(crate) serve: Vec<(String, String)>,

    /// Advertise a capability (repeatable)
    #[arg(long, value_name = "NAME[=DESCRIPTION]")]
    pub(crate) cap: Vec<String>,

    /// Name of the node, and of the profile that keeps its identity
    #[arg(long)]
    pub(crate) name: Option<String>,

    /// Role of the node, for example `reviewer`
    #[arg(long)]
    pub(crate) role: Option<String>,

    /// Team of the node inside its swarms; `garden/backend` as a swarm says the same
    #[arg(long)]
    pub(crate) team: Option<String>,

    /// Listen on this port instead of 9999 or the first free one
    #[arg(long, value_name = "N", conflicts_with = "listen")]
    pub(crate) port: Option<u16>,

    /// Listen on this multiaddr only (repeatable)
    #[arg(long, value_name = "MULTIADDR")]
    pub(crate) listen: Vec<String>,

    /// Who may call in an open swarm
    #[arg(long, value_name = "WHO", value_enum, default_value_t)]
    pub(crate) allow: Allow,

    /// What to do where routers stand between members
    #[arg(long, value_name = "HOW", value_enum, default_value_t)]
    pub(crate) relay: Relay,

    /// Ask the router to open a port
    #[arg(long)]
    pub(crate) upnp: bool,

    /// Print a ticket with which others join, as `p2pnode invite` does
    #[arg(long)]
    pub(crate) invite: bool,

    /// Do not tell strangers the names of the swarms
    #[arg(long)]
    pub(crate) hidden: bool,

    /// Take no part in the distributed hash table
    #[arg(long)]
    pub(crate) no_dht: bool,

    /// Run in the background: returns when the node is ready
    #[arg(short, long)]
    pub(crate) detach: bool,

    /// What `serve` adds; not options of `up`.
    #[arg(skip)]
    pub(crate) single: Option<Single>,

    /// Break in a background task, as a bug would: what is left must be no zombie
    #[arg(long, hide = true)]
    pub(crate) inject_panic: bool,
}
