//! How a schedule is carried out, and what is told about it. Plain data.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What happens when a run is due while an earlier one has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Both run; up to 64 at once.
    #[default]
    Allow,
    /// The later one is left out, and counted.
    Skip,
    /// The later one waits for its turn; up to 16 wait.
    Queue,
}

/// What happens with runs that were due while the node was down or asleep, or that the clock jumped over.
///
/// The last of them is not missed if it is at most a minute late.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// They are left out, and counted.
    #[default]
    None,
    /// One run stands for all of them.
    One,
    /// Each is made up for, the oldest first and one at a time. At most 100; what is beyond is left out.
    All,
}

/// How a schedule is carried out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Options {
    /// Whether there is a run at the start of the node, besides those of the schedule. None: yes for `every`, no for
    /// `cron` and `solar`.
    pub run_at_start: Option<bool>,
    /// Default: allow.
    pub overlap: Overlap,
    /// Default: none.
    pub catch_up: CatchUp,
}

/// Names one run of a plan. Not reused, also over restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(pub(super) u64);

/// Why a run takes place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The node has started.
    Start,
    /// Its time has come.
    Due,
    /// Its time was missed.
    CatchUp,
    /// Somebody asked for it.
    Manual,
}

/// A run to start now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a run that is not started and finished counts as running for ever"]
pub struct Run {
    /// For [`Plan::finished`](super::Plan::finished).
    pub id: RunId,
    /// The time of the schedule it is for, without jitter; for a start or a manual run, when that was.
    pub due: Timestamp,
    /// Why.
    pub cause: Cause,
}

/// How many of what, since the schedule was added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Runs that were started.
    pub runs: u64,
    /// Of these, those that ended badly. They never stop the schedule.
    pub failures: u64,
    /// Left out because an earlier one had not ended.
    pub skipped: u64,
    /// Left out because the node was down or asleep, or the clock jumped. At least: after 100 of `cron` or `solar` the
    /// rest is not counted.
    pub missed: u64,
}

/// How the run that ended last went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastRun {
    /// By the node's clock.
    pub started: Timestamp,
    /// By the node's clock, which may have been changed meanwhile: not earlier than `started`.
    pub ended: Timestamp,
    /// Whether it succeeded.
    pub ok: bool,
}

/// What is kept of a plan while the node is down. See [`Plan::saved`](super::Plan::saved).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Saved {
    pub(super) schedule: String,
    pub(super) seen: Timestamp,
    pub(super) next: Option<Timestamp>,
    pub(super) recent: Vec<Timestamp>,
    pub(super) last_id: u64,
    pub(super) paused: bool,
    pub(super) counts: Counts,
    pub(super) last: Option<LastRun>,
}
