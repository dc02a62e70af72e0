//! `p2pnode ping`: round trips, and over which path.

use std::time::{Duration, Instant};

use p2pnode::{CallError, Path, Pong};
use serde_json::json;

use crate::{
    args::reach::Ping,
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, exit, node::about},
    output::{
        escape_line,
        json::millis,
        peers::{name, path_json, reference},
        render::{duration, seconds, short_id},
        style::Glyphs,
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
            Tally::default().summary(ctx, Some(&error))?;
            Ok(error.exit())
        }
        other => other,
    }
}

/// What has come back so far.
#[derive(Default)]
struct Tally {
    sent: u32,
    spans: Vec<Duration>,
    /// When the first one came, over a relay.
    relayed: Option<Instant>,
    /// How long after that one came over a direct connection.
    direct_after: Option<Duration>,
    /// Whether the last one came over a direct connection.
    direct: bool,
    /// Why not.
    not_direct: Option<String>,
}

impl Tally {
    fn count(&mut self, pong: &Pong) {
        self.spans.push(pong.rtt);
        self.direct = pong.path.as_ref().is_none_or(|path| path.relay.is_none());
        self.not_direct.clone_from(&pong.not_direct);
        match (self.direct, self.relayed) {
            (false, None) => self.relayed = Some(Instant::now()),
            (true, Some(since)) => drop(self.direct_after.get_or_insert_with(|| since.elapsed())),
            _ => {}
        }
    }

    /// Not met although it was required.
    fn check(&self, args: &Ping) -> Option<CliError> {
        let missed = args.require_direct && !self.direct && !self.spans.is_empty();
        missed.then(|| {
            let why = self.not_direct.as_deref().unwrap_or("it was not tried, or not to the end");
            CliError::new("not_direct", exit::CHECK, format!("there is no direct connection, only a relay: {why}"))
                .try_also("p2pnode netcheck", "what the routers do")
        })
    }
}

async fn pings(ctx: &Ctx, session: &Session, args: &Ping) -> Result<u8, CliError> {
    let (mut tally, mut last) = (Tally::default(), None);
    let until_direct = args.count.is_none() || args.until_direct || args.require_direct;
    while tally.sent < args.count.unwrap_or(TRIES) {
        tally.sent += 1;
        match ctx.guard(None, one(session, &args.target)).await {
            Ok(Ok(pong)) => {
                tally.count(&pong);
                tell(ctx, &pong)?;
                if until_direct && tally.direct {
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
        if tally.sent < args.count.unwrap_or(TRIES) && ctx.guard(None, pause(args.interval)).await.is_err() {
            break;
        }
    }
    let stopped = ctx.stop.code().map(CliError::interrupted);
    let error = stopped.or_else(|| last.filter(|_| tally.spans.is_empty())).or_else(|| tally.check(args));
    tally.summary(ctx, error.as_ref())?;
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
        let (peer, rtt_ms) = (reference(&pong.peer), millis(pong.rtt));
        let pong = json!({"peer": peer, "rtt_ms": rtt_ms, "path": path, "not_direct": pong.not_direct});
        return ctx.out.event("pong", pong);
    }
    let way = pong.path.as_ref().map(|path| format!("{}  ", way(path, glyphs)));
    let id = short_id(&pong.peer.id.to_string(), glyphs.cut);
    let (who, way, rtt) = (name(&pong.peer, glyphs), way.unwrap_or_default(), duration(pong.rtt));
    ctx.out.line(&format!("pong from {who} ({id})  {way}{rtt}"))
}

/// `via relay 12D3KooWRl…`, or `direct 198.51.100.7:40112 (quic, hole-punched)`.
fn way(path: &Path, glyphs: Glyphs) -> String {
    let addr = path.addr.to_string();
    if path.kind == "relay" {
        let relay = path.relay.map(|relay| short_id(&relay.to_string(), glyphs.cut));
        return format!("via relay {}", relay.unwrap_or_else(|| place(&addr)));
    }
    let punched = if path.hole_punched { ", hole-punched" } else { "" };
    format!("{} {} ({}{punched})", path.kind, place(&addr), path.transport)
}

/// `198.51.100.7:40112` of a multiaddr that has these parts, else the multiaddr.
fn place(addr: &str) -> String {
    crate::output::address::socket(addr).unwrap_or_else(|| addr.to_owned())
}

impl Tally {
    fn summary(&self, ctx: &Ctx, error: Option<&CliError>) -> Result<(), CliError> {
        let Self { sent, spans, .. } = self;
        let back = spans.len();
        let lost = (*sent as usize).saturating_sub(back);
        let average = spans.iter().sum::<Duration>().checked_div(u32::try_from(back).unwrap_or(1)).unwrap_or_default();
        let (least, most) = (spans.iter().min().copied(), spans.iter().max().copied());
        if ctx.out.is_json() {
            let mut line = json!({
                "command": ctx.verb, "ok": error.is_none(), "exit": error.map_or(0, CliError::exit),
                "sent": sent, "back": back, "lost": lost,
                "min_ms": least.map(millis), "avg_ms": least.map(|_| millis(average)), "max_ms": most.map(millis),
                "direct": !spans.is_empty() && self.direct, "direct_after_ms": self.direct_after.map(millis),
            });
            if let Some(error) = error {
                line["error"] = error.to_json();
            }
            return ctx.out.event("summary", line);
        }
        let Some((least, most)) = least.zip(most) else { return Ok(()) };
        let times = format!("min {}  avg {}  max {}", duration(least), duration(average), duration(most));
        let direct = match (self.direct_after, &self.not_direct) {
            (Some(after), _) => format!("   direct after {}", seconds(after)),
            (None, Some(why)) if !self.direct => format!("   not direct: {}", escape_line(why)),
            _ => String::new(),
        };
        ctx.out.line(&format!("{sent} sent, {back} back, {lost} lost   {times}{direct}"))
    }
}
