//! `p2pnode names`: who bears which name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use p2pnode::{ErrorCode, PinnedName};
use serde_json::{Value, json};

use super::mute::meta;
use crate::{
    args::{
        Verb,
        look::{Names, NamesVerb},
    },
    context::Ctx,
    control::not_running,
    error::CliError,
    output::{
        json::at_ms,
        render::{ago, count},
        style::Role,
        table::{Column, Table},
    },
};

/// Lists names, or lets one go.
pub(super) async fn run(ctx: &Ctx, args: &Names) -> Result<(), CliError> {
    let Some(daemon) = ctx.daemon.as_deref() else { return Err(not_running(&Verb::Names(args.clone()))) };
    match &args.verb {
        Some(NamesVerb::Forget { name }) => {
            let forgotten = daemon.node().forget_name(name).await?;
            if forgotten == 0 {
                let error = CliError::of(ErrorCode::NotFound, format!("nobody bears the name \"{name}\""));
                return Err(error.try_this("p2pnode names"));
            }
            ctx.answer(json!({"name": name, "forgotten": forgotten}), meta(ctx), || {
                format!("{name}: whoever comes next by that name bears it")
            })
        }
        None => {
            let names = daemon.node().names();
            let data: Value = names.iter().map(one).collect();
            ctx.answer(data, meta(ctx), || list(ctx, &names))
        }
    }
}

fn one(name: &PinnedName) -> Value {
    json!({
        "name": name.name, "swarm": name.swarm, "id": name.peer.to_string(),
        "first_seen": at_ms(name.first_ms), "last_seen": at_ms(name.last_ms),
    })
}

fn list(ctx: &Ctx, names: &[PinnedName]) -> String {
    let mut table = Table::new(&[
        Column::new("NAME").flexible(),
        Column::new("SWARM").optional(2),
        Column::new("ID"),
        Column::new("FIRST SEEN").optional(1),
        Column::new("SEEN"),
    ]);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = |at: u64| ago(now.saturating_sub(Duration::from_millis(at)));
    for name in names {
        table.row([
            (name.name.clone(), Some(Role::Name)),
            (name.swarm.clone(), None),
            (name.peer.to_string(), None),
            (age(name.first_ms), None),
            (age(name.last_ms), None),
        ]);
    }
    let rows = table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut);
    format!("{rows}\n{}", count(names.len(), "name", "names"))
}
