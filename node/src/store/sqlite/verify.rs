//! Looking for damage, all over the file.

use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::{
    session::{Result, Session, Total, Totals},
    table::{COUNTED, Checked, FEED, Table, digest, unsigned},
};

/// Findings of one kind that are listed; the rest is the same.
const LISTED: usize = 8;

/// All that is wrong, in words. `deep` compares indexes with their tables too. `sealed` is what the search index was when
/// the file was left.
pub(super) fn verify(session: &Session<'_>, deep: bool, sealed: Option<&[u8]>) -> Result<Vec<String>> {
    let mut findings = structure(session, deep)?;
    // In a file whose pages hang together wrongly, rows are not to be looked for.
    if !findings.is_empty() {
        return Ok(findings);
    }
    let mut totals = Totals::default();
    for (table, total) in COUNTED.iter().zip(&mut totals) {
        *total = rows(session, table, &mut findings)?;
    }
    match session.read_totals() {
        Ok(stored) => {
            for ((table, found), stored) in COUNTED.iter().zip(totals).zip(stored) {
                if found != stored {
                    findings.push(format!(
                        "{}: {} rows where {} were written, or other ones",
                        table.name, found.rows, stored.rows
                    ));
                }
            }
        }
        Err(error) => findings.push(error.to_string()),
    }
    if findings.is_empty() {
        feeds(session, &mut findings)?;
        words(session, &mut findings)?;
        if let Some(sealed) = sealed
            && session.ok(seal(session.conn))? != sealed
        {
            findings.push("words: not as they were when the file was left".into());
        }
    }
    Ok(findings)
}

/// What SQLite itself finds.
fn structure(session: &Session<'_>, deep: bool) -> Result<Vec<String>> {
    let check = if deep { "integrity_check" } else { "quick_check" };
    let mut statement = session.ok(session.conn.prepare(&format!("PRAGMA {check}({LISTED})")))?;
    let said = session.ok(statement.query_map([], |row| row.get::<_, String>(0)))?;
    let said: Vec<String> = session.ok(said.collect())?;
    Ok(said.into_iter().filter(|line| line != "ok").collect())
}

/// Checks each row of a table; how many there are.
fn rows(session: &Session<'_>, table: &Table, findings: &mut Vec<String>) -> Result<Total> {
    let mut statement = session.ok(session.conn.prepare(&format!("SELECT * FROM {}", table.name)))?;
    let mut rows = session.ok(statement.query([]))?;
    let mut total = Total::default();
    let mut listed = 0;
    while let Some(row) = session.ok(rows.next())? {
        let row = session.ok(Checked::read(table, row))?;
        total.rows += 1;
        total.mix ^= row.sum;
        total.bytes += table.payload.map_or(0, |at| i64::try_from(row.bytes(at).len()).unwrap_or(i64::MAX));
        if !row.whole && listed < LISTED {
            listed += 1;
            findings.push(format!("{}: checksum", row.name(table)));
        }
    }
    Ok(total)
}

/// Whether feeds hold what they say they hold.
fn feeds(session: &Session<'_>, findings: &mut Vec<String>) -> Result<()> {
    let mut seqs = session.ok(session.conn.prepare("SELECT seq FROM event WHERE feed = ? ORDER BY seq"))?;
    session.scan(&FEED, "WHERE state IS NOT NULL", &[], |entry| {
        let row = session.feed_row(&entry)?;
        let found = session.ok(seqs.query_map([entry.int(0)], |row| row.get(0)))?;
        let found: Vec<i64> = session.ok(found.collect())?;
        if ranges(found.into_iter().map(unsigned)) != row.held {
            findings.push(format!("{}: it does not hold the events it says", entry.name(&FEED)));
        }
        Ok(findings.len() < LISTED)
    })
}

/// Rising numbers as ranges.
pub(super) fn ranges(numbers: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut out: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match out.last_mut() {
            Some((_, to)) if *to == number => *to = number.saturating_add(1),
            _ => out.push((number, number.saturating_add(1))),
        }
    }
    out
}

/// Whether the search index has a row for each row that is to be found, and no other.
fn words(session: &Session<'_>, findings: &mut Vec<String>) -> Result<()> {
    let found = "SELECT rank FROM event WHERE found = 1 UNION ALL SELECT rank FROM inbox WHERE found = 1 \
                 UNION ALL SELECT rank FROM outbox WHERE found = 1";
    let missing = format!("SELECT count(*) FROM ({found}) WHERE rank NOT IN (SELECT id FROM words_docsize)");
    let wanted = session.count(&format!("SELECT count(*) FROM ({found})"), &[])?;
    let have = session.count("SELECT count(*) FROM words_docsize", &[])?;
    let missing = session.count(&missing, &[])?.unwrap_or_default();
    if wanted != have || missing > 0 {
        findings.push(format!(
            "words: {} rows for {} texts, {missing} missing",
            have.unwrap_or_default(),
            wanted.unwrap_or_default()
        ));
    }
    Ok(())
}

/// A hash over the search index, whose rows have no sums of ours.
pub(super) fn seal(conn: &Connection) -> rusqlite::Result<Vec<u8>> {
    let mut hash = Sha256::new();
    for table in ["data", "idx", "docsize", "config"] {
        let mut statement = conn.prepare(&format!("SELECT * FROM words_{table} ORDER BY 1, 2"))?;
        let columns = statement.column_count();
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            for at in 0..columns {
                digest(&mut hash, row.get_ref(at)?);
            }
        }
    }
    Ok(hash.finalize().to_vec())
}
