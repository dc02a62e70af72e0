//! `p2pnode conv`: conversations as they are kept.

use std::collections::BTreeSet;

use futures::StreamExt as _;
use p2pnode::{
    ConversationId, ErrorCode, EventId, KeptEvent, NodeEvent,
    store::{ConversationQuery, ConversationRow, InboxQuery, OutboxQuery},
    wire::mail::Mail,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::kept::Kept;
use crate::{
    args::history::{Conv, ConvVerb, Format},
    context::Ctx,
    error::CliError,
    output::{
        entry::{Entry, names},
        escape_line,
        export::Export,
        json::{age, at_ms, millis},
        mail::{first_line, is_receipt},
        render::{ago, count, duration},
        table::{Column, Table},
    },
};

/// Does what was asked for.
pub(super) async fn run(ctx: &Ctx, args: &Conv) -> Result<u8, CliError> {
    match &args.verb {
        ConvVerb::List { limit } => ctx.guard(None, list(ctx, *limit as usize)).await,
        ConvVerb::Show { id, condensed: false } => ctx.guard(None, show(ctx, id)).await,
        ConvVerb::Show { id, condensed: true } => ctx.guard(None, super::condense::show(ctx, id)).await,
        ConvVerb::Compact { id, keep } => ctx.guard(None, super::condense::compact(ctx, id, *keep as usize)).await,
        ConvVerb::Export { id, format } => ctx.guard(None, export(ctx, id, *format)).await,
        ConvVerb::Follow { id } => return follow(ctx, id).await,
    }
    .map(|()| 0)
}

/// A conversation, events and messages in one row.
struct Talk {
    id: ConversationId,
    entries: Vec<Entry>,
    /// Ids of events that every member should have.
    lasting: BTreeSet<EventId>,
    /// Ids of all its events.
    events: BTreeSet<EventId>,
}

impl Talk {
    async fn read(kept: &Kept, id: ConversationId) -> Result<Self, CliError> {
        let events = kept.history.conversation(id).await?;
        let inbox = InboxQuery { conversation: Some(id), limit: usize::MAX, ..InboxQuery::default() };
        let outbox = OutboxQuery { conversation: Some(id), limit: usize::MAX, ..OutboxQuery::default() };
        let (inbox, outbox) = (kept.history.inbox(inbox).await?, kept.history.outbox(outbox).await?);
        let of_people = |mail: &Mail| !is_receipt(mail);
        let mut mail: Vec<Entry> = inbox.iter().map(Entry::from).collect();
        mail.extend(outbox.iter().filter(|m| of_people(&m.mail)).map(|mail| Entry::outbox(mail, &kept.own)));
        mail.sort_by_key(|entry| entry.at_ms);
        // Events stay in the order of their causes; messages go in between by their clocks.
        let mut mail = mail.into_iter().peekable();
        let mut entries = Vec::new();
        for event in events.iter().map(Entry::from) {
            entries.extend(std::iter::from_fn(|| mail.next_if(|mail| mail.at_ms < event.at_ms)));
            entries.push(event);
        }
        entries.extend(mail);
        Ok(Self {
            id,
            entries,
            lasting: events.iter().filter(|kept| !kept.live).map(|kept| kept.event.id).collect(),
            events: events.iter().map(|kept| kept.event.id).collect(),
        })
    }

    fn span(&self) -> (u64, u64) {
        let times = || self.entries.iter().map(|entry| entry.at_ms);
        (times().min().unwrap_or_default(), times().max().unwrap_or_default())
    }

    fn swarm(&self) -> &str {
        self.entries.iter().map(|entry| entry.swarm.as_str()).find(|swarm| !swarm.is_empty()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        let (started, last) = self.span();
        let (events, mail): (Vec<_>, Vec<_>) = self.entries.iter().partition(|entry| entry.place == "events");
        json!({
            "id": self.id.to_string(),
            "swarm": self.swarm(),
            "started": at_ms(started),
            "last": at_ms(last),
            "hash": hash(&self.lasting),
            "events": events.into_iter().map(Entry::json).collect::<Vec<_>>(),
            "mail": mail.into_iter().map(Entry::json).collect::<Vec<_>>(),
        })
    }

    fn head(&self, ctx: &Ctx) -> String {
        let (started, last) = self.span();
        let swarm = match self.swarm() {
            "" => "direct".to_owned(),
            swarm => escape_line(swarm).into_owned(),
        };
        let span = duration(std::time::Duration::from_millis(last - started));
        let entries = count(self.entries.len(), "entry", "entries");
        let started = ctx.out.time(started, "%Y-%m-%d %H:%M:%S");
        format!("{}   {swarm}   {started}   {entries} in {span}", self.id)
    }
}

/// SHA-256 over the ids, rising: the same for all members who keep the same.
fn hash(ids: &BTreeSet<EventId>) -> String {
    let mut hash = Sha256::new();
    ids.iter().for_each(|id| hash.update(id.0));
    EventId(hash.finalize().into()).to_string()
}

async fn show(ctx: &Ctx, id: &str) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let talk = Talk::read(&kept, kept.conversation(id).await?).await?;
    ctx.answer(talk.json(), kept.meta(ctx), || {
        let names = names(&talk.entries, &ctx.out);
        talk.entries.iter().fold(talk.head(ctx), |text, entry| format!("{text}\n{}", entry.line(&ctx.out, names)))
    })
}

async fn export(ctx: &Ctx, id: &str, format: Format) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let talk = Talk::read(&kept, kept.conversation(id).await?).await?;
    if ctx.out.is_json() || format == Format::Json {
        return match ctx.out.is_json() {
            true => ctx.out.answer(ctx.verb, talk.json(), kept.meta(ctx)),
            false => ctx.out.line(&crate::output::json::ascii(&talk.json())),
        };
    }
    if format == Format::Md {
        ctx.out.line(&format!("# Conversation {}\n\n{}\n", talk.id.short(), talk.head(ctx)))?;
    }
    let mut export = Export::new(&ctx.out, format);
    talk.entries.iter().try_for_each(|entry| export.write(entry))?;
    export.end().map(|_| ())
}

async fn list(ctx: &Ctx, limit: usize) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let swarm = super::history::swarm(ctx)?;
    let rows = kept.history.conversations(ConversationQuery { swarm, limit, ..ConversationQuery::default() }).await?;
    let mut told = Vec::new();
    for row in rows {
        let first = match row.first {
            Some(first) => begun(&kept, first).await?.as_ref().map(Entry::from),
            None => Talk::read(&kept, row.id).await?.entries.into_iter().next(),
        };
        told.push((row, first));
    }
    if told.is_empty() && !ctx.out.is_json() {
        ctx.out.say("no conversations");
        return Ok(());
    }
    let data = json!(told.iter().map(|(row, first)| row_json(row, first.as_ref())).collect::<Vec<_>>());
    ctx.answer(data, kept.meta(ctx), || table(ctx, &told))
}

/// The event with which a conversation begins, `first` being the one with the earliest clock: an answer of the same
/// millisecond, or of a clock that is behind, is none.
async fn begun(kept: &Kept, first: EventId) -> Result<Option<KeptEvent>, CliError> {
    let mut event = kept.history.event(first).await?;
    let mut steps = 0..8;
    while let Some(answer) = &event
        && let Some(parent) = answer.event.parent
        && steps.next().is_some()
    {
        match kept.history.event(parent).await? {
            Some(cause) if cause.event.conversation == answer.event.conversation => event = Some(cause),
            _ => break,
        }
    }
    Ok(event)
}

fn row_json(row: &ConversationRow, first: Option<&Entry>) -> Value {
    json!({
        "id": row.id.to_string(),
        "swarm": first.map(|first| &first.swarm),
        "started": at_ms(row.started_ms),
        "last": at_ms(row.last_ms),
        "entries": row.entries,
        "first": first.map(Entry::json),
    })
}

fn table(ctx: &Ctx, rows: &[(ConversationRow, Option<Entry>)]) -> String {
    let mut table = Table::new(&[
        Column::new("ID"),
        Column::new("LAST"),
        Column::new("ENTRIES").right(),
        Column::new("SWARM").optional(1),
        Column::new("FROM").flexible(),
        Column::new("BEGINS").flexible(),
    ]);
    for (row, first) in rows {
        let text = |part: fn(&Entry) -> String| (first.as_ref().map(part).unwrap_or_default(), None);
        table.row([
            (row.id.short(), None),
            (ago(age(row.last_ms)), None),
            (row.entries.to_string(), None),
            text(|first| first.swarm.clone()),
            (first.as_ref().map(|first| first.who(&ctx.out)).unwrap_or_default(), None),
            text(|first| match first.text.is_empty() {
                true => first.kind.clone(),
                false => format!("{}: {}", first.kind, first_line(&first.text)),
            }),
        ]);
    }
    table.render(Some(ctx.out.width), ctx.out.style, ctx.out.glyphs.cut)
}

/// What there is, and what comes.
async fn follow(ctx: &Ctx, id: &str) -> Result<u8, CliError> {
    let outcome = followed(ctx, id).await;
    super::watch::conclude(ctx, outcome)
}

async fn followed(ctx: &Ctx, id: &str) -> Result<u8, CliError> {
    let daemon = ctx.daemon.as_deref().ok_or_else(|| CliError::internal("no node runs here"))?;
    let node = daemon.node();
    // Listened to before it is read: nothing falls in between.
    let mut events = node.events();
    let kept = Kept::open(ctx).await?;
    let id = match kept.conversation(id).await {
        // Somebody has its whole id before anything of it has come.
        Err(error) if error.exit() == ErrorCode::NotFound.exit() => id.parse().map_err(|_| error)?,
        other => other?,
    };
    let mut talk = Talk::read(&kept, id).await?;
    let names = names(&talk.entries, &ctx.out);
    talk.entries.iter().try_for_each(|entry| tell(ctx, entry, names))?;
    let end = super::up::end(ctx, node);
    tokio::pin!(end);
    loop {
        let event = tokio::select! {
            end = &mut end => return end,
            event = events.next() => event.ok_or_else(|| super::up::stopped(ctx))?,
        };
        match event {
            NodeEvent::Conversation(event) if event.conversation == id && talk.events.insert(event.id) => {
                let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
                let kept = p2pnode::KeptEvent { event: *event, received_ms: now, live: false };
                tell(ctx, &Entry::from(&kept), names)?;
            }
            NodeEvent::MailArrived(mail) if mail.mail.conversation == id => tell(ctx, &Entry::from(&*mail), names)?,
            // Fetched from members, not told one by one.
            NodeEvent::CaughtUp { .. } | NodeEvent::Lagged(_) => {
                let again = Talk::read(&kept, id).await?;
                let new = |entry: &&Entry| entry.id.parse().is_ok_and(|id: EventId| !talk.events.contains(&id));
                again.entries.iter().filter(new).try_for_each(|entry| tell(ctx, entry, names))?;
                talk.events.extend(again.events);
            }
            _ => {}
        }
    }
}

fn tell(ctx: &Ctx, entry: &Entry, names: usize) -> Result<(), CliError> {
    match ctx.out.is_json() {
        true => {
            let mut json = entry.json();
            // The line has the time at which it is told.
            json["said_at"] = json["at"].take();
            json["said"] = json["kind"].take();
            if let Some(fields) = json.as_object_mut() {
                fields.remove("at");
                fields.remove("kind");
            }
            json["elapsed_ms"] = millis(ctx.started.elapsed());
            ctx.out.event("entry", json)
        }
        false => ctx.out.line(&entry.line(&ctx.out, names)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_sorted_ids() {
        let ids = |order: [u8; 2]| order.map(|byte| EventId([byte; 32])).into_iter().collect::<BTreeSet<_>>();
        assert_eq!(hash(&ids([1, 2])), hash(&ids([2, 1])));
        let expected = Sha256::digest([[1_u8; 32], [2; 32]].concat());
        assert_eq!(hash(&ids([2, 1])), EventId(expected.into()).to_string());
        assert_ne!(hash(&ids([1, 2])), hash(&BTreeSet::new()));
    }
}
