//! `p2pnode watch` and `subscribe`: what is said in a swarm, as it comes.

use futures::StreamExt as _;
use p2pnode::{ConversationEvent, NodeEvent};
use serde_json::json;

use crate::{
    args::talk::{Subscribe, Watch},
    connect::{self, Session, Want},
    context::Ctx,
    error::CliError,
    output::{
        feed::{self, Feed},
        json::millis,
    },
};

/// Tells what happens until something ends it.
pub(super) async fn watch(ctx: &Ctx, args: &Watch) -> Result<u8, CliError> {
    let _ = args.plain;
    let outcome = connect::with(ctx, Want::All(args.watch_swarm.as_deref()), None, async |session| {
        let node = session.node();
        let mut events = node.events();
        if session.swarms().is_empty() {
            return Err(crate::error::node::no_swarm(node));
        }
        if ctx.out.is_json() {
            ctx.out.event("watching", json!({"swarms": session.swarms()}))?;
        } else {
            ctx.out.say(&format!("watching {}   Ctrl-C stops", session.swarms().join(", ")));
        }
        let feed = Feed::new(&ctx.out, &node.listen_addrs());
        let end = super::up::end(ctx, node);
        tokio::pin!(end);
        loop {
            tokio::select! {
                end = &mut end => return end,
                event = events.next() => match event {
                    Some(event) if is_folded(&event) && !ctx.out.verbose => {}
                    Some(event) if !concerns(session, args, &event) => {}
                    Some(event) => super::up::tell(ctx, &feed, &event)?,
                    None => return Err(super::up::stopped(ctx)),
                },
            }
        }
    })
    .await;
    conclude(ctx, outcome)
}

/// Nodes that live for one command come and go; what they say is told.
fn is_folded(event: &NodeEvent) -> bool {
    match event {
        NodeEvent::PeerJoined(peer) | NodeEvent::PeerUpdated(peer) | NodeEvent::PeerOffline(peer) => peer.ephemeral,
        NodeEvent::PeerSuspect(peer) => peer.ephemeral,
        NodeEvent::PeerLeft(peer) => peer.name.starts_with("cli-"),
        _ => false,
    }
}

/// What a watcher wants to know, where its node is in other swarms too and is spoken to itself: questions stand among what
/// the swarm says already.
fn concerns(session: &Session, args: &Watch, event: &NodeEvent) -> bool {
    let in_swarms = match event {
        NodeEvent::Conversation(said) => session.covers(&said.swarm),
        NodeEvent::PeerJoined(peer)
        | NodeEvent::PeerUpdated(peer)
        | NodeEvent::PeerSuspect(peer)
        | NodeEvent::PeerOffline(peer) => peer.swarms.iter().any(|swarm| session.covers(swarm)),
        NodeEvent::CaughtUp { swarm, .. }
        | NodeEvent::FeedForked { swarm, .. }
        | NodeEvent::Compacted { swarm, .. } => session.covers(swarm),
        NodeEvent::MailChanged(mail) => !crate::output::mail::is_receipt(&mail.mail),
        NodeEvent::AskReceived { .. } | NodeEvent::AskFinished { .. } => !session.is_borrowed(),
        _ => true,
    };
    in_swarms && (args.kind.is_empty() || args.kind.contains(&feed::to_json(event).0))
}

/// Tells what is emitted until something ends it.
pub(super) async fn subscribe(ctx: &Ctx, args: &Subscribe) -> Result<u8, CliError> {
    if !args.argv.is_empty() {
        let outcome = super::hook::run(ctx, args).await;
        return conclude(ctx, outcome);
    }
    let Some(pattern) = args.pattern.as_deref().filter(|_| !args.mail) else {
        return Err(CliError::usage("without a program to run, a PATTERN is needed: messages are read with the inbox"));
    };
    if let Err(error) = pattern.parse::<p2pnode::wire::subject::Pattern>() {
        return Err(CliError::usage(error.to_string()));
    }
    let outcome = connect::with(ctx, Want::All(None), None, async |session| {
        let node = session.node();
        if session.swarms().is_empty() {
            return Err(crate::error::node::no_swarm(node));
        }
        let mut emitted = node.subscribe(pattern).map_err(|error| CliError::usage(error.to_string()))?;
        if ctx.out.is_json() {
            ctx.out.event("subscribed", json!({"pattern": pattern, "swarms": session.swarms()}))?;
        } else {
            ctx.out.say(&format!("listening for {pattern} in {}   Ctrl-C stops", session.swarms().join(", ")));
        }
        let end = super::up::end(ctx, node);
        tokio::pin!(end);
        let (mut seen, mut missed) = (0, 0);
        loop {
            let event = tokio::select! {
                end = &mut end => return end,
                event = emitted.next() => event.ok_or_else(|| super::up::stopped(ctx))?,
            };
            if !session.covers(&event.swarm) {
                continue;
            }
            if emitted.lagged() > missed {
                missed = emitted.lagged();
                ctx.out.say(&format!("missed {missed} events so far: too many at once"));
            }
            super::talk::tell_emitted(ctx, &event)?;
            seen += 1;
            if args.count == Some(seen) {
                return Ok(0);
            }
        }
    })
    .await;
    conclude(ctx, outcome)
}

/// The last line for programs, however it ended.
pub(super) fn conclude(ctx: &Ctx, outcome: Result<u8, CliError>) -> Result<u8, CliError> {
    if !ctx.out.is_json() || outcome.as_ref().is_err_and(|error| error.exit() == 0) {
        return outcome;
    }
    let exit = outcome.as_ref().map_or_else(CliError::exit, |exit| *exit);
    let mut line = json!({"command": ctx.verb, "ok": outcome.is_ok(), "exit": exit});
    line["up_ms"] = millis(ctx.started.elapsed());
    if let Err(error) = outcome {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line).map(|()| exit)
}

/// One event of a conversation, in the words of `watch`.
pub(super) fn tell_event(ctx: &Ctx, event: &ConversationEvent) -> Result<(), CliError> {
    if ctx.out.is_json() {
        let (kind, fields) = feed::said_json(event);
        return ctx.out.event(&kind, fields);
    }
    match Feed::new(&ctx.out, &[]).said(event) {
        Some(line) => ctx.out.line(&format!("{}  {line}", ctx.out.clock())),
        None => Ok(()),
    }
}
