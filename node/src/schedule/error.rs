//! Why a schedule is refused.

use std::ops::Range;

use super::rule::{HORIZON, MAX_TEXT, PEER_PERIOD};

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The text cannot be read, or means no time that ever comes.
    #[error("bad {what} \"{text}\": {reason}")]
    Text {
        /// What it was read as: `schedule`, `every`, `cron`, `solar`, `time zone`.
        what: &'static str,
        /// All of the text, as it was given.
        text: String,
        /// Where the wrong part begins, in bytes of `text`. At most its length.
        at: usize,
        /// How long the wrong part is, in bytes. Zero where something is missing.
        len: usize,
        /// What is wrong with it, and what could stand there.
        reason: String,
        /// What was probably meant.
        hint: Option<String>,
    },
    /// The text is longer than [`MAX_TEXT`].
    #[error("a schedule has at most {MAX_TEXT} bytes, this one has {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A value given in Rust is out of range.
    #[error("bad {what}: {reason}")]
    Value {
        /// Which: `period`, `place`, `offset`, `jitter`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No run within 366 days.
    #[error("\"{schedule}\" does not run within {} days", HORIZON.as_secs() / 86_400)]
    NeverRuns {
        /// The schedule.
        schedule: String,
    },
    /// The node has as many schedules as it may.
    #[error("{limit} schedules are carried out already")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Given by a peer, and more frequent than peers may ask for.
    #[error("\"{schedule}\" runs more often than every {} s, which a peer may not ask for", PEER_PERIOD.as_secs())]
    TooOften {
        /// The schedule.
        schedule: String,
    },
}

impl ScheduleError {
    /// The wrong part of the text, in bytes, for a caret below it. None if no part of a text is to blame.
    #[must_use]
    pub fn span(&self) -> Option<Range<usize>> {
        match self {
            Self::Text { at, len, .. } => Some(*at..at + len),
            Self::TooLong { .. }
            | Self::Value { .. }
            | Self::NeverRuns { .. }
            | Self::TooMany { .. }
            | Self::TooOften { .. } => None,
        }
    }

    /// What is wrong, without the text itself.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Text { reason, .. } | Self::Value { reason, .. } => reason.clone(),
            Self::TooLong { .. } | Self::NeverRuns { .. } | Self::TooMany { .. } | Self::TooOften { .. } => {
                self.to_string()
            }
        }
    }

    /// What was probably meant, or what to do instead.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Text { hint, .. } => hint.as_deref(),
            Self::TooLong { .. }
            | Self::Value { .. }
            | Self::NeverRuns { .. }
            | Self::TooMany { .. }
            | Self::TooOften { .. } => None,
        }
    }

    pub(super) fn value(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Value { what, reason: reason.into() }
    }
}
