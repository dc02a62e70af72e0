//! Programs that run on a schedule.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use p2pnode::{ExecRun, HandlerError};
use tokio::sync::Semaphore;

use super::{Ended, Job, NOT_ME, Program, handler};

/// A run on a schedule has nobody who waits for it: it may wait for a free slot.
const QUEUE: Duration = Duration::from_secs(60);

/// What a node runs the commands of its schedules with.
pub(crate) fn scheduled(
    slots: Arc<Semaphore>,
) -> impl Fn(ExecRun) -> BoxFuture<'static, Result<(), HandlerError>> + Send + Sync + 'static {
    move |run| one(run, slots.clone()).boxed()
}

async fn one(run: ExecRun, slots: Arc<Semaphore>) -> Result<(), HandlerError> {
    let option = format!("schedule {}", run.schedule);
    let mut program = Program::new(&option, run.argv, slots).map_err(|error| HandlerError::new(error.to_string()))?;
    program.limits.queue = QUEUE;
    let cause = serde_json::to_value(run.cause).ok().and_then(|cause| cause.as_str().map(str::to_owned));
    let variables = vec![
        ("P2PNODE_SCHEDULE", run.schedule),
        ("P2PNODE_DUE", run.due.to_string()),
        ("P2PNODE_CAUSE", cause.unwrap_or_default()),
    ];
    let mut run = program.start(Job { variables, ..Job::default() });
    // Nobody hears its progress.
    run.progress.close();
    match run.end.reached().await {
        // There is nobody else who could take it.
        Ended::Declined => Err(HandlerError::new(format!("exit {NOT_ME}"))),
        ended => handler::value(ended, false).map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(line: &[&str]) -> Result<(), String> {
        let folder = tempfile::tempdir().unwrap();
        let node = p2pnode::Node::builder(p2pnode::presets::Loopback).local(false);
        let node = node.exec(scheduled(Arc::new(Semaphore::new(1)))).start().await.unwrap();
        let schedules = node.schedules().unwrap();
        let argv = line.iter().map(|word| word.replace("FOLDER", &folder.path().display().to_string())).collect();
        let once = p2pnode::schedule::Options { run_at_start: Some(true), ..Default::default() };
        let mut events = node.events();
        schedules.add("x", "cron @yearly", p2pnode::Action::Exec { argv }, once).await.map_err(|e| e.to_string())?;
        let outcome = loop {
            use futures::StreamExt as _;
            match tokio::time::timeout(Duration::from_secs(20), events.next()).await.unwrap() {
                Some(p2pnode::NodeEvent::ScheduleRan { outcome, .. }) => break outcome,
                other => assert!(other.is_some()),
            }
        };
        node.shutdown().await;
        if outcome == "ok" { Ok(()) } else { Err(outcome) }
    }

    #[tokio::test]
    async fn programs_run_and_what_becomes_of_them_is_told() {
        let said = run(&["sh", "-c", "test $P2PNODE_SCHEDULE = x && test $P2PNODE_CAUSE = start"]).await;
        assert_eq!(said, Ok(()));
        assert_eq!(run(&["sh", "-c", "echo no water >&2; exit 3"]).await, Err("failed: no water (exit 3)".to_owned()));
        assert_eq!(run(&["sh", "-c", "exit 75"]).await, Err("failed: exit 75".to_owned()));
        assert!(run(&["no-such-program"]).await.unwrap_err().contains("there is no program"));
    }
}
