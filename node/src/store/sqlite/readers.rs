//! The threads that read, each with a connection of its own: a long search does not hold up anything else.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    open::connect_reader,
    session::{Pending, Result, Session},
};
use crate::store::{error::StoreError, tables::Read};

/// Threads at most: a slow search, a slow listing, and one more for what is quick. One is started with the store; the
/// others when a job would have to wait, since each costs a quarter of a mebibyte.
pub(super) const THREADS: usize = 3;
/// Jobs that wait for a thread; who has another waits for a place.
pub(super) const QUEUE: usize = 256;

/// What is to be read: with a state of the file, or the reason why there is none.
pub(super) type ReadJob = Box<dyn FnOnce(std::result::Result<&dyn Read, StoreError>) + Send>;

/// Gives jobs to the threads. They end when all clones are dropped; then nobody holds `alive` any more.
#[derive(Clone)]
pub(super) struct Readers {
    sender: mpsc::Sender<ReadJob>,
    crew: Arc<Crew>,
    alive: mpsc::Sender<()>,
}

struct Crew {
    path: PathBuf,
    damage: Arc<OnceLock<StoreError>>,
    queue: Mutex<mpsc::Receiver<ReadJob>>,
    /// Jobs that wait or run.
    jobs: AtomicUsize,
    threads: AtomicUsize,
}

impl Readers {
    /// Starts the first thread.
    pub(super) fn start(path: &Path, damage: &Arc<OnceLock<StoreError>>, alive: &mpsc::Sender<()>) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let crew = Crew {
            path: path.to_owned(),
            damage: damage.clone(),
            queue: Mutex::new(receiver),
            jobs: AtomicUsize::new(0),
            threads: AtomicUsize::new(1),
        };
        let readers = Self { sender, crew: Arc::new(crew), alive: alive.clone() };
        let conn = connect_reader(path)?;
        readers.thread(move |_| Ok(conn)).map_err(|e| super::open::io(path, &e))?;
        Ok(readers)
    }

    /// Hands a job over.
    pub(super) async fn read(&self, job: ReadJob) -> Result<()> {
        let place = self.sender.reserve().await.map_err(|_| StoreError::Closed)?;
        let (jobs, threads) = (self.crew.jobs.fetch_add(1, Ordering::Relaxed), &self.crew.threads);
        place.send(job);
        let more = |n: usize| (n < THREADS && jobs >= n).then_some(n + 1);
        if threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
            && let Err(error) = self.thread(connect_reader)
        {
            // Those that there are do the work.
            tracing::warn!(%error, "one more thread that reads cannot be started");
            threads.fetch_sub(1, Ordering::Relaxed);
        }
        Ok(())
    }

    fn thread(&self, connect: impl FnOnce(&Path) -> Result<Connection> + Send + 'static) -> std::io::Result<()> {
        let (crew, alive) = (self.crew.clone(), self.alive.clone());
        let work = move || {
            match connect(&crew.path) {
                Ok(conn) => Reader { conn, crew }.run(),
                Err(error) => {
                    tracing::warn!(%error, "one more thread that reads cannot be started");
                    crew.threads.fetch_sub(1, Ordering::Relaxed);
                }
            }
            drop(alive);
        };
        std::thread::Builder::new().name("store-reader".into()).spawn(work).map(drop)
    }
}

struct Reader {
    conn: Connection,
    crew: Arc<Crew>,
}

impl Reader {
    fn run(self) {
        while let Some(job) = self.next() {
            self.read(job);
            self.crew.jobs.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn read(&self, job: ReadJob) {
        if let Some(damage) = self.crew.damage.get() {
            return job(Err(damage.clone()));
        }
        let session = Session::new(&self.conn, &self.crew.path, Pending::default());
        match session.step("BEGIN") {
            Ok(()) => job(Ok(&session)),
            Err(error) => job(Err(error)),
        }
        if !self.conn.is_autocommit() {
            let _ = self.conn.execute_batch("COMMIT");
        }
    }

    /// Waits for a job; the other threads wait for their turn to wait.
    fn next(&self) -> Option<ReadJob> {
        self.crew.queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }
}
