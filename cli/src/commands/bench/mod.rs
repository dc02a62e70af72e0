//! `p2pnode bench`: how fast calls, gossip and the directory are from here.

mod dht;
mod gossip;
mod pace;
mod rpc;
mod tally;

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use self::{
    pace::Pace,
    tally::{Tally, grouped},
};
use crate::{
    args::bench::{Bench, Length, Verb},
    context::Ctx,
    error::CliError,
    output::json::millis,
};

/// Without `-z` and `-n`.
const DURATION: Duration = Duration::from_secs(10);

/// Between two lines of progress, for programs.
const PROGRESS: Duration = Duration::from_secs(1);

/// A worker rests so long after a failure: who is gone is not asked as fast as it can be refused.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// Measures. All failed is the exit code of the last failure.
pub(super) async fn run(ctx: &Ctx, args: Bench) -> Result<u8, CliError> {
    let bench = args.verb.name();
    let outcome = match args.verb {
        Verb::Rpc(args) => rpc::run(ctx, args).await,
        Verb::Gossip(args) => gossip::run(ctx, &args).await,
        Verb::Dht(args) => dht::run(ctx, &args).await,
    };
    match outcome {
        // The lines of a stream end with a summary, also when it did not begin.
        Err(error) if ctx.out.is_json() && error.exit() != 0 => {
            Measured::default().summary(ctx, bench, json!({}), Some(&error))?;
            Ok(error.exit())
        }
        other => other,
    }
}

impl Length {
    fn pace(&self, rate: Option<f64>) -> Pace {
        let time = self.duration.or_else(|| self.count.is_none().then_some(DURATION));
        Pace::new(Instant::now(), rate, time, self.count)
    }

    /// `10.0 s`, `100 times`
    fn words(&self) -> String {
        let time = self.duration.or_else(|| self.count.is_none().then_some(DURATION));
        let time = time.map(crate::output::render::seconds);
        let count = self.count.map(|count| format!("{} times", grouped(count.into())));
        [time, count].into_iter().flatten().collect::<Vec<_>>().join(", at most ")
    }
}

/// What came of it.
#[derive(Debug, Default)]
struct Measured {
    tally: Tally,
    elapsed: Duration,
    /// Why it failed last.
    last: Option<CliError>,
    /// It was ended early.
    stopped: Option<CliError>,
}

struct Shared {
    pace: Pace,
    tally: Tally,
    last: Option<CliError>,
    /// When the last was done.
    until: Instant,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does one after the other, `workers` at once, as the pace says.
async fn drive<F>(
    ctx: &Ctx,
    pace: Pace,
    workers: u32,
    one: impl Fn(u64) -> F + Clone + Send + 'static,
) -> Result<Measured, CliError>
where
    F: Future<Output = Result<(), CliError>> + Send,
{
    let started = Instant::now();
    let shared = Arc::new(Mutex::new(Shared { pace, tally: Tally::default(), last: None, until: started }));
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let (shared, one) = (shared.clone(), one.clone());
        running.spawn(async move {
            loop {
                let Some((number, due)) = lock(&shared).pace.next(Instant::now()) else { return };
                tokio::time::sleep_until(due.into()).await;
                let outcome = one(number).await;
                let failed = outcome.is_err();
                {
                    let now = Instant::now();
                    let mut shared = lock(&shared);
                    shared.until = now;
                    match outcome {
                        Ok(()) => shared.tally.add(now.saturating_duration_since(due)),
                        Err(error) => {
                            shared.tally.fail(&error.facts().code);
                            shared.last = Some(error);
                        }
                    }
                }
                if failed {
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        });
    }
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    let limit = ctx.global.limit(None);
    let stopped = loop {
        let time = async {
            match limit {
                Some(limit) => tokio::time::sleep_until((ctx.started + limit).into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = running.join_next() => if done.is_none() { break None },
            code = ctx.stop.requested() => break Some(CliError::interrupted(code)),
            () = time => break Some(CliError::timeout(limit.unwrap_or_default())),
            _ = tick.tick() => progress(ctx, &shared, started)?,
        }
    };
    running.shutdown().await;
    let mut shared = lock(&shared);
    let (tally, last) = (std::mem::take(&mut shared.tally), shared.last.take());
    Ok(Measured { tally, elapsed: shared.until.saturating_duration_since(started), last, stopped })
}

fn progress(ctx: &Ctx, shared: &Mutex<Shared>, started: Instant) -> Result<(), CliError> {
    if !ctx.out.is_json() {
        return Ok(());
    }
    let (done, failed) = {
        let shared = lock(shared);
        (shared.tally.done(), shared.tally.failed())
    };
    ctx.out.event("progress", json!({"done": done, "failed": failed, "elapsed_ms": millis(started.elapsed())}))
}

impl Measured {
    fn rate(&self) -> f64 {
        self.tally.done() as f64 / self.elapsed.as_secs_f64().max(1e-6)
    }

    /// Nothing worked, or it was ended.
    fn error(&mut self) -> Option<CliError> {
        self.stopped.take().or_else(|| self.last.take().filter(|_| self.tally.done() == 0))
    }

    /// Tells it all: lines, or one line of JSON with these fields among them.
    fn tell(mut self, ctx: &Ctx, bench: &str, what: (&str, &str), fields: Value) -> Result<u8, CliError> {
        let error = self.error();
        if ctx.out.is_json() {
            self.summary(ctx, bench, fields, error.as_ref())?;
            return Ok(error.map_or(0, |error| error.exit()));
        }
        let (one, many) = what;
        let done = self.tally.done();
        let word = if done == 1 { one } else { many };
        let (rate, failed) = (grouped(self.rate().round() as u64), grouped(self.tally.failed()));
        let reasons = Some(self.tally.reasons()).filter(|reasons| !reasons.is_empty());
        let reasons = reasons.map(|reasons| format!(": {reasons}")).unwrap_or_default();
        ctx.out.line(&format!("  {} {word}   {rate}/s   {failed} failed{reasons}", grouped(done)))?;
        if done > 0 {
            ctx.out.line(&format!("  {}", self.tally.percentiles()))?;
            ctx.out.line(&format!("  {}", self.tally.drawing(ctx.out.glyphs)))?;
        }
        error.map_or(Ok(0), Err)
    }

    fn summary(&self, ctx: &Ctx, bench: &str, fields: Value, error: Option<&CliError>) -> Result<(), CliError> {
        let mut line = json!({
            "command": ctx.verb, "bench": bench, "ok": error.is_none(), "exit": error.map_or(0, CliError::exit),
            "done": self.tally.done(), "failed": self.tally.failed(), "failures": self.tally.failures(),
            "elapsed_ms": millis(self.elapsed), "rate": (self.rate() * 10.0).round() / 10.0,
        });
        for more in [self.tally.json(), fields] {
            if let (Value::Object(line), Value::Object(more)) = (&mut line, more) {
                line.extend(more);
            }
        }
        if let Some(error) = error {
            line["error"] = error.to_json();
        }
        ctx.out.event("summary", line)
    }
}
