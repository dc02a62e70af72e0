//! `p2pnode subscribe --exec`: a program for each event, or for each message that arrives.

use std::path::PathBuf;

use futures::StreamExt as _;
use p2pnode::{
    ConversationEvent, InboxMail, Mutes, NodeEvent, PeerId, PeerRef, Said, store::Store, wire::subject::Pattern,
};
use serde_json::{Value, json};

use crate::{
    args::talk::Subscribe,
    connect::{self, Session, Want},
    context::Ctx,
    control::not_running,
    error::CliError,
    output::{escape_line, feed::said_json, json::ascii, peers::reference},
    profile,
    program::{Counts, Hooks, Job},
};

/// What arrived, for a program.
struct Arrived {
    from: PeerRef,
    json: Value,
    variables: Vec<(&'static str, String)>,
}

/// What was typed, read where it was typed.
pub(super) fn check(args: &mut Subscribe) -> Result<(), CliError> {
    if let Some(command) = args.exec.take() {
        args.argv = crate::program::argv("--exec", &command)?;
    }
    Ok(())
}

/// Runs the program until something ends it.
pub(super) async fn run(ctx: &Ctx, args: &Subscribe) -> Result<u8, CliError> {
    let pattern: Option<Pattern> = args.pattern.as_deref().map(str::parse).transpose().map_err(wrong)?;
    let mut hooks = Hooks::new(args.argv.clone())?;
    connect::with(ctx, Want::All(None), None, async |session| {
        let node = session.node();
        if args.mail && node.mail().is_none() {
            return Err(not_running(&crate::args::Verb::Subscribe(args.clone())));
        }
        if session.swarms().is_empty() {
            return Err(crate::error::node::no_swarm(node));
        }
        let muted = Muted::of(ctx, session)?;
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
                outcome = hooks.ended() => tell(ctx, outcome)?,
                event = events.next(), if !all_seen => {
                    let Some(event) = event else { break Err(super::up::stopped(ctx)) };
                    let Some(arrived) = arrived(session, pattern.as_ref(), args.mail, &event) else { continue };
                    if muted.has(&arrived.from.id).await? {
                        continue;
                    }
                    seen += 1;
                    offer(ctx, &mut hooks, arrived);
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

fn arrived(session: &Session, pattern: Option<&Pattern>, mail: bool, event: &NodeEvent) -> Option<Arrived> {
    match event {
        NodeEvent::Conversation(event) => emitted(session, pattern?, event),
        NodeEvent::MailArrived(letter) if mail => Some(message(letter)),
        _ => None,
    }
}

fn emitted(session: &Session, pattern: &Pattern, event: &ConversationEvent) -> Option<Arrived> {
    let Said::Emitted { subject, .. } = &event.said else { return None };
    if !pattern.matches(subject) || !session.covers(&event.swarm) {
        return None;
    }
    let (kind, mut json) = said_json(event);
    json["kind"] = kind.into();
    let mut variables = caller(&event.author);
    variables.extend([
        ("P2PNODE_SWARM", event.swarm.clone()),
        ("P2PNODE_CONVERSATION", event.conversation.to_string()),
        ("P2PNODE_SUBJECT", escape_line(subject).into_owned()),
    ]);
    Some(Arrived { from: event.author.clone(), json, variables })
}

fn message(letter: &InboxMail) -> Arrived {
    let mail = &letter.mail;
    let json = json!({
        "kind": "mail", "peer": reference(&letter.from), "id": mail.id.to_string(),
        "conversation": mail.conversation.to_string(), "mail_kind": mail.kind, "text": letter.text(),
        "sent_ms": mail.sent_ms, "received_ms": letter.received_ms, "stranger": letter.stranger,
    });
    let mut variables = caller(&letter.from);
    variables.extend([("P2PNODE_MAIL", mail.id.to_string()), ("P2PNODE_CONVERSATION", mail.conversation.to_string())]);
    Arrived { from: letter.from.clone(), json, variables }
}

/// Names are foreign text: what could steer a terminal that a program logs to is spelled out.
fn caller(from: &PeerRef) -> Vec<(&'static str, String)> {
    vec![("P2PNODE_CALLER", from.id.to_string()), ("P2PNODE_CALLER_NAME", escape_line(&from.name).into_owned())]
}

fn offer(ctx: &Ctx, hooks: &mut Hooks, arrived: Arrived) {
    let job = Job { stdin: ascii(&arrived.json).into_bytes(), variables: arrived.variables, ..Job::default() };
    if !hooks.offer(job) {
        let dropped = hooks.counts().dropped;
        ctx.out.note(&format!("{dropped} events dropped so far: too many at once for the program"));
    }
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

/// Who is muted: by the node, or by that of the profile.
enum Muted {
    Node(Mutes),
    File(PathBuf),
}

impl Muted {
    fn of(ctx: &Ctx, session: &Session) -> Result<Self, CliError> {
        match session.node().mutes() {
            Some(mutes) => Ok(Self::Node(mutes)),
            None => Ok(Self::File(profile::paths(&ctx.global)?.store_path(profile::chosen(&ctx.global))?)),
        }
    }

    /// Asked each time: it counts at once.
    async fn has(&self, peer: &PeerId) -> Result<bool, CliError> {
        match self {
            Self::Node(mutes) => Ok(mutes.list().await?.contains(peer)),
            Self::File(file) if !file.exists() => Ok(false),
            Self::File(file) => {
                let file = file.clone();
                let opened = tokio::task::spawn_blocking(move || Store::open_read_only(&file)).await;
                let store = opened.map_err(|error| CliError::internal(error.to_string()))??;
                Ok(Mutes::kept(&store).await?.contains(peer))
            }
        }
    }
}
