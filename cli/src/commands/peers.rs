//! `p2pnode peers`: everybody who can be seen from here.

use crate::{
    args::look::Peers,
    connect::{self, Want},
    context::Ctx,
    error::CliError,
    listing,
};

/// Lists the members of all swarms there are, or of the named one.
pub(super) async fn run(ctx: &Ctx, args: &Peers) -> Result<(), CliError> {
    connect::with(ctx, Want::All(None), None, async |session| {
        let peers = ctx.guard(None, listing::look(session, &args.listing)).await?;
        if peers.is_empty() && session.swarms().is_empty() {
            ctx.out.note(&format!(
                "no swarm can be seen from here: looked at {}",
                crate::output::looked::text(&connect::looked_of(session.node()), None)
            ));
        }
        listing::show(ctx, session, &peers, &args.listing)
    })
    .await
}
