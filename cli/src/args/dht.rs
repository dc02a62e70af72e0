//! `p2pnode dht`: the distributed hash table by hand.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use super::given::Given;

/// Read and write the distributed hash table
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
#[serde(transparent)]
#[command(after_help = "\
Examples:
  p2pnode dht put motd \"meeting at ten\"
  p2pnode dht providers cap:code-review --swarm garden
  p2pnode dht table")]
pub(crate) struct Dht {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do with the table.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(crate) enum Verb {
    /// Store a small value, signed by the identity of the profile, and print the key to read it with
    Put {
        /// Name of the value
        name: String,
        /// The value; `@FILE` takes the bytes of a file, `-` those of stdin
        value: Given,
    },
    /// Read a value
    Get {
        /// Owner's name or id, and name of the value, as `dht put` printed them
        #[arg(value_name = "PEER/NAME")]
        key: String,
        /// Write the bytes to a file; `-` is stdout, byte for byte
        #[arg(long, value_name = "FILE")]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        out: Option<PathBuf>,
    },
    /// List who has announced something: swarm:NAME, cap:NAME or name:NAME
    Providers {
        /// What was announced
        key: String,
    },
    /// Find where a peer is
    Lookup {
        /// Full id of a peer
        #[arg(value_name = "PEER")]
        peer: String,
    },
    /// List the peers in the routing table, the nearest first
    Table {
        /// Keep all columns and do not shorten, however narrow the terminal is
        #[arg(long)]
        #[serde(default)]
        wide: bool,
    },
    /// Count what is in the table and the store
    Stats {},
}
