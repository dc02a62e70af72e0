//! Small pieces of text: durations, ages, ids, counts, lines with something at their right end.

use std::{cell::RefCell, time::Duration};

use unicode_width::UnicodeWidthStr;

/// Column at which times end in streams.
const RIGHT: usize = 72;

/// `0.4 ms`, `38 ms`, `6.2 s`, `3 m 20 s`, `2 h 14 m`.
pub(crate) fn duration(duration: Duration) -> String {
    let micros = duration.as_micros();
    match duration.as_secs() {
        0 if micros < 100 => format!("0.{:02} ms", micros / 10),
        0 if micros < 1_000 => format!("0.{} ms", micros / 100),
        0 => format!("{} ms", (micros + 500) / 1_000),
        1..=59 => format!("{:.1} s", duration.as_secs_f64()),
        seconds @ 60..=3_599 => format!("{} m {} s", seconds / 60, seconds % 60),
        seconds @ 3_600..=86_399 => format!("{} h {} m", seconds / 3_600, seconds % 3_600 / 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A span as a sentence gives it: `0.29 s`, `2.0 s`, `6.7 s`, `3 m 20 s`.
pub(crate) fn seconds(duration_: Duration) -> String {
    match duration_.as_secs() {
        0 => format!("{:.2} s", duration_.as_secs_f64()),
        1..=59 => format!("{:.1} s", duration_.as_secs_f64()),
        _ => duration(duration_),
    }
}

/// How long ago, in one unit: `now`, `4 s ago`, `6 m ago`.
pub(crate) fn ago(age: Duration) -> String {
    match age.as_secs() {
        0..=1 => "now".to_owned(),
        seconds @ 2..=59 => format!("{seconds} s ago"),
        seconds @ 60..=3_599 => format!("{} m ago", seconds / 60),
        seconds @ 3_600..=86_399 => format!("{} h ago", seconds / 3_600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}

/// `812 B`, `41 kB`, `3.2 MB`.
pub(crate) fn size(bytes: usize) -> String {
    match bytes {
        0..=999 => format!("{bytes} B"),
        1_000..=999_999 => format!("{} kB", bytes.div_ceil(1_000)),
        _ => format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000),
    }
}

/// `1 reply`, `2 replies`.
pub(crate) fn count(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// The ends of a long id: `12D3KooWQv7y…Xh3d`.
pub(crate) fn short_id(id: &str, cut: &str) -> String {
    match (id.get(..12), id.get(id.len().saturating_sub(4)..)) {
        (Some(head), Some(tail)) if id.len() > 20 => format!("{head}{cut}{tail}"),
        _ => id.to_owned(),
    }
}

/// `left`, then `right` ending at a fixed column, if there is room for that.
pub(crate) fn ends(left: &str, right: &str) -> String {
    let gap = RIGHT.saturating_sub(left.width() + right.width()).max(2);
    format!("{left}{:gap$}{right}", "")
}

/// A text that may have several lines, after a label; the time stands at the end of the last line.
pub(crate) fn labelled(label: &str, indent: usize, text: &str, time: &str) -> String {
    let indent = indent.max(label.width() + 1);
    let lines: Vec<&str> = text.trim_end().lines().collect();
    let last = lines.len().saturating_sub(1);
    let line = |(at, line): (usize, &&str)| {
        let head = if at == 0 { label } else { "" };
        let pad = indent - head.width();
        let full = format!("{head}{:pad$}{line}", "");
        if at == last { ends(&full, time) } else { full }
    };
    match lines.is_empty() {
        true => ends(label, time),
        false => lines.iter().enumerate().map(line).collect::<Vec<_>>().join("\n"),
    }
}

/// Words that may be pasted into a shell: quoted where needed.
pub(crate) fn quote(word: &str) -> String {
    let plain = |sign: char| sign.is_ascii_alphanumeric() || "-._/:@%+=,".contains(sign);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    match word.contains(['"', '$', '`', '\\', '!', '\n']) {
        false => format!("\"{word}\""),
        true => shlex::try_quote(word).map_or_else(|_| "\"\u{2026}\"".to_owned(), |quoted| quoted.into_owned()),
    }
}

thread_local! {
    /// What the client typed for whom this thread runs a command.
    static TYPED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// The words after `p2pnode`.
pub(crate) fn typed() -> Vec<String> {
    let own = || std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    TYPED.with_borrow(|typed| typed.clone()).unwrap_or_else(own)
}

/// From now on this thread works for a client that typed these words.
pub(crate) fn typed_by_client(words: Vec<String>) {
    TYPED.set(Some(words));
}

/// The command as it was typed, with something put right after `p2pnode` or at its end.
pub(crate) fn again(first: &str, last: &str) -> String {
    // One of these takes the other's place.
    let contrary = match first {
        "--ephemeral" => "--daemon",
        "--daemon" => "--ephemeral",
        _ => "",
    };
    let words = typed().into_iter().filter(|word| contrary.is_empty() || word != contrary).map(|word| quote(&word));
    let words = [first.to_owned()].into_iter().chain(words).chain([last.to_owned()]);
    let words: Vec<String> = words.filter(|word| !word.is_empty()).collect();
    format!("p2pnode {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (micros, text) in [
            (7, "0.00 ms"),
            (42, "0.04 ms"),
            (400, "0.4 ms"),
            (1_500, "2 ms"),
            (38_000, "38 ms"),
            (999_000, "999 ms"),
            (6_240_000, "6.2 s"),
            (200_000_000, "3 m 20 s"),
            (8_040_000_000, "2 h 14 m"),
            (180_000_000_000, "2 d 2 h"),
        ] {
            assert_eq!(duration(Duration::from_micros(micros)), text);
        }
        assert_eq!(seconds(Duration::from_millis(290)), "0.29 s");
        assert_eq!(seconds(Duration::from_secs(2)), "2.0 s");
        assert_eq!(ago(Duration::from_millis(900)), "now");
        assert_eq!(ago(Duration::from_secs(372)), "6 m ago");
    }

    #[test]
    fn sizes_and_counts() {
        assert_eq!((size(812), size(40_100), size(3_250_000)), ("812 B".into(), "41 kB".into(), "3.2 MB".into()));
        assert_eq!(count(1, "reply", "replies"), "1 reply");
        assert_eq!(count(0, "reply", "replies"), "0 replies");
    }

    #[test]
    fn ids_keep_both_ends() {
        let id = "12D3KooWQv7yAbCdEfGhJkLmNpQrStUvWxYz123456789AbCXh3d";
        assert_eq!(short_id(id, "…"), "12D3KooWQv7y…Xh3d");
        assert_eq!(short_id("short", "…"), "short");
    }

    #[test]
    fn lines_with_a_time_at_the_end() {
        assert_eq!(ends("left", "38 ms").len(), RIGHT);
        assert_eq!(ends(&"x".repeat(80), "1 s"), format!("{}  1 s", "x".repeat(80)));
        let text = labelled("fern:", 8, "one\ntwo\n", "3 ms");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "fern:   one");
        assert!(lines[1].starts_with("        two") && lines[1].ends_with("3 ms"));
        assert!(labelled("fern:", 8, "", "3 ms").starts_with("fern:"));
    }

    #[test]
    fn hints_repeat_what_the_client_typed() {
        typed_by_client(vec!["ask".into(), "who is there?".into()]);
        assert_eq!(again("", "--wait-first 10s"), "p2pnode ask \"who is there?\" --wait-first 10s");
        assert_eq!(again("-P b", ""), "p2pnode -P b ask \"who is there?\"");
    }

    #[test]
    fn quoted_for_a_shell() {
        assert_eq!(quote("garden"), "garden");
        assert_eq!(quote("who is there?"), "\"who is there?\"");
        assert_eq!(quote("$(rm)"), "'$(rm)'");
        assert_eq!(quote(""), "\"\"");
    }
}
