//! From text to tree.

use std::ops::Range;

use super::{DEPTH_MAX, Join, NEAR_DEFAULT, NEAR_MAX, Part, Phrase, SearchError, TERMS_MAX, TEXT_MAX, tokens};

/// A piece of the text.
#[derive(Debug, Clone, PartialEq)]
enum Piece {
    Open,
    Close,
    Or,
    And,
    Not,
    Near(u32),
    Words(Phrase),
}

type Result<T> = std::result::Result<T, SearchError>;

fn fail<T>(span: Range<usize>, reason: impl Into<String>, hint: impl Into<String>) -> Result<T> {
    Err(SearchError { span, reason: reason.into(), hint: hint.into() })
}

pub(super) fn parse(text: &str, join: Join) -> Result<Part> {
    if text.len() > TEXT_MAX {
        // The span is of whole letters, whatever is cut.
        let start = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        return fail(start..text.len(), format!("a search has at most {TEXT_MAX} bytes"), "search for fewer words");
    }
    let pieces = pieces(text)?;
    let mut parser = Parser { pieces: &pieces, at: 0, end: text.len(), join };
    let root = parser.any(0)?;
    match parser.peek() {
        None => Ok(root),
        Some((_, span)) => fail(span.clone(), "a parenthesis that was not opened", "remove it, or put it in quotes"),
    }
}

/// Cuts a text into pieces.
fn pieces(text: &str) -> Result<Vec<(Piece, Range<usize>)>> {
    let mut out = Vec::new();
    let mut terms = 0;
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let next = at + c.len_utf8();
        let (piece, end) = match c {
            _ if c.is_whitespace() || c.is_control() => {
                at = next;
                continue;
            }
            '(' => (Piece::Open, next),
            ')' => (Piece::Close, next),
            '-' if rest.get(1..).is_some_and(|r| r.starts_with(|c: char| !c.is_whitespace() && c != ')')) => {
                (Piece::Not, next)
            }
            '"' => quoted(text, at)?,
            _ => bare(text, at)?,
        };
        if let Piece::Words(phrase) = &piece {
            terms += phrase.words.len();
            if terms > TERMS_MAX {
                return fail(at..end, format!("more than {TERMS_MAX} words"), "search for fewer words");
            }
        }
        out.push((piece, at..end));
        at = end;
    }
    Ok(out)
}

/// A text in quotes, with `*` behind it if the last word may go on.
fn quoted(text: &str, at: usize) -> Result<(Piece, usize)> {
    let inner = at + 1;
    let Some(length) = text.get(inner..).and_then(|rest| rest.find('"')) else {
        return fail(at..text.len(), "a quote that is not closed", "put a second \" behind the phrase");
    };
    let close = inner + length;
    let star = text.get(close + 1..).is_some_and(|rest| rest.starts_with('*'));
    let end = close + 1 + usize::from(star);
    words(text.get(inner..close).unwrap_or_default(), star, at..end).map(|piece| (piece, end))
}

/// A word, an operator, or something like `10:30`, which is a phrase of two words.
fn bare(text: &str, at: usize) -> Result<(Piece, usize)> {
    let rest = text.get(at..).unwrap_or_default();
    let stop = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '"' | '(' | ')');
    let word = rest.split(stop).next().unwrap_or_default();
    let end = at + word.len();
    let piece = match word {
        "OR" => Piece::Or,
        "AND" => Piece::And,
        "NOT" => Piece::Not,
        "NEAR" => Piece::Near(NEAR_DEFAULT),
        _ => match word.strip_prefix("NEAR/") {
            Some(number) => Piece::Near(distance(number, at..end)?),
            None => {
                let stem = word.trim_end_matches('*');
                words(stem, stem.len() < word.len(), at..end)?
            }
        },
    };
    Ok((piece, end))
}

fn distance(number: &str, span: Range<usize>) -> Result<u32> {
    match number.parse() {
        Ok(words) if words <= NEAR_MAX => Ok(words),
        _ => fail(span, "NEAR/ needs a number", format!("such as NEAR/5, at most NEAR/{NEAR_MAX}")),
    }
}

fn words(text: &str, prefix: bool, span: Range<usize>) -> Result<Piece> {
    let words: Vec<String> = tokens(text).map(|token| token.word).collect();
    if words.is_empty() {
        return fail(
            span,
            "there is no letter and no digit in it",
            "signs and pictures are not searched: leave them out",
        );
    }
    Ok(Piece::Words(Phrase { words, prefix }))
}

struct Parser<'a> {
    pieces: &'a [(Piece, Range<usize>)],
    at: usize,
    end: usize,
    join: Join,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a (Piece, Range<usize>)> {
        self.pieces.get(self.at)
    }

    fn take(&mut self) -> Option<&'a (Piece, Range<usize>)> {
        let piece = self.pieces.get(self.at);
        self.at += usize::from(piece.is_some());
        piece
    }

    fn eat(&mut self, piece: &Piece) -> bool {
        let is = self.peek().is_some_and(|(next, _)| next == piece);
        self.at += usize::from(is);
        is
    }

    /// Where the next piece is, or the end of the text.
    fn here(&self) -> Range<usize> {
        self.peek().map_or(self.end..self.end, |(_, span)| span.clone())
    }

    /// `a OR b`.
    fn any(&mut self, depth: usize) -> Result<Part> {
        let mut parts = vec![self.row(depth)?];
        while self.eat(&Piece::Or) {
            parts.push(self.row(depth)?);
        }
        Ok(group(parts, Part::Any))
    }

    /// Parts beside each other, some of them not wanted.
    fn row(&mut self, depth: usize) -> Result<Part> {
        let start = self.here();
        let (mut wanted, mut unwanted) = (Vec::new(), Vec::new());
        loop {
            match self.peek() {
                None | Some((Piece::Close | Piece::Or, _)) => break,
                Some((Piece::And, span)) => {
                    self.at += 1;
                    let joins = !(wanted.is_empty() && unwanted.is_empty());
                    if !joins || matches!(self.peek(), None | Some((Piece::Close | Piece::Or | Piece::And, _))) {
                        return fail(
                            span.clone(),
                            "AND needs something on both sides",
                            "put \"and\" in quotes to find it",
                        );
                    }
                }
                Some((Piece::Not, _)) => {
                    self.at += 1;
                    unwanted.push(self.atom(depth)?);
                }
                Some(_) => wanted.push(self.near(depth)?),
            }
        }
        if wanted.is_empty() {
            let span = start.start..self.here().start.max(start.end);
            return match unwanted.is_empty() {
                true => fail(span, "there is nothing to search for", "give a word"),
                false => fail(span, "it only says what is not wanted", "give a word that is to be there too"),
            };
        }
        let wanted = group(wanted, if self.join == Join::All { Part::All } else { Part::Any });
        if unwanted.is_empty() {
            return Ok(wanted);
        }
        Ok(Part::Without(Box::new(wanted), Box::new(group(unwanted, Part::Any))))
    }

    /// `a NEAR b NEAR c`.
    fn near(&mut self, depth: usize) -> Result<Part> {
        let first = self.atom(depth)?;
        let mut phrases = Vec::new();
        let mut distance = None;
        while let Some((Piece::Near(words), span)) = self.peek() {
            self.at += 1;
            if *distance.get_or_insert(*words) != *words {
                return fail(span.clone(), "one row of NEAR has one number", "use the same number for all of them");
            }
            match self.take() {
                Some((Piece::Words(phrase), _)) => phrases.push(phrase.clone()),
                _ => {
                    return fail(
                        span.clone(),
                        "NEAR needs a word or a phrase behind it",
                        "such as: fire NEAR/5 kitchen",
                    );
                }
            }
            if !matches!(first, Part::Phrase(_)) {
                return fail(span.clone(), "NEAR needs a word or a phrase before it", "such as: fire NEAR/5 kitchen");
            }
        }
        match (first, distance) {
            (Part::Phrase(phrase), Some(words)) => {
                phrases.insert(0, phrase);
                Ok(Part::Near(phrases, words))
            }
            (first, _) => Ok(first),
        }
    }

    /// A phrase or a group.
    fn atom(&mut self, depth: usize) -> Result<Part> {
        let here = self.here();
        match self.take() {
            Some((Piece::Words(phrase), _)) => Ok(Part::Phrase(phrase.clone())),
            Some((Piece::Open, span)) => {
                if depth >= DEPTH_MAX {
                    return fail(
                        span.clone(),
                        format!("more than {DEPTH_MAX} parentheses inside each other"),
                        "use fewer",
                    );
                }
                let inner = self.any(depth + 1)?;
                match self.eat(&Piece::Close) {
                    true => Ok(inner),
                    false => fail(span.clone(), "a parenthesis that is not closed", "put a ) behind the group"),
                }
            }
            Some((Piece::Near(_), span)) => {
                fail(span.clone(), "NEAR needs a word or a phrase before it", "such as: fire NEAR/5 kitchen")
            }
            Some((Piece::Not, span)) => fail(span.clone(), "two negations in a row", "remove one"),
            _ => fail(here, "a word is missing here", "give a word, a \"phrase\" or a (group)"),
        }
    }
}

/// One part alone, or several as `kind`.
fn group(mut parts: Vec<Part>, kind: fn(Vec<Part>) -> Part) -> Part {
    match parts.len() {
        1 => parts.remove(0),
        _ => kind(parts),
    }
}
