//! Lookups in the directory.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use p2pnode::wire::{ids::SwarmId, key};
use serde_json::json;

use super::{drive, tally::grouped};
use crate::{
    args::bench::Dht,
    connect::{self, Want},
    context::Ctx,
    error::CliError,
};

pub(super) async fn run(ctx: &Ctx, args: &Dht) -> Result<u8, CliError> {
    connect::with(ctx, Want::One(args.bench_swarm.as_deref()), None, async |session| {
        ctx.guard(None, async {
            session.discovered().await;
            Ok(())
        })
        .await?;
        let dht = session.node().dht();
        let known = ctx.guard(None, async { Ok(dht.table().await?) }).await?.len();
        if known == 0 {
            return Err(connect::looked(
                CliError::of(p2pnode::ErrorCode::TransportNoResponders, "nobody of the directory is seen from here"),
                session.node(),
                Some(session.swarm()),
            ));
        }
        let swarm = session.swarm().parse().map(|name| SwarmId::open(&name));
        let swarm = swarm.map_err(|error| CliError::usage(format!("swarm \"{}\": {error}", session.swarm())))?;
        if !ctx.out.is_json() {
            let (at, time) = (args.concurrency, args.length.words());
            let (name, peers) = (session.swarm(), crate::output::render::count(known, "peer", "peers"));
            ctx.out.line(&format!("dht {name}   {peers} in the table   {at} in flight   {time}   (closed loop)"))?;
        }
        // Another key for each lookup, and for each run.
        let salt = session.node().peer_id();
        let (requests, unanswered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counts = (requests.clone(), unanswered.clone());
        let one = move |number| {
            let (dht, counts, key) = (dht.clone(), counts.clone(), key::name(&swarm, &format!("{salt}/{number}")));
            async move {
                let found = dht.providers(&key).await?;
                counts.0.fetch_add(found.requests.into(), Ordering::Relaxed);
                counts.1.fetch_add(found.failures.into(), Ordering::Relaxed);
                Ok(())
            }
        };
        let measured = drive(ctx, args.length.pace(None), args.concurrency, one).await?;
        let (done, requests) = (measured.tally.done(), requests.load(Ordering::Relaxed));
        let unanswered = unanswered.load(Ordering::Relaxed);
        let each = if done == 0 { 0.0 } else { (requests as f64 / done as f64 * 100.0).round() / 100.0 };
        let fields = json!({
            "swarm": session.swarm(), "table": known, "loop": "closed", "in_flight": args.concurrency,
            "requests": requests, "unanswered": unanswered, "requests_per_lookup": each,
        });
        let exit = measured.tell(ctx, "dht", ("lookup", "lookups"), fields)?;
        if !ctx.out.is_json() {
            let (all, lost) = (grouped(requests), grouped(unanswered));
            ctx.out.line(&format!("  {each} requests a lookup, {all} in all, {lost} of them unanswered"))?;
        }
        Ok(exit)
    })
    .await
}
