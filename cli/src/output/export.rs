//! Entries one after the other in a form that was asked for: nothing is collected first.

use super::{
    Out,
    entry::Entry,
    escape_all, escape_line,
    json::{ascii, at_ms},
};
use crate::{args::history::Format, error::CliError};

/// Writes entries.
#[derive(Debug)]
pub(crate) struct Export<'a> {
    out: &'a Out,
    format: Format,
    written: usize,
}

impl<'a> Export<'a> {
    /// Nothing is written yet.
    pub(crate) fn new(out: &'a Out, format: Format) -> Self {
        Self { out, format, written: 0 }
    }

    /// One more.
    pub(crate) fn write(&mut self, entry: &Entry) -> Result<(), CliError> {
        if self.written == 0 {
            self.begin()?;
        }
        self.written += 1;
        let first = self.written == 1;
        match self.format {
            Format::Json => {
                self.out.bytes(format!("{}{}", if first { "" } else { ",\n" }, ascii(&entry.json())).as_bytes())
            }
            Format::Ndjson => self.out.line(&ascii(&entry.json())),
            Format::Csv => self.out.line(&row(entry)),
            Format::Md => self.out.line(&paragraph(entry, self.out)),
        }
    }

    fn begin(&self) -> Result<(), CliError> {
        match self.format {
            Format::Json => self.out.bytes(b"[\n"),
            Format::Csv => self.out.line("id,box,at,kind,author,author_id,to,swarm,conversation,live,text"),
            Format::Ndjson | Format::Md => Ok(()),
        }
    }

    /// The end; how many there were.
    pub(crate) fn end(self) -> Result<usize, CliError> {
        if self.written == 0 {
            self.begin()?;
        }
        if self.format == Format::Json {
            self.out.bytes(if self.written == 0 { b"]\n" } else { b"\n]\n" })?;
        }
        Ok(self.written)
    }
}

fn row(entry: &Entry) -> String {
    let to = entry.to.as_ref().map(|to| to.name.as_str()).unwrap_or_default();
    let cells = [
        entry.id.clone(),
        entry.place.to_owned(),
        at_ms(entry.at_ms),
        cell(&entry.kind),
        cell(&entry.author.name),
        entry.author.id.to_string(),
        cell(to),
        cell(&entry.swarm),
        entry.conversation.to_string(),
        entry.live.to_string(),
        cell(&entry.text),
    ];
    cells.join(",")
}

/// Foreign text: in quotes where needed, and never a formula to a spreadsheet.
fn cell(text: &str) -> String {
    let text = escape_all(text);
    let formula = if text.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    match formula.is_empty() && !text.contains(['"', ',', '\n', '\r']) {
        true => text.into_owned(),
        false => format!("\"{formula}{}\"", text.replace('"', "\"\"")),
    }
}

fn paragraph(entry: &Entry, out: &Out) -> String {
    let time = out.time(entry.at_ms, "%Y-%m-%d %H:%M:%S");
    let head = format!("**{}** {}, {time}", escape_line(&entry.who(out)).replace('*', "\\*"), escape_line(&entry.kind));
    let text = escape_all(entry.text.trim_end()).into_owned();
    match text.is_empty() {
        true => format!("{head}\n"),
        // A quotation, line by line: nothing in it can become a heading of the document.
        false => format!("{head}\n\n{}\n", text.lines().map(|line| format!("> {line}")).collect::<Vec<_>>().join("\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formulas() {
        assert_eq!(cell("plain"), "plain");
        assert_eq!(cell("a, \"b\"\nc"), "\"a, \"\"b\"\"\nc\"");
        assert_eq!(cell("=HYPERLINK(1)"), "\"'=HYPERLINK(1)\"");
        assert!(!cell("\u{1b}[2J").contains('\u{1b}'));
    }
}
