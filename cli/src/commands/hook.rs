//! `p2pnode subscribe --exec`: a program for each event, or for each message that arrives.

use std::path::Path;

use futures::StreamExt as _;
use serde_json::json;

use crate::{
    args::talk::Subscribe,
    connect::{self, Session, Want},
    context::Ctx,
    control::not_running,
    error::CliError,
    hooks::{Muted, Trigger, offer},
    program::{Counts, Hooks},
};

/// What was typed, read where it was typed.
pub(super) fn check(args: &mut Subscribe) -> Result<(), CliError> {
    if let Some(command) = args.exec.take() {
        args.argv = crate::program::argv("--exec", &command, Path::new(""))?;
    }
    Ok(())
}

/// Runs the program until something ends it.
pub(super) async fn run(ctx: &Ctx, args: &Subscribe) -> Result<u8, CliError> {
    let pattern = args.pattern.as_deref().map(str::parse).transpose().map_err(wrong)?;
    let mut hooks = Hooks::new([("--exec".to_owned(), args.argv.clone())])?;
    connect::with(ctx, Want::All(None), None, async |session| {
        let node = session.node();
        if args.mail && node.mail().is_none() {
            return Err(not_running(&crate::args::Verb::Subscribe(args.clone())));
        }
        if session.swarms().is_empty() {
            return Err(crate::error::node::no_swarm(node));
        }
        let muted = Muted::of(node, &ctx.global)?;
        let swarms = session.is_borrowed().then(|| session.swarms().to_vec());
        let trigger = Trigger { pattern, mail: args.mail, swarms, mail_of: None };
        let mut events = node.events();
        begin(ctx, session, args)?;
        let end = super::up::end(ctx, node);
        tokio::pin!(end);
        let mut seen = 0;
        let outcome = loop {
            let all_seen = args.count == Some(seen);
            if all_seen && hooks.is_idle() {
                break Ok(0);
            }
            tokio::select! {
                end = &mut end => break end,
                (_, outcome) = hooks.ended() => tell(ctx, outcome)?,
                event = events.next(), if !all_seen => {
                    let Some(event) = event else { break Err(super::up::stopped(ctx)) };
                    let Some(arrived) = trigger.arrived(&event) else { continue };
                    if muted.has(&arrived.from.id).await? {
                        continue;
                    }
                    seen += 1;
                    offer(&ctx.out, &mut hooks, 0, arrived);
                }
            }
        };
        hooks.close().await;
        summary(ctx, hooks.counts(), &outcome)?;
        outcome
    })
    .await
}

fn wrong(error: impl std::fmt::Display) -> CliError {
    CliError::usage(error.to_string())
}

fn begin(ctx: &Ctx, session: &Session, args: &Subscribe) -> Result<(), CliError> {
    let what = match (&args.pattern, args.mail) {
        (Some(pattern), true) => format!("{pattern} and mail"),
        (Some(pattern), false) => pattern.clone(),
        (None, _) => "mail".to_owned(),
    };
    if ctx.out.is_json() {
        let fields = json!({"pattern": args.pattern, "mail": args.mail, "swarms": session.swarms(), "exec": args.argv});
        return ctx.out.event("subscribed", fields);
    }
    ctx.out.say(&format!("listening for {what} in {}   Ctrl-C stops", session.swarms().join(", ")));
    Ok(())
}

fn tell(ctx: &Ctx, outcome: Result<(), p2pnode::HandlerError>) -> Result<(), CliError> {
    if ctx.out.is_json() {
        let error = outcome.as_ref().err().map(|error| &error.message);
        return ctx.out.event("hook", json!({"succeeded": error.is_none(), "error": error}));
    }
    if let Err(error) = outcome {
        ctx.out.note(&format!("the program failed: {}", error.message));
    }
    Ok(())
}

fn summary(ctx: &Ctx, counts: Counts, outcome: &Result<u8, CliError>) -> Result<(), CliError> {
    let Counts { ran, failed, dropped } = counts;
    if ctx.out.is_json() {
        return ctx.out.event("hooks", json!({"ran": ran, "failed": failed, "dropped": dropped}));
    }
    if ran + dropped > 0 && outcome.as_ref().map_or_else(CliError::exit, |exit| *exit) != 141 {
        ctx.out.say(&format!("{ran} runs, {failed} failed, {dropped} events dropped"));
    }
    Ok(())
}
