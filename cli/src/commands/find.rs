//! `p2pnode find`: through the directory, not only among neighbours.

use std::time::Duration;

use p2pnode::{ErrorCode, Found, Query};
use serde_json::Value;

use crate::{
    args::look::Find,
    connect::{self, Session, Want},
    context::Ctx,
    error::CliError,
    output::{
        peers::{found_json, found_table},
        render::count,
    },
};

/// Without `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Finds and lists; nobody is exit 5.
pub(super) async fn run(ctx: &Ctx, args: &Find) -> Result<(), CliError> {
    if args.text.is_none() && args.cap.is_none() && args.name.is_none() && args.role.is_none() {
        return Err(CliError::usage("say what to find: words, --cap, --name or --role")
            .try_this("p2pnode find --cap code-review --swarm garden"));
    }
    connect::with(ctx, Want::All(None), None, async |session| {
        let query = Query {
            capability: args.cap.clone(),
            name: args.name.clone(),
            role: args.role.clone(),
            text: args.text.clone(),
            limit: args.limit as usize,
        };
        let found = async { Ok(session.node().find(query).await?) };
        let mut found: Vec<Found> = ctx.guard(Some(TIMEOUT), found).await?;
        found.retain(|found| found.peer.swarms.iter().any(|swarm| session.covers(swarm)));
        if found.is_empty() {
            return Err(none(session, args));
        }
        let data: Value = found.iter().map(found_json).collect();
        ctx.answer(data, session.meta(), || table(ctx, &found, args.wide))
    })
    .await
}

fn table(ctx: &Ctx, found: &[Found], wide: bool) -> String {
    let width = (!wide).then_some(ctx.out.width);
    let table = found_table(found, ctx.out.glyphs).render(width, ctx.out.style, ctx.out.glyphs.cut);
    format!("{table}\n{}", count(found.len(), "peer", "peers"))
}

fn none(session: &Session, args: &Find) -> CliError {
    let wanted = [("", &args.text), ("capability ", &args.cap), ("name ", &args.name), ("role ", &args.role)];
    let wanted: Vec<String> =
        wanted.into_iter().filter_map(|(what, value)| Some(format!("{what}\"{}\"", value.as_ref()?))).collect();
    let message = format!("nobody fits {}", wanted.join(" and "));
    let peers = session.peers();
    let known = peers.iter().flat_map(|peer| peer.capabilities.iter().map(|capability| capability.name.as_str()));
    let near = args.cap.as_ref().map(|cap| p2pnode::near(cap, known)).unwrap_or_default();
    let error = CliError::of(ErrorCode::NotFound, message);
    let error = near.first().into_iter().fold(error, |error, near| error.maybe(format!("did you mean \"{near}\"?")));
    crate::connect::looked(error, session.node(), None).try_also("p2pnode peers", "who can be seen")
}
