//! `p2pnode mute` and `unmute`: whose events and messages start no program. `block` and `unblock`: with whom the node has
//! nothing to do.

use p2pnode::{Blocks, Mutes, PeerListError, PeerRef};
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
        style::Role,
        table::{Column, Table},
    },
};

/// Mutes one, or lists who is muted.
pub(super) async fn mute(ctx: &Ctx, args: &Mute) -> Result<(), CliError> {
    let mutes = mutes(ctx, || Verb::Mute(args.clone()))?;
    match &args.peer {
        Some(peer) => {
            let (peer, changed) = mutes.add(peer.as_str()).await?;
            told(ctx, &peer, changed, if changed { "muted" } else { "muted already" })
        }
        None => list(ctx, &mutes.list().await?, "nobody is muted"),
    }
}

/// Hears one again.
pub(super) async fn unmute(ctx: &Ctx, args: &Mute) -> Result<(), CliError> {
    let mutes = mutes(ctx, || Verb::Unmute(args.clone()))?;
    let Some(peer) = &args.peer else { return Err(CliError::usage("unmute whom?").try_this("p2pnode mute")) };
    let (peer, changed) = mutes.remove(peer.as_str()).await?;
    told(ctx, &peer, changed, if changed { "heard again" } else { "was not muted" })
}

/// Blocks one, or lists who is blocked.
pub(super) async fn block(ctx: &Ctx, args: &Block) -> Result<(), CliError> {
    let blocks = blocks(ctx, || Verb::Block(args.clone()))?;
    match &args.peer {
        Some(peer) => {
            let (peer, changed) = blocks.add(peer.as_str()).await?;
            told(ctx, &peer, changed, if changed { "blocked" } else { "blocked already" })
        }
        None => list(ctx, &blocks.list().await?, "nobody is blocked"),
    }
}

/// Lets one be again.
pub(super) async fn unblock(ctx: &Ctx, args: &Block) -> Result<(), CliError> {
    let blocks = blocks(ctx, || Verb::Unblock(args.clone()))?;
    let Some(peer) = &args.peer else { return Err(CliError::usage("unblock whom?").try_this("p2pnode block")) };
    let (peer, changed) = blocks.remove(peer.as_str()).await?;
    told(ctx, &peer, changed, if changed { "no longer blocked" } else { "was not blocked" })
}

fn list(ctx: &Ctx, peers: &[PeerRef], none: &str) -> Result<(), CliError> {
    let data: Vec<_> = peers.iter().map(reference).collect();
    ctx.answer(json!(data), meta(ctx), || {
        if peers.is_empty() {
            return none.to_owned();
        }
        let mut table = Table::new(&[Column::new("NAME").flexible(), Column::new("ID")]);
        for peer in peers {
            let known = Some(peer).filter(|peer| !peer.name.is_empty());
            let name = known.map_or_else(|| ctx.out.glyphs.unknown.to_owned(), |peer| name(peer, ctx.out.glyphs));
            table.row([(name, Some(Role::Name)), (peer.id.to_string(), None)]);
        }
        table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut)
    })
}

fn blocks(ctx: &Ctx, verb: impl Fn() -> Verb) -> Result<Blocks, CliError> {
    ctx.daemon.as_ref().and_then(|daemon| daemon.node().blocks()).ok_or_else(|| not_running(&verb()))
}

fn mutes(ctx: &Ctx, verb: impl Fn() -> Verb) -> Result<Mutes, CliError> {
    ctx.daemon.as_ref().and_then(|daemon| daemon.node().mutes()).ok_or_else(|| not_running(&verb()))
}

fn told(ctx: &Ctx, peer: &PeerRef, changed: bool, words: &str) -> Result<(), CliError> {
    let data = json!({"peer": reference(peer), "changed": changed});
    ctx.answer(data, meta(ctx), || format!("{}: {words}", name(peer, ctx.out.glyphs)))
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
