//! What a search finds: for FTS5 in its words, for memory by ourselves, and for people marked in the text.

#[cfg(feature = "store")]
use std::fmt::Write as _;
use std::ops::Range;

use super::{Part, Phrase, Search, token::tokens};

/// Characters of a text that are shown around a hit.
const MARK_CHARS: usize = 160;
/// How many of them before the first hit.
const MARK_BEFORE: usize = 48;

impl Search {
    /// As FTS5 wants it. All words are in quotes and made of letters and digits only: nothing in them means anything to
    /// FTS5.
    #[cfg(feature = "store")]
    pub(crate) fn fts5(&self) -> String {
        let mut out = String::new();
        self.root.fts5(&mut out);
        out
    }

    /// Whether a text of which this is the [`index_text`](super::index_text) is found.
    pub(crate) fn finds(&self, index_text: &str) -> bool {
        let words: Vec<&str> = index_text.split(' ').filter(|word| !word.is_empty()).collect();
        self.root.finds(&words)
    }
}

impl Part {
    #[cfg(feature = "store")]
    fn fts5(&self, out: &mut String) {
        match self {
            Self::Phrase(phrase) => phrase.fts5(out),
            Self::Near(phrases, distance) => {
                out.push_str("NEAR(");
                for phrase in phrases {
                    phrase.fts5(out);
                    out.push(' ');
                }
                let _ = write!(out, ", {distance})");
            }
            Self::All(parts) => joined(parts.iter(), " AND ", out),
            Self::Any(parts) => joined(parts.iter(), " OR ", out),
            Self::Without(wanted, unwanted) => joined([&**wanted, &**unwanted].into_iter(), " NOT ", out),
        }
    }

    fn finds(&self, words: &[&str]) -> bool {
        match self {
            Self::Phrase(phrase) => phrase.starts(words).next().is_some(),
            Self::Near(phrases, distance) => near(phrases, *distance, words),
            Self::All(parts) => parts.iter().all(|part| part.finds(words)),
            Self::Any(parts) => parts.iter().any(|part| part.finds(words)),
            Self::Without(wanted, unwanted) => wanted.finds(words) && !unwanted.finds(words),
        }
    }

    /// The phrases that are to be there.
    fn wanted<'a>(&'a self, out: &mut Vec<&'a Phrase>) {
        match self {
            Self::Phrase(phrase) => out.push(phrase),
            Self::Near(phrases, _) => out.extend(phrases),
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.wanted(out)),
            Self::Without(wanted, _) => wanted.wanted(out),
        }
    }
}

#[cfg(feature = "store")]
fn joined<'a>(parts: impl Iterator<Item = &'a Part>, with: &str, out: &mut String) {
    out.push('(');
    for (at, part) in parts.enumerate() {
        if at > 0 {
            out.push_str(with);
        }
        part.fts5(out);
    }
    out.push(')');
}

impl Phrase {
    #[cfg(feature = "store")]
    fn fts5(&self, out: &mut String) {
        let _ = write!(out, "\"{}\"", self.words.join(" "));
        if self.prefix {
            out.push_str(" *");
        }
    }

    /// Where it begins, rising.
    fn starts<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        let fits = |window: &[&str]| {
            let last = self.words.len().saturating_sub(1);
            self.words.iter().zip(window).enumerate().all(|(at, (want, have))| {
                if self.prefix && at == last { have.starts_with(want.as_str()) } else { *have == want }
            })
        };
        words.windows(self.words.len().max(1)).enumerate().filter(move |(_, window)| fits(window)).map(|(at, _)| at)
    }
}

/// As FTS5 defines it: from the end of each phrase to the start of the last one there are at most `distance` words.
fn near(phrases: &[Phrase], distance: u32, words: &[&str]) -> bool {
    let distance = usize::try_from(distance).unwrap_or(usize::MAX);
    let starts: Vec<Vec<usize>> = phrases.iter().map(|phrase| phrase.starts(words).collect()).collect();
    let reaches = |last: usize| {
        phrases.iter().zip(&starts).all(|(phrase, starts)| {
            let from = last.saturating_sub(phrase.words.len() + distance);
            let at = starts.partition_point(|start| *start < from);
            starts.get(at).is_some_and(|start| *start <= last)
        })
    };
    starts.iter().flatten().any(|last| reaches(*last))
}

/// The part of a text around the first hit, at most 160 characters of it, in one line; hits are in `[brackets]`.
pub fn mark(text: &str, search: &Search) -> String {
    let found: Vec<_> = tokens(text).collect();
    let words: Vec<&str> = found.iter().map(|token| token.word.as_str()).collect();
    let mut hits = Vec::new();
    let mut wanted = Vec::new();
    search.root.wanted(&mut wanted);
    for phrase in wanted {
        for start in phrase.starts(&words) {
            let last = (start + phrase.words.len()).saturating_sub(1);
            if let (Some(first), Some(last)) = (found.get(start), found.get(last)) {
                hits.push(first.span.start..last.span.end);
            }
        }
    }
    let hits = merged(hits);
    let shown = window(text, hits.first().map_or(0, |hit| hit.start));
    show(text, shown, &hits)
}

/// Hits in order, with those that overlap in one.
fn merged(mut hits: Vec<Range<usize>>) -> Vec<Range<usize>> {
    hits.sort_unstable_by_key(|hit| (hit.start, hit.end));
    let mut out: Vec<Range<usize>> = Vec::with_capacity(hits.len());
    for hit in hits {
        match out.last_mut() {
            Some(last) if hit.start < last.end => last.end = last.end.max(hit.end),
            _ => out.push(hit),
        }
    }
    out
}

/// The bytes to show, so that what begins at `hit` is seen.
fn window(text: &str, hit: usize) -> Range<usize> {
    let (before, after) = text.split_at_checked(hit).unwrap_or(("", text));
    // What is missing behind the hit may be shown before it.
    let behind = after.chars().take(MARK_CHARS).count();
    let lead = MARK_BEFORE.max(MARK_CHARS - behind);
    let start = match lead.checked_sub(1).and_then(|nth| before.char_indices().rev().nth(nth)) {
        Some((at, _)) => word_start(text, at, hit),
        None => 0,
    };
    let shown = text.get(start..).unwrap_or_default();
    let end = shown.char_indices().nth(MARK_CHARS).map_or(text.len(), |(at, _)| start + at);
    start..end
}

/// The next start of a word from `at`, if there is one before `hit`.
fn word_start(text: &str, at: usize, hit: usize) -> usize {
    let lead = text.get(at..hit).unwrap_or_default();
    match lead.char_indices().find(|(_, c)| c.is_whitespace()) {
        Some((space, c)) => at + space + c.len_utf8(),
        None => at,
    }
}

fn show(text: &str, shown: Range<usize>, hits: &[Range<usize>]) -> String {
    let mut out = String::new();
    if shown.start > 0 {
        out.push('…');
    }
    let mut hits = hits.iter().filter(|hit| hit.end > shown.start && hit.start < shown.end).peekable();
    let part = text.get(shown.clone()).unwrap_or_default();
    for (at, c) in part.char_indices().map(|(at, c)| (shown.start + at, c)) {
        if hits.next_if(|hit| hit.end <= at).is_some() {
            out.push(']');
        }
        if hits.peek().is_some_and(|hit| hit.start == at) {
            out.push('[');
        }
        // A text of others does not steer a terminal, and a line stays one.
        out.push(if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c });
    }
    if hits.peek().is_some_and(|hit| hit.start < shown.end) {
        out.push(']');
    }
    if shown.end < text.len() {
        out.push('…');
    }
    out
}
