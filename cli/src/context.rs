//! What every command gets: options, output, the wish to stop.

use std::{
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    args::Global,
    control::Daemon,
    error::CliError,
    output::{Out, json::Meta},
    signals::Stop,
};

/// One run of the binary.
#[derive(Debug)]
pub(crate) struct Ctx {
    /// Options of every verb.
    pub(crate) global: Global,
    /// Where output goes.
    pub(crate) out: Out,
    /// Ctrl-C and TERM.
    pub(crate) stop: Stop,
    /// The verb typed, `kind` in JSON.
    pub(crate) verb: &'static str,
    /// When the process began.
    pub(crate) started: Instant,
    /// The node for whose client this runs; none in a process of its own.
    pub(crate) daemon: Option<Arc<Daemon>>,
}

impl Ctx {
    /// Does the work unless a signal or the limit of the whole command comes first.
    pub(crate) async fn guard<T>(
        &self,
        default: Option<Duration>,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        let limit = self.global.limit(default);
        tokio::select! {
            biased;
            outcome = work => outcome,
            code = self.stop.requested() => Err(CliError::interrupted(code)),
            limit = self.limit_reached(limit) => Err(CliError::timeout(limit)),
        }
    }

    /// Never, if there is no limit.
    async fn limit_reached(&self, limit: Option<Duration>) -> Duration {
        let Some(limit) = limit else { return std::future::pending().await };
        tokio::time::sleep_until((self.started + limit).into()).await;
        limit
    }

    /// What is left of the whole command's time.
    pub(crate) fn left(&self, default: Option<Duration>) -> Option<Duration> {
        self.global.limit(default).map(|limit| limit.saturating_sub(self.started.elapsed()))
    }

    /// `meta` of an answer that needed no node.
    pub(crate) fn meta(&self) -> Meta {
        Meta::from([("elapsed_ms", crate::output::json::millis(self.started.elapsed()))])
    }

    /// An answer: JSON, or lines for people.
    pub(crate) fn answer(&self, data: Value, meta: Meta, people: impl FnOnce() -> String) -> Result<(), CliError> {
        if self.out.is_json() {
            return self.out.answer(self.verb, data, meta);
        }
        match people() {
            text if text.is_empty() => Ok(()),
            text => self.out.line(&text),
        }
    }
}
