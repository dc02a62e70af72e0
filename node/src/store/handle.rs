//! What the rest of the program holds of a store.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

#[cfg(feature = "store")]
use super::sqlite::{Options, Salvage, Sqlite};
use super::{
    error::StoreError,
    memory::{Memory, MemoryLimits},
    tables::{Read, Write},
};

type Result<T> = std::result::Result<T, StoreError>;

/// A store; clones are the same one.
#[derive(Clone)]
pub struct Store {
    engine: Arc<Engine>,
}

enum Engine {
    Memory(Mutex<Option<Box<Memory>>>),
    #[cfg(feature = "store")]
    Sqlite(Sqlite),
}

impl Store {
    /// Keeps things as long as the process lives, and of events no more than [`MemoryLimits::default`].
    pub fn memory() -> Self {
        Self::memory_with(MemoryLimits::default())
    }

    /// Keeps things as long as the process lives. Past the limits, the feeds with the oldest events are cut.
    pub fn memory_with(limits: MemoryLimits) -> Self {
        Self { engine: Arc::new(Engine::Memory(Mutex::new(Some(Box::new(Memory::new(limits)))))) }
    }

    /// Keeps things in a file, which is made if it is not there. It blocks, for as long as a check of the file takes: call
    /// it where that does no harm. Another process that has it open for writing makes it [`StoreError::InUse`].
    ///
    /// # Errors
    /// [`StoreError`]: a file that is damaged is not opened.
    #[cfg(feature = "store")]
    pub fn open(path: &Path, options: &Options) -> Result<Self> {
        Ok(Self { engine: Arc::new(Engine::Sqlite(Sqlite::open(path, options)?)) })
    }

    /// Reads a file that is there, also while another process writes to it. Each row that is read is checked, not the
    /// whole file.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "store")]
    pub fn open_read_only(path: &Path) -> Result<Self> {
        Ok(Self { engine: Arc::new(Engine::Sqlite(Sqlite::open_read_only(path)?)) })
    }

    /// Copies every row of a damaged file that is whole into a new one, which takes its place; the damaged one becomes
    /// `node.db.corrupt-<UTC time>`. It blocks.
    ///
    /// # Errors
    /// [`StoreError`], if the file is in use, or the new one cannot be written.
    #[cfg(feature = "store")]
    pub fn salvage(path: &Path) -> Result<Salvage> {
        Sqlite::salvage(path)
    }

    /// Writes one state of it into a new file, whatever is written meanwhile. Damage is copied, too: look for it there. It
    /// blocks.
    ///
    /// # Errors
    /// [`StoreError`]; what is kept in memory has no file.
    #[cfg(feature = "store")]
    pub fn copy_to(&self, path: &Path) -> Result<()> {
        match &*self.engine {
            Engine::Memory(_) => {
                Err(StoreError::Failed { path: path.to_owned(), reason: "the store is in memory only".to_owned() })
            }
            Engine::Sqlite(sqlite) => sqlite.copy_to(path),
        }
    }

    /// Looks for damage all over the file, `deep` in its indexes too; all that is found, in words. It blocks.
    ///
    /// # Errors
    /// [`StoreError`], if it cannot look.
    pub fn verify(&self, deep: bool) -> Result<Vec<String>> {
        match &*self.engine {
            Engine::Memory(_) => {
                let _ = deep;
                Ok(Vec::new())
            }
            #[cfg(feature = "store")]
            Engine::Sqlite(sqlite) => sqlite.verify(deep),
        }
    }

    /// Runs a job that writes, in one transaction: all of it is kept, or, if it fails or panics, nothing. The answer
    /// comes when others can read it; after a crash of the machine the last ones may be missing.
    ///
    /// # Errors
    /// What the job says, or [`StoreError`].
    pub async fn write<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Write) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.run(false, job).await
    }

    /// As [`Self::write`], but the answer comes when it is on the disk: nothing of it is missing after a crash.
    ///
    /// # Errors
    /// What the job says, or [`StoreError`].
    pub async fn write_durably<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut dyn Write) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        self.run(true, job).await
    }

    async fn run<R: Send + 'static>(
        &self,
        durable: bool,
        job: impl FnOnce(&mut dyn Write) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        match &*self.engine {
            Engine::Memory(memory) => write_now(memory, job),
            #[cfg(feature = "store")]
            Engine::Sqlite(sqlite) => sqlite.write(durable, job).await,
        }
    }

    /// Runs a job that reads. It sees one state, whatever is written meanwhile.
    ///
    /// # Errors
    /// What the job says, or [`StoreError`].
    pub async fn read<R: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn Read) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        match &*self.engine {
            Engine::Memory(memory) => {
                let memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
                let memory = memory.as_ref().ok_or(StoreError::Closed)?;
                guarded(self.path(), || job(&**memory))
            }
            #[cfg(feature = "store")]
            Engine::Sqlite(sqlite) => sqlite.read(job).await,
        }
    }

    /// Ends it: what is queued is still done, later calls are [`StoreError::Closed`].
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(&self) -> Result<()> {
        match &*self.engine {
            Engine::Memory(memory) => {
                memory.lock().unwrap_or_else(PoisonError::into_inner).take();
                Ok(())
            }
            #[cfg(feature = "store")]
            Engine::Sqlite(sqlite) => sqlite.close().await,
        }
    }

    /// The file; `memory` if there is none.
    pub fn path(&self) -> &Path {
        match &*self.engine {
            Engine::Memory(_) => Path::new("memory"),
            #[cfg(feature = "store")]
            Engine::Sqlite(sqlite) => sqlite.path(),
        }
    }

    /// Whether what was written durably outlives the process.
    pub fn is_durable(&self) -> bool {
        match &*self.engine {
            Engine::Memory(_) => false,
            #[cfg(feature = "store")]
            Engine::Sqlite(_) => true,
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.path().display())
    }
}

/// Runs a job in the caller, without a thread and without waiting: a simulation is the same in every run.
fn write_now<R>(memory: &Mutex<Option<Box<Memory>>>, job: impl FnOnce(&mut dyn Write) -> Result<R>) -> Result<R> {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let memory = memory.as_mut().ok_or(StoreError::Closed)?;
    memory.transaction(|memory| guarded(Path::new("memory"), || job(memory)))
}

/// Makes an error of a panic, so that it takes nobody else along.
pub(super) fn guarded<R>(path: &Path, job: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(job)).unwrap_or_else(|panic| {
        Err(StoreError::Failed { path: PathBuf::from(path), reason: format!("a job panicked: {}", said(&*panic)) })
    })
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
