//! What is kept, in a file of SQLite.

mod decode;
mod error;
mod migrate;
mod open;
mod read;
mod readers;
mod reserve;
mod salvage;
mod schema;
mod session;
mod table;
mod talk;
mod verify;
mod write;
mod writer;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    thread::JoinHandle,
};

use rusqlite::InterruptHandle;
use tokio::sync::{mpsc, oneshot};

pub use open::Options;
use open::connect_reader;
pub use salvage::Salvage;
use session::{Pending, Session};
use writer::{Job, Message, Writer};

use super::{
    error::StoreError,
    tables::{Read, Write},
};

type Result<T> = std::result::Result<T, StoreError>;

/// Bytes of a file that is checked wholly before it is used: half a second's work of one busy core, measured.
const CHECK_MAX: u64 = 16 * 1024 * 1024;

/// The threads of an open file.
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Option<mpsc::Sender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    readers: Mutex<Option<readers::Readers>>,
    /// Ends the check beside.
    check: Option<InterruptHandle>,
    /// Ends when no reader is left.
    alive: tokio::sync::Mutex<mpsc::Receiver<()>>,
}

impl Sqlite {
    /// Opens a file or makes it, alone.
    pub(super) fn open(path: &Path, options: &Options) -> Result<Self> {
        let lock = open::lock(path)?;
        let opened = match open::open(path, options) {
            // To say that it is in use, something has to be written. A node must start on a full disk too.
            Err(StoreError::NoSpace { .. }) if reserve::Reserve::give(path) => open::open(path, options)?,
            opened => opened?,
        };
        let damage = Arc::new(OnceLock::new());
        let reserve = reserve::Reserve::new(path, options.reserve_bytes);
        let (alive, ended) = mpsc::channel(1);
        let readers = readers::Readers::start(path, &damage, &alive)?;
        let check = match &opened.unchecked {
            Some(seal) => Some(check_beside(path, seal.clone(), damage.clone())?),
            None => None,
        };
        let (sender, receiver) = mpsc::channel(writer::QUEUE);
        let writer = Writer::new(opened, path.to_owned(), reserve, damage, lock);
        let thread = std::thread::Builder::new().name("store-writer".into()).spawn(move || writer.run(receiver));
        Ok(Self {
            path: path.to_owned(),
            writer: Some(sender),
            thread: Mutex::new(Some(thread.map_err(|e| open::io(path, &e))?)),
            readers: Mutex::new(Some(readers)),
            check,
            alive: tokio::sync::Mutex::new(ended),
        })
    }

    /// Saves what is whole.
    pub(super) fn salvage(path: &Path) -> Result<Salvage> {
        salvage::salvage(path)
    }

    /// Copies it page by page, as it is now.
    pub(super) fn copy_to(&self, to: &Path) -> Result<()> {
        let from = connect_reader(&self.path)?;
        let mut copy = rusqlite::Connection::open(to).map_err(|e| error::fail(to, &e))?;
        {
            let backup = rusqlite::backup::Backup::new(&from, &mut copy).map_err(|e| error::fail(to, &e))?;
            // All in one step, which sees one state; a writer is not held up by it.
            match backup.step(-1).map_err(|e| error::fail(&self.path, &e))? {
                rusqlite::backup::StepResult::Done => {}
                _ => return Err(StoreError::InUse { path: self.path.clone() }),
            }
        }
        copy.close().map_err(|(_, e)| error::fail(to, &e))
    }

    /// Opens a file that another process may be writing to.
    pub(super) fn open_read_only(path: &Path) -> Result<Self> {
        open::check_header(path, schema::VERSION)?;
        let (alive, ended) = mpsc::channel(1);
        let readers = readers::Readers::start(path, &Arc::new(OnceLock::new()), &alive)?;
        Ok(Self {
            path: path.to_owned(),
            writer: None,
            thread: Mutex::new(None),
            readers: Mutex::new(Some(readers)),
            check: None,
            alive: tokio::sync::Mutex::new(ended),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Looks for damage, in the calling thread.
    pub(super) fn verify(&self, deep: bool) -> Result<Vec<String>> {
        verify_file(&self.path, deep)
    }

    pub(super) async fn write<R: Send + 'static>(
        &self,
        durable: bool,
        job: impl FnOnce(&mut dyn Write) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let Some(writer) = &self.writer else {
            let reason = "it is open for reading only".to_owned();
            return Err(StoreError::Failed { path: self.path.clone(), reason });
        };
        let (answer, reply) = oneshot::channel();
        let path = self.path.clone();
        let run: writer::Run = Box::new(move |tables| {
            let result = tables.and_then(|tables| super::handle::guarded(&path, || job(tables)));
            let error = result.as_ref().err().cloned();
            let answer: writer::Answer = Box::new(move |lost| {
                // What the job says of itself is said in any case.
                let _ = answer.send(result.and_then(|value| lost.map_or(Ok(value), Err)));
            });
            (error, answer)
        });
        writer.send(Message::Job(Job { durable, run })).await.map_err(|_| StoreError::Closed)?;
        reply.await.unwrap_or(Err(StoreError::Closed))
    }

    pub(super) async fn read<R: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn Read) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (answer, reply) = oneshot::channel();
        let path = self.path.clone();
        let job: readers::ReadJob = Box::new(move |tables| {
            let _ = answer.send(tables.and_then(|tables| super::handle::guarded(&path, || job(tables))));
        });
        readers.ok_or(StoreError::Closed)?.read(job).await?;
        reply.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Ends the readers, then the writer, which leaves the file cleanly.
    pub(super) async fn close(&self) -> Result<()> {
        if self.readers.lock().unwrap_or_else(PoisonError::into_inner).take().is_none() {
            return Ok(());
        }
        if let Some(check) = &self.check {
            check.interrupt();
        }
        while self.alive.lock().await.recv().await.is_some() {}
        let Some(writer) = &self.writer else { return Ok(()) };
        let (answer, reply) = oneshot::channel();
        writer.send(Message::Close(answer)).await.map_err(|_| StoreError::Closed)?;
        reply.await.unwrap_or(Err(StoreError::Closed))
    }
}

impl Drop for Sqlite {
    /// Waits for what is queued, so that whoever opens the file next finds it left.
    fn drop(&mut self) {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.writer.take();
        if let Some(check) = &self.check {
            check.interrupt();
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A job that holds the last handle drops it in the writer itself.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
    }
}

fn verify_file(path: &Path, deep: bool) -> Result<Vec<String>> {
    let conn = connect_reader(path)?;
    let session = Session::new(&conn, path, Pending::default());
    session.step("BEGIN")?;
    verify::verify(&session, deep, None)
}

/// Checks a large file while it is used; if it is damaged, nothing of it is served any more.
fn check_beside(path: &Path, seal: Option<Vec<u8>>, damage: Arc<OnceLock<StoreError>>) -> Result<InterruptHandle> {
    let conn = connect_reader(path)?;
    let session = Session::new(&conn, path, Pending::default());
    // What is checked is the file as it was left, whatever is written from now on.
    session.step("BEGIN")?;
    session.count("SELECT count(*) FROM state", &[])?;
    drop(session);
    let (handle, file) = (conn.get_interrupt_handle(), path.to_owned());
    let check = move || {
        let session = Session::new(&conn, &file, Pending::default());
        let error = match verify::verify(&session, false, seal.as_deref()) {
            Ok(findings) if findings.is_empty() => return,
            Ok(findings) => StoreError::Damaged { path: file.clone(), what: findings.join("; ") },
            Err(error @ StoreError::Damaged { .. }) => error,
            // It was closed meanwhile, or cannot be read right now.
            Err(error) => return tracing::warn!(%error, "the check of the store was not finished"),
        };
        tracing::error!(%error, "the store is damaged");
        let _ = damage.set(error);
    };
    let thread = std::thread::Builder::new().name("store-check".into()).spawn(check);
    thread.map_err(|e| open::io(path, &e))?;
    Ok(handle)
}

#[cfg(test)]
mod tests;
