//! `p2pnode conv compact` and `conv show --condensed`: long conversations in few words.

use p2pnode::{CompactError, Condensed, ConversationId, KeptEvent, Summary};
use serde_json::{Value, json};

use super::kept::Kept;
use crate::{
    context::Ctx,
    error::CliError,
    output::{
        entry::{Entry, names, summary_json},
        escape_line,
        render::count,
        style::Role,
    },
};

/// Folds what is not folded yet.
pub(super) async fn compact(ctx: &Ctx, id: &str, keep: usize) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let id = kept.conversation(id).await?;
    let made = kept.history.compact(id, keep).await.map_err(failed)?;
    let data = json!({"id": id.to_string(), "compacted": made.is_some(), "summary": made.as_ref().map(summary_json)});
    ctx.answer(data, kept.meta(ctx), || match &made {
        Some(made) => format!("{}\n{}", told(made), indented(&made.text)),
        None => format!("nothing to fold: {} has no more than its first event and the last {keep}", id.short()),
    })
}

/// Its first event, the summary, and what was said since.
pub(super) async fn show(ctx: &Ctx, id: &str) -> Result<(), CliError> {
    let kept = Kept::open(ctx).await?;
    let id = kept.conversation(id).await?;
    let condensed = kept.history.condensed(id).await?;
    ctx.answer(condensed_json(id, &condensed), kept.meta(ctx), || {
        let entry = |kept: &KeptEvent| Entry::from(kept);
        let (first, recent): (Vec<Entry>, Vec<Entry>) =
            (condensed.first.iter().map(entry).collect(), condensed.recent.iter().map(entry).collect());
        let names = names(&first, &ctx.out).max(names(&recent, &ctx.out));
        let lines = |entries: &[Entry]| entries.iter().map(|entry| entry.line(&ctx.out, names)).collect::<Vec<_>>();
        let summary = condensed
            .summary
            .iter()
            .map(|summary| ctx.out.style.paint(Role::Dim, &format!("{}\n{}", told(summary), indented(&summary.text))));
        let all: Vec<String> = lines(&first).into_iter().chain(summary).chain(lines(&recent)).collect();
        all.join("\n")
    })
}

fn failed(error: CompactError) -> CliError {
    match error {
        CompactError::Store(error) => error.into(),
        other => CliError::internal(other.to_string()),
    }
}

fn told(summary: &Summary) -> String {
    let events = count(usize::try_from(summary.events).unwrap_or(usize::MAX), "event", "events");
    format!("{events} in a summary:")
}

/// Each line is escaped by itself: a summary may have been written by a program, of words of others.
fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}", escape_line(line))).collect::<Vec<_>>().join("\n")
}

fn condensed_json(id: ConversationId, condensed: &Condensed) -> Value {
    let json = |kept: &KeptEvent| Entry::from(kept).json();
    json!({
        "id": id.to_string(),
        "first": condensed.first.as_ref().map(json),
        "summary": condensed.summary.as_ref().map(summary_json),
        "recent": condensed.recent.iter().map(json).collect::<Vec<_>>(),
    })
}
