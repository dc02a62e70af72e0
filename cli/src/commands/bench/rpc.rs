//! Calls of one endpoint.

use std::time::Duration;

use p2pnode::{IntoArgs as _, Value};
use serde_json::json;

use super::drive;
use crate::{
    args::bench::Rpc,
    connect::{self, Want},
    context::Ctx,
    error::{CliError, node::about},
    input,
    output::{
        escape_line,
        peers::{name, reference},
        render::size,
    },
};

/// For each call.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Callers, without `-c`.
const CALLERS: u32 = 8;

/// The same with `--rate`: a slow call should not keep the next from its time.
const CALLERS_AT_A_RATE: u32 = 256;

pub(super) async fn run(ctx: &Ctx, args: Rpc) -> Result<u8, CliError> {
    let arguments = match args.size {
        None => input::arguments(&[], &[])?,
        Some(size) => {
            let size = usize::try_from(size).ok().filter(|size| *size <= p2pnode::wire::limits::MAX_BODY);
            let size = size.ok_or_else(|| {
                CliError::usage(format!("--size: a call takes at most {} bytes", p2pnode::wire::limits::MAX_BODY))
            })?;
            vec![Value::Binary(vec![7; size])].into_args().map_err(CliError::usage)?
        }
    };
    connect::with(ctx, Want::All(None), Some(&args.target), async |session| {
        let (node, target) = (session.node().clone(), session.target(&args.target));
        let call = move |endpoint: String| {
            node.call::<Value>(target.clone(), endpoint, arguments.clone()).timeout(TIMEOUT).details()
        };
        // Finding and connecting are not what is measured; and what cannot work is told at once.
        let first =
            async { call(args.endpoint.clone()).await.map_err(|error| about(session.node(), &args.target, error)) };
        let first = ctx.guard(None, first).await?;
        let workers = args.concurrency.unwrap_or(if args.rate.is_some() { CALLERS_AT_A_RATE } else { CALLERS });
        let body = args.size.map(|bytes| format!(" {}", size(usize::try_from(bytes).unwrap_or(usize::MAX))));
        let (pace, at) = match args.rate {
            None => ("closed", format!("{workers} in flight")),
            Some(rate) => ("open", format!("due {rate} times a second, at most {workers} in flight")),
        };
        if !ctx.out.is_json() {
            let (endpoint, body) = (escape_line(&args.endpoint), body.unwrap_or_default());
            let (who, time) = (name(&first.peer, ctx.out.glyphs), args.length.words());
            ctx.out.line(&format!("rpc {endpoint}{body}   {who}   {at}   {time}   ({pace} loop)"))?;
        }
        let endpoint = args.endpoint.clone();
        let one = move |_| {
            let call = call(endpoint.clone());
            async { call.await.map(drop).map_err(CliError::from) }
        };
        let measured = drive(ctx, args.length.pace(args.rate), workers, one).await?;
        let fields = json!({
            "peer": reference(&first.peer), "endpoint": args.endpoint, "size": args.size, "loop": pace,
            "in_flight": workers, "rate_wanted": args.rate,
        });
        measured.tell(ctx, "rpc", ("call", "calls"), fields)
    })
    .await
}
