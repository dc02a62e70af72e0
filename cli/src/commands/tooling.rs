//! `completions` and `version`.

use std::env::consts;

use clap_complete::Shell;
use serde_json::json;

use crate::{args, context::Ctx, error::CliError};

/// Prints a completion script.
pub(super) fn completions(ctx: &Ctx, shell: Shell) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::tree(), "p2pnode", &mut script);
    let script = String::from_utf8_lossy(&script);
    let data = json!({"shell": shell.to_string(), "script": script});
    ctx.answer(data, ctx.meta(), || script.trim_end().to_owned())
}

/// Prints the version.
pub(super) fn version(ctx: &Ctx) -> Result<(), CliError> {
    let version = env!("CARGO_PKG_VERSION");
    let target = format!("{}/{}", consts::OS, consts::ARCH);
    ctx.answer(json!({"version": version, "target": target}), ctx.meta(), || format!("p2pnode {version} ({target})"))
}
