//! `p2pnode send` and `reply`: a message that the running node keeps until the other has it.

use std::time::Duration;

use futures::StreamExt as _;
use p2pnode::{
    ErrorCode, Events, InboxMail, Mailbox, NodeEvent, OutboxMail,
    store::{InboxQuery, InboxState, OutboxQuery, OutboxState},
    wire::{ids::MailId, mail::kind},
};
use serde_json::json;
use tokio::time::timeout;

use super::kept::mailbox;
use crate::{
    args::mail::{Reply, Send},
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, exit},
    output::{
        escape_line,
        mail::{inbox_json, outbox_json, outbox_state},
        peers::name,
        render::seconds,
    },
};

/// A neighbour has a message within a moment: so long the state is waited for, to tell it.
const MOMENT: Duration = Duration::from_millis(500);

/// Hands a message over, and waits for the answer if that is wanted.
pub(super) async fn send(ctx: &Ctx, mut args: Send) -> Result<(), CliError> {
    ctx.guard(None, crate::input::words(&mut args.text, &mut args.read)).await?;
    let conversation = super::kept::given(ctx, args.conversation.as_deref()).await?;
    let (daemon, mail) = mailbox(ctx)?;
    // Others may have its capability or its role.
    if !args.target.contains(':') && daemon.about().is(&args.target) {
        return Err(p2pnode::SendError::Own.into());
    }
    connect::with(ctx, Want::All(None), Some(&args.target), async |session| {
        let mut events = session.node().events();
        let mut send = mail.send(session.target(&args.target), &args.text).swarm(swarm_of(session, &args.target));
        if args.ask {
            send = send.question();
        }
        if let Some(priority) = args.priority {
            send = send.priority(priority);
        }
        if let Some(conversation) = conversation {
            send = send.conversation(conversation);
        }
        if let Some(expires) = args.expires {
            send = send.expires(expires);
        }
        let id = ctx.guard(None, async { Ok(send.await?) }).await?;
        if args.response {
            return answered(ctx, session, &mail, id, &mut events).await;
        }
        tell(ctx, session, &mail, id, &mut events).await
    })
    .await
}

/// The swarm in whose name a message goes: the named one, else one in which the other is.
fn swarm_of(session: &Session, target: &str) -> String {
    let peers = session.node().peers();
    let known = peers.iter().find(|peer| peer.name == target || peer.id.to_string() == target);
    let common = known.and_then(|peer| session.swarms().iter().find(|swarm| peer.swarms.contains(swarm)));
    common.map_or_else(|| session.swarm().to_owned(), Clone::clone)
}

/// Answers a message.
pub(super) async fn reply(ctx: &Ctx, mut args: Reply) -> Result<(), CliError> {
    ctx.guard(None, crate::input::words(&mut args.text, &mut args.read)).await?;
    let (_, mail) = mailbox(ctx)?;
    let question = match &args.id {
        Some(id) => super::inbox::find(&mail, id).await?,
        None => last(&mail).await?,
    };
    connect::with(ctx, Want::All(None), None, async |session| {
        let mut events = session.node().events();
        let mut send = mail.reply(question.mail.id, &args.text).await?;
        if let Some(priority) = args.priority {
            send = send.priority(priority);
        }
        let id = ctx.guard(None, async { Ok(send.await?) }).await?;
        if question.state == InboxState::Unread {
            mail.mark(question.from.id, question.mail.id, InboxState::Read).await?;
        }
        tell(ctx, session, &mail, id, &mut events).await
    })
    .await
}

/// The last message of a member: a stranger could come in between.
async fn last(mail: &Mailbox) -> Result<InboxMail, CliError> {
    let states = vec![InboxState::Unread, InboxState::Read];
    let query = InboxQuery { states, stranger: Some(false), limit: usize::MAX, ..InboxQuery::default() };
    let last = mail.inbox(query).await?.into_iter().max_by_key(|mail| mail.received_ms);
    last.ok_or_else(|| {
        CliError::of(ErrorCode::NotFound, "there is no message of a member to answer")
            .try_also("p2pnode inbox --all", "all messages")
    })
}

async fn outbox(mail: &Mailbox, id: MailId) -> Result<OutboxMail, CliError> {
    let query = OutboxQuery { id: Some(id.to_string()), limit: 1, ..OutboxQuery::default() };
    let gone = || CliError::of(ErrorCode::NotFound, format!("message {} was taken back", id.short()));
    mail.outbox(query).await?.pop().ok_or_else(gone)
}

/// Prints the id and how far it has come, a moment later.
async fn tell(ctx: &Ctx, session: &Session, mail: &Mailbox, id: MailId, events: &mut Events) -> Result<(), CliError> {
    let settled = async {
        while outbox(mail, id).await?.state == OutboxState::Sent {
            events.next().await;
        }
        Ok::<_, CliError>(())
    };
    // On its way is an answer, too.
    let _ = timeout(MOMENT, settled).await;
    let sent = outbox(mail, id).await?;
    if sent.state == OutboxState::Refused {
        return Err(refused(ctx, &sent));
    }
    ctx.answer(outbox_json(&sent), session.meta(), || state_line(ctx, &sent))
}

fn state_line(ctx: &Ctx, sent: &OutboxMail) -> String {
    let to = name(&sent.to, ctx.out.glyphs);
    let state = match sent.state {
        OutboxState::Sent => format!("on its way to {to}: it is tried until it is there"),
        OutboxState::Stored => format!("stored at {to}"),
        state => format!("{} ({to})", outbox_state(state)),
    };
    format!("{}   {state}", sent.mail.id.short())
}

fn refused(ctx: &Ctx, sent: &OutboxMail) -> CliError {
    let to = name(&sent.to, ctx.out.glyphs);
    let message = format!("{to} has refused message {}: {}", sent.mail.id.short(), escape_line(&sent.error));
    CliError::of(ErrorCode::PermissionDenied, message).detail("message", outbox_json(sent))
}

/// Waits for the answer, or for the news that none can come.
async fn answered(
    ctx: &Ctx,
    session: &Session,
    mail: &Mailbox,
    id: MailId,
    events: &mut Events,
) -> Result<(), CliError> {
    ctx.out.say(&state_line(ctx, &outbox(mail, id).await?));
    let answer = ctx.guard(None, answer(ctx, mail, id, events)).await;
    let answer = match answer {
        Err(error) if error.facts().code == "timeout" => return Err(late(ctx, mail, id).await),
        other => other?,
    };
    mail.mark(answer.from.id, answer.mail.id, InboxState::Read).await?;
    if answer.mail.kind == kind::ERROR {
        let who = name(&answer.from, ctx.out.glyphs);
        let error = CliError::new("handler_failed", exit::REMOTE, format!("{who} failed: {}", answer.text()));
        return Err(error.detail("answer", inbox_json(&answer)));
    }
    let sent = outbox(mail, id).await?;
    let data = json!({"message": outbox_json(&sent), "answer": inbox_json(&answer)});
    ctx.answer(data, session.meta(), || crate::output::escape_all(answer.text().trim_end()).into_owned())
}

async fn answer(ctx: &Ctx, mail: &Mailbox, id: MailId, events: &mut Events) -> Result<InboxMail, CliError> {
    loop {
        match events.next().await {
            Some(NodeEvent::MailArrived(answer)) if answers(&answer, id) => return Ok(*answer),
            Some(NodeEvent::MailChanged(sent)) if sent.mail.id == id => match sent.state {
                OutboxState::Refused => return Err(refused(ctx, &sent)),
                OutboxState::Expired => {
                    let message = format!("message {} has expired on its way", id.short());
                    return Err(
                        CliError::of(ErrorCode::TransportTimeout, message).detail("message", outbox_json(&sent))
                    );
                }
                _ => {}
            },
            // It may be among what was missed.
            Some(NodeEvent::Lagged(_)) => {
                let conversation = outbox(mail, id).await?.mail.conversation;
                let (inbox, _) = mail.conversation(conversation).await?;
                if let Some(answer) = inbox.into_iter().find(|answer| answers(answer, id)) {
                    return Ok(answer);
                }
            }
            Some(_) => {}
            None => return Err(super::up::stopped(ctx)),
        }
    }
}

fn answers(answer: &InboxMail, id: MailId) -> bool {
    answer.mail.in_reply_to == Some(id) && ![kind::ACK, kind::PROGRESS].contains(&answer.mail.kind.as_str())
}

/// No answer in time; it may still come.
async fn late(ctx: &Ctx, mail: &Mailbox, id: MailId) -> CliError {
    let limit = seconds(ctx.global.timeout.unwrap_or_default());
    let error =
        CliError::of(ErrorCode::TransportTimeout, format!("no answer to message {} within {limit}", id.short()));
    let error = match outbox(mail, id).await {
        Ok(sent) => error.maybe(state_line(ctx, &sent)).detail("message", outbox_json(&sent)),
        Err(_) => error,
    };
    error.try_also("p2pnode inbox", "it will come there")
}
