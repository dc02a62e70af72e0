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
use tokio::{sync::mpsc, task::JoinSet};

use self::{
    pace::Pace,
    tally::{Tally, grouped},
};
use crate::{
    args::{
        bench::{Bench, Length, Verb},
        global::Mode,
    },
    context::Ctx,
    error::CliError,
    output::json::millis,
};

/// Without `-z` and `-n`.
const DURATION: Duration = Duration::from_secs(10);

/// Between two lines of progress, for programs.
const PROGRESS: Duration = Duration::from_secs(1);

/// What is under way at the end may take so much longer.
const DRAIN: Duration = Duration::from_secs(2);

/// Why those failed that did not end even then.
const UNFINISHED: &str = "unfinished";

/// A worker rests so long after a failure: who is gone is not asked as fast as it can be refused.
const AFTER_FAILURE: Duration = Duration::from_millis(10);

/// Measures. All failed is the exit code of the last failure.
pub(super) async fn run(ctx: &Ctx, args: Bench) -> Result<u8, CliError> {
    let bench = args.verb.name();
    if ctx.global.mode() == Mode::Daemon {
        return Err(CliError::usage("bench measures with nodes of its own: leave out --daemon".to_owned()));
    }
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
    /// Were due and not begun: nobody was free.
    missed: u64,
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

/// Hands out what is due, to the fraction of a millisecond, which the timers of tokio do not know.
fn due(
    mut next: impl FnMut() -> Option<(u64, Instant)> + Send + 'static,
) -> Result<mpsc::Receiver<(u64, Instant)>, CliError> {
    // One is ready while the next is waited for.
    let (sender, receiver) = mpsc::channel(1);
    let clock = move || {
        while let Some((number, due)) = next() {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if sender.blocking_send((number, due)).is_err() {
                return;
            }
        }
    };
    let started = std::thread::Builder::new().name("bench-pace".into()).spawn(clock);
    started.map(|_| receiver).map_err(|error| CliError::io("start a thread", &error))
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
    let (started, ends, open) = (Instant::now(), pace.ends(), pace.is_open());
    let shared = Arc::new(Mutex::new(Shared { pace, tally: Tally::default(), last: None, until: started }));
    let due = match open {
        false => None,
        true => {
            let shared = shared.clone();
            Some(Arc::new(tokio::sync::Mutex::new(due(move || lock(&shared).pace.next(Instant::now()))?)))
        }
    };
    let mut running = JoinSet::new();
    for _ in 0..workers {
        let (shared, due, one) = (shared.clone(), due.clone(), one.clone());
        running.spawn(async move {
            loop {
                let next = match &due {
                    Some(due) => due.lock().await.recv().await,
                    None => lock(&shared).pace.next(Instant::now()),
                };
                let Some((number, due)) = next else { return };
                let outcome = one(number).await;
                if !lock(&shared).ended(due, outcome) {
                    tokio::time::sleep(AFTER_FAILURE).await;
                }
            }
        });
    }
    let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + PROGRESS, PROGRESS);
    let limit = ctx.global.limit(None).map(|limit| ctx.started + limit);
    let drained = ends.map(|ends| ends + DRAIN);
    let end = [drained, limit].into_iter().flatten().min();
    let reader_gone = ctx.out.reader_gone();
    tokio::pin!(reader_gone);
    let stopped = loop {
        let over = async {
            match end {
                Some(end) => tokio::time::sleep_until(end.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = running.join_next() => if done.is_none() { break None },
            code = ctx.stop.requested() => break Some(CliError::interrupted(code)),
            () = &mut reader_gone => return Err(CliError::closed()),
            () = over => break None,
            _ = tick.tick() => progress(ctx, &shared, started)?,
        }
    };
    running.shutdown().await;
    let mut shared = lock(&shared);
    let now = Instant::now();
    let (mut tally, missed) = (std::mem::take(&mut shared.tally), shared.pace.missed(now));
    let unfinished = shared.pace.given().saturating_sub(tally.done() + tally.failed());
    if stopped.is_none() && unfinished > 0 && drained.is_some_and(|drained| now >= drained) {
        tally.fail_many(UNFINISHED, unfinished);
        shared.until = now;
    }
    let elapsed = shared.until.saturating_duration_since(started);
    Ok(Measured { tally, missed, elapsed, last: shared.last.take(), stopped })
}

impl Shared {
    /// False if it failed.
    fn ended(&mut self, due: Instant, outcome: Result<(), CliError>) -> bool {
        self.until = Instant::now();
        match outcome {
            Ok(()) => self.tally.add(self.until.saturating_duration_since(due)),
            Err(error) => {
                self.tally.fail(&error.facts().code);
                self.last = Some(error);
                return false;
            }
        }
        true
    }
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
        let nothing = || CliError::timeout(self.elapsed);
        let failed = (self.tally.done() == 0).then(|| self.last.take().unwrap_or_else(nothing));
        self.stopped.take().or(failed)
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
        if self.missed > 0 {
            ctx.out.line(&format!("  {} more were due, and nobody was free for them", grouped(self.missed)))?;
        }
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
            "missed": self.missed,
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
