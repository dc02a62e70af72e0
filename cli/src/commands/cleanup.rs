//! `p2pnode history cleanup`: says what goes, and removes just that.

use std::time::Duration;

use p2pnode::{Retention, Surplus};
use serde_json::{Value, json};

use super::kept::Kept;
use crate::{
    args::history::Cleanup,
    context::Ctx,
    error::CliError,
    output::{
        json::at_ms,
        peers::{name, reference},
        render::{again, count, size},
        table::{Column, Table},
    },
};

/// Through the node that runs: what it tells others that it keeps has to stay true.
pub(super) async fn run(ctx: &Ctx, args: &Cleanup) -> Result<(), CliError> {
    if args.older_than.is_none() && args.max_size.is_none() {
        return Err(CliError::usage("say what goes: older_than, max_size, or both"));
    }
    if !args.dry_run && !args.yes {
        return Err(unasked());
    }
    let kept = Kept::open(ctx).await?;
    let limits = Retention {
        age: args.older_than.unwrap_or(Duration::MAX),
        bytes: args.max_size.unwrap_or(u64::MAX),
        events: u64::MAX,
    };
    let mut surplus = kept.history.surplus(limits).await?;
    for own in surplus.iter_mut().filter(|one| one.author.id == kept.own.id) {
        own.author = kept.own.clone();
    }
    let data = json!({
        "removed": !args.dry_run, "events": events(&surplus), "bytes": bytes(&surplus),
        "feeds": surplus.iter().map(feed_json).collect::<Vec<_>>(),
    });
    if !surplus.is_empty() && !ctx.out.is_json() {
        ctx.out.line(&table(ctx, &surplus))?;
    }
    if !args.dry_run && !surplus.is_empty() {
        kept.history.cleanup(surplus.clone()).await?;
    }
    ctx.answer(data, kept.meta(ctx), || sum(&surplus, args.dry_run))
}

/// There is nobody to ask here.
pub(crate) fn unasked() -> CliError {
    CliError::usage("this removes events for good, and there is no terminal to ask in")
        .try_also(again("", "--dry-run"), "what would go")
        .try_also(again("", "--yes"), "remove it")
}

fn events(surplus: &[Surplus]) -> u64 {
    surplus.iter().map(|one| one.events).sum()
}

fn bytes(surplus: &[Surplus]) -> u64 {
    surplus.iter().map(|one| one.bytes).sum()
}

fn feed_json(one: &Surplus) -> Value {
    json!({
        "swarm": one.swarm, "author": reference(&one.author), "events": one.events, "bytes": one.bytes,
        "until": at_ms(one.until_ms),
    })
}

fn table(ctx: &Ctx, surplus: &[Surplus]) -> String {
    let mut table = Table::new(&[
        Column::new("SWARM").flexible(),
        Column::new("AUTHOR").flexible(),
        Column::new("EVENTS").right(),
        Column::new("SIZE").right(),
        Column::new("UNTIL"),
    ]);
    for one in surplus {
        table.row([
            (one.swarm.clone(), None),
            (name(&one.author, ctx.out.glyphs), None),
            (one.events.to_string(), None),
            (size(usize::try_from(one.bytes).unwrap_or(usize::MAX)), None),
            (ctx.out.time(one.until_ms, "%Y-%m-%d %H:%M"), None),
        ]);
    }
    table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut)
}

fn sum(surplus: &[Surplus], dry: bool) -> String {
    let all = count(usize::try_from(events(surplus)).unwrap_or(usize::MAX), "event", "events");
    let size = size(usize::try_from(bytes(surplus)).unwrap_or(usize::MAX));
    match (surplus.is_empty(), dry) {
        (true, _) => "nothing to remove".to_owned(),
        (false, true) => format!("{all} ({size}) would go"),
        (false, false) => format!("{all} ({size}) removed"),
    }
}
