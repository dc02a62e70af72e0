//! What can go wrong with what is kept.

use std::path::PathBuf;

/// Why something was not read or written.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file holds something that was not written there: a flipped bit, a cut end. Nothing of it is served.
    #[error("{path} is damaged: {what}", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found, such as `event 3f… of feed …: checksum`.
        what: String,
    },
    /// No room on the disk. Nothing of this write was kept; reading goes on, and writing once there is room.
    #[error("no room on the disk of {path}", path = .path.display())]
    NoSpace {
        /// The file.
        path: PathBuf,
    },
    /// A newer version of this program has written the file.
    #[error("{path} has the layout {found}; this program knows layouts up to {known}: use the newer program", path = .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its layout.
        found: u32,
        /// The newest layout this program knows.
        known: u32,
    },
    /// Another process writes to it.
    #[error("{path} is in use by another process", path = .path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// A limit would be passed, such as the number of schedules.
    #[error("{0}")]
    Full(String),
    /// The search text is not well formed.
    #[error("{0}")]
    Search(super::search::SearchError),
    /// What the system or the database said.
    #[error("{path}: {reason}", path = .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// In its words.
        reason: String,
    },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
}
