//! `p2pnode broadcast` and `emit`: said to a swarm, and done.

use std::time::Duration;

use futures::StreamExt as _;
use p2pnode::{Arguments, Conversation, Said, Value, value::to_json, wire};
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::{
    args::{
        given::Given,
        talk::{Broadcast, Emit},
    },
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, exit, node},
    input,
    output::{peers::reference, render::count},
};

/// With --replies alone.
const REPLIES: Duration = Duration::from_secs(30);

/// Says it, and stays for answers if they are wanted.
pub(super) async fn broadcast(ctx: &Ctx, mut args: Broadcast) -> Result<u8, CliError> {
    ctx.guard(None, input::broadcast(&mut args)).await?;
    let arguments = arguments(&args)?;
    let endpoint = args.endpoint.clone().unwrap_or_else(|| wire::talk::ASK.to_owned());
    // Over the control socket the swarm is an option of all verbs.
    let swarm = Some(args.broadcast_swarm.as_str()).filter(|swarm| !swarm.is_empty());
    connect::with(ctx, Want::One(swarm), None, async |session| {
        let said = session.node().broadcast(endpoint, arguments).to(session.place());
        let talk = ctx.guard(None, async { Ok(said.await?) }).await?;
        let outcome = stay(ctx, session, &args, talk).await;
        match outcome {
            Err(error) if ctx.out.is_json() => {
                summary(ctx, Some(&error), 0, 0)?;
                Ok(error.exit())
            }
            other => other,
        }
    })
    .await
}

fn arguments(args: &Broadcast) -> Result<Arguments, CliError> {
    match (&args.endpoint, args.args.as_slice()) {
        (Some(_), _) => input::arguments(&args.args, &args.named),
        (None, [Given::Value(Value::String(_))]) => input::arguments(&args.args, &[]),
        _ => Err(CliError::usage("one text is broadcast to the ask handlers; quote it, or name an --endpoint")),
    }
}

async fn stay(ctx: &Ctx, session: &Session, args: &Broadcast, mut talk: Conversation) -> Result<u8, CliError> {
    let (reached, swarm) = (talk.reached(), session.swarm());
    if reached == 0 {
        let message = format!("nobody in swarm \"{swarm}\" took it");
        return Err(node::nobody(session.node(), swarm, message, |near| format!("p2pnode broadcast {near} ...")));
    }
    if ctx.out.is_json() {
        ctx.out.event("sent", json!({"conversation": talk.id().to_string(), "swarm": swarm, "reached": reached}))?;
    }
    let wanted = args.replies.map(|replies| replies as usize);
    let wait = args.wait.or(wanted.map(|_| REPLIES));
    let mut replies = 0;
    if let Some(wait) = wait {
        let until = Instant::now() + ctx.left(None).map_or(wait, |left| wait.min(left));
        while wanted.is_none_or(|wanted| replies < wanted) {
            let event = tokio::select! {
                event = talk.next() => event,
                () = sleep_until(until) => None,
                code = ctx.stop.requested() => return Err(CliError::interrupted(code)),
            };
            let Some(event) = event else { break };
            replies += usize::from(matches!(event.said, Said::Reply(_)));
            if event.own {
                continue;
            }
            match (&event.said, args.raw) {
                (Said::Reply(value), true) if !ctx.out.is_json() => {
                    ctx.out.line(&crate::output::asked::body(value))?;
                }
                (_, true) if !ctx.out.is_json() => {}
                _ => super::watch::tell_event(ctx, &event)?,
            }
        }
    }
    if ctx.out.is_json() {
        summary(ctx, None, reached, replies)?;
    } else if !args.raw {
        let answers = wait.map(|_| format!(", {}", count(replies, "reply", "replies"))).unwrap_or_default();
        let to = count(reached, "member", "members");
        ctx.out.say(&format!("sent to {to}{answers}   conversation {}", talk.id().short()));
    }
    match wanted {
        Some(wanted) if replies < wanted => {
            let error = CliError::new("partial", exit::PARTIAL, format!("{replies} of {wanted} replies"));
            if ctx.out.is_json() { Ok(error.exit()) } else { Err(error.retryable(true)) }
        }
        _ => Ok(0),
    }
}

fn summary(ctx: &Ctx, error: Option<&CliError>, reached: usize, replies: usize) -> Result<(), CliError> {
    let mut line = json!({
        "command": ctx.verb, "ok": error.is_none(), "exit": error.map_or(0, CliError::exit),
        "reached": reached, "replies": replies,
    });
    if let Some(error) = error {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line)
}

/// Tells a swarm that something happened.
pub(super) async fn emit(ctx: &Ctx, mut args: Emit) -> Result<(), CliError> {
    ctx.guard(None, input::emit(&mut args)).await?;
    let data = args.data.as_ref().map_or(Ok(Value::Nil), input::value_in)?;
    if let Err(error) = args.subject.parse::<wire::subject::Subject>() {
        return Err(CliError::usage(error.to_string()));
    }
    let conversation = ctx.guard(None, super::kept::given(ctx, args.conversation.as_deref())).await?;
    connect::with(ctx, Want::One(None), None, async |session| {
        let mut emit = session.node().emit(&args.subject, &data).to(session.place());
        if let Some(id) = conversation {
            emit = emit.conversation(id);
        }
        let sent = ctx.guard(None, async { Ok(emit.await?) }).await?;
        if sent.reached == 0 {
            let message = format!("nobody in swarm \"{}\" took it", session.swarm());
            let again = |near: &str| format!("p2pnode emit {} --swarm {near}", args.subject);
            return Err(node::nobody(session.node(), session.swarm(), message, again));
        }
        let data = json!({"id": sent.id.to_string(), "subject": args.subject, "reached": sent.reached});
        ctx.answer(data, session.meta(), || {
            format!("{} sent to {}", args.subject, count(sent.reached, "member", "members"))
        })
    })
    .await
}

/// One emitted event.
pub(super) fn tell_emitted(ctx: &Ctx, event: &p2pnode::ConversationEvent) -> Result<(), CliError> {
    let Said::Emitted { subject, data } = &event.said else { return Ok(()) };
    if ctx.out.is_json() {
        let line = json!({
            "peer": reference(&event.author), "swarm": event.swarm, "conversation": event.conversation.to_string(),
            "id": event.id.to_string(), "subject": subject, "data": to_json(data),
        });
        return ctx.out.event("event", line);
    }
    let body = crate::output::asked::body(data);
    let (time, who) = (ctx.out.clock(), crate::output::peers::name(&event.author, ctx.out.glyphs));
    ctx.out.line(&format!("{time}  {who:<10}   {subject}   {body}"))
}
