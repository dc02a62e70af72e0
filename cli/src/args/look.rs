//! `p2pnode peers`, `members`, `swarms`, `find`: who is there.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    given,
    value::{count, duration},
};

/// How long `swarms` looks around, and how many `find` lists.
pub(crate) const SCAN: Duration = Duration::from_millis(1_500);
const LIMIT: u32 = 20;

fn scan() -> Duration {
    SCAN
}

fn limit() -> u32 {
    LIMIT
}

/// Order of a list of peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Sort {
    /// By name.
    #[default]
    Name,
    /// Nearest first.
    Rtt,
    /// Most recently seen first.
    Seen,
}

/// Filters and shape shared by the lists of peers.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Listing {
    /// Only peers with this capability (repeatable: with all of them)
    #[arg(long, value_name = "NAME")]
    pub(crate) cap: Vec<String>,

    /// Only peers with this role
    #[arg(long)]
    pub(crate) role: Option<String>,

    /// Only peers of this team
    #[arg(long)]
    pub(crate) team: Option<String>,

    /// Only peers whose name fits; `*` and `?` are wild
    #[arg(long, value_name = "GLOB")]
    pub(crate) name: Option<String>,

    /// Only peers that are online
    #[arg(long)]
    pub(crate) online: bool,

    /// Also nodes that live for one command only
    #[arg(long)]
    pub(crate) all: bool,

    /// Order
    #[arg(long, value_name = "BY", value_enum, default_value_t)]
    pub(crate) sort: Sort,

    /// Print only ids, one per line
    #[arg(long)]
    pub(crate) ids: bool,

    /// Keep all columns and do not shorten, however narrow the terminal is
    #[arg(long)]
    pub(crate) wide: bool,
}

/// List the peers that can be seen from here
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(transparent)]
#[command(after_help = "\
Examples:
  p2pnode peers
  p2pnode peers --cap pytest --sort rtt --ids")]
pub(crate) struct Peers {
    /// Filters and shape.
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// Show everything known of one peer
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode peer reviewer
  p2pnode peer cap:code-review --json")]
pub(crate) struct Peer {
    /// Name, id, unique prefix of an id, cap:NAME, or role:NAME
    #[arg(value_name = "TARGET")]
    pub(crate) target: String,
}

/// List the peers of one swarm
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(from = "Listing", into = "Listing")]
#[command(after_help = "\
Examples:
  p2pnode members garden
  p2pnode members garden --online --json")]
pub(crate) struct Members {
    /// Which swarm
    // With the name of the field as its id it would hide the option of all verbs.
    #[arg(id = "members_swarm", value_name = "SWARM")]
    pub(crate) swarm: Option<String>,

    /// Filters and shape.
    #[command(flatten)]
    pub(crate) listing: Listing,
}

/// Over the control socket the swarm is an option of all verbs.
impl From<Listing> for Members {
    fn from(listing: Listing) -> Self {
        Self { swarm: None, listing }
    }
}

impl From<Members> for Listing {
    fn from(members: Members) -> Self {
        members.listing
    }
}

/// List the swarms that can be seen from here
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode swarms
  p2pnode swarms --scan 5s --json")]
pub(crate) struct Swarms {
    /// How long to look around
    #[arg(long, value_name = "DUR", value_parser = duration, default_value = "1.5s")]
    #[serde(default = "scan", with = "given::span")]
    pub(crate) scan: Duration,
}

/// Show who bears which name, and let a name go
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode names
  p2pnode names forget calculator

A name belongs to the first peer that the node has seen with it, for a day after it was seen last, and as long as it was
known by it up to 30 days. Nothing is sent by that name to anybody else meanwhile; a peer that was known for less than an
hour and has said goodbye gives it up.")]
pub(crate) struct Names {
    /// What to do with a name; none lists all
    #[command(subcommand)]
    #[serde(default)]
    pub(crate) verb: Option<NamesVerb>,
}

/// What to do with a name.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum NamesVerb {
    /// Let whoever comes next bear it
    Forget {
        /// The name
        name: String,
    },
}

/// Find nodes through the directory, also those that are no neighbours
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode find --cap code-review --swarm garden
  p2pnode find \"review rust\" --available

Words are looked for in names, roles, capabilities, endpoints and their tags, exactly, as a beginning, inside or misspelt,
and in descriptions. The best come first. Whoever is listed has answered. Exit 5 if nobody fits.")]
pub(crate) struct Find {
    /// Words to look for, all of them
    #[arg(value_name = "WORDS")]
    #[serde(default)]
    pub(crate) text: Option<String>,

    /// Only nodes with this capability (repeatable: with all of them)
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    pub(crate) cap: Vec<String>,

    /// Only nodes with an endpoint of that name or tag
    #[arg(long, value_name = "NAME")]
    #[serde(default)]
    pub(crate) skill: Option<String>,

    /// Only nodes with this name
    #[arg(long)]
    #[serde(default)]
    pub(crate) name: Option<String>,

    /// Only nodes with this role
    #[arg(long)]
    #[serde(default)]
    pub(crate) role: Option<String>,

    /// Only nodes of this team
    #[arg(long)]
    #[serde(default)]
    pub(crate) team: Option<String>,

    /// Only nodes that are neither busy nor away
    #[arg(long)]
    #[serde(default)]
    pub(crate) available: bool,

    /// At most this many
    #[arg(long, value_name = "N", value_parser = count, default_value_t = LIMIT)]
    #[serde(default = "limit", deserialize_with = "given::count")]
    pub(crate) limit: u32,

    /// Keep all columns and do not shorten, however narrow the terminal is
    #[arg(long)]
    #[serde(default)]
    pub(crate) wide: bool,
}
