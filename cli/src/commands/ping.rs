//! `p2pnode ping`: round trips, and over which path.

use std::time::Duration;

use p2pnode::{CallError, Pong};
use serde_json::json;

use crate::{
    args::reach::Ping,
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, node::about},
    output::{
        json::millis,
        peers::{name, path_json, reference},
        render::{duration, short_id},
    },
};

/// Tries until one comes back, if no number is given.
const TRIES: u32 = 10;

/// Time for one.
const ONE: Duration = Duration::from_secs(5);

/// Pings and sums up. No answer at all is exit 6.
pub(super) async fn run(ctx: &Ctx, args: &Ping) -> Result<u8, CliError> {
    let outcome =
        connect::with(ctx, Want::All(None), Some(&args.target), async |session| pings(ctx, session, args).await);
    match outcome.await {
        // The lines of a stream end with a summary, also when it did not begin.
        Err(error) if ctx.out.is_json() && error.exit() != 0 => {
            summary(ctx, 0, &[], Some(&error))?;
            Ok(error.exit())
        }
        other => other,
    }
}

async fn pings(ctx: &Ctx, session: &Session, args: &Ping) -> Result<u8, CliError> {
    let (mut sent, mut spans, mut last) = (0, Vec::new(), None);
    while sent < args.count.unwrap_or(TRIES) {
        sent += 1;
        match ctx.guard(None, one(session, &args.target)).await {
            Ok(Ok(pong)) => {
                spans.push(pong.rtt);
                tell(ctx, &pong)?;
                if args.count.is_none() && pong.path.as_ref().is_none_or(|path| path.kind == "direct") {
                    break;
                }
            }
            // Waiting does not help against a wrong name.
            Ok(Err(error)) if matches!(error, CallError::Target(_)) => {
                return Err(about(session.node(), &args.target, error));
            }
            Ok(Err(error)) => last = Some(CliError::from(error)),
            Err(error) => {
                last = Some(error);
                break;
            }
        }
        if sent < args.count.unwrap_or(TRIES) && ctx.guard(None, pause(args.interval)).await.is_err() {
            break;
        }
    }
    let stopped = ctx.stop.code().map(CliError::interrupted);
    let error = stopped.or_else(|| last.filter(|_| spans.is_empty()));
    summary(ctx, sent, &spans, error.as_ref())?;
    match error {
        Some(error) if ctx.out.is_json() => Ok(error.exit()),
        Some(error) => Err(error),
        None => Ok(0),
    }
}

async fn pause(interval: Duration) -> Result<(), CliError> {
    tokio::time::sleep(interval).await;
    Ok(())
}

async fn one(session: &Session, target: &str) -> Result<Result<Pong, CallError>, CliError> {
    match tokio::time::timeout(ONE, session.node().ping(session.target(target))).await {
        Ok(outcome) => Ok(outcome),
        Err(_) => Err(CliError::timeout(ONE)),
    }
}

fn tell(ctx: &Ctx, pong: &Pong) -> Result<(), CliError> {
    let glyphs = ctx.out.glyphs;
    if ctx.out.is_json() {
        let path = pong.path.as_ref().map(path_json);
        return ctx.out.event("pong", json!({"peer": reference(&pong.peer), "rtt_ms": millis(pong.rtt), "path": path}));
    }
    let way = pong
        .path
        .as_ref()
        .map(|path| format!("{} {} ({})  ", path.kind, place(&path.addr.to_string()), path.transport));
    let id = short_id(&pong.peer.id.to_string(), glyphs.cut);
    let (who, way, rtt) = (name(&pong.peer, glyphs), way.unwrap_or_default(), duration(pong.rtt));
    ctx.out.line(&format!("pong from {who} ({id})  {way}{rtt}"))
}

/// `198.51.100.7:40112` of a multiaddr that has these parts, else the multiaddr.
fn place(addr: &str) -> String {
    crate::output::address::socket(addr).unwrap_or_else(|| addr.to_owned())
}

fn summary(ctx: &Ctx, sent: u32, spans: &[Duration], error: Option<&CliError>) -> Result<(), CliError> {
    let back = spans.len();
    let lost = (sent as usize).saturating_sub(back);
    let average = spans.iter().sum::<Duration>().checked_div(u32::try_from(back).unwrap_or(1)).unwrap_or_default();
    let (least, most) = (spans.iter().min().copied(), spans.iter().max().copied());
    if ctx.out.is_json() {
        let mut line = json!({
            "command": ctx.verb, "ok": error.is_none(), "exit": error.map_or(0, CliError::exit),
            "sent": sent, "back": back, "lost": lost,
            "min_ms": least.map(millis), "avg_ms": least.map(|_| millis(average)), "max_ms": most.map(millis),
        });
        if let Some(error) = error {
            line["error"] = error.to_json();
        }
        return ctx.out.event("summary", line);
    }
    let Some((least, most)) = least.zip(most) else { return Ok(()) };
    let times = format!("min {}  avg {}  max {}", duration(least), duration(average), duration(most));
    ctx.out.line(&format!("{sent} sent, {back} back, {lost} lost   {times}"))
}
