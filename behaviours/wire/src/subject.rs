//! Names of things that happen, and patterns over them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize};

/// Bytes of a subject or a pattern.
const MAX: usize = 256;

/// Why a text is no subject, or no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no {what}: words of letters, digits, `_` and `-` with dots between them{stars}, at most {MAX} bytes"
)]
pub struct SubjectError {
    text: String,
    what: &'static str,
    stars: &'static str,
}

impl SubjectError {
    fn subject(text: &str) -> Self {
        Self { text: shown(text), what: "subject", stars: "" }
    }

    fn pattern(text: &str) -> Self {
        let stars = ", `*` for any one word, `>` at the end for one or more";
        Self { text: shown(text), what: "pattern", stars }
    }
}

fn shown(text: &str) -> String {
    crate::escape::escape_line(text).chars().take(MAX).collect()
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
}

/// What happened, such as `document.uploaded`: words with dots between them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Subject(String);

impl Subject {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let fits = text.len() <= MAX && text.split('.').all(is_word);
        if fits { Ok(Self(text.to_owned())) } else { Err(SubjectError::subject(text)) }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Subjects of interest: a subject in which `*` stands for any one word, and `>` at the end for one or more.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Pattern(String);

impl Pattern {
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `subject` is one of them.
    pub fn matches(&self, subject: &str) -> bool {
        let mut words = subject.split('.');
        for wanted in self.0.split('.') {
            let Some(word) = words.next() else { return false };
            match wanted {
                ">" => return true,
                "*" => {}
                exact if exact != word => return false,
                _ => {}
            }
        }
        words.next().is_none()
    }
}

impl FromStr for Pattern {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let before = text.strip_suffix('>').map_or(text, |rest| rest.strip_suffix('.').unwrap_or(rest));
        let fits = text.len() <= MAX
            && (text == ">" || before.split('.').all(|word| word == "*" || is_word(word)))
            && (before.len() == text.len() || text == ">" || text.ends_with(".>"));
        if fits { Ok(Self(text.to_owned())) } else { Err(SubjectError::pattern(text)) }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_words() {
        for (pattern, yes, no) in [
            ("a.b", &["a.b"][..], &["a", "a.c", "a.b.c", "aa.b"][..]),
            ("a.*", &["a.b", "a.c"], &["a", "a.b.c"]),
            ("*.b", &["a.b"], &["b", "a.b.b"]),
            ("a.>", &["a.b", "a.b.c"], &["a", "b.a"]),
            (">", &["a", "a.b.c"], &[]),
            ("*.>", &["a.b", "a.b.c"], &["a"]),
        ] {
            let parsed: Pattern = pattern.parse().expect("a pattern");
            for subject in yes {
                assert!(parsed.matches(subject), "{pattern} takes {subject}");
            }
            for subject in no {
                assert!(!parsed.matches(subject), "{pattern} leaves {subject}");
            }
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["", ".", "a.", ".a", "a..b", "a b", "a.*b", "a>", "a.>.b", ">.a", "a\u{1b}"] {
            assert!(text.parse::<Pattern>().is_err(), "{text:?}");
        }
        for text in ["", "a.*", "a.>", "*", "a..b", "a b"] {
            assert!(text.parse::<Subject>().is_err(), "{text:?}");
        }
        let error = "a\u{1b}[2J".parse::<Subject>().expect_err("refused").to_string();
        assert!(!error.contains('\u{1b}'), "{error:?}");
        assert!("größe.neu_1-x".parse::<Subject>().is_ok());
    }
}
