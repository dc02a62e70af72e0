//! Everything that is printed goes through here: stdout is data, stderr is talk.

pub(crate) mod address;
pub(crate) mod asked;
pub(crate) mod banner;
pub(crate) mod endpoints;
pub(crate) mod entry;
pub(crate) mod export;
pub(crate) mod feed;
pub(crate) mod json;
pub(crate) mod looked;
pub(crate) mod mail;
pub(crate) mod peers;
pub(crate) mod reach;
pub(crate) mod render;
pub(crate) mod schedules;
pub(crate) mod sink;
pub(crate) mod style;
pub(crate) mod table;

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal as _},
    path::Path,
};

use anstream::{AutoStream, ColorChoice};
use jiff::{Timestamp, Zoned, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use self::{
    json::{Answer, Line, Meta},
    sink::{Piece, Sink},
    style::{Glyphs, Role, Style},
};
use crate::{
    args::global::{Color, Early},
    error::CliError,
};

/// Foreign text for a terminal: what could steer it is spelled out; lines stay.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    p2pnode::wire::escape::escape(text)
}

/// The same on one line.
pub(crate) fn escape_line(text: &str) -> Cow<'_, str> {
    p2pnode::wire::escape::escape_line(text)
}

/// The same for a whole result: no line of it is cut.
pub(crate) fn escape_all(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let spell = |sign: char| if steers(sign) { sign.escape_unicode().to_string() } else { sign.to_string() };
    Cow::Owned(text.chars().map(spell).collect())
}

/// Whether this character could steer a terminal or turn the text around.
pub(crate) fn steers(sign: char) -> bool {
    !sign.is_ascii_graphic() && sign != ' ' && matches!(escape(sign.encode_utf8(&mut [0; 4])), Cow::Owned(_))
}

/// What a terminal is like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Terminal {
    /// JSON on stdout.
    pub(crate) json: bool,
    /// No talk on stderr.
    pub(crate) quiet: bool,
    /// Columns.
    pub(crate) width: usize,
    /// Signs beyond ASCII.
    pub(crate) unicode: bool,
    /// Colour on stdout and on stderr.
    pub(crate) colour: (bool, bool),
    /// Time zone of who reads.
    pub(crate) zone: Option<String>,
}

/// Where output goes and how it looks.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    json: bool,
    quiet: bool,
    /// `-v` was given.
    pub(crate) verbose: bool,
    /// Colour of stdout.
    pub(crate) style: Style,
    /// Colour of stderr.
    pub(crate) talk: Style,
    /// Signs of this locale.
    pub(crate) glyphs: Glyphs,
    /// Columns to fill.
    pub(crate) width: usize,
    /// Times carry the date: the text is read later.
    pub(crate) dated: bool,
    sink: Sink,
    /// The time zone of the reader, if it is not that of this process.
    zone: Option<TimeZone>,
}

impl Out {
    /// By the options and the environment.
    pub(crate) fn new(early: Early, verbose: bool) -> Self {
        Self {
            json: early.json,
            quiet: early.quiet,
            verbose,
            style: Style::new(colours(early.color, &io::stdout())),
            talk: Style::new(colours(early.color, &io::stderr())),
            glyphs: Glyphs::of_locale(|name| env::var(name).ok()),
            width: width(),
            dated: false,
            sink: Sink::Process,
            zone: None,
        }
    }

    /// For a client of the control socket, which has said how its terminal is; without that it is a program.
    pub(crate) fn to(client: mpsc::Sender<Piece>, terminal: Option<&Terminal>, verbose: bool) -> Self {
        let program = Terminal { json: true, ..Terminal::default() };
        let terminal = terminal.unwrap_or(&program);
        Self {
            json: terminal.json,
            quiet: terminal.quiet,
            verbose,
            style: Style::new(terminal.colour.0),
            talk: Style::new(terminal.colour.1),
            glyphs: if terminal.unicode { style::UNICODE } else { style::ASCII },
            width: terminal.width.max(1),
            dated: false,
            sink: Sink::Client(client),
            zone: terminal.zone.as_deref().and_then(|name| TimeZone::get(name).ok()),
        }
    }

    /// How the terminal of this process is, to tell it to a node that prints for us.
    pub(crate) fn terminal(&self) -> Terminal {
        Terminal {
            json: self.json,
            quiet: self.quiet,
            width: self.width,
            unicode: self.glyphs == style::UNICODE,
            colour: (self.style.colour(), self.talk.colour()),
            zone: TimeZone::system().iana_name().map(str::to_owned),
        }
    }

    /// Whether stdout holds JSON only.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// A line of data on stdout.
    pub(crate) fn line(&self, text: &str) -> Result<(), CliError> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Bytes on stdout, as they are.
    pub(crate) fn bytes(&self, data: &[u8]) -> Result<(), CliError> {
        self.sink.out(data)
    }

    /// The JSON answer of a one-shot command.
    pub(crate) fn answer(&self, kind: &str, data: Value, meta: Meta) -> Result<(), CliError> {
        self.sink.json(&json::ascii(&Answer::data(kind, data, meta)), Piece::Answer)
    }

    /// A JSON line of a stream.
    pub(crate) fn event(&self, kind: &str, fields: Value) -> Result<(), CliError> {
        self.sink.json(&json::ascii(&Line::new(kind, fields)), |line| Piece::Event(kind.to_owned(), line))
    }

    /// Resolves when whoever read stdout has gone. For commands that may have nothing to write for hours.
    pub(crate) async fn reader_gone(&self) {
        self.sink.reader_gone().await;
    }

    /// Writes a file of whoever gave the command.
    pub(crate) fn file(&self, path: &Path, data: &[u8]) -> Result<(), CliError> {
        self.sink.file(path, data)
    }

    /// The time zone of who reads.
    pub(crate) fn zone(&self) -> TimeZone {
        self.zone.clone().unwrap_or_else(TimeZone::system)
    }

    /// Time of day, for people who watch; with the date where it is read later.
    pub(crate) fn clock(&self) -> String {
        self.zoned(Timestamp::now()).strftime(if self.dated { "%Y-%m-%d %H:%M:%S" } else { "%H:%M:%S" }).to_string()
    }

    /// A time, milliseconds since 1970, where the reader is.
    pub(crate) fn time(&self, ms: u64, format: &str) -> String {
        self.zoned(json::timestamp(ms)).strftime(format).to_string()
    }

    fn zoned(&self, time: Timestamp) -> Zoned {
        time.to_zoned(self.zone())
    }

    /// A line of talk on stderr; lost if nobody reads it.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            self.sink.err(text);
        }
    }

    /// A note on stderr.
    pub(crate) fn note(&self, text: &str) {
        self.say(&format!("{} {}", self.talk.paint(Role::Warn, "note:"), escape_line(text)));
    }

    /// Tells an error: to people on stderr, to programs on stdout. Returns the exit code.
    pub(crate) fn fail(&self, kind: &str, error: &CliError) -> u8 {
        if error.exit() == 0 {
            return 0;
        }
        if self.json {
            let told = self.sink.json(&json::ascii(&Answer::error(kind, error.to_json())), Piece::Answer);
            return if told.is_ok() { error.exit() } else { 1 };
        }
        if !error.facts().silent {
            self.sink.err(&error.to_text(self.talk));
        }
        error.exit()
    }

    /// Help, version: text with colours in it, taken out where they are not wanted.
    pub(crate) fn show(&self, ansi: &str) -> Result<(), CliError> {
        let plain = || anstream::adapter::strip_str(ansi).to_string();
        if self.json {
            return self.answer("help", json!({"text": plain().trim_end()}), Meta::new());
        }
        let text = if self.style.colour() { ansi.to_owned() } else { plain() };
        self.line(text.trim_end())
    }
}

/// anstream knows `NO_COLOR`, `CLICOLOR`, `CLICOLOR_FORCE` and `TERM`.
fn colours(wanted: Color, stream: &(impl anstream::stream::RawStream + anstream::stream::AsLockedWrite)) -> bool {
    match wanted {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !matches!(AutoStream::choice(stream), ColorChoice::Never),
    }
}

/// `COLUMNS`, else the terminal, else 100. Pipes get what a wide terminal would.
fn width() -> usize {
    let columns = env::var("COLUMNS").ok().and_then(|text| text.trim().parse().ok());
    columns.or_else(terminal_width).filter(|columns| *columns > 0).unwrap_or(100)
}

fn terminal_width() -> Option<usize> {
    let stdout = io::stdout();
    let size = stdout.is_terminal().then(|| rustix::termios::tcgetwinsize(&stdout).ok()).flatten()?;
    Some(usize::from(size.ws_col))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signs_that_act_are_spelled_out() {
        for sign in ['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{200b}'] {
            assert!(steers(sign), "{sign:?}");
        }
        for sign in ['a', '"', 'é', '日', '\u{1f980}'] {
            assert!(!steers(sign), "{sign:?}");
        }
    }

    #[test]
    fn whole_results_lose_nothing() {
        let long = "x".repeat(10_000);
        assert_eq!(escape_all(&long), long);
        assert_eq!(escape_all("tab\tline\n\u{1b}[2J"), "tab\tline\n\\u{1b}[2J");
    }

    #[test]
    fn auto_is_off_in_pipes_unless_forced() {
        assert!(colours(Color::Always, &io::stdout()));
        assert!(!colours(Color::Never, &io::stdout()));
    }
}
