//! Our words and searches against those of FTS5.

use proptest::prelude::*;
use rusqlite::Connection;

use crate::store::search::{Join, Search, index_text, tokens};

/// Words of a text as FTS5 splits it with its own rules.
fn unicode61(conn: &Connection, text: &str) -> Vec<String> {
    conn.execute("DELETE FROM theirs", []).unwrap();
    conn.execute("INSERT INTO theirs (rowid, text) VALUES (1, ?)", [text]).unwrap();
    let mut statement = conn.prepare_cached("SELECT term FROM theirs_words ORDER BY offset").unwrap();
    let words = statement.query_map([], |row| row.get(0)).unwrap();
    words.collect::<Result<_, _>>().unwrap()
}

fn tables() -> Connection {
    let conn = Connection::open_in_memory().unwrap();
    conn.execute_batch(
        "CREATE VIRTUAL TABLE theirs USING fts5 (text, tokenize = 'unicode61 remove_diacritics 2');
         CREATE VIRTUAL TABLE theirs_words USING fts5vocab (theirs, instance);
         CREATE VIRTUAL TABLE ours USING fts5 (text, content = '', contentless_delete = 1, tokenize = 'ascii');",
    )
    .unwrap();
    conn
}

/// Letters with and without diacritics, in one and in two characters, of several scripts, digits, pictures and signs. Pictures
/// that are younger than SQLite's tables (such as 🦀) are words to it, and none to us, as the older ones;
/// rare marks such as U+0312 end a word for it, and it has forgotten Ǡ.
const ALPHABET: &str = "[a-zA-Z0-9À-ÖØ-öø-žƀ-ǟǢ-ɏḀ-ỹ\u{300}-\u{304}\u{306}-\u{30c}\u{30f}\u{311}\u{31b}\u{323}-\u{328}\u{330}А-яЁёЂ-џΑ-ΡΣ-Ωα-ωά-ώ一-丂東京かなカナ한국🔥👍😀 .,;:!?'\"()*_+=/\\\\@#-]{0,40}";

#[test]
fn words_are_those_of_unicode61() {
    let conn = tables();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    runner
        .run(&ALPHABET, |text| {
            let ours: Vec<String> = tokens(&text).map(|token| token.word).collect();
            prop_assert_eq!(unicode61(&conn, &text), ours);
            Ok(())
        })
        .unwrap();
}

#[test]
fn both_find_the_same() {
    let conn = tables();
    let texts = proptest::collection::vec("([abc]|fox|é|ж| |-){0,14}", 1..6);
    let query = "([abc]|fox|é|ж|\"a b\"|fo\\*|a\\*| | | OR | -| NEAR | NEAR/2 |\\(|\\)){1,10}";
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let asked = std::cell::Cell::new(0);
    runner
        .run(&(texts, query, any::<bool>()), |(texts, query, any)| {
            let join = if any { Join::Any } else { Join::All };
            let Ok(search) = Search::parse(&query, join) else { return Ok(()) };
            asked.set(asked.get() + 1);
            conn.execute("DELETE FROM ours", []).unwrap();
            for (id, text) in texts.iter().enumerate() {
                conn.execute("INSERT INTO ours (rowid, text) VALUES (?, ?)", (id as i64, index_text(text))).unwrap();
            }
            let mut statement =
                conn.prepare_cached("SELECT rowid FROM ours WHERE ours MATCH ? ORDER BY rowid").unwrap();
            let theirs = statement.query_map([search.fts5()], |row| row.get::<_, i64>(0));
            let theirs: Vec<i64> = theirs
                .and_then(Iterator::collect)
                .map_err(|e| TestCaseError::fail(format!("{}: {e}", search.fts5())))?;
            let found = |id: &usize| search.finds(&index_text(&texts[*id]));
            let ours: Vec<i64> = (0..texts.len()).filter(found).map(|id| id as i64).collect();
            prop_assert_eq!(theirs, ours, "{}", search.fts5());
            Ok(())
        })
        .unwrap();
    assert!(asked.get() > 100, "{} searches were well formed", asked.get());
}
