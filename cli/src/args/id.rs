//! `p2pnode id`: the identity of a profile.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Show, make, save and restore the identity of a profile
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode id show
  p2pnode id export --out backup.key")]
pub(crate) struct Id {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do with the identity.
#[derive(Debug, Clone, Subcommand)]
pub(crate) enum Verb {
    /// Print id, default name and key file
    Show,
    /// Make a new identity where there is none
    New,
    /// Save the secret key: whoever has it is this node
    Export {
        /// File to create, readable by you only
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Restore an identity where there is none
    Import {
        /// File made by `id export`; `-` is stdin
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}
