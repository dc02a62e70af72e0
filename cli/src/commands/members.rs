//! `p2pnode members`: the peers of one swarm.

use crate::{
    args::look::Members,
    connect::{self, Want},
    context::Ctx,
    error::{CliError, node},
    listing,
};

/// Lists the members of a swarm. A swarm without members is one that nobody answers for.
pub(super) async fn run(ctx: &Ctx, args: &Members) -> Result<(), CliError> {
    connect::with(ctx, Want::One(args.swarm.as_deref()), None, async |session| {
        let peers = ctx.guard(None, listing::look(session, &args.listing)).await?;
        let swarm = session.swarm();
        if session.peers().iter().all(|peer| peer.ephemeral) {
            let message = format!("nobody can be seen in swarm \"{swarm}\"");
            return Err(node::nobody(session.node(), swarm, message, |near| format!("p2pnode members {near}")));
        }
        listing::show(ctx, session, &peers, &args.listing)
    })
    .await
}
