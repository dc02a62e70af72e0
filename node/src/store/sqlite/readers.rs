//! The threads that read, each with a connection of its own: a long search does not hold up anything else.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    open::connect_reader,
    session::{Pending, Result, Session},
};
use crate::store::{error::StoreError, tables::Read};

/// Threads: a slow search, a slow listing, and one more for what is quick.
pub(super) const THREADS: usize = 3;
/// Jobs that wait for a thread; who has another waits for a place.
pub(super) const QUEUE: usize = 256;

/// What is to be read: with a state of the file, or the reason why there is none.
pub(super) type ReadJob = Box<dyn FnOnce(std::result::Result<&dyn Read, StoreError>) + Send>;

/// Starts the threads. They end with the queue; then nobody holds `alive` any more.
pub(super) fn start(
    path: &Path,
    damage: &Arc<OnceLock<StoreError>>,
    alive: &mpsc::Sender<()>,
) -> Result<mpsc::Sender<ReadJob>> {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let queue = Arc::new(Mutex::new(receiver));
    for _ in 0..THREADS {
        let reader = Reader {
            conn: connect_reader(path)?,
            path: path.to_owned(),
            damage: damage.clone(),
            queue: queue.clone(),
            _alive: alive.clone(),
        };
        let started = std::thread::Builder::new().name("store-reader".into()).spawn(move || reader.run());
        started.map_err(|e| super::open::io(path, &e))?;
    }
    Ok(sender)
}

struct Reader {
    conn: Connection,
    path: PathBuf,
    damage: Arc<OnceLock<StoreError>>,
    queue: Arc<Mutex<mpsc::Receiver<ReadJob>>>,
    _alive: mpsc::Sender<()>,
}

impl Reader {
    fn run(self) {
        while let Some(job) = self.next() {
            if let Some(damage) = self.damage.get() {
                job(Err(damage.clone()));
                continue;
            }
            let session = Session::new(&self.conn, &self.path, Pending::default());
            match session.step("BEGIN") {
                Ok(()) => job(Ok(&session)),
                Err(error) => job(Err(error)),
            }
            if !self.conn.is_autocommit() {
                let _ = self.conn.execute_batch("COMMIT");
            }
        }
    }

    /// Waits for a job; the other threads wait for their turn to wait.
    fn next(&self) -> Option<ReadJob> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
    }
}
