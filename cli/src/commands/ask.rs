//! `p2pnode ask`: acks and replies stream in, the exit code tells whether anybody answered.

use std::time::Duration;

use futures::StreamExt as _;
use p2pnode::{AskBuilder, AskEvent, AskOutcome, Asked, ConversationId, ErrorCode, value::to_json};
use serde_json::{Value, json};

use crate::{
    args::ask::Ask,
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, exit, node},
    input,
    output::{
        asked::Screen,
        json::millis,
        peers::reference,
        render::{again, count, quote, seconds},
    },
};

/// Waiting for the first ack: somebody far away needs longer.
const WAIT_FIRST: Duration = Duration::from_secs(2);
const WAIT_FIRST_FAR: Duration = Duration::from_secs(10);

/// Asks, and tells what comes.
pub(super) async fn run(ctx: &Ctx, mut args: Ask) -> Result<u8, CliError> {
    let outcome = match ctx.guard(None, input::ask(&mut args)).await {
        Ok(()) => asked(ctx, &args).await,
        Err(error) => Err(error),
    };
    outcome.or_else(|error| failed(ctx, error))
}

/// Programs get the summary, however it went.
pub(super) fn failed(ctx: &Ctx, error: CliError) -> Result<u8, CliError> {
    if !ctx.out.is_json() || error.exit() == 0 {
        return Err(error);
    }
    summary(ctx, None, None, Some(&error))?;
    Ok(error.exit())
}

async fn asked(ctx: &Ctx, args: &Ask) -> Result<u8, CliError> {
    connect::with(ctx, Want::One(args.swarm()), None, async |session| {
        if args.swarm().is_none() && args.word() == Some(session.swarm()) {
            return Err(forgotten(session.swarm()));
        }
        let asked = question(ctx, session, args).await?;
        follow(ctx, session, args, asked).await
    })
    .await
}

/// `ask garden`: that is a swarm, and hardly the question.
fn forgotten(swarm: &str) -> CliError {
    CliError::usage(format!("\"{swarm}\" is a swarm; what is the question?"))
        .try_this(format!("p2pnode ask {swarm} \"who is there?\""))
}

/// The question with all its rules.
async fn question(ctx: &Ctx, session: &Session, args: &Ask) -> Result<Asked, CliError> {
    let ask: AskBuilder = session.node().ask(session.place(), args.text.as_str());
    let mut ask = ask.wait_first(wait_first(session, args));
    for (key, value) in &args.context {
        ask = ask.context(key, input::value_in(value)?);
    }
    if let Some(limit) = ctx.left(None) {
        ask = ask.timeout(limit);
    }
    if !args.to.is_empty() {
        let mut peers = Vec::new();
        for target in &args.to {
            let peer = ctx.guard(None, async { Ok(session.node().peer(session.target(target)).await?) }).await;
            peers.push(peer.map_err(|error| connect::looked(error, session.node(), None))?.id);
        }
        ask = ask.only(peers);
    }
    if let Some(replies) = args.wanted_early() {
        ask = ask.replies(replies);
    }
    if let Some(linger) = args.linger {
        ask = ask.linger(linger);
    }
    Ok(ask.await?)
}

fn wait_first(session: &Session, args: &Ask) -> Duration {
    args.wait_first.unwrap_or(if session.is_far() { WAIT_FIRST_FAR } else { WAIT_FIRST })
}

/// Tells what comes until the ask is over.
async fn follow(ctx: &Ctx, session: &Session, args: &Ask, mut asked: Asked) -> Result<u8, CliError> {
    let conversation = asked.conversation();
    if ctx.out.is_json() {
        let line = json!({"conversation": conversation.to_string(), "swarm": session.swarm()});
        ctx.out.event("asked", line)?;
    }
    let mut screen = Screen::new(&ctx.out, args.raw);
    let told = tell_all(ctx, &mut screen, &mut asked).await;
    asked.close();
    let outcome = asked.outcome().await.ok_or_else(|| CliError::internal("the node has stopped"))?;
    told?;
    let error = ctx.stop.code().map(CliError::interrupted).or_else(|| judge(session, args, &outcome));
    conclude(ctx, &screen, conversation, &outcome, error)
}

async fn tell_all(ctx: &Ctx, screen: &mut Screen<'_>, asked: &mut Asked) -> Result<(), CliError> {
    loop {
        let event = tokio::select! {
            event = asked.next() => event,
            _ = ctx.stop.requested() => None,
        };
        let Some(event) = event else { return Ok(()) };
        if ctx.out.is_json() {
            let (kind, fields) = event_json(&event);
            ctx.out.event(kind, fields)?;
        } else {
            screen.tell(&event)?;
        }
    }
}

/// What is wrong with how it ended, if anything is.
fn judge(session: &Session, args: &Ask, outcome: &AskOutcome) -> Option<CliError> {
    let wanted = args.wanted();
    match outcome.replies {
        0 if outcome.failures > 0 => Some(CliError::new(
            "handler_failed",
            exit::REMOTE,
            format!("all who tried have failed ({})", outcome.failures),
        )),
        0 => Some(nobody(session, &args.text, outcome)),
        replies if replies < wanted => {
            Some(CliError::new("partial", exit::PARTIAL, format!("{replies} of {wanted} replies")).retryable(true))
        }
        _ => None,
    }
}

/// No reply, and why, as far as that is known.
fn nobody(session: &Session, text: &str, outcome: &AskOutcome) -> CliError {
    let (swarm, took) = (session.swarm(), seconds(outcome.elapsed));
    let got = count(outcome.members, "node", "nodes");
    if outcome.acks > 0 {
        let message = format!("{} of {got} in swarm \"{swarm}\" acked, but nobody replied within {took}", outcome.acks);
        return CliError::new("no_reply", exit::NO_REPLY, message).retryable(true);
    }
    let message = format!("nobody in swarm \"{swarm}\" answered within {took}");
    let unanswered = CliError::of(ErrorCode::TransportNoResponders, message.as_str());
    match (outcome.members, outcome.declined) {
        (0, _) => node::nobody(session.node(), swarm, message, |near| format!("p2pnode ask {near} {}", quote(text))),
        (members, declined) if members == declined => unanswered.maybe(format!("{got} got it and declined")),
        _ => unanswered
            .maybe(format!("{got} got it, none took it up in time"))
            .try_also(again("", "--wait-first 10s"), "give them longer"),
    }
}

/// The last lines.
fn conclude(
    ctx: &Ctx,
    screen: &Screen<'_>,
    conversation: ConversationId,
    outcome: &AskOutcome,
    error: Option<CliError>,
) -> Result<u8, CliError> {
    if ctx.out.is_json() {
        summary(ctx, Some(conversation), Some(outcome), error.as_ref())?;
        return Ok(error.map_or(0, |error| error.exit()));
    }
    let told = outcome.replies + outcome.failures > 0;
    if told {
        screen.sum(conversation, outcome);
    }
    match error {
        // The lines above have told it already.
        Some(error) if told && error.exit() == exit::REMOTE => Ok(error.exit()),
        Some(error) => Err(error),
        None => Ok(0),
    }
}

/// The last line for programs, however it ended.
fn summary(
    ctx: &Ctx,
    conversation: Option<ConversationId>,
    outcome: Option<&AskOutcome>,
    error: Option<&CliError>,
) -> Result<(), CliError> {
    let mut line = json!({
        "command": ctx.verb,
        "ok": error.is_none(),
        "exit": error.map_or(0, CliError::exit),
        "acks": outcome.map_or(0, |outcome| outcome.acks),
        "replies": outcome.map_or(0, |outcome| outcome.replies),
        "failures": outcome.map_or(0, |outcome| outcome.failures),
        "declined": outcome.map_or(0, |outcome| outcome.declined),
        "elapsed_ms": millis(outcome.map_or(ctx.started.elapsed(), |outcome| outcome.elapsed)),
    });
    if let Some(conversation) = conversation {
        line["conversation"] = json!(conversation.to_string());
    }
    if let Some(error) = error {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line)
}

fn event_json(event: &AskEvent) -> (&'static str, Value) {
    match event {
        AskEvent::Ack { peer, elapsed } => ("ack", json!({"peer": reference(peer), "elapsed_ms": millis(*elapsed)})),
        AskEvent::Progress { peer, text, elapsed } => {
            ("progress", json!({"peer": reference(peer), "text": text, "elapsed_ms": millis(*elapsed)}))
        }
        AskEvent::Reply { peer, result, elapsed } => {
            ("reply", json!({"peer": reference(peer), "result": to_json(result), "elapsed_ms": millis(*elapsed)}))
        }
        AskEvent::Failed { peer, error, elapsed } => {
            let error = CliError::from(error.clone()).to_json();
            ("failed", json!({"peer": reference(peer), "error": error, "elapsed_ms": millis(*elapsed)}))
        }
        AskEvent::Declined { peer, elapsed } => {
            ("declined", json!({"peer": reference(peer), "elapsed_ms": millis(*elapsed)}))
        }
        _ => ("other", json!({})),
    }
}
