//! What is too old, or too much, is let go: from the beginning of each feed, so that what is left has no gaps.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::store::{FeedKey, Read, StoreError, Write};
use p2pnode_wire::ids::SwarmId;

/// How much is kept of each swarm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// Events older than this go. Default 30 days.
    pub age: Duration,
    /// Bytes of signed events of a swarm; the oldest go first. Default 256 MiB.
    pub bytes: u64,
    /// Events of a swarm; the oldest go first. Default 100,000.
    pub events: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Duration::from_secs(30 * 24 * 3_600), bytes: 256 * 1024 * 1024, events: 100_000 }
    }
}

/// The same for all members, whenever they clean up: two who have cut at the same hour keep the same.
const STEP_MS: u64 = 3_600_000;

/// A feed that is to be cut, or was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) feed: FeedKey,
    /// Below where.
    pub(crate) below: u64,
    /// What goes: events, and bytes of their signed form.
    pub(crate) events: u64,
    pub(crate) bytes: u64,
    /// Time of the last one that goes.
    pub(crate) until_ms: u64,
}

/// Lets go of what is over the limits of a swarm.
pub(crate) fn retain(
    tables: &mut dyn Write,
    swarm: &SwarmId,
    limits: &Retention,
    now_ms: u64,
) -> Result<Vec<Cut>, StoreError> {
    let cuts = surplus(&*tables, swarm, limits, now_ms)?;
    cut_all(tables, &cuts)?;
    Ok(cuts)
}

/// What is over the limits of a swarm: of each feed a part from its beginning.
pub(crate) fn surplus(
    tables: &dyn Read,
    swarm: &SwarmId,
    limits: &Retention,
    now_ms: u64,
) -> Result<Vec<Cut>, StoreError> {
    let age = u64::try_from(limits.age.as_millis()).unwrap_or(u64::MAX);
    let too_old = now_ms.saturating_sub(age) / STEP_MS * STEP_MS;
    let too_much = tables.cut_time(swarm, limits.events, limits.bytes)?.unwrap_or_default();
    let before_ms = too_old.max(too_much);
    let mut cuts = Vec::new();
    if before_ms == 0 {
        return Ok(cuts);
    }
    for feed in tables.feeds(Some(swarm))? {
        cuts.extend(first_from(tables, &feed.key, &feed.held, before_ms)?);
    }
    Ok(cuts)
}

/// Lets go of these.
pub(crate) fn cut_all(tables: &mut dyn Write, cuts: &[Cut]) -> Result<(), StoreError> {
    cuts.iter().try_for_each(|one| cut(tables, &one.feed, one.below))
}

/// The part of a feed that is from before `before_ms`; none if nothing is.
fn first_from(
    tables: &dyn Read,
    key: &FeedKey,
    held: &[(u64, u64)],
    before_ms: u64,
) -> Result<Option<Cut>, StoreError> {
    let mut cut: Option<Cut> = None;
    for (from, to) in held {
        let mut at = *from;
        while at < *to {
            // In steps: a feed may have a hundred thousand events.
            let step = tables.feed_events(key, at, *to, 256, 4 * 1024 * 1024)?;
            let Some(last) = step.last() else { return Ok(cut) };
            at = last.event.seq + 1;
            for row in step {
                if row.time_ms() >= before_ms {
                    return Ok(cut);
                }
                let cut = cut.get_or_insert(Cut { feed: *key, below: 0, events: 0, bytes: 0, until_ms: 0 });
                cut.below = row.event.seq + 1;
                cut.events += 1;
                cut.bytes += row.raw.len() as u64;
                cut.until_ms = cut.until_ms.max(row.time_ms());
            }
        }
    }
    Ok(cut)
}

/// Lets go of the beginning of a feed, and remembers what it led to.
fn cut(tables: &mut dyn Write, key: &FeedKey, below: u64) -> Result<(), StoreError> {
    let Some(mut feed) = tables.feed(key)? else { return Ok(()) };
    let head = tables.event_at(key, below - 1)?.map(|row| row.id);
    tables.remove_events(key, below)?;
    let mut held = super::ranges::Ranges::new(&feed.held);
    held.cut(below);
    (feed.held, feed.cut, feed.cut_head) = (held.as_slice().to_vec(), below, head);
    tables.put_feed(&feed)
}
