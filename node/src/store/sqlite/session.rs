//! One transaction: rows in and out with their sums, and what is to be written at its end.

use std::{cell::RefCell, collections::BTreeMap, path::Path};

use rusqlite::{Connection, OptionalExtension, ToSql, params, params_from_iter, types::Value};

use super::{
    error::fail,
    table::{COUNTED, Checked, TOTALS, Table, sum},
};
use crate::store::error::StoreError;

pub(super) type Result<T> = std::result::Result<T, StoreError>;

/// How many rows a table has, the XOR of their sums, and the bytes of their payload: what is missing is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Total {
    pub(super) rows: i64,
    pub(super) mix: i64,
    pub(super) bytes: i64,
}

pub(super) type Totals = [Total; COUNTED.len()];

/// What is to become of a row in the search index.
#[derive(Debug, Clone, Default)]
struct Words {
    /// There is one, which is to go.
    remove: bool,
    /// The new one.
    insert: Option<String>,
}

/// What a batch writes at its end. FTS5 writes a segment whenever a savepoint begins or a number is smaller than the one
/// before, so it is given all words of a batch at once and in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Pending {
    words: BTreeMap<i64, Words>,
    totals: Totals,
    /// As they are in the table.
    stored: Totals,
    /// What was in `words` before this job changed it, in the order of the changes.
    journal: Vec<(i64, Option<Words>)>,
    /// `words` before this job, if the job had to see them in the index.
    flushed: Option<BTreeMap<i64, Words>>,
    before: (Totals, Totals),
}

impl Pending {
    pub(super) fn new(totals: Totals) -> Self {
        Self { totals, stored: totals, ..Self::default() }
    }

    pub(super) fn begin_job(&mut self) {
        self.journal.clear();
        self.flushed = None;
        self.before = (self.totals, self.stored);
    }

    /// Forgets what a job has left; its rows are rolled back with its savepoint.
    pub(super) fn roll_back_job(&mut self) {
        match self.flushed.take() {
            Some(words) => self.words = words,
            None => undo(&mut self.words, &mut self.journal),
        }
        (self.totals, self.stored) = self.before;
    }

    fn change(&mut self, rank: i64, change: impl FnOnce(&mut Words)) {
        let old = self.words.get(&rank).cloned();
        let entry = self.words.entry(rank).or_default();
        change(entry);
        if !entry.remove && entry.insert.is_none() {
            self.words.remove(&rank);
        }
        self.journal.push((rank, old));
    }
}

fn undo(words: &mut BTreeMap<i64, Words>, journal: &mut Vec<(i64, Option<Words>)>) {
    while let Some((rank, old)) = journal.pop() {
        match old {
            Some(old) => words.insert(rank, old),
            None => words.remove(&rank),
        };
    }
}

/// A connection inside a transaction.
pub(super) struct Session<'a> {
    pub(super) conn: &'a Connection,
    pub(super) path: &'a Path,
    /// Of the writer.
    pub(super) pending: RefCell<Pending>,
}

impl<'a> Session<'a> {
    pub(super) fn new(conn: &'a Connection, path: &'a Path, pending: Pending) -> Self {
        Self { conn, path, pending: RefCell::new(pending) }
    }

    pub(super) fn damaged(&self, what: impl Into<String>) -> StoreError {
        StoreError::Damaged { path: self.path.to_owned(), what: what.into() }
    }

    pub(super) fn failed(&self, reason: impl Into<String>) -> StoreError {
        StoreError::Failed { path: self.path.to_owned(), reason: reason.into() }
    }

    pub(super) fn ok<T>(&self, result: rusqlite::Result<T>) -> Result<T> {
        result.map_err(|error| fail(self.path, &error))
    }

    /// Runs a statement that has no values.
    pub(super) fn step(&self, sql: &str) -> Result<()> {
        let mut statement = self.ok(self.conn.prepare_cached(sql))?;
        self.ok(statement.execute([])).map(drop)
    }

    /// Goes through rows of a table, each with its sum checked, until `each` says false. `tail` is what follows
    /// `SELECT * FROM table`.
    pub(super) fn scan(
        &self,
        table: &Table,
        tail: &str,
        values: &[&dyn ToSql],
        mut each: impl FnMut(Checked) -> Result<bool>,
    ) -> Result<()> {
        let sql = format!("SELECT * FROM {} {tail}", table.name);
        let mut statement = self.ok(self.conn.prepare_cached(&sql))?;
        let mut rows = self.ok(statement.query(values))?;
        while let Some(row) = self.ok(rows.next())? {
            let row = self.ok(Checked::read(table, row))?;
            if !row.whole {
                return Err(self.damaged(format!("{}: checksum", row.name(table))));
            }
            if !each(row)? {
                break;
            }
        }
        Ok(())
    }

    /// The first such row.
    pub(super) fn one(&self, table: &Table, tail: &str, values: &[&dyn ToSql]) -> Result<Option<Checked>> {
        let mut found = None;
        self.scan(table, tail, values, |row| {
            found = Some(row);
            Ok(false)
        })?;
        Ok(found)
    }

    /// A number that the database computes.
    pub(super) fn count(&self, sql: &str, values: &[&dyn ToSql]) -> Result<Option<i64>> {
        let mut statement = self.ok(self.conn.prepare_cached(sql))?;
        let found = self.ok(statement.query_row(values, |row| row.get::<_, Option<i64>>(0)).optional())?;
        Ok(found.flatten())
    }

    /// Writes a row with its sum.
    pub(super) fn insert(&self, table: &Table, mut values: Vec<Value>) -> Result<()> {
        let sum = sum(table, &values);
        self.tally(table, 1, sum, &values);
        values.push(Value::Integer(sum));
        let marks = vec!["?"; values.len()].join(", ");
        let sql = format!("INSERT INTO {} VALUES ({marks})", table.name);
        let mut statement = self.ok(self.conn.prepare_cached(&sql))?;
        self.ok(statement.execute(params_from_iter(values)))?;
        Ok(())
    }

    /// Writes a row over the one that was there.
    pub(super) fn update(&self, table: &Table, old: &Checked, mut values: Vec<Value>) -> Result<()> {
        let sum = sum(table, &values);
        self.tally(table, -1, old.sum, &old.values);
        self.tally(table, 1, sum, &values);
        values.push(Value::Integer(sum));
        let set: Vec<String> = table.columns.iter().chain(&["sum"]).map(|column| format!("{column} = ?")).collect();
        let key: Vec<String> = table.columns.iter().take(table.key).map(|column| format!("{column} = ?")).collect();
        values.extend(old.values.iter().take(table.key).cloned());
        let sql = format!("UPDATE {} SET {} WHERE {}", table.name, set.join(", "), key.join(" AND "));
        let mut statement = self.ok(self.conn.prepare_cached(&sql))?;
        self.ok(statement.execute(params_from_iter(values)))?;
        Ok(())
    }

    /// Removes rows; what they were.
    pub(super) fn delete(&self, table: &Table, tail: &str, values: &[&dyn ToSql]) -> Result<Vec<Checked>> {
        let sql = format!("DELETE FROM {} {tail} RETURNING *", table.name);
        let mut statement = self.ok(self.conn.prepare_cached(&sql))?;
        let mut rows = self.ok(statement.query(values))?;
        let mut out = Vec::new();
        while let Some(row) = self.ok(rows.next())? {
            let row = self.ok(Checked::read(table, row))?;
            self.tally(table, -1, row.sum, &row.values);
            out.push(row);
        }
        Ok(out)
    }

    /// Keeps the totals of a table.
    fn tally(&self, table: &Table, rows: i64, sum: i64, values: &[Value]) {
        let Some(at) = COUNTED.iter().position(|counted| counted.name == table.name) else { return };
        let payload = match table.payload.and_then(|column| values.get(column)) {
            Some(Value::Blob(bytes)) => i64::try_from(bytes.len()).unwrap_or(i64::MAX),
            _ => 0,
        };
        if let Some(total) = self.pending.borrow_mut().totals.get_mut(at) {
            total.rows = total.rows.wrapping_add(rows);
            total.mix ^= sum;
            total.bytes = total.bytes.wrapping_add(payload.wrapping_mul(rows));
        }
    }

    /// Has a row found by a text, or by none.
    pub(super) fn index(&self, rank: i64, was_found: bool, words: Option<String>) {
        self.pending.borrow_mut().change(rank, |entry| {
            // What this batch has inserted itself is not in the index yet.
            let only_pending = entry.insert.is_some() && !entry.remove;
            entry.remove |= was_found && !only_pending;
            entry.insert = words;
        });
    }

    /// Has the search index say what the rows say.
    pub(super) fn flush_words(&self, in_job: bool) -> Result<()> {
        let words = {
            let mut pending = self.pending.borrow_mut();
            if in_job && pending.flushed.is_none() && !pending.words.is_empty() {
                let mut before = pending.words.clone();
                let mut journal = std::mem::take(&mut pending.journal);
                undo(&mut before, &mut journal);
                pending.flushed = Some(before);
            }
            std::mem::take(&mut pending.words)
        };
        for (rank, words) in words {
            if words.remove {
                let mut statement = self.ok(self.conn.prepare_cached("DELETE FROM words WHERE rowid = ?"))?;
                self.ok(statement.execute([rank]))?;
            }
            if let Some(text) = words.insert {
                let sql = "INSERT INTO words (rowid, text) VALUES (?, ?)";
                let mut statement = self.ok(self.conn.prepare_cached(sql))?;
                self.ok(statement.execute(params![rank, text]))?;
            }
        }
        Ok(())
    }

    /// Writes the totals that have changed.
    pub(super) fn flush_totals(&self) -> Result<()> {
        let (totals, stored) = {
            let pending = self.pending.borrow();
            (pending.totals, pending.stored)
        };
        for ((table, total), stored) in COUNTED.iter().zip(totals).zip(stored) {
            if total == stored {
                continue;
            }
            let mut values = total.values(table);
            values.push(Value::Integer(sum(&TOTALS, &values)));
            let sql = "INSERT OR REPLACE INTO totals VALUES (?, ?, ?, ?, ?)";
            let mut statement = self.ok(self.conn.prepare_cached(sql))?;
            self.ok(statement.execute(params_from_iter(values)))?;
        }
        self.pending.borrow_mut().stored = totals;
        Ok(())
    }

    /// The totals as they are in the table; tables without a row have none.
    pub(super) fn read_totals(&self) -> Result<Totals> {
        let mut totals = Totals::default();
        self.scan(&TOTALS, "", &[], |mut row| {
            let name = row.take_text(0);
            let at = COUNTED.iter().position(|table| table.name == name);
            match at.and_then(|at| totals.get_mut(at)) {
                Some(total) => *total = Total { rows: row.int(1), mix: row.int(2), bytes: row.int(3) },
                None => return Err(self.damaged(format!("totals of {name:?}, which is no table"))),
            }
            Ok(true)
        })?;
        Ok(totals)
    }
}

impl Total {
    fn values(self, table: &Table) -> Vec<Value> {
        vec![table.name.to_owned().into(), self.rows.into(), self.mix.into(), self.bytes.into()]
    }
}
