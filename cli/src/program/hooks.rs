//! Programs that are run for events, a few at once: events come as they like.

use std::{collections::VecDeque, sync::Arc};

use p2pnode::HandlerError;
use tokio::{
    sync::{Semaphore, watch},
    task::JoinSet,
};

use super::{AT_ONCE, Ended, Job, NOT_ME, Program, handler};
use crate::error::CliError;

/// Events that wait for a free place; what comes then is dropped, and counted.
const QUEUE: usize = 64;

/// How many events came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Programs that have ended.
    pub(crate) ran: u64,
    /// Of these, those that failed.
    pub(crate) failed: u64,
    /// Events for which there was no room.
    pub(crate) dropped: u64,
}

/// Programs, each run for its events; the bounds are for all of them together.
#[derive(Debug)]
pub(crate) struct Hooks {
    programs: Vec<Program>,
    waiting: VecDeque<(usize, Job)>,
    running: JoinSet<(usize, Result<(), HandlerError>)>,
    stop: watch::Sender<bool>,
    counts: Counts,
}

impl Hooks {
    /// For commands that are split already, each with what the user wrote before it.
    pub(crate) fn new(commands: impl IntoIterator<Item = (String, Vec<String>)>) -> Result<Self, CliError> {
        let slots = Arc::new(Semaphore::new(AT_ONCE));
        let program = |(option, argv): (String, Vec<String>)| Program::new(&option, argv, slots.clone());
        Ok(Self {
            programs: commands.into_iter().map(program).collect::<Result<_, _>>()?,
            waiting: VecDeque::new(),
            running: JoinSet::new(),
            stop: watch::Sender::new(false),
            counts: Counts::default(),
        })
    }

    /// Runs one of them for an event, now or later. False: there is no room, and the event is dropped.
    pub(crate) fn offer(&mut self, which: usize, job: Job) -> bool {
        if self.running.len() >= AT_ONCE {
            if self.waiting.len() >= QUEUE {
                self.counts.dropped += 1;
                return false;
            }
            self.waiting.push_back((which, job));
            return true;
        }
        self.start(which, job);
        true
    }

    fn start(&mut self, which: usize, job: Job) {
        let Some(program) = self.programs.get(which) else { return };
        let (mut run, mut stop) = (program.start(job), self.stop.subscribe());
        run.progress.close();
        self.running.spawn(async move {
            let ended = tokio::select! {
                ended = run.end.reached() => ended,
                () = told(&mut stop) => run.end.hurry().await,
            };
            let outcome = match ended {
                Ended::Declined => Err(HandlerError::new(format!("exit {NOT_ME}"))),
                ended => handler::value(ended, false).map(|_| ()),
            };
            (which, outcome)
        });
    }

    /// Which program ends next, and how; waits for ever while none runs.
    pub(crate) async fn ended(&mut self) -> (usize, Result<(), HandlerError>) {
        let Some(ended) = self.running.join_next().await else { return std::future::pending().await };
        let (which, outcome) = ended.unwrap_or_else(|_| (0, Err(HandlerError::new("the runner has gone"))));
        self.counts.ran += 1;
        self.counts.failed += u64::from(outcome.is_err());
        if let Some((next, job)) = self.waiting.pop_front() {
            self.start(next, job);
        }
        (which, outcome)
    }

    /// Whether nothing runs or waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.waiting.is_empty()
    }

    /// How many so far.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Drops what waits, and tells what runs to end: TERM, then KILL.
    pub(crate) async fn close(&mut self) {
        self.counts.dropped += self.waiting.len() as u64;
        self.waiting.clear();
        self.stop.send_replace(true);
        while !self.running.is_empty() {
            let _ = self.ended().await;
        }
    }
}

/// Resolves when all are to end.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hooks(script: &str) -> Hooks {
        Hooks::new([("--exec".to_owned(), ["sh", "-c", script].map(str::to_owned).to_vec())]).unwrap()
    }

    fn job(text: &str) -> Job {
        Job { stdin: text.as_bytes().to_vec(), ..Job::default() }
    }

    #[tokio::test]
    async fn four_run_and_sixty_four_wait_and_the_rest_is_counted() {
        let mut hooks = hooks("exec sleep 600");
        let taken = (0..AT_ONCE + QUEUE + 10).filter(|_| hooks.offer(0, job("x"))).count();
        assert_eq!((taken, hooks.running.len(), hooks.counts().dropped), (AT_ONCE + QUEUE, AT_ONCE, 10));
        hooks.close().await;
        assert!(hooks.is_idle());
        let counts = hooks.counts();
        assert_eq!((counts.ran, counts.dropped), (AT_ONCE as u64, 10 + QUEUE as u64));
    }

    #[tokio::test]
    async fn each_gets_its_event_and_failures_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("said");
        let mut hooks = hooks(&format!("read line; echo \"$line\" >> '{}'; test \"$line\" != bad", file.display()));
        for word in ["a", "bad", "c"] {
            assert!(hooks.offer(0, job(word)));
        }
        let mut failed = Vec::new();
        while !hooks.is_idle() {
            failed.extend(hooks.ended().await.1.err().map(|error| error.message));
        }
        assert_eq!(
            (failed.as_slice(), hooks.counts()),
            (&["exit 1".to_owned()][..], Counts { ran: 3, failed: 1, dropped: 0 })
        );
        let mut said: Vec<String> = std::fs::read_to_string(file).unwrap().lines().map(str::to_owned).collect();
        said.sort_unstable();
        assert_eq!(said, ["a", "bad", "c"]);
        assert!(Hooks::new([("--exec".to_owned(), vec!["no-such-program".into()])]).is_err());
    }
}
