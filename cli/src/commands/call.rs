//! `p2pnode call`: the result on stdout, nothing else.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use p2pnode::{Arguments, CallReply, Pick, Value, value::to_json};
use serde_json::json;

use crate::{
    args::call::{self, Call},
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, exit, node::about},
    input,
    output::{
        asked::body,
        endpoints,
        json::millis,
        peers::{name, path, path_json, reference},
        render::{count, duration, size},
    },
};

/// Without `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A call keeps its own time; the command's is so much longer, so that the better error wins.
const LATER: Duration = Duration::from_millis(500);

/// Between repeated calls.
const INTERVAL: Duration = Duration::from_secs(1);

/// Lists, calls once, or calls again and again.
pub(super) async fn run(ctx: &Ctx, mut args: Call) -> Result<u8, CliError> {
    ctx.guard(None, input::call(&mut args)).await?;
    let arguments = input::arguments(&args.args, &args.named)?;
    connect::with(ctx, Want::All(None), Some(&args.target), async |session| match (&args.endpoint, args.repeat) {
        (None, _) => list(ctx, session, &args.target).await.map(|()| 0),
        (Some(endpoint), None) if args.stream => stream(ctx, session, &args, endpoint, arguments).await,
        (Some(endpoint), None) => once(ctx, session, &args, endpoint, arguments).await.map(|()| 0),
        (Some(endpoint), Some(times)) => repeat(ctx, session, &args, endpoint, &arguments, times).await,
    })
    .await
}

/// What the peer offers.
async fn list(ctx: &Ctx, session: &Session, target: &str) -> Result<(), CliError> {
    let methods = async {
        session.node().methods(session.target(target)).await.map_err(|error| about(session.node(), target, error))
    };
    let methods = ctx.guard(Some(TIMEOUT), methods).await?;
    let data = methods.iter().map(endpoints::to_json).collect();
    ctx.answer(data, session.meta(), || endpoints::table(&methods, &ctx.out))
}

/// One call.
async fn perform(
    ctx: &Ctx,
    session: &Session,
    args: &Call,
    endpoint: &str,
    arguments: Arguments,
) -> Result<CallReply<Value>, CliError> {
    let left = ctx.left(Some(TIMEOUT)).unwrap_or(Duration::MAX);
    let timeout = if args.repeat.is_some() { left.min(TIMEOUT) } else { left };
    let call = session.node().call::<Value>(session.target(&args.target), endpoint, arguments);
    let call = call.timeout(timeout).pick(pick(args));
    call.details().await.map_err(|error| about(session.node(), &args.target, error))
}

async fn once(ctx: &Ctx, session: &Session, args: &Call, endpoint: &str, arguments: Arguments) -> Result<(), CliError> {
    let call = perform(ctx, session, args, endpoint, arguments);
    let limit = ctx.global.limit(Some(TIMEOUT)).map(|limit| limit + LATER);
    let reply = tokio::select! {
        biased;
        reply = call => reply?,
        error = stopped(ctx, limit) => return Err(error),
    };
    match args.out.as_deref() {
        Some(file) => save(ctx, session, endpoint, &reply, file),
        None => show(ctx, session, endpoint, &reply),
    }
}

/// One call whose items are printed as they come.
async fn stream(
    ctx: &Ctx,
    session: &Session,
    args: &Call,
    endpoint: &str,
    arguments: Arguments,
) -> Result<u8, CliError> {
    let started = Instant::now();
    let (mut count, mut peer) = (0_u64, None);
    let items = async {
        let call = session.node().call::<Value>(session.target(&args.target), endpoint, arguments).pick(pick(args));
        let call = match ctx.left(None) {
            Some(left) => call.timeout(left),
            None => call,
        };
        let mut items = call.stream().await.map_err(|error| about(session.node(), &args.target, error))?;
        peer = Some(items.peer().clone());
        while let Some(item) = items.next().await {
            let item = item.map_err(|error| about(session.node(), &args.target, error))?;
            count += 1;
            match ctx.out.is_json() {
                true => ctx.out.event("item", json!({"number": count, "value": to_json(&item)}))?,
                false => ctx.out.line(&body(&item))?,
            }
        }
        Ok(())
    };
    let limit = ctx.global.limit(None).map(|limit| limit + LATER);
    let outcome = tokio::select! {
        biased;
        outcome = items => outcome,
        error = stopped(ctx, limit) => Err(error),
    };
    if !ctx.out.is_json() {
        return outcome.map(|()| 0);
    }
    let exit = outcome.as_ref().err().map_or(0, CliError::exit);
    let mut line = json!({
        "command": ctx.verb, "ok": exit == 0, "exit": exit, "endpoint": endpoint, "items": count,
        "peer": peer.as_ref().map(reference), "elapsed_ms": millis(started.elapsed()),
    });
    if let Err(error) = &outcome {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line)?;
    Ok(exit)
}

fn pick(args: &Call) -> Pick {
    match args.pick {
        call::Pick::Rtt => Pick::Rtt,
        call::Pick::Random => Pick::Random,
    }
}

async fn stopped(ctx: &Ctx, limit: Option<Duration>) -> CliError {
    let time = async {
        match limit {
            Some(limit) => tokio::time::sleep_until((ctx.started + limit).into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        code = ctx.stop.requested() => CliError::interrupted(code),
        () = time => CliError::timeout(limit.unwrap_or_default()),
    }
}

fn show(ctx: &Ctx, session: &Session, endpoint: &str, reply: &CallReply<Value>) -> Result<(), CliError> {
    if ctx.out.verbose {
        ctx.out.say(&way(ctx, reply));
    }
    ctx.answer(reply_json(endpoint, reply, &to_json(&reply.value)), session.meta(), || match &reply.value {
        // A result of nothing prints nothing, as in a shell.
        Value::Nil => String::new(),
        value => body(value),
    })
}

/// Writes the result to a file, bytes as they are, text as it is, anything else as JSON.
fn save(ctx: &Ctx, session: &Session, endpoint: &str, reply: &CallReply<Value>, file: &Path) -> Result<(), CliError> {
    let data = match &reply.value {
        Value::Binary(data) => data.clone(),
        Value::String(text) => text.as_bytes().to_vec(),
        value => crate::output::json::ascii(&to_json(value)).into_bytes(),
    };
    if file == Path::new("-") && !ctx.out.is_json() {
        return ctx.out.bytes(&data);
    }
    let shown = file.display().to_string();
    ctx.out.file(file, &data)?;
    if ctx.out.is_json() {
        let result = json!({"file": shown, "bytes": data.len()});
        return ctx.out.answer(ctx.verb, reply_json(endpoint, reply, &result), session.meta());
    }
    let from = name(&reply.peer, ctx.out.glyphs);
    ctx.out.say(&format!("{shown}  {}  from {from} in {}", size(data.len()), duration(reply.elapsed)));
    Ok(())
}

/// Calls many times; results on stdout, times on stderr. Fails if all failed.
async fn repeat(
    ctx: &Ctx,
    session: &Session,
    args: &Call,
    endpoint: &str,
    arguments: &Arguments,
    times: u32,
) -> Result<u8, CliError> {
    let (mut done, mut last, mut spans) = (0, None, Vec::new());
    for number in 1..=times {
        let outcome = tokio::select! {
            outcome = perform(ctx, session, args, endpoint, arguments.clone()) => outcome,
            error = stopped(ctx, ctx.global.limit(None)) => { last = Some(error); break }
        };
        done += 1;
        tell(ctx, endpoint, number, &outcome)?;
        match outcome {
            Ok(reply) => spans.push(reply.elapsed),
            Err(error) if !error.facts().retryable && error.exit() != exit::REMOTE => {
                last = Some(error);
                break;
            }
            Err(error) => last = Some(error),
        }
        if number < times {
            tokio::select! {
                () = tokio::time::sleep(args.interval.unwrap_or(INTERVAL)) => {}
                error = stopped(ctx, ctx.global.limit(None)) => { last = Some(error); break }
            }
        }
    }
    let stopped = last.filter(|error| spans.is_empty() || error.facts().silent);
    summary(ctx, done, &spans, stopped.as_ref())?;
    match stopped {
        Some(error) if ctx.out.is_json() => Ok(error.exit()),
        Some(error) => Err(error),
        None => Ok(0),
    }
}

fn tell(ctx: &Ctx, endpoint: &str, number: u32, outcome: &Result<CallReply<Value>, CliError>) -> Result<(), CliError> {
    match outcome {
        Ok(reply) if ctx.out.is_json() => {
            let mut line = reply_json(endpoint, reply, &to_json(&reply.value));
            line["number"] = json!(number);
            ctx.out.event("call", line)
        }
        Ok(reply) => {
            ctx.out.say(&format!("{number}  {}", way(ctx, reply)));
            ctx.out.line(&body(&reply.value))
        }
        Err(error) if ctx.out.is_json() => ctx.out.event("failed", json!({"number": number, "error": error.to_json()})),
        Err(error) => {
            ctx.out.say(&format!("{number}  failed: {error}"));
            Ok(())
        }
    }
}

fn summary(ctx: &Ctx, sent: u32, spans: &[Duration], error: Option<&CliError>) -> Result<(), CliError> {
    let ok = spans.len();
    let average = spans.iter().sum::<Duration>().checked_div(u32::try_from(ok).unwrap_or(1)).unwrap_or_default();
    let (least, most) = (spans.iter().min().copied(), spans.iter().max().copied());
    if !ctx.out.is_json() {
        let times = least.zip(most).map(|(least, most)| {
            format!("   min {}  avg {}  max {}", duration(least), duration(average), duration(most))
        });
        let calls = count(sent as usize, "call", "calls");
        ctx.out.say(&format!("{calls}, {ok} answered{}", times.unwrap_or_default()));
        return Ok(());
    }
    let mut line = json!({
        "command": ctx.verb, "ok": error.is_none(), "exit": error.map_or(0, CliError::exit),
        "sent": sent, "answered": ok,
        "min_ms": least.map(millis), "avg_ms": least.map(|_| millis(average)), "max_ms": most.map(millis),
    });
    if let Some(error) = error {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line)
}

/// Whom, how fast, over what.
fn way(ctx: &Ctx, reply: &CallReply<Value>) -> String {
    let over = reply.path.as_ref().map(|way| format!("  {} {}", path(way), way.addr)).unwrap_or_default();
    format!("{}  {}{over}", name(&reply.peer, ctx.out.glyphs), duration(reply.elapsed))
}

fn reply_json(endpoint: &str, reply: &CallReply<Value>, result: &serde_json::Value) -> serde_json::Value {
    json!({
        "peer": reference(&reply.peer),
        "endpoint": endpoint,
        "result": result,
        "rtt_ms": millis(reply.elapsed),
        "path": reply.path.as_ref().map(path_json),
    })
}
