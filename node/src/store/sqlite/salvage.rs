//! Saving what is whole from a file that is damaged.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, types::Value};
use rustix::io::Errno;

use super::{
    error::fail,
    open::{beside, connect, create, io, leave, lock, sync_folder},
    session::{Pending, Result, Session},
    table::{COUNTED, Checked, EVENT, FEED, INBOX, OUTBOX, Table},
    verify::ranges,
};
use crate::store::tables::Write;

/// Lost rows that are named; the rest is counted.
const NAMED: usize = 1_000;

/// What was saved, and what not.
#[derive(Debug, Clone, Default)]
pub struct Salvage {
    /// Where the damaged file is now.
    pub moved_to: PathBuf,
    /// Rows that were saved, of each table.
    pub saved: Vec<(&'static str, u64)>,
    /// Rows that were written and could not be saved, of each table, as the file itself has counted them; where it no longer
    /// can, those that were found damaged.
    pub missing: Vec<(&'static str, u64)>,
    /// Rows, or parts of tables, that were not: at most a thousand are named.
    pub lost: Vec<String>,
    /// Texts that were saved without the words by which they are found.
    pub unfound: u64,
}

/// Copies every whole row of a file into a new one, which then takes its place; the damaged one is kept.
pub(super) fn salvage(path: &Path) -> Result<Salvage> {
    let _lock = lock(path)?;
    let new = beside(path, ".salvaged");
    for suffix in ["", "-wal", "-shm"] {
        // An earlier attempt that broke.
        let _ = fs::remove_file(beside(&new, suffix));
    }
    create(&new)?;
    let conn = connect(&new, false)?;
    let mut report = Salvage::default();
    let mut session = Session::new(&conn, &new, Pending::default());
    session.step("BEGIN IMMEDIATE")?;
    match open_damaged(path) {
        Ok(old) => copy(&mut session, &old, path, &mut report)?,
        Err(error) => report.lost.push(format!("all of it: {error}")),
    }
    session.flush_words(false)?;
    session.flush_totals()?;
    session.step("COMMIT")?;
    let pending = session.pending.into_inner();
    leave(conn, &new, pending)?;
    report.moved_to = swap(path, &new)?;
    Ok(report)
}

/// Puts the new file in the place of the damaged one, and says where that is now. At no time is there none: a node would
/// begin anew, and nobody would notice.
fn swap(path: &Path, new: &Path) -> Result<PathBuf> {
    let stamp = jiff::Timestamp::try_from(SystemTime::now()).unwrap_or_default();
    let moved_to = beside(path, &format!(".corrupt-{}", stamp.strftime("%Y%m%dT%H%M%SZ")));
    let there = |moved: std::io::Result<()>| match moved {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(path, &error)),
        _ => Ok(()),
    };
    let kept = match fs::hard_link(path, &moved_to) {
        // Not every file system has links.
        Err(error) if matches!(Errno::from_io_error(&error), Some(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS)) => {
            fs::rename(path, &moved_to)
        }
        linked => linked,
    };
    there(kept)?;
    // What it holds belongs to the damaged file alone.
    for suffix in ["-wal", "-shm"] {
        there(fs::rename(beside(path, suffix), beside(&moved_to, suffix)))?;
    }
    fs::rename(new, path).map_err(|error| io(path, &error))?;
    sync_folder(path)?;
    Ok(moved_to)
}

fn open_damaged(path: &Path) -> rusqlite::Result<Connection> {
    let conn = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.pragma_update(None, "query_only", true)?;
    // What is damaged stays as it is, for those who want to look into it.
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    Ok(conn)
}

impl Salvage {
    fn lose(&mut self, what: String) {
        if self.lost.len() < NAMED {
            self.lost.push(what);
        }
    }
}

fn copy(new: &mut Session<'_>, old: &Connection, path: &Path, report: &mut Salvage) -> Result<()> {
    let words = words(old);
    let written = Session::new(old, path, Pending::default()).read_totals().ok();
    let written = |at: usize| written.as_ref().and_then(|totals| u64::try_from(totals.get(at)?.rows).ok());
    for (at, table) in COUNTED.iter().enumerate().filter(|(_, table)| !table.derived) {
        let before = report.lost.len();
        let rows = rows(old, table, report);
        let mut saved = 0;
        for row in rows.into_values() {
            match put(new, table, row, &words) {
                Ok(found) => {
                    saved += 1;
                    report.unfound += u64::from(!found);
                }
                Err(name) => report.lose(name),
            }
        }
        let named = report.lost.len().saturating_sub(before);
        let missing = written(at).map_or(named as u64, |written| written.saturating_sub(saved));
        report.saved.push((table.name, saved));
        report.missing.push((table.name, missing));
    }
    mend_feeds(new)
}

/// All whole rows of a table, by their keys. Where a walk through it stops at a damaged page, another one comes from the
/// other end.
fn rows(old: &Connection, table: &Table, report: &mut Salvage) -> BTreeMap<String, Checked> {
    let mut found = BTreeMap::new();
    let mut broken = BTreeSet::new();
    let keys = table.columns.iter().take(table.key).copied().collect::<Vec<_>>();
    let back = keys.iter().map(|key| format!("{key} DESC")).collect::<Vec<_>>().join(", ");
    for order in [keys.join(", "), back] {
        let sql = format!("SELECT * FROM {} ORDER BY {order}", table.name);
        let walked = old.prepare(&sql).and_then(|mut statement| {
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let row = Checked::read(table, row)?;
                let name = row.name(table);
                if row.whole {
                    found.insert(name, row);
                } else {
                    broken.insert(name);
                }
            }
            Ok(())
        });
        match walked {
            Ok(()) => break,
            Err(error) => report.lose(format!("{}: {error}", table.name)),
        }
    }
    broken.into_iter().for_each(|name| report.lose(name));
    found
}

/// Keeps a row again, as if it came for the first time: what is made of it is made again. Whether it is found as before.
fn put(
    new: &mut Session<'_>,
    table: &Table,
    row: Checked,
    words: &BTreeMap<i64, String>,
) -> std::result::Result<bool, String> {
    let name = row.name(table);
    let rank = row.int(0);
    let text = words.get(&rank).map(String::as_str);
    let lost = |error: crate::store::StoreError| format!("{name}: {error}");
    let is = |other: &Table| table.name == other.name;
    let found = if is(&EVENT) {
        let found = row.int(10) == 1;
        let event = new.event_row(row).map_err(lost)?;
        new.insert_event(&event, text.unwrap_or_default()).map_err(lost)?;
        found
    } else if is(&INBOX) {
        let found = row.int(11) == 1;
        let item = new.inbox_row(row).map_err(lost)?;
        new.put_inbox(&item, text).map_err(lost)?;
        found
    } else if is(&OUTBOX) {
        let found = row.int(11) == 1;
        let item = new.outbox_row(row).map_err(lost)?;
        new.put_outbox(&item, text).map_err(lost)?;
        found
    } else {
        let mut values = row.values;
        if is(&FEED) && matches!(values.get(4), Some(Value::Null)) {
            // A number only; it is made again when it is needed.
            return Ok(true);
        }
        new.insert(table, std::mem::take(&mut values)).map_err(lost)?;
        return Ok(true);
    };
    Ok(!found || text.is_some())
}

/// The words of each row, put together again from the search index; none if that cannot be read.
fn words(old: &Connection) -> BTreeMap<i64, String> {
    let mut texts: BTreeMap<i64, BTreeMap<i64, String>> = BTreeMap::new();
    let mut read = || -> rusqlite::Result<()> {
        old.pragma_update(None, "query_only", false)?;
        old.execute_batch("CREATE VIRTUAL TABLE temp.places USING fts5vocab (main, words, instance)")?;
        let mut statement = old.prepare("SELECT doc, \"offset\", term FROM temp.places")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            texts.entry(row.get(0)?).or_default().insert(row.get(1)?, row.get(2)?);
        }
        Ok(())
    };
    match read() {
        Ok(()) => {
            texts.into_iter().map(|(rank, words)| (rank, words.into_values().collect::<Vec<_>>().join(" "))).collect()
        }
        Err(error) => {
            tracing::warn!(%error, "the search index could not be read");
            BTreeMap::new()
        }
    }
}

/// Has feeds say that they hold what is there.
fn mend_feeds(new: &mut Session<'_>) -> Result<()> {
    let mut feeds = Vec::new();
    new.scan(&FEED, "WHERE state IS NOT NULL", &[], |row| {
        feeds.push((row.int(0), new.feed_row(&row)?));
        Ok(true)
    })?;
    for (no, mut feed) in feeds {
        let path = new.path;
        let found: rusqlite::Result<Vec<i64>> = new
            .conn
            .prepare_cached("SELECT seq FROM event WHERE feed = ? ORDER BY seq")
            .and_then(|mut seqs| seqs.query_map([no], |row| row.get(0))?.collect());
        let found = found.map_err(|e| fail(path, &e))?;
        let held = ranges(found.into_iter().map(super::table::unsigned));
        if held != feed.held {
            feed.held = held;
            new.put_feed(&feed)?;
        }
    }
    Ok(())
}
