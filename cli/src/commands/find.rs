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
    let query = query(args)?;
    connect::with(ctx, Want::All(None), None, async |session| {
        let query = query.clone();
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

fn query(args: &Find) -> Result<Query, CliError> {
    let words = args.text.as_deref().unwrap_or_default().split_whitespace().count();
    if args.text.is_some() && words == 0 || words > Query::WORDS {
        let text = format!("{words} words to look for; 1 to {} can be", Query::WORDS);
        return Err(CliError::usage(text).try_this("p2pnode find \"review rust\""));
    }
    let query = Query {
        text: args.text.clone(),
        capabilities: args.cap.clone(),
        skill: args.skill.clone(),
        name: args.name.clone(),
        role: args.role.clone(),
        team: args.team.clone(),
        swarm: None,
        available: args.available,
        limit: args.limit as usize,
    };
    if query == (Query { limit: query.limit, ..Query::default() }) {
        let text = "say what to find: words, --cap, --skill, --name, --role, --team or --available";
        return Err(CliError::usage(text).try_this("p2pnode find --cap code-review --swarm garden"));
    }
    Ok(query)
}

fn table(ctx: &Ctx, found: &[Found], wide: bool) -> String {
    let width = (!wide).then_some(ctx.out.width);
    let table = found_table(found, ctx.out.glyphs).render(width, ctx.out.style, ctx.out.glyphs.cut);
    format!("{table}\n{}", count(found.len(), "peer", "peers"))
}

fn none(session: &Session, args: &Find) -> CliError {
    let wanted = [("", &args.text), ("skill ", &args.skill), ("name ", &args.name), ("role ", &args.role)];
    let wanted =
        wanted.into_iter().chain([("team ", &args.team)]).filter_map(|(what, one)| Some((what, one.as_ref()?)));
    let wanted = wanted.chain(args.cap.iter().map(|cap| ("capability ", cap)));
    let mut wanted: Vec<String> = wanted.map(|(what, value)| format!("{what}\"{value}\"")).collect();
    wanted.extend(args.available.then(|| "\"available\"".to_owned()));
    let message = format!("nobody fits {}", wanted.join(" and "));
    let peers = session.peers();
    let known = peers.iter().flat_map(|peer| peer.capabilities.iter().map(|capability| capability.name.as_str()));
    let near = args.cap.first().map(|cap| p2pnode::near(cap, known)).unwrap_or_default();
    let error = CliError::of(ErrorCode::NotFound, message);
    let error = near.first().into_iter().fold(error, |error, near| error.maybe(format!("did you mean \"{near}\"?")));
    crate::connect::looked(error, session.node(), None).try_also("p2pnode peers", "who can be seen")
}
