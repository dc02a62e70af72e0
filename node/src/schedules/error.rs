//! Why a schedule is not kept, or not found.

use crate::{schedule::ScheduleError, store::StoreError};

/// Why something about the schedules of a node was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulesError {
    /// The rule is not good, never comes, or there are 1,000 already.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// The name is none.
    #[error("\"{0}\" cannot name a schedule: 1 to 64 letters, digits, dots, dashes and underscores, and not `-` first")]
    Name(String),
    /// What is to be done cannot be done by this node.
    #[error("{0}")]
    Action(String),
    /// The node runs no commands: see [`Builder::exec`](crate::Builder::exec).
    #[error("this node runs no commands: its program gave it nothing to run them with")]
    NoExec,
    /// Another schedule has the name.
    #[error("there is another schedule \"{name}\": {when}, {action}")]
    Conflict {
        /// The name.
        name: String,
        /// When that one runs.
        when: String,
        /// What it does.
        action: String,
    },
    /// There is no schedule of that name.
    #[error("there is no schedule \"{name}\"")]
    Unknown {
        /// The name.
        name: String,
        /// Names that are like it.
        near: Vec<String>,
    },
    /// It cannot be carried out any more.
    #[error("schedule \"{name}\" is not carried out: {reason}")]
    Broken {
        /// The name.
        name: String,
        /// Why.
        reason: String,
    },
    /// So many of its runs have not ended that no more are begun.
    #[error("64 runs of \"{0}\" have not ended")]
    Busy(String),
    /// It is not kept, or cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
