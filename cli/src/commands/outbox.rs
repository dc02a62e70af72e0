//! `p2pnode outbox`: messages of this node.

use p2pnode::{ErrorCode, Mailbox, OutboxMail, store::OutboxQuery};
use serde_json::json;

use super::{
    inbox::meta,
    kept::{CANDIDATES, digits, mailbox, the_one},
};
use crate::{
    args::mail::{Outbox, OutboxVerb},
    context::Ctx,
    error::CliError,
    output::mail::{is_receipt, outbox_json, outbox_table, outbox_text},
};

/// Does what was asked for.
pub(super) async fn run(ctx: &Ctx, args: &Outbox) -> Result<(), CliError> {
    let (_, mail) = mailbox(ctx)?;
    ctx.guard(None, async {
        match args.verb.clone().unwrap_or(OutboxVerb::List {}) {
            OutboxVerb::List {} => list(ctx, &mail).await,
            OutboxVerb::Show { id } => {
                let found = find(&mail, &id).await?;
                ctx.answer(outbox_json(&found), meta(ctx), || outbox_text(&found, &ctx.out))
            }
            OutboxVerb::Rm { id } => remove(ctx, &mail, &id).await,
        }
    })
    .await
}

async fn find(mail: &Mailbox, id: &str) -> Result<OutboxMail, CliError> {
    let query = OutboxQuery { id: Some(digits(id)?), limit: CANDIDATES, ..OutboxQuery::default() };
    let found = mail.outbox(query).await?.into_iter().filter(|mail| !is_receipt(&mail.mail));
    the_one("message", id, found.map(|mail| (mail.mail.id.to_string(), mail)).collect(), "p2pnode outbox")
}

async fn list(ctx: &Ctx, mail: &Mailbox) -> Result<(), CliError> {
    let mut mails = mail.outbox(OutboxQuery { limit: usize::MAX, ..OutboxQuery::default() }).await?;
    mails.retain(|mail| !is_receipt(&mail.mail));
    if mails.is_empty() && !ctx.out.is_json() {
        ctx.out.say("no messages");
        return Ok(());
    }
    let data = json!(mails.iter().map(outbox_json).collect::<Vec<_>>());
    ctx.answer(data, meta(ctx), || outbox_table(&mails, &ctx.out))
}

async fn remove(ctx: &Ctx, mail: &Mailbox, id: &str) -> Result<(), CliError> {
    let found = find(mail, id).await?;
    if !mail.remove(found.mail.id).await? {
        return Err(CliError::of(ErrorCode::NotFound, format!("message {} is gone already", found.mail.id.short())));
    }
    let what = if found.state.is_settled() { "off the list" } else { "taken back" };
    ctx.answer(outbox_json(&found), meta(ctx), || format!("{}   {what}", found.mail.id.short()))
}
