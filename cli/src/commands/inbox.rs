//! `p2pnode inbox`: messages to this node.

use p2pnode::{
    InboxMail, Mailbox,
    store::{InboxQuery, InboxState},
};
use serde_json::json;

use super::kept::{CANDIDATES, digits, is, mailbox, the_one};
use crate::{
    args::mail::{Inbox, InboxList, InboxVerb},
    context::Ctx,
    error::CliError,
    output::{
        json::{Meta, millis},
        mail::{inbox_json, inbox_state, inbox_table, inbox_text},
        render::count,
    },
};

/// Does what was asked for.
pub(super) async fn run(ctx: &Ctx, args: &Inbox) -> Result<(), CliError> {
    let (_, mail) = mailbox(ctx)?;
    ctx.guard(None, async {
        match args.verb() {
            InboxVerb::List(which) => list(ctx, &mail, &which).await,
            InboxVerb::Show { id } => show(ctx, &mail, &id).await,
            InboxVerb::Read { ids } => mark(ctx, &mail, &ids, InboxState::Read).await,
            InboxVerb::Archive { ids } => mark(ctx, &mail, &ids, InboxState::Archived).await,
            InboxVerb::Delete { ids } => mark(ctx, &mail, &ids, InboxState::Deleted).await,
            InboxVerb::Purge {} => purge(ctx, &mail).await,
        }
    })
    .await
}

/// `meta` of an answer about what the running node has.
pub(super) fn meta(ctx: &Ctx) -> Meta {
    Meta::from([("via", json!("daemon")), ("elapsed_ms", millis(ctx.started.elapsed()))])
}

/// A message by some digits of its id.
pub(super) async fn find(mail: &Mailbox, id: &str) -> Result<InboxMail, CliError> {
    let query = InboxQuery { id: Some(digits(id)?), limit: CANDIDATES, ..InboxQuery::default() };
    let found = mail.inbox(query).await?.into_iter().map(|mail| (mail.mail.id.to_string(), mail));
    the_one("message", id, found.collect(), "p2pnode inbox --all")
}

async fn list(ctx: &Ctx, mail: &Mailbox, which: &InboxList) -> Result<(), CliError> {
    let states = match which {
        InboxList { unread: true, .. } => vec![InboxState::Unread],
        InboxList { all: true, .. } => Vec::new(),
        _ => vec![InboxState::Unread, InboxState::Read],
    };
    let mut mails = mail.inbox(InboxQuery { states, limit: usize::MAX, ..InboxQuery::default() }).await?;
    mails.retain(|mail| which.from.as_ref().is_none_or(|from| is(&mail.from, from)));
    let data = json!(mails.iter().map(inbox_json).collect::<Vec<_>>());
    if mails.is_empty() && !ctx.out.is_json() {
        ctx.out.say(if which.all { "no messages" } else { "no messages; --all lists archived and deleted ones too" });
        return Ok(());
    }
    ctx.answer(data, meta(ctx), || inbox_table(&mails, &ctx.out))
}

async fn show(ctx: &Ctx, mail: &Mailbox, id: &str) -> Result<(), CliError> {
    let mut found = find(mail, id).await?;
    if found.state == InboxState::Unread {
        mail.mark(found.from.id, found.mail.id, InboxState::Read).await?;
        found.state = InboxState::Read;
    }
    ctx.answer(inbox_json(&found), meta(ctx), || inbox_text(&found, &ctx.out))
}

/// All or none: every id is looked up first.
async fn mark(ctx: &Ctx, mail: &Mailbox, ids: &[String], state: InboxState) -> Result<(), CliError> {
    let mut found = Vec::new();
    for id in ids {
        found.push(find(mail, id).await?);
    }
    for one in &mut found {
        // What was archived was read: reading it again brings it back.
        mail.mark(one.from.id, one.mail.id, state).await?;
        one.state = state;
    }
    let data = json!(found.iter().map(inbox_json).collect::<Vec<_>>());
    let line = |mail: &InboxMail| format!("{}   {}", mail.mail.id.short(), inbox_state(state));
    ctx.answer(data, meta(ctx), || found.iter().map(line).collect::<Vec<_>>().join("\n"))
}

async fn purge(ctx: &Ctx, mail: &Mailbox) -> Result<(), CliError> {
    let removed = mail.purge().await?;
    ctx.answer(json!({"removed": removed}), meta(ctx), || {
        format!("{} removed", count(removed, "deleted message", "deleted messages"))
    })
}
