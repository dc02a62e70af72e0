//! The search language: words, `"phrases"`, `prefix*`, `-not`, `OR`, `a NEAR b`, `NEAR/5`, parentheses. Pure: it reads a
//! text into a tree, which says what to ask FTS5 for and which finds things itself.

mod find;
mod parse;
mod token;

use std::ops::Range;

pub use find::mark;
pub(crate) use token::index_text;
pub use token::{Token, tokens};

/// Bytes of a search text: more is no question any more, and each term costs a walk over an index.
pub const TEXT_MAX: usize = 256;
/// Words in one search.
pub const TERMS_MAX: usize = 32;
/// Parentheses inside each other: the tree is walked by recursion.
const DEPTH_MAX: usize = 16;
/// Words that may lie between the sides of `NEAR` if no number is given.
const NEAR_DEFAULT: u32 = 10;
/// Words that may lie between the sides of `NEAR`.
const NEAR_MAX: u32 = 1_000;

/// Why a text is no search.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}; {hint}")]
pub struct SearchError {
    /// Which bytes of the text are meant, for a caret below them.
    pub span: Range<usize>,
    /// What is wrong.
    pub reason: String,
    /// What would be right.
    pub hint: String,
}

/// What words beside each other mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Join {
    /// All of them are to be there.
    #[default]
    All,
    /// One is enough.
    Any,
}

/// Words that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// As [`tokens`] gives them; never empty.
    words: Vec<String>,
    /// The last word may go on.
    prefix: bool,
}

/// A part of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    /// These words.
    Phrase(Phrase),
    /// These phrases with at most so many words between them.
    Near(Vec<Phrase>, u32),
    /// All of these; two or more.
    All(Vec<Part>),
    /// One of these; two or more.
    Any(Vec<Part>),
    /// The first, but not the second.
    Without(Box<Part>, Box<Part>),
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    root: Part,
}

impl Search {
    /// Reads it.
    ///
    /// # Errors
    /// [`SearchError`] says where the text is not well formed.
    pub fn parse(text: &str, join: Join) -> Result<Self, SearchError> {
        parse::parse(text, join).map(|root| Self { root })
    }
}

#[cfg(test)]
mod tests;
