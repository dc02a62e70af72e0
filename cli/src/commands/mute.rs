//! `p2pnode mute` and `unmute`: whose events and messages start no program. `block` and `unblock`: with whom the node has
//! nothing to do.

use p2pnode::{Blocks, Mutes, PeerListError};
use serde_json::json;

use crate::{
    args::{
        Verb,
        talk::{Block, Mute},
    },
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
        None => list(ctx, &mutes.list().await?, "nobody is muted"),
    }
}

/// Hears one again.
pub(super) async fn unmute(ctx: &Ctx, args: &Mute) -> Result<(), CliError> {
    let mutes = mutes(ctx, || Verb::Unmute(args.clone()))?;
    let Some(peer) = &args.peer else { return Err(CliError::usage("unmute whom?").try_this("p2pnode mute")) };
    let (peer, changed) = mutes.remove(peer.as_str()).await?;
    told(ctx, peer, changed, if changed { "heard again" } else { "was not muted" })
}

/// Blocks one, or lists who is blocked.
pub(super) async fn block(ctx: &Ctx, args: &Block) -> Result<(), CliError> {
    let blocks = blocks(ctx, || Verb::Block(args.clone()))?;
    match &args.peer {
        Some(peer) => {
            let (peer, changed) = blocks.add(peer.as_str()).await?;
            told(ctx, peer, changed, if changed { "blocked" } else { "blocked already" })
        }
        None => list(ctx, &blocks.list().await?, "nobody is blocked"),
    }
}

/// Lets one be again.
pub(super) async fn unblock(ctx: &Ctx, args: &Block) -> Result<(), CliError> {
    let blocks = blocks(ctx, || Verb::Unblock(args.clone()))?;
    let Some(peer) = &args.peer else { return Err(CliError::usage("unblock whom?").try_this("p2pnode block")) };
    let (peer, changed) = blocks.remove(peer.as_str()).await?;
    told(ctx, peer, changed, if changed { "no longer blocked" } else { "was not blocked" })
}

fn list(ctx: &Ctx, peers: &[p2pnode::PeerId], none: &str) -> Result<(), CliError> {
    let ids: Vec<String> = peers.iter().map(ToString::to_string).collect();
    ctx.answer(json!(ids), meta(ctx), || if ids.is_empty() { none.to_owned() } else { ids.join("\n") })
}

fn blocks(ctx: &Ctx, verb: impl Fn() -> Verb) -> Result<Blocks, CliError> {
    ctx.daemon.as_ref().and_then(|daemon| daemon.node().blocks()).ok_or_else(|| not_running(&verb()))
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

pub(super) fn meta(ctx: &Ctx) -> Meta {
    Meta::from([("via", json!("daemon")), ("elapsed_ms", millis(ctx.started.elapsed()))])
}

impl From<PeerListError> for CliError {
    fn from(error: PeerListError) -> Self {
        match error {
            PeerListError::Target(error) => error.into(),
            PeerListError::Store(error) => error.into(),
            PeerListError::Own => Self::usage("a node does not block itself").try_this("p2pnode down"),
            other => Self::internal(other.to_string()),
        }
    }
}
