//! Words of a text.
//!
//! SQLite never splits texts itself: it is given our words with spaces between (see [`index_text`]), so that both engines
//! find the same by construction. The rules are those of FTS5's `unicode61 remove_diacritics 2`, but for pictures and marks that its tables do
//! not know; a test compares.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;

/// Bytes of a word, the rest is left out. A search has at most [`super::TEXT_MAX`] bytes, which folding makes half as
/// long again at most: a word that is cut here is never equal to one that is looked for.
pub(crate) const TOKEN_MAX: usize = 512;

/// A word of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Small letters, Latin ones without diacritics.
    pub word: String,
    /// Where it is, in bytes.
    pub span: Range<usize>,
}

/// Marks that stand above or below the letter before them: part of a word, but not of its letters.
fn is_mark(c: char) -> bool {
    matches!(c, '\u{300}'..='\u{36f}')
}

/// Letters and digits. Circled and squared letters are pictures.
fn is_letter(c: char) -> bool {
    c.is_alphanumeric() && !matches!(c, '\u{24b6}'..='\u{24e9}' | '\u{1f130}'..='\u{1f189}' | '\u{345}')
}

/// A small letter, a Latin one without diacritics.
fn fold(c: char) -> char {
    if c.is_ascii() {
        return c.to_ascii_lowercase();
    }
    let base = base(c);
    match base {
        'ς' => 'σ',
        'ſ' => 's',
        'µ' => 'μ',
        'ϐ' => 'β',
        'ϑ' => 'θ',
        'ϕ' => 'φ',
        'ϖ' => 'π',
        'ϰ' => 'κ',
        'ϱ' => 'ρ',
        'ϵ' => 'ε',
        _ => {
            // A letter that becomes two stays as it is: positions count letters of one kind only.
            let mut lower = base.to_lowercase();
            match (lower.next(), lower.next()) {
                (Some(only), None) => only,
                _ => base,
            }
        }
    }
}

/// The Latin letter below diacritics, or the letter itself.
fn base(c: char) -> char {
    let mut parts = std::iter::once(c).nfd();
    match parts.next() {
        Some(first) if first.is_ascii_alphabetic() || first == 'ſ' => first,
        _ => c,
    }
}

/// The words of a text.
pub fn tokens(text: &str) -> impl Iterator<Item = Token> + '_ {
    let mut chars = text.char_indices().peekable();
    std::iter::from_fn(move || {
        let (start, first) = chars.find(|(_, c)| is_letter(*c))?;
        let mut word = String::new();
        push(&mut word, first);
        let mut end = start + first.len_utf8();
        while let Some((at, c)) = chars.next_if(|(_, c)| is_letter(*c) || is_mark(*c)) {
            if !is_mark(c) {
                push(&mut word, c);
            }
            end = at + c.len_utf8();
        }
        Some(Token { word, span: start..end })
    })
}

fn push(word: &mut String, c: char) {
    let folded = fold(c);
    if word.len() + folded.len_utf8() <= TOKEN_MAX {
        word.push(folded);
    }
}

/// What an engine keeps of a text: its words with one space between.
pub(crate) fn index_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for token in tokens(text) {
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(&token.word);
    }
    out
}
