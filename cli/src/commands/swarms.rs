//! `p2pnode swarms`: what is near.

use p2pnode::{PeerState, SwarmSeen};
use serde_json::{Value, json};

use crate::{
    args::look::{SCAN, Swarms},
    connect::{self, Want},
    context::Ctx,
    error::CliError,
    output::{
        json::at_age,
        looked,
        render::ago,
        style::Role,
        table::{Column, Table},
    },
};

/// Looks around and lists the swarms that let themselves be seen.
pub(super) async fn run(ctx: &Ctx, args: &Swarms) -> Result<(), CliError> {
    connect::with(ctx, Want::Nowhere, None, async |session| {
        let node = session.node();
        // All of the time: who answers late is near, too. A node that runs anyway has looked around before.
        let scan = async {
            match session.is_borrowed() && args.scan == SCAN {
                true => session.discovered().await,
                false => tokio::time::sleep(args.scan).await,
            }
            Ok(())
        };
        ctx.guard(None, scan).await?;
        let mut seen = node.swarms_seen();
        // It has also seen many that have gone; of its own swarms it knows who is there.
        for swarm in seen.iter_mut().filter(|swarm| session.is_borrowed() && swarm.joined) {
            let members = node.members(&swarm.name);
            swarm.nodes = 1 + members.iter().filter(|peer| !peer.ephemeral && peer.state == PeerState::Online).count();
        }
        seen.sort_by(|a, b| a.name.cmp(&b.name));
        if seen.is_empty() {
            ctx.out.note(&format!(
                "no swarm can be seen from here: looked at {}",
                looked::text(&connect::looked_of(node), None)
            ));
        }
        let data: Value = seen.iter().map(to_json).collect();
        ctx.answer(data, session.meta(), || if seen.is_empty() { String::new() } else { table(ctx, &seen) })
    })
    .await
}

fn to_json(swarm: &SwarmSeen) -> Value {
    json!({
        "name": swarm.name,
        "nodes": swarm.nodes,
        "mode": "open",
        "seen_by": swarm.seen_by,
        "joined": swarm.joined,
        "last_seen": at_age(swarm.last_seen),
    })
}

fn table(ctx: &Ctx, seen: &[SwarmSeen]) -> String {
    let mut table = Table::new(&[
        Column::new("SWARM"),
        Column::new("NODES").right(),
        Column::new("MODE"),
        Column::new("SEEN BY").optional(1),
        Column::new("LAST"),
    ]);
    for swarm in seen {
        table.row([
            (swarm.name.clone(), Some(Role::Name)),
            (swarm.nodes.to_string(), None),
            ("open".to_owned(), None),
            (swarm.seen_by.join(" "), None),
            (ago(swarm.last_seen), None),
        ]);
    }
    table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut)
}
