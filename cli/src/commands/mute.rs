//! `p2pnode mute` and `unmute`: whose events and messages start no program.

use p2pnode::{MuteError, Mutes};
use serde_json::json;

use crate::{
    args::{Verb, talk::Mute},
    context::Ctx,
    control::not_running,
    error::CliError,
    output::{
        json::{Meta, millis},
        peers::{name, reference},
    },
};

/// Mutes one, or lists who is muted.
pub(super) async fn mute(ctx: &Ctx, args: &Mute) -> Result<(), CliError> {
    let mutes = mutes(ctx, || Verb::Mute(args.clone()))?;
    match &args.peer {
        Some(peer) => {
            let (peer, changed) = mutes.add(peer.as_str()).await?;
            told(ctx, peer, changed, if changed { "muted" } else { "muted already" })
        }
        None => {
            let muted = mutes.list().await?;
            let ids: Vec<String> = muted.iter().map(ToString::to_string).collect();
            ctx.answer(json!(ids), meta(ctx), || match ids.is_empty() {
                true => "nobody is muted".to_owned(),
                false => ids.join("\n"),
            })
        }
    }
}

/// Hears one again.
pub(super) async fn unmute(ctx: &Ctx, args: &Mute) -> Result<(), CliError> {
    let mutes = mutes(ctx, || Verb::Unmute(args.clone()))?;
    let Some(peer) = &args.peer else { return Err(CliError::usage("unmute whom?").try_this("p2pnode mute")) };
    let (peer, changed) = mutes.remove(peer.as_str()).await?;
    told(ctx, peer, changed, if changed { "heard again" } else { "was not muted" })
}

fn mutes(ctx: &Ctx, verb: impl Fn() -> Verb) -> Result<Mutes, CliError> {
    ctx.daemon.as_ref().and_then(|daemon| daemon.node().mutes()).ok_or_else(|| not_running(&verb()))
}

fn told(ctx: &Ctx, peer: p2pnode::PeerId, changed: bool, words: &str) -> Result<(), CliError> {
    let known = ctx.daemon.as_ref().and_then(|daemon| daemon.node().peers().into_iter().find(|one| one.id == peer));
    let who = known.map_or_else(|| p2pnode::PeerRef { id: peer, name: String::new() }, |known| known.to_ref());
    let data = json!({"peer": reference(&who), "changed": changed});
    ctx.answer(data, meta(ctx), || format!("{}: {words}", name(&who, ctx.out.glyphs)))
}

fn meta(ctx: &Ctx) -> Meta {
    Meta::from([("via", json!("daemon")), ("elapsed_ms", millis(ctx.started.elapsed()))])
}

impl From<MuteError> for CliError {
    fn from(error: MuteError) -> Self {
        match error {
            MuteError::Target(error) => error.into(),
            MuteError::Store(error) => error.into(),
            other => Self::internal(other.to_string()),
        }
    }
}
