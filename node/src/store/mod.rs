//! What a node keeps: events, mail, artifacts, schedules, peers. A file of SQLite, or the same in memory.
//!
//! One thread writes and commits what has come together at once; a few threads read. Every row carries a checksum, so
//! that nothing is ever served that was not written. The memory twin runs in the caller's thread, without any waiting:
//! the simulator needs it to be the same in every run.

mod error;
mod handle;
mod memory;
mod query;
mod rank;
mod rows;
pub mod search;
#[cfg(feature = "store")]
mod sqlite;
mod tables;

#[cfg(test)]
pub(crate) mod conformance;

pub use error::StoreError;
pub use handle::Store;
pub use memory::MemoryLimits;
pub use query::{
    ConversationQuery, EventQuery, Hit, InboxQuery, InboxUse, Order, OutboxQuery, SearchQuery, Stats, Taken, TalkUse,
};
pub use rows::{
    ArtifactRow, ConversationRow, EventRow, FeedKey, FeedRow, Fork, InboxRow, InboxState, OutboxRow, OutboxState,
    PeerRow, ScheduleRow, TIME_MAX, Waiting, WorkState,
};
#[cfg(feature = "store")]
pub use sqlite::{Options, Salvage};
pub use tables::{Read, Write};
