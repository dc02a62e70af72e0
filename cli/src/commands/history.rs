//! `p2pnode history`: all that is kept.

use p2pnode::{
    EventId, KeptEvent,
    store::{
        EventQuery, InboxQuery, Order, OutboxQuery, SearchQuery,
        search::{self, Join, Search, SearchError},
    },
    wire::{
        ids::{SwarmId, SwarmName},
        talk::kind,
    },
};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::kept::{Kept, digits, is, the_one};
use crate::{
    args::history::{Filter, Format, History, HistoryVerb, Logic},
    context::Ctx,
    error::CliError,
    output::{
        entry::{self, Entry},
        escape_all, escape_line,
        export::Export,
        json::{age, at_ms},
        mail::is_receipt,
        render::{ago, count, size},
        style::Role,
    },
};

/// Entries in a list without `--limit`.
const LIMIT: usize = 20;

/// Events read at once.
const PAGE: usize = 500;

/// Hits that are looked through for those that fit, too.
const HITS: usize = 10_000;

/// Does what was asked for.
pub(super) async fn run(ctx: &Ctx, args: History) -> Result<(), CliError> {
    if matches!(args.verb, HistoryVerb::Salvage {}) {
        return super::salvage::run(ctx).await;
    }
    let work = async {
        match args.verb {
            HistoryVerb::List(filter) => list(ctx, &filter).await,
            HistoryVerb::Show { id } => show(ctx, &id).await,
            HistoryVerb::Search { text, filter } => find(ctx, &text, &filter).await,
            HistoryVerb::Stats {} => stats(ctx).await,
            HistoryVerb::Export(filter) => export(ctx, &filter).await,
            HistoryVerb::Cleanup(args) => super::cleanup::run(ctx, &args).await,
            HistoryVerb::Salvage {} => Ok(()),
        }
    };
    ctx.guard(None, work).await
}

/// The swarm that was named.
pub(super) fn swarm(ctx: &Ctx) -> Result<Option<SwarmId>, CliError> {
    let name = ctx.global.swarm.as_deref().map(str::parse::<SwarmName>).transpose();
    name.map(|name| name.map(|name| SwarmId::open(&name))).map_err(|error| CliError::usage(error.to_string()))
}

/// What fits, read once.
struct Which<'a> {
    filter: &'a Filter,
    swarm: Option<SwarmId>,
    since_ms: Option<u64>,
}

impl<'a> Which<'a> {
    fn read(ctx: &Ctx, filter: &'a Filter, searched: bool) -> Result<Self, CliError> {
        if filter.logic.is_some() && !searched {
            return Err(CliError::usage("--logic is for `history search`"));
        }
        Ok(Self { filter, swarm: swarm(ctx)?, since_ms: since(ctx, filter)? })
    }

    fn query(&self, order: Order) -> EventQuery {
        let kinds = self.filter.kind.iter().map(|kind| stored_kind(kind).to_owned()).collect();
        let (swarm, since_ms) = (self.swarm, self.since_ms);
        EventQuery { swarm, since_ms, kinds, order, limit: PAGE, ..EventQuery::default() }
    }

    fn fits(&self, entry: &Entry) -> bool {
        let agent = self.filter.agent.as_ref();
        let kinds = &self.filter.kind;
        let kind = |kind: &String| *kind == entry.kind || kind == "emit" && entry.kind == "event";
        agent.is_none_or(|agent| is(&entry.author, agent) || entry.to.as_ref().is_some_and(|to| is(to, agent)))
            && (kinds.is_empty() || kinds.iter().any(kind))
            && self.since_ms.is_none_or(|since| entry.at_ms >= since)
    }

    /// Messages that fit, the oldest first.
    async fn mail(&self, kept: &Kept) -> Result<Vec<Entry>, CliError> {
        let inbox = kept.history.inbox(InboxQuery { limit: usize::MAX, ..InboxQuery::default() }).await?;
        let outbox = kept.history.outbox(OutboxQuery { limit: usize::MAX, ..OutboxQuery::default() }).await?;
        let here = |mail: &p2pnode::wire::mail::Mail| {
            !is_receipt(mail) && self.swarm.is_none_or(|swarm| mail.swarm == Some(swarm))
        };
        let inbox = inbox.iter().filter(|mail| here(&mail.mail)).map(Entry::from);
        let outbox = outbox.iter().filter(|mail| here(&mail.mail)).map(|mail| Entry::outbox(mail, &kept.own));
        let mut mail: Vec<Entry> = inbox.chain(outbox).filter(|entry| self.fits(entry)).collect();
        mail.sort_by_key(|entry| entry.at_ms);
        Ok(mail)
    }
}

/// What an event is called in the store.
fn stored_kind(said: &str) -> &str {
    match said {
        "ask" | "broadcast" => kind::MESSAGE,
        "failed" => kind::ERROR,
        "event" => kind::EMIT,
        other => other,
    }
}

/// Since when, in milliseconds since 1970.
fn since(ctx: &Ctx, filter: &Filter) -> Result<Option<u64>, CliError> {
    let now = jiff::Timestamp::now();
    let ago = |span: std::time::Duration| {
        let span = jiff::SignedDuration::try_from(span).unwrap_or(jiff::SignedDuration::MAX);
        now.saturating_sub(span).unwrap_or(jiff::Timestamp::MIN)
    };
    let time = match (&filter.since, filter.days) {
        (Some(text), _) => when(ctx, text, ago)?,
        (None, Some(days)) => ago(std::time::Duration::from_secs(u64::from(days) * 86_400)),
        (None, None) => return Ok(None),
    };
    Ok(Some(u64::try_from(time.as_millisecond()).unwrap_or_default()))
}

fn when(
    ctx: &Ctx,
    text: &str,
    ago: impl Fn(std::time::Duration) -> jiff::Timestamp,
) -> Result<jiff::Timestamp, CliError> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    // A date alone is its midnight where the reader is.
    if let Ok(date) = text.parse::<jiff::civil::DateTime>() {
        return date.to_zoned(ctx.out.zone()).map(|time| time.timestamp()).map_err(|e| CliError::usage(e.to_string()));
    }
    let wrong = |_| {
        CliError::usage(format!("`{text}` is no time; write 2026-11-22, 2026-11-22T18:00, or 2h for two hours ago"))
    };
    crate::args::value::duration(text).map(ago).map_err(wrong)
}

async fn list(ctx: &Ctx, filter: &Filter) -> Result<(), CliError> {
    let (kept, which) = (Kept::open(ctx).await?, Which::read(ctx, filter, false)?);
    let limit = filter.limit.map_or(LIMIT, |limit| limit as usize);
    let mut entries = which.mail(&kept).await?;
    let mut query = which.query(Order::Newest);
    let mut events = 0;
    while events < limit {
        let page = kept.history.events(query.clone()).await?;
        let fit: Vec<Entry> = page.iter().map(Entry::from).filter(|entry| which.fits(entry)).collect();
        events += fit.len();
        entries.extend(fit);
        match next(&page) {
            Some(after) => query.after = Some(after),
            None => break,
        }
    }
    entries.sort_by(|a, b| (b.at_ms, &b.id).cmp(&(a.at_ms, &a.id)));
    entries.truncate(limit);
    print(ctx, &kept, filter.format, &entries, || entry::table(&entries, &ctx.out))
}

/// Where the next page begins; none after the last one.
fn next(page: &[KeptEvent]) -> Option<(u64, EventId)> {
    let last = page.last().filter(|_| page.len() == PAGE)?;
    Some((Entry::from(last).at_ms, last.event.id))
}

fn print(
    ctx: &Ctx,
    kept: &Kept,
    format: Option<Format>,
    entries: &[Entry],
    table: impl FnOnce() -> String,
) -> Result<(), CliError> {
    if ctx.out.is_json() {
        let data = json!(entries.iter().map(Entry::json).collect::<Vec<_>>());
        return ctx.out.answer(ctx.verb, data, kept.meta(ctx));
    }
    if let Some(format) = format {
        let mut export = Export::new(&ctx.out, format);
        entries.iter().try_for_each(|entry| export.write(entry))?;
        return export.end().map(|_| ());
    }
    if entries.is_empty() {
        ctx.out.say("nothing fits");
        return Ok(());
    }
    ctx.out.line(&table())
}

async fn find(ctx: &Ctx, text: &str, filter: &Filter) -> Result<(), CliError> {
    let join = if filter.logic == Some(Logic::Or) { Join::Any } else { Join::All };
    let search = Search::parse(text, join).map_err(|error| not_well_formed(text, &error))?;
    let (kept, which) = (Kept::open(ctx).await?, Which::read(ctx, filter, true)?);
    let limit = filter.limit.map_or(LIMIT, |limit| limit as usize);
    let narrow = filter.agent.is_some() || !filter.kind.is_empty();
    let query = SearchQuery {
        search: search.clone(),
        swarm: which.swarm,
        author: None,
        since_ms: which.since_ms,
        limit: if narrow { HITS } else { limit },
    };
    let hits = kept.history.search(query).await?;
    let hits = hits.iter().filter_map(|hit| Entry::of(hit, &kept.own)).filter(|entry| which.fits(entry));
    let entries: Vec<Entry> = hits.take(limit).collect();
    let marked: Vec<String> = entries.iter().map(|entry| search::mark(&entry.text, &search)).collect();
    if ctx.out.is_json() {
        let with_mark = |(entry, marked): (&Entry, &String)| {
            let mut json = entry.json();
            json["marked"] = json!(marked);
            json
        };
        let data: Vec<Value> = entries.iter().zip(&marked).map(with_mark).collect();
        return ctx.out.answer(ctx.verb, json!(data), kept.meta(ctx));
    }
    let hits = || entries.iter().zip(&marked).map(|(entry, marked)| entry::hit(entry, marked, &ctx.out));
    print(ctx, &kept, filter.format, &entries, || hits().collect::<Vec<_>>().join("\n"))
}

/// The text with a caret under what is wrong with it.
fn not_well_formed(text: &str, error: &SearchError) -> CliError {
    let upto = |at: usize| escape_line(text.get(..at).unwrap_or(text)).width();
    let (from, to) = (upto(error.span.start), upto(error.span.end));
    let carets = "^".repeat(to.saturating_sub(from).max(1));
    let message = format!("{}\n{}\n{}{carets}", error.reason, escape_line(text), " ".repeat(from));
    CliError::new("search", crate::error::exit::USAGE, message)
        .maybe(error.hint.clone())
        .detail("from", error.span.start)
        .detail("to", error.span.end)
}

async fn show(ctx: &Ctx, id: &str) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let mut found = mail_by(&kept, id).await?;
    found.extend(events_by(&kept, id).await?);
    let entry = the_one("entry", id, found, "p2pnode history list")?;
    ctx.answer(entry.json(), kept.meta(ctx), || full(ctx, &entry))
}

async fn mail_by(kept: &Kept, id: &str) -> Result<Vec<(String, Entry)>, CliError> {
    let (part, limit) = (Some(digits(id)?), super::kept::CANDIDATES);
    let inbox = InboxQuery { id: part.clone(), limit, ..InboxQuery::default() };
    let outbox = OutboxQuery { id: part, limit, ..OutboxQuery::default() };
    let inbox = kept.history.inbox(inbox).await?.iter().map(Entry::from).collect::<Vec<_>>();
    let outbox = kept.history.outbox(outbox).await?;
    let outbox = outbox.iter().filter(|mail| !is_receipt(&mail.mail)).map(|mail| Entry::outbox(mail, &kept.own));
    Ok(inbox.into_iter().chain(outbox).map(|entry| (entry.id.clone(), entry)).collect())
}

/// By the whole id at once; else one after the other, the newest first.
async fn events_by(kept: &Kept, id: &str) -> Result<Vec<(String, Entry)>, CliError> {
    let part = digits(id)?;
    if let Ok(whole) = part.parse::<EventId>() {
        let event = kept.history.event(whole).await?;
        return Ok(event.iter().map(|event| (event.event.id.to_string(), Entry::from(event))).collect());
    }
    let mut found = Vec::new();
    let mut query = EventQuery { limit: PAGE, ..EventQuery::default() };
    loop {
        let page = kept.history.events(query.clone()).await?;
        for event in &page {
            let id = event.event.id.to_string();
            if id.ends_with(&part) || id.starts_with(&part) {
                found.push((id, Entry::from(event)));
            }
        }
        match next(&page) {
            Some(after) if found.len() < super::kept::CANDIDATES => query.after = Some(after),
            _ => return Ok(found),
        }
    }
}

fn full(ctx: &Ctx, entry: &Entry) -> String {
    let row = |label: &str, value: &str| format!("{} {value}", ctx.out.style.paint(Role::Dim, &format!("{label:<9}")));
    let mut lines = vec![
        row("from", &format!("{}   {}", entry.who(&ctx.out), entry.author.id)),
        row("at", &ctx.out.time(entry.at_ms, "%Y-%m-%d %H:%M:%S%.3f")),
        row("kind", &format!("{}{}", escape_line(&entry.kind), if entry.live { " (live)" } else { "" })),
        row("id", &entry.id),
        row("talk", &entry.conversation.to_string()),
    ];
    if !entry.swarm.is_empty() {
        lines.push(row("swarm", &escape_line(&entry.swarm)));
    }
    let text = escape_all(entry.text.trim_end());
    if !text.is_empty() {
        lines.push(format!("\n{text}"));
    }
    lines.join("\n")
}

async fn stats(ctx: &Ctx) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let stats = kept.history.stats().await?;
    let data = json!({
        "events": stats.events, "event_bytes": stats.event_bytes, "conversations": stats.conversations,
        "feeds": stats.feeds, "inbox": stats.inbox, "unread": stats.unread, "outbox": stats.outbox,
        "unsettled": stats.unsettled, "oldest": stats.oldest_ms.map(at_ms), "newest": stats.newest_ms.map(at_ms),
        "file_bytes": stats.file_bytes, "reserve_bytes": stats.reserve_bytes,
    });
    let bytes = |bytes: u64| size(usize::try_from(bytes).unwrap_or(usize::MAX));
    let number = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    ctx.answer(data, kept.meta(ctx), || {
        let row =
            |label: &str, text: &str| format!("{} {text}", ctx.out.style.paint(Role::Dim, &format!("{label:<9}")));
        let time = |ms: Option<u64>| ms.map_or_else(|| "none".to_owned(), |ms| ago(age(ms)));
        let talks = count(number(stats.conversations), "conversation", "conversations");
        let feeds = count(number(stats.feeds), "feed", "feeds");
        let reserve = match stats.reserve_bytes {
            0 => String::new(),
            reserve => format!(", and {} beside it kept free for a full disk", bytes(reserve)),
        };
        [
            row("events", &format!("{} ({}) in {talks}, {feeds}", stats.events, bytes(stats.event_bytes))),
            row("said", &format!("{} to {}", time(stats.oldest_ms), time(stats.newest_ms))),
            row("inbox", &format!("{}, {} unread", count(number(stats.inbox), "message", "messages"), stats.unread)),
            row(
                "outbox",
                &format!("{}, {} on the way", count(number(stats.outbox), "message", "messages"), stats.unsettled),
            ),
            row("file", &format!("{}{reserve}", bytes(stats.file_bytes))),
        ]
        .join("\n")
    })
}

/// The oldest first, one after the other: nothing waits in memory but the messages.
async fn export(ctx: &Ctx, filter: &Filter) -> Result<(), CliError> {
    let (kept, which) = (Kept::open(ctx).await?, Which::read(ctx, filter, false)?);
    let mut left = filter.limit.map_or(usize::MAX, |limit| limit as usize);
    let mut export = Export::new(&ctx.out, filter.format.unwrap_or(Format::Ndjson));
    let mut write = |entry: &Entry| {
        if left == 0 {
            return Ok(());
        }
        left -= 1;
        if ctx.out.is_json() { ctx.out.event("entry", json!({"entry": entry.json()})) } else { export.write(entry) }
    };
    let mut mail = which.mail(&kept).await?.into_iter().peekable();
    let mut query = which.query(Order::Oldest);
    loop {
        let page = kept.history.events(query.clone()).await?;
        for event in page.iter().map(Entry::from).filter(|entry| which.fits(entry)) {
            while let Some(mail) = mail.next_if(|mail| mail.at_ms <= event.at_ms) {
                write(&mail)?;
            }
            write(&event)?;
        }
        match next(&page) {
            Some(after) => query.after = Some(after),
            None => break,
        }
    }
    mail.try_for_each(|mail| write(&mail))?;
    if ctx.out.is_json() {
        return ctx.out.event("summary", json!({"command": ctx.verb, "ok": true, "exit": 0}));
    }
    export.end().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::style::Style;

    #[test]
    fn a_caret_stands_under_what_is_wrong() {
        let text = "sunrise NEAR";
        let error = Search::parse(text, Join::All).unwrap_err();
        let told = not_well_formed(text, &error);
        assert_eq!(told.exit(), 2);
        let shown = told.to_text(Style::plain());
        assert!(shown.contains("       sunrise NEAR\n") && shown.contains("^"), "{shown}");
    }
}
