//! `p2pnode join`, `leave` and `invite`: into swarms, out of them, and letting others in.

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Join a swarm by a ticket, by its name, or at the address of a member
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(after_help = "\
Examples:
  p2pnode join p2pn1maw...           what `p2pnode invite` printed
  ssh host p2pnode invite | p2pnode join -
  p2pnode join garden
  p2pnode join seed.example.com

A ticket is taken from the argument, from stdin (-), from a file (@FILE), from P2PNODE_TICKET, or asked for. The running node \
is in the swarm at once; the profile keeps it, and where it is found, for the next `p2pnode up` and for commands without a \
running node. `p2pnode leave` forgets it.

Exits: 0 joined, 2 it is no ticket, 3 nobody of it was reached.")]
pub(crate) struct Join {
    /// Ticket, name of a swarm, or address; - is stdin, @FILE a file
    #[arg(value_name = "TICKET|SWARM|ADDRESS")]
    #[serde(default)]
    pub(crate) ticket: Option<String>,
}

/// Forget a swarm that was joined
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode leave garden

It is for the profile: a node that runs stays in the swarm until it stops.")]
pub(crate) struct Leave {
    /// Which swarm
    #[arg(value_name = "SWARM")]
    pub(crate) swarm: String,
}

/// Print a ticket with which others join a swarm of the running node
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  p2pnode invite
  p2pnode invite garden --addr lan
  p2pnode invite inspect p2pn1maw...

A ticket names an open swarm and says where this node is: it opens nothing that a name would not open, and it does not \
expire. It has the addresses at which others reach this node, also over a relay; where there are none, those of the local network."
)]
pub(crate) struct Invite {
    /// Which swarm; may be left out if the node is in one
    #[arg(value_name = "SWARM")]
    #[serde(default)]
    pub(crate) invite_swarm: Option<String>,

    /// Addresses of this node that the ticket names
    #[arg(long, value_enum, default_value_t, value_name = "WHICH")]
    #[serde(default)]
    pub(crate) addr: Addr,

    /// Look at one instead.
    #[command(subcommand)]
    #[serde(default)]
    pub(crate) verb: Option<InviteVerb>,
}

/// What else there is to do with tickets.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum InviteVerb {
    /// Show what a ticket says; nothing is dialled
    Inspect {
        /// Ticket; - is stdin, @FILE a file
        #[serde(default)]
        ticket: Option<String>,
    },
}

/// Addresses in a ticket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Addr {
    /// Those reached from anywhere, or else those of the local network
    #[default]
    Best,
    /// Both
    All,
    /// Those of the local network
    Lan,
    /// Those reached from anywhere
    Public,
    /// None: the id, to be looked up
    IdOnly,
}

impl From<Addr> for p2pnode::TicketAddresses {
    fn from(addr: Addr) -> Self {
        match addr {
            Addr::Best => Self::Best,
            Addr::All => Self::All,
            Addr::Lan => Self::Lan,
            Addr::Public => Self::Public,
            Addr::IdOnly => Self::IdOnly,
        }
    }
}
