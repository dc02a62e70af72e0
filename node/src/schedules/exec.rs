//! Commands of schedules. The node runs none itself: programs are the affair of who embeds it.

use std::{future::Future, sync::Arc};

use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{builder::Builder, endpoint::HandlerError, schedule::Cause};

/// A command that a schedule wants to be run now.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecRun {
    /// Name of the schedule.
    pub schedule: String,
    /// The command and its arguments; the first is the program.
    pub argv: Vec<String>,
    /// The time of the schedule it is for.
    pub due: Timestamp,
    /// Why.
    pub cause: Cause,
}

pub(crate) type ExecFn = dyn Fn(ExecRun) -> BoxFuture<'static, Result<(), HandlerError>> + Send + Sync;

impl Builder {
    /// Runs the commands of schedules ([`Action::Exec`](crate::Action::Exec)). Without it such schedules are refused: the
    /// library starts no programs. The future is dropped when the node stops.
    pub fn exec<F, Fut>(mut self, run: F) -> Self
    where
        F: Fn(ExecRun) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.exec = Some(Arc::new(move |job| Box::pin(run(job))));
        self
    }
}
