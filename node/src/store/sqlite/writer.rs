//! The one thread that writes. Jobs that wait are done in one transaction, so that one fsync is for all of them.

use std::{
    collections::VecDeque,
    fs::File,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::{
    open::{Opened, leave},
    reserve::Reserve,
    session::{Pending, Result, Session},
};
use crate::store::{error::StoreError, tables::Write};

/// Jobs that wait to be written; who has another waits for a place. Enough for one batch to be collected while another
/// one is on its way to the disk, each a closure with a row or two.
pub(super) const QUEUE: usize = 1_024;
/// Jobs in one transaction: more would make the first one wait long.
const BATCH: usize = 512;
/// How long jobs are run in one transaction: after that, those that are done want their answer.
const BATCH_TIME: Duration = Duration::from_millis(5);

/// Answers the one who waits for a job. With an error, the job's work was not kept.
pub(super) type Answer = Box<dyn FnOnce(Option<StoreError>) + Send>;

/// What a job is run with: a transaction, or the reason why there is none. It says what went wrong, and how to answer.
pub(super) type Run =
    Box<dyn FnOnce(std::result::Result<&mut dyn Write, StoreError>) -> (Option<StoreError>, Answer) + Send>;

/// What is to be written.
pub(super) struct Job {
    /// The answer is to come after an fsync.
    pub(super) durable: bool,
    pub(super) run: Run,
}

/// What the writer is told.
pub(super) enum Message {
    Job(Job),
    /// Everything before it is done, then the file is left.
    Close(oneshot::Sender<Result<()>>),
}

/// What has come and is not done yet.
struct Inbox {
    jobs: mpsc::Receiver<Message>,
    waiting: VecDeque<Job>,
    close: Option<oneshot::Sender<Result<()>>>,
}

impl Inbox {
    fn take(&mut self, message: Message) {
        match message {
            Message::Job(job) => self.waiting.push_back(job),
            Message::Close(answer) => self.close = Some(answer),
        }
    }

    fn collect(&mut self) {
        while self.waiting.len() < BATCH
            && self.close.is_none()
            && let Ok(message) = self.jobs.try_recv()
        {
            self.take(message);
        }
    }

    /// The next job that may go into a transaction of this kind.
    fn next(&mut self, durable: bool) -> Option<Job> {
        if self.waiting.is_empty() {
            self.collect();
        }
        let fits = self.waiting.front().is_some_and(|job| durable || !job.durable);
        if fits { self.waiting.pop_front() } else { None }
    }
}

pub(super) struct Writer {
    conn: Connection,
    path: PathBuf,
    pending: Pending,
    reserve: Reserve,
    /// What a check beside has found.
    damage: Arc<OnceLock<StoreError>>,
    full_sync: bool,
    /// Held as long as the thread lives.
    _lock: File,
}

impl Writer {
    pub(super) fn new(
        opened: Opened,
        path: PathBuf,
        reserve: Reserve,
        damage: Arc<OnceLock<StoreError>>,
        lock: File,
    ) -> Self {
        let Opened { conn, pending, .. } = opened;
        Self { conn, path, pending, reserve, damage, full_sync: false, _lock: lock }
    }

    /// Works until it is told to close, or nobody is left who could tell.
    pub(super) fn run(mut self, jobs: mpsc::Receiver<Message>) {
        let mut inbox = Inbox { jobs, waiting: VecDeque::new(), close: None };
        while inbox.close.is_none()
            && let Some(message) = inbox.jobs.blocking_recv()
        {
            inbox.take(message);
            while !inbox.waiting.is_empty() {
                self.batch(&mut inbox);
            }
        }
        // Whoever comes now is told that it is closed: the queue is dropped with what is in it.
        let Inbox { close, .. } = inbox;
        let Self { conn, path, pending, damage, _lock, .. } = self;
        let left = match damage.get() {
            // A damaged file is not said to be left cleanly.
            Some(damage) => Err(damage.clone()),
            None => leave(conn, &path, pending),
        };
        drop(_lock);
        match (close, left) {
            (Some(close), left) => drop(close.send(left)),
            (None, Err(error)) => tracing::warn!(%error, "the store was not left cleanly"),
            (None, Ok(())) => {}
        }
    }

    /// Runs what waits, and what comes meanwhile, in one transaction; then answers.
    fn batch(&mut self, inbox: &mut Inbox) {
        inbox.collect();
        let before = self.pending.clone();
        let mut done = Vec::new();
        let result = match self.damage.get() {
            Some(damage) => Err(damage.clone()),
            None => self.transaction(inbox, &mut done),
        };
        let error = result.err();
        if let Some(error) = &error {
            if !self.conn.is_autocommit() {
                let _ = self.conn.execute_batch("ROLLBACK");
            }
            self.pending = before;
            if matches!(error, StoreError::NoSpace { .. }) {
                self.reserve.release();
            }
            if done.is_empty() {
                // There was no transaction at all.
                done.extend(inbox.waiting.drain(..).map(|job| (job.run)(Err(error.clone())).1));
            }
        }
        for answer in done {
            answer(error.clone());
        }
    }

    fn transaction(&mut self, inbox: &mut Inbox, done: &mut Vec<Answer>) -> Result<()> {
        self.reserve.restore();
        let durable = inbox.waiting.iter().any(|job| job.durable);
        let pending = std::mem::take(&mut self.pending);
        let mut session = Session::new(&self.conn, &self.path, pending);
        if durable != self.full_sync {
            // NORMAL writes to the log without fsync; with FULL a commit is on the disk, and all before it.
            let mode = if durable { "FULL" } else { "NORMAL" };
            session.ok(self.conn.pragma_update(None, "synchronous", mode))?;
            self.full_sync = durable;
        }
        session.ok(self.conn.execute_batch("BEGIN IMMEDIATE"))?;
        let started = Instant::now();
        while done.len() < BATCH
            && started.elapsed() < BATCH_TIME
            && let Some(job) = inbox.next(durable)
        {
            let no_space = run_job(&mut session, job, done)?;
            if no_space {
                self.reserve.release();
            }
        }
        session.flush_words(false)?;
        session.flush_totals()?;
        session.ok(self.conn.execute_batch("COMMIT"))?;
        self.pending = session.pending.into_inner();
        Ok(())
    }
}

/// Runs a job in a savepoint: if it fails, it alone is undone. Whether it failed for want of room.
fn run_job(session: &mut Session<'_>, job: Job, done: &mut Vec<Answer>) -> Result<bool> {
    session.step("SAVEPOINT job")?;
    session.pending.borrow_mut().begin_job();
    let (error, answer) = (job.run)(Ok(session));
    done.push(answer);
    if session.conn.is_autocommit() {
        // SQLite has ended the whole transaction: the disk is full, or cannot be read.
        return Err(error.unwrap_or_else(|| session.failed("the transaction was ended")));
    }
    if error.is_some() {
        session.step("ROLLBACK TO job")?;
        session.pending.borrow_mut().roll_back_job();
    }
    session.step("RELEASE job")?;
    Ok(matches!(error, Some(StoreError::NoSpace { .. })))
}
