//! Everything that is printed goes through here: stdout is data, stderr is talk.

pub(crate) mod address;
pub(crate) mod asked;
pub(crate) mod banner;
pub(crate) mod endpoints;
pub(crate) mod feed;
pub(crate) mod json;
pub(crate) mod looked;
pub(crate) mod peers;
pub(crate) mod render;
pub(crate) mod style;
pub(crate) mod table;

use std::{
    borrow::Cow,
    env,
    io::{self, IsTerminal as _, Write as _},
    time::Duration,
};

use anstream::{AutoStream, ColorChoice};
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::{Value, json};

use self::{
    json::{Answer, Line, Meta},
    style::{Glyphs, Role, Style},
};
use crate::{
    args::global::{Color, Early},
    error::CliError,
};

/// How often it is looked whether somebody still reads.
const READER: Duration = Duration::from_millis(500);

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
        let mut stdout = io::stdout().lock();
        stdout.write_all(data).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::closed(),
            _ => CliError::internal(format!("cannot write to stdout: {error}")),
        })
    }

    /// The JSON answer of a one-shot command.
    pub(crate) fn answer(&self, kind: &str, data: Value, meta: Meta) -> Result<(), CliError> {
        self.line(&json::ascii(&Answer::data(kind, data, meta)))
    }

    /// A JSON line of a stream.
    pub(crate) fn event(&self, kind: &str, fields: Value) -> Result<(), CliError> {
        self.line(&json::ascii(&Line::new(kind, fields)))
    }

    /// Resolves when whoever read stdout has gone. For commands that may have nothing to write for hours.
    pub(crate) async fn reader_gone(&self) {
        loop {
            tokio::time::sleep(READER).await;
            let stdout = io::stdout();
            // The writing end of a pipe only ever reports this when nobody can read it any more.
            let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
            let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
            if poll(&mut ends, Some(&now)).is_ok() && ends[0].revents().contains(PollFlags::ERR) {
                return;
            }
        }
    }

    /// A line of talk on stderr; lost if nobody reads it.
    pub(crate) fn say(&self, text: &str) {
        if !self.quiet {
            let _ = writeln!(io::stderr().lock(), "{text}");
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
            let told = self.line(&json::ascii(&Answer::error(kind, error.to_json())));
            return if told.is_ok() { error.exit() } else { 1 };
        }
        if !error.facts().silent {
            let _ = writeln!(io::stderr().lock(), "{}", error.to_text(self.talk));
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
