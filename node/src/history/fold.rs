//! Long conversations in few words: their middle is folded into a summary.
//!
//! What is folded stays in the store until retention takes it: these events are links of signed feeds from which others
//! catch up. A summary is this node's own, and nobody else's.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use futures::future::BoxFuture;
use p2pnode_wire::{
    ids::{ConversationId, EventId},
    msgpack,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use super::handle::{History, KeptEvent};
use crate::{
    endpoint::HandlerError,
    events::NodeEvent,
    node::Node,
    store::{ConversationQuery, EventQuery, Order, Read, StoreError, Write},
};

/// Events that are folded at once; what is left follows.
const AT_ONCE: usize = 10_000;

/// Characters of a summary.
const SUMMARY_MAX: usize = 6_000;

/// Lines of the summary that nobody has written, and characters of each.
const LINES: usize = 40;
const LINE_MAX: usize = 200;

/// A summariser that takes longer is given up.
const LONGEST: Duration = Duration::from_secs(300);

/// Conversations that wait for their turn; more are looked at when something is said in them again.
const WAITING: usize = 1_024;

/// Under which name a summary is kept.
const KEY: &str = "fold/";

/// When conversations are folded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Compaction {
    /// As soon as one has more than so many events that are in no summary. Default none: never by itself.
    pub above: Option<u64>,
    /// The last so many stay as they are. Default 25.
    pub keep_recent: usize,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { above: None, keep_recent: 25 }
    }
}

/// The middle of a conversation in few words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// What was said; at most 6,000 characters.
    pub text: String,
    /// How many events it stands for.
    pub events: u64,
    /// Time of the first of them, milliseconds since 1970 by its author's clock.
    pub from_ms: u64,
    /// Time of the last of them.
    pub until_ms: u64,
    /// When it was made, by this node's clock.
    pub made_ms: u64,
    /// The last of them.
    until: EventId,
    kinds: BTreeMap<String, u64>,
}

/// What a summariser gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Folding {
    /// Which conversation.
    pub conversation: ConversationId,
    /// The summary up to now, which the new one replaces.
    pub before: Option<Summary>,
    /// What was said since, the oldest first.
    pub events: Vec<KeptEvent>,
}

/// A conversation without its middle.
#[derive(Debug, Clone, PartialEq)]
pub struct Condensed {
    /// How it began; none if retention has taken that, or nothing of it is kept.
    pub first: Option<KeptEvent>,
    /// What was said then.
    pub summary: Option<Summary>,
    /// And after that.
    pub recent: Vec<KeptEvent>,
}

/// Why a conversation was not folded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The node's summariser has failed; the summary before it stays.
    #[error("the summariser failed: {0}")]
    Summarizer(HandlerError),
    /// The summariser took longer than five minutes.
    #[error("the summariser took longer than {} s", LONGEST.as_secs())]
    TooSlow,
    /// This history is only read.
    #[error("a conversation is folded by the node that keeps it, and none runs here")]
    ReadOnly,
}

/// What makes a summary of a [`Folding`].
pub(crate) type Summarize =
    Arc<dyn Fn(Folding) -> BoxFuture<'static, Result<String, HandlerError>> + Send + Sync + 'static>;

/// How a node folds.
pub(crate) struct Folder {
    pub(crate) compaction: Compaction,
    pub(crate) summarize: Option<Summarize>,
    /// One at a time: they are user code, and their costs are not known.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Folder").field("compaction", &self.compaction).finish_non_exhaustive()
    }
}

impl Folder {
    pub(crate) fn new(compaction: Compaction, summarize: Option<Summarize>) -> Self {
        Self { compaction, summarize, turn: tokio::sync::Mutex::default() }
    }
}

fn key(id: ConversationId) -> String {
    format!("{KEY}{id}")
}

fn summary(tables: &dyn Read, id: ConversationId) -> Result<Option<Summary>, StoreError> {
    // One of another version is made anew.
    Ok(tables.note(&key(id))?.and_then(|bytes| msgpack::decode(&bytes).ok()))
}

/// Summaries of conversations of which nothing is left go with them.
pub(super) fn forget(tables: &mut dyn Write) -> Result<(), StoreError> {
    for (name, _) in tables.notes(KEY)? {
        let Some(id) = name.strip_prefix(KEY) else { continue };
        let query = ConversationQuery { id: Some(id.to_owned()), limit: 1, ..ConversationQuery::default() };
        if tables.conversations(&query)?.is_empty() {
            tables.put_note(&name, None)?;
        }
    }
    Ok(())
}

impl History {
    /// A conversation without what its summary tells. All of it, if it was never folded.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn condensed(&self, id: ConversationId) -> Result<Condensed, StoreError> {
        let summary = self.store().read(move |tables| summary(tables, id)).await?;
        let (first, recent) = self.parts(id, summary.as_ref()).await?;
        Ok(Condensed { first, summary, recent })
    }

    /// Folds all of a conversation but its first event and the last `keep_recent` into its summary. None if there is
    /// nothing to fold. The node then tells [`NodeEvent::Compacted`].
    ///
    /// # Errors
    /// [`CompactError`].
    pub async fn compact(&self, id: ConversationId, keep_recent: usize) -> Result<Option<Summary>, CompactError> {
        let node = self.node().ok_or(CompactError::ReadOnly)?;
        let _turn = node.inner().folder.turn.lock().await;
        let before = self.store().read(move |tables| summary(tables, id)).await?;
        self.fold(node, id, before, keep_recent).await
    }

    /// The same, if it has become too long, or something has come that belongs before the end of its summary.
    async fn compact_long(&self, id: ConversationId, earliest_ms: u64) -> Result<(), CompactError> {
        let node = self.node().ok_or(CompactError::ReadOnly)?;
        let folder = &node.inner().folder;
        let _turn = folder.turn.lock().await;
        let query = ConversationQuery { id: Some(id.to_string()), limit: 1, ..ConversationQuery::default() };
        let read = move |tables: &dyn Read| Ok((tables.conversations(&query)?, summary(tables, id)?));
        let (rows, before) = self.store().read(read).await?;
        let entries: u64 = rows.iter().map(|row| row.entries).sum();
        let folded = before.as_ref().map_or(0, |summary| summary.events);
        let late = before.as_ref().is_some_and(|summary| earliest_ms <= summary.until_ms);
        let long = folder.compaction.above.is_some_and(|above| entries.saturating_sub(folded) > above);
        if late || long {
            let before = before.filter(|_| !late);
            self.fold(node, id, before, folder.compaction.keep_recent).await?;
        }
        Ok(())
    }

    async fn fold(
        &self,
        node: &Node,
        conversation: ConversationId,
        before: Option<Summary>,
        keep_recent: usize,
    ) -> Result<Option<Summary>, CompactError> {
        let (_, mut events) = self.parts(conversation, before.as_ref()).await?;
        events.truncate(events.len().saturating_sub(keep_recent));
        let Some(mut made) = outline(before.as_ref(), &events, node.now_ms()) else { return Ok(None) };
        let swarm = events.first().map(|kept| kept.event.swarm.clone()).unwrap_or_default();
        let text = match &node.inner().folder.summarize {
            Some(summarize) => {
                let text = tokio::time::timeout(LONGEST, summarize(Folding { conversation, before, events })).await;
                text.map_err(|_| CompactError::TooSlow)?.map_err(CompactError::Summarizer)?
            }
            None => plain(before.as_ref(), &events, &made.kinds),
        };
        made.text = cut(&text, SUMMARY_MAX);
        let bytes = msgpack::encode(&made);
        self.store().write(move |tables| tables.put_note(&key(conversation), Some(&bytes))).await?;
        node.tell(NodeEvent::Compacted { swarm, conversation, summary: Box::new(made.clone()) });
        Ok(Some(made))
    }

    /// The first event, and those after the summary.
    async fn parts(
        &self,
        id: ConversationId,
        summary: Option<&Summary>,
    ) -> Result<(Option<KeptEvent>, Vec<KeptEvent>), StoreError> {
        let all = EventQuery { conversation: Some(id), order: Order::Oldest, ..EventQuery::default() };
        let first = self.events(EventQuery { limit: 1, ..all.clone() }).await?.pop();
        let after = match (summary, &first) {
            (Some(summary), _) => (summary.until_ms, summary.until),
            (None, Some(first)) => (at_ms(first), first.event.id),
            (None, None) => return Ok((None, Vec::new())),
        };
        let rest = self.events(EventQuery { after: Some(after), limit: AT_ONCE, ..all }).await?;
        Ok((first, rest))
    }
}

fn at_ms(kept: &KeptEvent) -> u64 {
    let since = kept.event.at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX).min(crate::store::TIME_MAX)
}

/// A summary without its text.
fn outline(before: Option<&Summary>, events: &[KeptEvent], now_ms: u64) -> Option<Summary> {
    let (first, last) = (events.first()?, events.last()?);
    let mut kinds = before.map(|before| before.kinds.clone()).unwrap_or_default();
    for kept in events {
        *kinds.entry(kept.event.said.kind().to_owned()).or_default() += 1;
    }
    Some(Summary {
        text: String::new(),
        events: kinds.values().sum(),
        from_ms: before.map_or_else(|| at_ms(first), |before| before.from_ms),
        until_ms: at_ms(last),
        made_ms: now_ms,
        until: last.event.id,
        kinds,
    })
}

/// What a node says that has no summariser: how many of what kind, and the last lines.
fn plain(before: Option<&Summary>, events: &[KeptEvent], kinds: &BTreeMap<String, u64>) -> String {
    let counts: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let head = format!("({})", counts.join(", "));
    let old = before.map(|before| before.text.lines().skip(1).map(str::to_owned)).into_iter().flatten();
    let new = events.iter().map(|kept| {
        let text = kept.text().split_whitespace().collect::<Vec<_>>().join(" ");
        let line = format!("{} {}: {text}", kept.event.author.name, kept.event.said.kind());
        cut(line.trim_end_matches([':', ' ']), LINE_MAX)
    });
    let mut lines: VecDeque<String> = old.chain(new).collect();
    let chars = |lines: &VecDeque<String>| lines.iter().map(|line| line.chars().count() + 1).sum::<usize>();
    while lines.len() > LINES || chars(&lines) + head.chars().count() > SUMMARY_MAX {
        if lines.pop_front().is_none() {
            break;
        }
    }
    std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n")
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// Conversations that may have become too long, one after the other, beside the task that keeps.
#[derive(Debug, Default)]
pub(super) struct Folds {
    /// With the time of the earliest event that came.
    waiting: BTreeMap<ConversationId, u64>,
    running: JoinSet<()>,
}

impl Folds {
    /// Something new is kept of this conversation.
    pub(super) fn grown(&mut self, id: ConversationId, at_ms: u64) {
        if self.waiting.contains_key(&id) || self.waiting.len() < WAITING {
            let earliest = self.waiting.entry(id).or_insert(at_ms);
            *earliest = at_ms.min(*earliest);
        }
    }

    /// Looks at the next one, if none is looked at.
    pub(super) fn go_on(&mut self, node: &Node) {
        let Some(history) = node.history().filter(|_| self.running.is_empty()) else { return };
        let Some((id, earliest_ms)) = self.waiting.pop_first() else { return };
        self.running.spawn(async move {
            if let Err(error) = history.compact_long(id, earliest_ms).await {
                tracing::warn!(conversation = %id, %error, "a conversation is not folded");
            }
        });
    }

    /// One has been looked at.
    pub(super) async fn ended(&mut self) -> Option<()> {
        self.running.join_next().await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        peers::PeerRef,
        talk::{ConversationEvent, Said},
    };

    fn said(n: u8, said: Said) -> KeptEvent {
        let author = PeerRef { id: libp2p::PeerId::random(), name: format!("n{}", n % 3) };
        let event = ConversationEvent {
            id: EventId([n; 32]),
            swarm: "garden".into(),
            via: author.id,
            author,
            own: false,
            conversation: ConversationId::new(),
            parent: None,
            feed: (1, u64::from(n)),
            at: UNIX_EPOCH + Duration::from_millis(u64::from(n)),
            trace: None,
            said,
        };
        KeptEvent { event, received_ms: 0, live: false }
    }

    fn words(n: u8) -> KeptEvent {
        said(n, Said::Progress(format!("step {n}\nof many {}", "x".repeat(300))))
    }

    #[test]
    fn a_plain_summary_counts_all_and_tells_the_last() {
        let events: Vec<_> = (1..=50).map(words).chain([said(51, Said::Ack)]).collect();
        let first = outline(None, &events, 99).unwrap();
        assert_eq!((first.events, first.from_ms, first.until_ms, first.made_ms), (51, 1, 51, 99));
        let text = plain(None, &events, &first.kinds);
        assert!(text.starts_with("(1 ack, 50 progress)\n"), "{text}");
        assert!(text.ends_with("\nn0 ack") && text.chars().count() <= SUMMARY_MAX, "{text}");
        assert!(text.lines().count() <= LINES + 1 && text.lines().all(|line| line.chars().count() <= LINE_MAX));
        let first = Summary { text, ..first };
        let more = [words(52)];
        let second = outline(Some(&first), &more, 100).unwrap();
        assert_eq!((second.events, second.from_ms, second.until_ms), (52, 1, 52));
        let text = plain(Some(&first), &more, &second.kinds);
        assert!(
            text.starts_with("(1 ack, 51 progress)\n") && text.contains("\nn0 ack\nn1 progress: step 52 of"),
            "{text}"
        );
        assert_eq!(outline(Some(&second), &[], 101), None);
    }
}
