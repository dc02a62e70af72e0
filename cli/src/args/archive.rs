//! `p2pnode export` and `import`.

use std::path::PathBuf;

use clap::Args;

/// Save a whole profile in one file: identity, history, messages, schedules
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode export backup.tar
  p2pnode -P reviewer export - | ssh board p2pnode import -

Works while the node runs. It is a tar file; only you can read it. Keep it like a password: whoever has it is this node. \
Two copies of one identity must not run at once. With --without-key it goes beside a key that was saved by `p2pnode id export`.")]
pub(crate) struct Export {
    /// File to create; `-` is stdout
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Leave the secret key out
    #[arg(long)]
    pub(crate) without_key: bool,
}

/// Restore a profile from a file of `export`, where there is none
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  p2pnode import backup.tar
  p2pnode import backup.tar --profile reviewer

The profile is called as it was unless --profile says otherwise. Nothing changes unless all of the file is whole. Where it was \
left without its key, restore that first: `p2pnode id import KEY --profile NAME`. Stop the node it was saved from: two copies of \
one identity must not run at once.")]
pub(crate) struct Import {
    /// File made by `export`; `-` is stdin
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}
