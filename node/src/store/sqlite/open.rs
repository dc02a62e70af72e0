//! From a path to a file that is whole, and back to one that was left cleanly.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags};

use super::{
    error::fail,
    migrate::{STEPS, Step, migrate},
    schema::{APPLICATION_ID, VERSION, VERSION_1},
    session::{Pending, Result, Session},
    table::STATE,
    verify::{seal, verify},
};
use crate::store::error::StoreError;

/// How long another process, which may be reading or tidying up, is waited for.
const BUSY: Duration = Duration::from_secs(5);
/// KiB of pages that the writer keeps in memory: the top of every index of a million events.
const WRITER_CACHE_KIB: i64 = 8 * 1024;
/// KiB of pages that each reader keeps.
const READER_CACHE_KIB: i64 = 2 * 1024;
/// Different statements that a connection keeps prepared; there are fewer.
const STATEMENTS: usize = 128;
/// Key of the row that says that the file was left cleanly.
const CLEAN: &str = "clean";

/// How a file is opened.
#[derive(Debug, Clone)]
pub struct Options {
    /// Bytes that are kept free for the day when the disk is full, but never more than a 20th of what is free.
    pub reserve_bytes: u64,
    /// A file of at most so many bytes is checked wholly before it is used; a larger one meanwhile: nobody waits half a
    /// minute for a node that was killed. Each row that is read is checked all the same.
    pub check_max: u64,
    /// The file gets no more pages than this: for tests of full disks.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    /// What a check reads in half a second on a small machine.
    fn default() -> Self {
        Self { reserve_bytes: 64 * 1024 * 1024, check_max: super::CHECK_MAX, max_pages: None }
    }
}

/// The path with something behind it.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

/// Bytes on the disk, without the reserve.
pub(super) fn file_bytes(path: &Path) -> u64 {
    ["", "-wal", "-shm"].into_iter().map(|suffix| size(&beside(path, suffix))).sum()
}

/// Bytes of the reserve.
pub(super) fn reserve_bytes(path: &Path) -> u64 {
    size(&beside(path, ".reserve"))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// What the system said.
pub(super) fn io(path: &Path, error: &std::io::Error) -> StoreError {
    let path = path.to_owned();
    match error.kind() {
        std::io::ErrorKind::StorageFull => StoreError::NoSpace { path },
        _ => StoreError::Failed { path, reason: error.to_string() },
    }
}

fn damaged(path: &Path, what: &str) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), what: what.to_owned() }
}

/// Keeps others from writing as long as it lives.
pub(super) fn lock(path: &Path) -> Result<File> {
    let name = beside(path, ".lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&name).map_err(|e| io(&name, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io(&name, &error)),
    }
}

/// What the file says of itself, without SQLite, which would touch it.
pub(super) fn check_header(path: &Path, known: u32) -> Result<()> {
    let mut header = [0; 100];
    let mut file = File::open(path).map_err(|e| io(path, &e))?;
    file.read_exact(&mut header).map_err(|_| damaged(path, "it is shorter than any database"))?;
    let number = |at: usize| {
        let bytes = header.get(at..).and_then(|rest| rest.first_chunk()).copied();
        u32::from_be_bytes(bytes.unwrap_or_default())
    };
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(damaged(path, "it does not begin as a database does"));
    }
    if i32::try_from(number(68)) != Ok(APPLICATION_ID) {
        return Err(damaged(path, "it does not say that it is a p2pnode's"));
    }
    match number(60) {
        0 => Err(damaged(path, "it does not say which layout it has")),
        found if found > known => Err(StoreError::Newer { path: path.to_owned(), found, known }),
        _ => Ok(()),
    }
}

/// Opens a connection that writes.
pub(super) fn connect(path: &Path, create: bool) -> Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags.set(OpenFlags::SQLITE_OPEN_CREATE, create);
    let conn = Connection::open_with_flags(path, flags).map_err(|e| fail(path, &e))?;
    set_up(&conn, WRITER_CACHE_KIB).map_err(|e| fail(path, &e))?;
    Ok(conn)
}

/// Opens a connection that only reads.
pub(super) fn connect_reader(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags).map_err(|e| fail(path, &e))?;
    prepare(&conn, READER_CACHE_KIB).map_err(|e| fail(path, &e))?;
    Ok(conn)
}

fn prepare(conn: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    // A page that cannot be read is an error; mapped, it would be a signal that ends the process.
    conn.pragma_update(None, "mmap_size", 0)?;
    // Sorting must not look for a folder for temporary files, which a full disk or a container may not have.
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    // The schema of a damaged file is not trusted, and cells are checked when a page is read.
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.pragma_update(None, "cell_size_check", true)
}

fn set_up(conn: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    prepare(conn, cache_kib)?;
    // Readers go on while something is written, and a commit is one fsync of one file at most.
    conn.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    // 4 MiB: a read walks through few pages of the log; a checkpoint is short.
    conn.pragma_update(None, "wal_autocheckpoint", 1_000)?;
    // After a flood the log becomes small again.
    conn.query_row("PRAGMA journal_size_limit = 16777216", [], |_| Ok(()))
}

/// Makes a new file. Under another name first: no crash leaves something half made, and an empty file is never ours.
pub(super) fn create(path: &Path) -> Result<()> {
    if beside(path, "-wal").exists() {
        return Err(damaged(path, "the file is missing, its -wal is there"));
    }
    let new = beside(path, ".new");
    for suffix in [".new", ".new-wal", ".new-shm"] {
        let _ = fs::remove_file(beside(path, suffix));
    }
    let conn = connect(&new, true)?;
    let made = conn
        .pragma_update(None, "application_id", APPLICATION_ID)
        .and_then(|()| conn.execute_batch(&format!("BEGIN; {VERSION_1} PRAGMA user_version = {VERSION}; COMMIT;")));
    made.map_err(|e| fail(path, &e))?;
    conn.close().map_err(|(_, e)| fail(path, &e))?;
    File::open(&new).and_then(|file| file.sync_all()).map_err(|e| io(path, &e))?;
    fs::rename(&new, path).map_err(|e| io(path, &e))?;
    sync_folder(path)
}

/// Has the names in the folder of a file on the disk.
pub(super) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| io(path, &e))
}

/// An open file, checked.
pub(super) struct Opened {
    pub(super) conn: Connection,
    pub(super) pending: Pending,
    /// It is too large to have been checked already. What its search index was when it was left, if that was in order.
    pub(super) unchecked: Option<Option<Vec<u8>>>,
}

/// Opens a file or makes it.
pub(super) fn open(path: &Path, options: &Options) -> Result<Opened> {
    open_with(path, options, STEPS, VERSION)
}

/// As [`open`], with other steps between layouts: for tests.
pub(super) fn open_with(path: &Path, options: &Options, steps: &[Step], known: u32) -> Result<Opened> {
    match fs::metadata(path) {
        Ok(_) => check_header(path, known)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create(path)?,
        Err(error) => return Err(io(path, &error)),
    }
    let conn = connect(path, false)?;
    if let Some(pages) = options.max_pages {
        conn.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(())).map_err(|e| fail(path, &e))?;
    }
    migrate(&conn, path, steps, known)?;
    let session = Session::new(&conn, path, Pending::default());
    let clean = session.one(&STATE, "WHERE key = ?", &[&CLEAN])?.map(|row| row.bytes(1).to_vec());
    let small = file_bytes(path) <= options.check_max;
    if small {
        let findings = verify(&session, small, clean.as_deref())?;
        if !findings.is_empty() {
            return Err(damaged(path, &findings.join("; ")));
        }
    }
    let totals = session.read_totals()?;
    drop(session);
    let pending = mark(&conn, path, Pending::new(totals), None)?;
    Ok(Opened { conn, pending, unchecked: (!small).then_some(clean) })
}

/// Says in the file that it was left cleanly, or, with no seal, that it is in use.
fn mark(conn: &Connection, path: &Path, pending: Pending, seal: Option<Vec<u8>>) -> Result<Pending> {
    let session = Session::new(conn, path, pending);
    session.ok(conn.pragma_update(None, "synchronous", "FULL"))?;
    session.ok(conn.execute_batch("BEGIN IMMEDIATE"))?;
    let marked = session.delete(&STATE, "WHERE key = ?", &[&CLEAN]).and_then(|_| {
        seal.map_or(Ok(()), |seal| session.insert(&STATE, vec![CLEAN.to_owned().into(), seal.into()]))?;
        session.flush_totals()?;
        session.ok(conn.execute_batch("COMMIT"))
    });
    if let Err(error) = marked {
        let _ = conn.execute_batch("ROLLBACK");
        return Err(error);
    }
    session.ok(conn.pragma_update(None, "synchronous", "NORMAL"))?;
    Ok(session.pending.into_inner())
}

/// Leaves the file cleanly: all of it in one file, and a seal over what has no sums of its own.
pub(super) fn leave(conn: Connection, path: &Path, pending: Pending) -> Result<()> {
    let seal = seal(&conn).map_err(|e| fail(path, &e))?;
    mark(&conn, path, pending, Some(seal))?;
    // Another process that is reading keeps the log from being emptied; it is emptied next time.
    conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|e| fail(path, &e))?;
    conn.close().map_err(|(_, e)| fail(path, &e))
}
