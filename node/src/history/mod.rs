//! What swarms have said, kept: events as they come, what was missed fetched from members, what is too old let go.
//!
//! A task beside the event loop owns the writing. The event loop hands it events over a bounded channel and never waits;
//! what finds no room there is fetched later like anything else that was missed.

mod catch_up;
mod fold;
mod handle;
mod index;
mod ingest;
mod names;
mod order;
mod own;
mod ranges;
mod retain;
mod rounds;
mod serve;
mod task;
pub(crate) mod text;

pub use fold::{CompactError, Compaction, Condensed, Folding, Summary};
pub(crate) use fold::{Folder, Summarize};
pub use handle::{History, KeptEntry, KeptEvent, Surplus};
pub(crate) use names::introduce;
pub(crate) use own::FeedEnd;
pub use retain::Retention;
pub(crate) use serve::register;
pub(crate) use task::{Link, Note, start};

use std::path::PathBuf;

#[cfg(feature = "store")]
use crate::store::Options;
use crate::store::{Store, StoreError};

/// The store that was given, or the file, or memory.
pub(crate) async fn open((given, file): (Option<Store>, Option<PathBuf>)) -> Result<Store, StoreError> {
    match (given, file) {
        (Some(store), _) => Ok(store),
        (None, None) => Ok(Store::memory()),
        #[cfg(not(feature = "store"))]
        (None, Some(_)) => Ok(Store::memory()),
        #[cfg(feature = "store")]
        (None, Some(file)) => {
            let opened = tokio::task::spawn_blocking(move || Store::open(&file, &Options::default())).await;
            opened.unwrap_or(Err(StoreError::Closed))
        }
    }
}
