//! Where the feeds of this node ended, so that the next run can go on with them.
//!
//! Only a clean stop leaves the mark, and the first thing a run does is to remove it: after a crash, with the last events
//! perhaps told but not kept, a feed that went on would contradict itself. Then the run opens feeds of its own.

use p2pnode_wire::ids::{EventId, SwarmId};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

/// The place after the last event of a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FeedEnd {
    pub(crate) swarm: SwarmId,
    pub(crate) epoch: u64,
    pub(crate) next: u64,
    pub(crate) last: Option<EventId>,
}

/// The ends of all feeds of this node.
pub(crate) type OwnFeeds = Vec<FeedEnd>;

const NOTE: &str = "own feeds";

/// What the last run has left, which no other run may use.
pub(super) async fn take(store: &Store) -> Result<OwnFeeds, StoreError> {
    let left = store
        .write_durably(|tables| {
            let left = tables.note(NOTE)?;
            tables.put_note(NOTE, None)?;
            Ok(left)
        })
        .await?;
    // What cannot be read is as good as none: new feeds are always right.
    Ok(left.and_then(|bytes| p2pnode_wire::msgpack::decode(&bytes).ok()).unwrap_or_default())
}

/// Leaves them for the next run.
pub(super) async fn leave(store: &Store, feeds: OwnFeeds) -> Result<(), StoreError> {
    let bytes = p2pnode_wire::msgpack::encode(&feeds);
    store.write_durably(move |tables| tables.put_note(NOTE, Some(&bytes))).await
}

impl Store {
    /// Has the next node that uses it open feeds of its own, as after a crash. For a copy, whose original may go on with the
    /// feeds of now: two that did would contradict each other.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn leave_own_feeds(&self) -> Result<(), StoreError> {
        self.write_durably(|tables| tables.put_note(NOTE, None)).await
    }
}
