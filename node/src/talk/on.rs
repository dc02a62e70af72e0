use std::{future::Future, panic::AssertUnwindSafe};

use futures::{FutureExt, StreamExt};
use p2pnode_wire::subject::Pattern;
use tokio::task::AbortHandle;

use crate::events::{Events, NodeEvent};

/// A handler of events; it is no longer called once this is dropped.
#[derive(Debug)]
#[must_use = "dropping it ends the handler; `detach` keeps it as long as the node runs"]
pub struct Hook {
    task: Option<AbortHandle>,
}

impl Hook {
    /// Runs `handler` on a task of its own for each event of that name, one after the other.
    pub(crate) fn start<F, Fut>(pattern: Pattern, mut events: Events, handler: F) -> Self
    where
        F: Fn(NodeEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let task = tokio::spawn(async move {
            while let Some(event) = events.next().await {
                if let NodeEvent::Lagged(missed) = event {
                    tracing::warn!(%pattern, missed, "a handler of events is too slow");
                    continue;
                }
                if !event.name().is_some_and(|name| pattern.matches(&name)) {
                    continue;
                }
                if AssertUnwindSafe(async { handler(event).await }).catch_unwind().await.is_err() {
                    tracing::error!(%pattern, "a handler of events panicked");
                }
            }
        });
        Self { task: Some(task.abort_handle()) }
    }

    /// Keeps the handler as long as the node runs.
    pub fn detach(mut self) {
        self.task = None;
    }
}

impl Drop for Hook {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}
