//! The layout of the file, version 1.

/// "p2pn": `file` and others tell by it whose the file is.
pub(super) const APPLICATION_ID: i32 = 0x7032_706e;
/// The newest layout this program knows.
pub(super) const VERSION: u32 = 1;

/// `rank` is time and some bits of the id in one number (see `rank.rs`): as it is the row's number, each index is in the
/// order of time. `id`, `swarm`, `author` and `dest` are the first 8 bytes; what they find is compared. Large rows are in
/// tables with row numbers, small ones under their keys.
///
/// `words` has no content: a row of it is found, and read from its own table. Its texts are words of ours already, which
/// `ascii` splits at spaces (see `search/token.rs`).
pub(super) const VERSION_1: &str = "
CREATE TABLE feed (no INTEGER PRIMARY KEY, swarm BLOB NOT NULL, author BLOB NOT NULL, epoch INTEGER NOT NULL, state BLOB,
    sum INTEGER NOT NULL, UNIQUE (swarm, author, epoch)) STRICT;

CREATE TABLE event (rank INTEGER PRIMARY KEY, id INTEGER NOT NULL, feed INTEGER NOT NULL REFERENCES feed (no),
    seq INTEGER NOT NULL, swarm INTEGER NOT NULL, author INTEGER NOT NULL, talk BLOB NOT NULL, kind TEXT NOT NULL,
    received INTEGER NOT NULL, live INTEGER NOT NULL, found INTEGER NOT NULL, raw BLOB NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (feed, seq)) STRICT;
CREATE INDEX event_id ON event (id);
CREATE INDEX event_swarm ON event (swarm);
CREATE INDEX event_author ON event (author);
CREATE INDEX event_talk ON event (talk);
CREATE INDEX event_live ON event (received) WHERE live = 1;

CREATE TABLE talk (id BLOB NOT NULL, swarm BLOB NOT NULL, last INTEGER NOT NULL, started INTEGER NOT NULL,
    entries INTEGER NOT NULL, first BLOB, first_ms INTEGER, sum INTEGER NOT NULL, PRIMARY KEY (id, swarm))
    STRICT, WITHOUT ROWID;
CREATE INDEX talk_last ON talk (last, id, swarm);

CREATE TABLE inbox (rank INTEGER PRIMARY KEY, author INTEGER NOT NULL, id BLOB NOT NULL, talk BLOB NOT NULL,
    swarm BLOB NOT NULL, urgency INTEGER NOT NULL, received INTEGER NOT NULL, state INTEGER NOT NULL, work INTEGER NOT NULL,
    stranger INTEGER NOT NULL, size INTEGER NOT NULL, found INTEGER NOT NULL, raw BLOB NOT NULL, sum INTEGER NOT NULL)
    STRICT;
CREATE INDEX inbox_id ON inbox (id);
CREATE INDEX inbox_talk ON inbox (talk);
CREATE INDEX inbox_state ON inbox (state, urgency, received);
CREATE INDEX inbox_work ON inbox (work) WHERE work IN (1, 2);
CREATE INDEX inbox_author ON inbox (author, size);
CREATE INDEX inbox_stranger ON inbox (size) WHERE stranger = 1;

CREATE TABLE outbox (rank INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, dest INTEGER NOT NULL, talk BLOB NOT NULL,
    swarm BLOB NOT NULL, sent INTEGER NOT NULL, state INTEGER NOT NULL, attempts INTEGER NOT NULL, due INTEGER NOT NULL,
    changed INTEGER NOT NULL, error TEXT NOT NULL, found INTEGER NOT NULL, raw BLOB NOT NULL, sum INTEGER NOT NULL) STRICT;
CREATE INDEX outbox_talk ON outbox (talk);
CREATE INDEX outbox_sent ON outbox (sent, id);
CREATE INDEX outbox_waiting ON outbox (sent, id) WHERE state = 0;

CREATE TABLE taken (author BLOB NOT NULL, id BLOB NOT NULL, sha256 BLOB NOT NULL, at INTEGER NOT NULL,
    sum INTEGER NOT NULL, PRIMARY KEY (author, id)) STRICT, WITHOUT ROWID;
CREATE INDEX taken_at ON taken (at, author, id);

CREATE TABLE artifact (name TEXT NOT NULL PRIMARY KEY, sha256 BLOB NOT NULL, data BLOB NOT NULL, sum INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE INDEX artifact_sha256 ON artifact (sha256);
CREATE TABLE blob (sha256 BLOB NOT NULL, no INTEGER NOT NULL, bytes BLOB NOT NULL, sum INTEGER NOT NULL,
    UNIQUE (sha256, no)) STRICT;

CREATE TABLE schedule (name TEXT NOT NULL PRIMARY KEY, spec TEXT NOT NULL, state TEXT NOT NULL, created INTEGER NOT NULL,
    sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE peer (peer BLOB NOT NULL PRIMARY KEY, seen INTEGER NOT NULL, in_table INTEGER NOT NULL,
    addresses BLOB NOT NULL, card BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE note (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE state (key TEXT NOT NULL PRIMARY KEY, value BLOB NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE totals (name TEXT NOT NULL PRIMARY KEY, rows INTEGER NOT NULL, mix INTEGER NOT NULL, bytes INTEGER NOT NULL,
    sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;

CREATE VIRTUAL TABLE words USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii');
";
