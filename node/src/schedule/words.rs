//! Words of a text that know where they stand, so that an error can point at them.

use super::ScheduleError;

/// A part of the text, and where it begins in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
}

/// What is wrong with a word. Becomes a [`ScheduleError`] once the whole text is at hand.
#[derive(Debug)]
pub(super) struct Bad {
    at: usize,
    len: usize,
    reason: String,
    hint: Option<String>,
}

impl<'a> Word<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The part from byte `start` to byte `end`. Texts are ASCII by then; a range that is none gives an empty word.
    pub(super) fn part(self, start: usize, end: usize) -> Self {
        Self { text: self.text.get(start..end).unwrap_or_default(), at: self.at + start }
    }

    /// Up to byte `at`, and from there.
    pub(super) fn split_at(self, at: usize) -> (Self, Self) {
        (self.part(0, at), self.part(at, self.text.len()))
    }

    /// Around the first `separator`, which belongs to neither.
    pub(super) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let at = self.text.find(separator)?;
        Some((self.part(0, at), self.part(at + separator.len_utf8(), self.text.len())))
    }

    /// At every separator, which must be ASCII. Words may be empty.
    pub(super) fn split(self, is_separator: fn(char) -> bool) -> impl Iterator<Item = Self> {
        self.text.split(is_separator).scan(0, move |start, text| {
            let word = self.part(*start, *start + text.len());
            *start += text.len() + 1;
            Some(word)
        })
    }

    pub(super) fn end(self) -> usize {
        self.at + self.text.len()
    }

    pub(super) fn bad(self, reason: impl Into<String>) -> Bad {
        Bad { at: self.at, len: self.text.len(), reason: reason.into(), hint: None }
    }
}

/// The words between white space.
pub(super) fn words(text: &str) -> Vec<Word<'_>> {
    Word::new(text).split(|c| c.is_ascii_whitespace()).filter(|word| !word.text.is_empty()).collect()
}

impl Bad {
    /// Something is missing after the byte `at`.
    pub(super) fn missing(at: usize, reason: impl Into<String>) -> Self {
        Self { at, len: 0, reason: reason.into(), hint: None }
    }

    /// From byte `start` to byte `end`.
    pub(super) fn spanning(start: usize, end: usize, reason: impl Into<String>) -> Self {
        Self { at: start, len: end.saturating_sub(start), reason: reason.into(), hint: None }
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Points at all of `word`, of which a part is wrong.
    pub(super) fn within(self, word: Word<'_>) -> Self {
        Self { at: word.at, len: word.text.len(), ..self }
    }

    /// Suggests `meant` if there is one.
    pub(super) fn did_you_mean(self, meant: Option<impl AsRef<str>>) -> Self {
        match meant {
            Some(meant) => self.hint(format!("did you mean `{}`?", meant.as_ref())),
            None => self,
        }
    }

    pub(super) fn in_text(self, what: &'static str, text: &str) -> ScheduleError {
        let Self { at, len, reason, hint } = self;
        ScheduleError::Text { what, text: text.to_owned(), at, len, reason, hint }
    }
}

/// The candidate that `word` is a slip of, if one is near enough: one slip per three letters. Words of another length are
/// not compared: there are hundreds of time zones, and peers send slips too.
pub(super) fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_ascii_lowercase();
    let allowed = (word.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len().abs_diff(word.len()) <= allowed)
        .map(|candidate| (strsim::osa_distance(&word, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
