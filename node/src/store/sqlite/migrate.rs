//! From one layout to the next. Each step is one transaction, and the file from before is kept beside.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use rusqlite::{Connection, backup::Backup};

use super::{
    error::fail,
    open::{beside, io, sync_folder},
    session::Result,
};
use crate::store::error::StoreError;

/// Pages that are copied at once.
const BACKUP_PAGES: i32 = 1_024;

/// How a file gets to a layout from the one before.
pub(super) struct Step {
    /// The layout it has then.
    pub(super) to: u32,
    pub(super) run: fn(&Connection) -> rusqlite::Result<()>,
}

/// None yet: there is one layout.
pub(super) static STEPS: &[Step] = &[];

fn version(conn: &Connection, path: &Path) -> Result<u32> {
    conn.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(|e| fail(path, &e))
}

/// Brings a file to the layout `known`.
pub(super) fn migrate(conn: &Connection, path: &Path, steps: &[Step], known: u32) -> Result<()> {
    let found = version(conn, path)?;
    if found > known {
        return Err(StoreError::Newer { path: path.to_owned(), found, known });
    }
    if found == known {
        return Ok(());
    }
    keep_copy(conn, path, found)?;
    for step in steps.iter().filter(|step| step.to > found && step.to <= known) {
        let sql = format!("PRAGMA user_version = {}; COMMIT", step.to);
        let done = conn
            .execute_batch("PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
            .and_then(|()| (step.run)(conn))
            .and_then(|()| conn.execute_batch(&sql));
        if let Err(error) = done {
            let _ = conn.execute_batch("ROLLBACK");
            return Err(fail(path, &error));
        }
    }
    match version(conn, path)? {
        now if now == known => Ok(()),
        now => Err(StoreError::Failed {
            path: path.to_owned(),
            reason: format!("no way from layout {now} to {known}: use the program that wrote it"),
        }),
    }
}

/// Keeps a copy of the file as it is. Under another name first: one that is there is whole.
fn keep_copy(conn: &Connection, path: &Path, version: u32) -> Result<()> {
    let (copy, part) = (beside(path, &format!(".before-{version}")), beside(path, ".before.new"));
    let _ = fs::remove_file(&part);
    let copied = Connection::open(&part).and_then(|mut to| {
        Backup::new(conn, &mut to)?.run_to_completion(BACKUP_PAGES, Duration::ZERO, None)?;
        to.close().map_err(|(_, error)| error)
    });
    copied.map_err(|e| fail(&part, &e))?;
    File::open(&part).and_then(|file| file.sync_all()).map_err(|e| io(&part, &e))?;
    fs::rename(&part, &copy).map_err(|e| io(&copy, &e))?;
    sync_folder(path)
}
