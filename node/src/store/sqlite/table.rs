//! Rows with checksums. Tables are described, so that sums, totals, verifying and salvaging are the same for all.

use rusqlite::{
    Row,
    types::{Value, ValueRef},
};
use sha2::{Digest, Sha256};

/// A table. Its last column, which is not in the list, is the row's sum.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) name: &'static str,
    /// The first ones name a row.
    pub(super) columns: &'static [&'static str],
    /// How many of them.
    pub(super) key: usize,
    /// The column whose bytes are counted.
    pub(super) payload: Option<usize>,
    /// Made of other tables: salvaging makes it again.
    pub(super) derived: bool,
}

impl Table {
    const fn new(name: &'static str, key: usize, columns: &'static [&'static str]) -> Self {
        Self { name, columns, key, payload: None, derived: false }
    }

    const fn payload(mut self, column: usize) -> Self {
        self.payload = Some(column);
        self
    }

    const fn derived(mut self) -> Self {
        self.derived = true;
        self
    }
}

pub(super) static FEED: Table = Table::new("feed", 1, &["no", "swarm", "author", "epoch", "state"]);
pub(super) static EVENT: Table = Table::new(
    "event",
    1,
    &["rank", "id", "feed", "seq", "swarm", "author", "talk", "kind", "received", "live", "found", "raw"],
)
.payload(11);
pub(super) static TALK: Table =
    Table::new("talk", 2, &["id", "swarm", "last", "started", "entries", "first", "first_ms"]).derived();
pub(super) static INBOX: Table = Table::new(
    "inbox",
    1,
    &[
        "rank", "author", "id", "talk", "swarm", "urgency", "received", "state", "work", "stranger", "size", "found",
        "raw",
    ],
)
.payload(12);
pub(super) static OUTBOX: Table = Table::new(
    "outbox",
    1,
    &["rank", "id", "dest", "talk", "swarm", "sent", "state", "attempts", "due", "changed", "error", "found", "raw"],
)
.payload(12);
pub(super) static TAKEN: Table = Table::new("taken", 2, &["author", "id", "sha256", "at"]);
pub(super) static ARTIFACT: Table = Table::new("artifact", 1, &["name", "sha256", "data"]);
pub(super) static BLOB: Table = Table::new("blob", 2, &["sha256", "no", "bytes"]).payload(2);
pub(super) static SCHEDULE: Table = Table::new("schedule", 1, &["name", "spec", "state", "created"]);
pub(super) static PEER: Table = Table::new("peer", 1, &["peer", "seen", "in_table", "addresses", "card"]);
pub(super) static NOTE: Table = Table::new("note", 1, &["key", "value"]);
/// How the file was left.
pub(super) static STATE: Table = Table::new("state", 1, &["key", "value"]).derived();

/// All tables whose rows are counted, parents before children.
pub(super) static COUNTED: [&Table; 12] =
    [&FEED, &EVENT, &TALK, &INBOX, &OUTBOX, &TAKEN, &ARTIFACT, &BLOB, &SCHEDULE, &PEER, &NOTE, &STATE];
/// The counts themselves.
pub(super) static TOTALS: Table = Table::new("totals", 1, &["name", "rows", "mix", "bytes"]).derived();

/// Numbers of SQLite have a sign, ours have not: the same order, for all of them.
pub(super) fn number(n: u64) -> i64 {
    i64::from_ne_bytes((n ^ (1 << 63)).to_ne_bytes())
}

/// The way back.
pub(super) fn unsigned(n: i64) -> u64 {
    u64::from_ne_bytes(n.to_ne_bytes()) ^ (1 << 63)
}

/// The first 8 bytes of a key or hash: an index over them is a quarter as large, and what they find is compared.
pub(super) fn head(bytes: &[u8; 32]) -> i64 {
    number(bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)))
}

/// Feeds a hash with a value, in a form in which no two rows are the same.
pub(super) fn digest(hash: &mut Sha256, value: ValueRef<'_>) {
    let (tag, bytes): (u8, &[u8]) = match value {
        ValueRef::Null => (0, &[]),
        ValueRef::Integer(n) => {
            hash.update([1]);
            hash.update(n.to_be_bytes());
            return;
        }
        ValueRef::Real(x) => {
            hash.update([2]);
            hash.update(x.to_bits().to_be_bytes());
            return;
        }
        ValueRef::Text(bytes) => (3, bytes),
        ValueRef::Blob(bytes) => (4, bytes),
    };
    hash.update([tag]);
    hash.update(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(bytes);
}

fn finish(hash: Sha256) -> i64 {
    let bytes: [u8; 32] = hash.finalize().into();
    bytes.first_chunk().map_or(0, |first| i64::from_be_bytes(*first))
}

/// The sum of a row that is to be written.
pub(super) fn sum(table: &Table, values: &[Value]) -> i64 {
    let mut hash = Sha256::new();
    hash.update(table.name);
    values.iter().for_each(|value| digest(&mut hash, ValueRef::from(value)));
    finish(hash)
}

/// A row that was read with `SELECT *`.
#[derive(Clone)]
pub(super) struct Checked {
    pub(super) values: Vec<Value>,
    /// As it stands in the row.
    pub(super) sum: i64,
    /// Whether it is the sum of the row.
    pub(super) whole: bool,
}

impl Checked {
    pub(super) fn read(table: &Table, row: &Row<'_>) -> rusqlite::Result<Self> {
        let mut hash = Sha256::new();
        hash.update(table.name);
        let mut values = Vec::with_capacity(table.columns.len());
        for at in 0..table.columns.len() {
            let value = row.get_ref(at)?;
            digest(&mut hash, value);
            values.push(match value {
                // Text that is no text any more is damage, not a reason to stop.
                ValueRef::Text(bytes) => Value::Text(String::from_utf8_lossy(bytes).into_owned()),
                ValueRef::Null => Value::Null,
                ValueRef::Integer(n) => Value::Integer(n),
                ValueRef::Real(x) => Value::Real(x),
                ValueRef::Blob(bytes) => Value::Blob(bytes.to_vec()),
            });
        }
        let sum = match row.get_ref(table.columns.len())? {
            ValueRef::Integer(n) => Some(n),
            _ => None,
        };
        Ok(Self { values, sum: sum.unwrap_or_default(), whole: sum == Some(finish(hash)) })
    }

    /// How a row is named to people.
    pub(super) fn name(&self, table: &Table) -> String {
        let key = self.values.iter().take(table.key).map(|value| match value {
            Value::Blob(bytes) => data_encoding::HEXLOWER.encode(bytes),
            Value::Text(text) => format!("{text:?}"),
            Value::Integer(n) => n.to_string(),
            other => format!("{other:?}"),
        });
        format!("{} {}", table.name, key.collect::<Vec<_>>().join(" "))
    }

    pub(super) fn int(&self, at: usize) -> i64 {
        match self.values.get(at) {
            Some(Value::Integer(n)) => *n,
            _ => 0,
        }
    }

    pub(super) fn unsigned(&self, at: usize) -> u64 {
        unsigned(self.int(at))
    }

    pub(super) fn bytes(&self, at: usize) -> &[u8] {
        match self.values.get(at) {
            Some(Value::Blob(bytes)) => bytes,
            _ => &[],
        }
    }

    pub(super) fn take_bytes(&mut self, at: usize) -> Vec<u8> {
        match self.values.get_mut(at) {
            Some(Value::Blob(bytes)) => std::mem::take(bytes),
            _ => Vec::new(),
        }
    }

    pub(super) fn take_text(&mut self, at: usize) -> String {
        match self.values.get_mut(at) {
            Some(Value::Text(text)) => std::mem::take(text),
            _ => String::new(),
        }
    }

    /// None if it has another length.
    pub(super) fn array<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes(at).try_into().ok()
    }
}
