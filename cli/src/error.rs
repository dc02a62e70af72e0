//! Errors as people and programs see them: what is wrong, where we looked, why probably, what to type next.

pub(crate) mod node;
mod schedules;

use std::{borrow::Cow, fmt::Write as _, io, time::Duration};

use p2pnode::{ErrorCode, RpcError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::output::{
    escape,
    style::{Role, Style},
};

/// Column at which `[code]` stands if the message leaves room.
const CODE_COLUMN: usize = 74;

/// Exit codes that have no number in the protocol's table (cli.md §3).
pub(crate) mod exit {
    /// A bug, or something of this host is broken.
    pub(crate) const INTERNAL: u8 = 1;
    /// Wrong words.
    pub(crate) const USAGE: u8 = 2;
    /// Nobody answered.
    pub(crate) const NO_REPLY: u8 = 6;
    /// The other side failed.
    pub(crate) const REMOTE: u8 = 7;
    /// Already running, ambiguous.
    pub(crate) const CONFLICT: u8 = 8;
    /// Fewer than wanted.
    pub(crate) const PARTIAL: u8 = 9;
    /// A check did not hold.
    pub(crate) const CHECK: u8 = 10;
}

/// Everything known about one failure. Boxed inside, because results carry it everywhere.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub(crate) struct CliError(Box<Facts>);

/// The parts of an error.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Facts {
    /// Short lower-case name, stable within a version of the JSON.
    pub(crate) code: Cow<'static, str>,
    /// Number in the protocol's table.
    pub(crate) number: Option<u16>,
    /// Exit code of the process.
    pub(crate) exit: u8,
    /// What is wrong.
    pub(crate) message: String,
    /// Where we looked.
    pub(crate) looked: Option<String>,
    /// Why, probably.
    pub(crate) maybe: Vec<String>,
    /// What to type next, and what that does.
    pub(crate) tries: Vec<(String, String)>,
    /// Whether the same may work later.
    pub(crate) retryable: bool,
    /// How long to wait before that.
    pub(crate) retry_after: Option<Duration>,
    /// More, for programs.
    pub(crate) details: Map<String, Value>,
    /// Nothing to tell people: they caused it (Ctrl-C, a closed pipe).
    pub(crate) silent: bool,
}

impl CliError {
    /// An error with its code and exit code.
    pub(crate) fn new(code: impl Into<Cow<'static, str>>, exit: u8, message: impl Into<String>) -> Self {
        Self(Box::new(Facts { code: code.into(), exit, message: message.into(), ..Facts::default() }))
    }

    /// Wrong words on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new("usage", exit::USAGE, message)
    }

    /// A bug, or this host does not let us.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new("internal", exit::INTERNAL, message)
    }

    /// An error of the protocol's table.
    pub(crate) fn of(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut error = Self::new(code_name(code), code.exit(), message);
        error.0.number = Some(code.number());
        error.0.retryable = code.retryable();
        error
    }

    /// A file or stream failed.
    pub(crate) fn io(what: impl std::fmt::Display, error: &io::Error) -> Self {
        let code = match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::InvalidInput | io::ErrorKind::IsADirectory => exit::USAGE,
            _ => exit::INTERNAL,
        };
        Self::new("io", code, format!("{what}: {error}"))
    }

    /// The reader of our output has gone: that is success (R11).
    pub(crate) fn closed() -> Self {
        let mut error = Self::new("closed", 0, "output closed");
        error.0.silent = true;
        error
    }

    /// Stopped by a signal, after a clean leave.
    pub(crate) fn interrupted(exit: u8) -> Self {
        let mut error = Self::new("interrupted", exit, "stopped by a signal");
        error.0.silent = true;
        error
    }

    /// The limit for the whole command has passed.
    pub(crate) fn timeout(limit: Duration) -> Self {
        let limit = crate::output::render::seconds(limit);
        Self::of(ErrorCode::TransportTimeout, format!("not done within {limit}"))
    }

    /// Where we looked.
    pub(crate) fn looked(mut self, looked: impl Into<String>) -> Self {
        self.0.looked = Some(looked.into()).filter(|text| !text.is_empty());
        self
    }

    /// Why, probably.
    pub(crate) fn maybe(mut self, maybe: impl Into<String>) -> Self {
        self.0.maybe.push(maybe.into());
        self
    }

    /// What to type next.
    pub(crate) fn try_this(self, command: impl Into<String>) -> Self {
        self.try_also(command, "")
    }

    /// What to type next, and what that does.
    pub(crate) fn try_also(mut self, command: impl Into<String>, why: impl Into<String>) -> Self {
        self.0.tries.push((command.into(), why.into()));
        self
    }

    /// Whether the same may work later, where that is better known than by the code.
    pub(crate) fn retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// A fact for programs.
    pub(crate) fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.details.insert(name.to_owned(), value.into());
        self
    }

    /// The parts.
    pub(crate) fn facts(&self) -> &Facts {
        &self.0
    }

    /// Exit code of the process.
    pub(crate) fn exit(&self) -> u8 {
        self.0.exit
    }

    /// The value of `error` in JSON.
    pub(crate) fn to_json(&self) -> Value {
        let facts = self.facts();
        let mut error = json!({
            "code": facts.code, "number": facts.number, "exit": facts.exit, "retryable": facts.retryable,
            "message": facts.message, "hint": facts.tries.first().map(|(command, _)| command),
            "details": facts.details,
        });
        if let Some(wait) = facts.retry_after {
            error["retry_after_ms"] = json!(crate::output::json::millis(wait));
        }
        if let Some(looked) = &facts.looked {
            error["looked"] = json!(looked);
        }
        if !facts.maybe.is_empty() {
            error["maybe"] = json!(facts.maybe);
        }
        error
    }

    /// The error that another process has told as JSON.
    pub(crate) fn from_json(error: &Value) -> Self {
        let text = |name: &str| error[name].as_str().map(str::to_owned);
        let exit = error["exit"].as_u64().and_then(|exit| u8::try_from(exit).ok()).unwrap_or(exit::INTERNAL);
        let maybe = error["maybe"].as_array().into_iter().flatten();
        Self(Box::new(Facts {
            code: text("code").unwrap_or_else(|| "internal".to_owned()).into(),
            number: error["number"].as_u64().and_then(|number| u16::try_from(number).ok()),
            exit,
            message: text("message").unwrap_or_default(),
            looked: text("looked"),
            maybe: maybe.filter_map(|line| line.as_str().map(str::to_owned)).collect(),
            tries: text("hint").into_iter().map(|hint| (hint, String::new())).collect(),
            retryable: error["retryable"].as_bool().unwrap_or_default(),
            retry_after: error["retry_after_ms"].as_f64().and_then(|ms| Duration::try_from_secs_f64(ms / 1_000.0).ok()),
            details: error["details"].as_object().cloned().unwrap_or_default(),
            silent: false,
        }))
    }

    /// The text for people, without a newline at the end.
    pub(crate) fn to_text(&self, style: Style) -> String {
        let facts = self.facts();
        let message = escape(&facts.message);
        let mut lines = message.lines();
        let first = lines.next().unwrap_or_default();
        let gap = CODE_COLUMN.saturating_sub("error: ".len() + unicode_width::UnicodeWidthStr::width(first)).max(2);
        let code = style.paint(Role::Dim, &format!("[{}]", facts.code));
        let mut text = format!("{} {first}{:gap$}{code}", style.paint(Role::Bad, "error:"), "");
        for line in lines {
            let _ = write!(text, "\n       {line}");
        }
        section(&mut text, style, "looked:", facts.looked.iter().map(|looked| escape(looked).into_owned()));
        section(&mut text, style, "maybe:", facts.maybe.iter().map(|maybe| escape(maybe).into_owned()));
        section(&mut text, style, "try:", commands(style, &facts.tries).into_iter());
        text
    }
}

/// One labelled part: the label stands before its first line.
fn section(text: &mut String, style: Style, label: &str, lines: impl Iterator<Item = String>) {
    let mut label = format!("{label:<8}");
    for line in lines {
        let _ = write!(text, "\n  {} {line}", style.paint(Role::Dim, &label));
        label = " ".repeat(8);
    }
}

/// Commands in one column, their purposes in the next.
fn commands(style: Style, tries: &[(String, String)]) -> Vec<String> {
    let width = tries.iter().map(|(command, _)| command.chars().count()).max().unwrap_or_default();
    let line = |(command, why): &(String, String)| {
        let command = escape(command);
        if why.is_empty() {
            return style.paint(Role::Accent, &command);
        }
        let gap = width - command.chars().count().min(width) + 3;
        format!("{}{:gap$}{why}", style.paint(Role::Accent, &command), "")
    };
    tries.iter().map(line).collect()
}

/// `TRANSPORT_NO_RESPONDERS` → `no_responders`: which layer noticed is of no interest here.
fn code_name(code: ErrorCode) -> String {
    let name = code.name();
    name.strip_prefix("TRANSPORT_").unwrap_or(name).to_lowercase()
}

impl From<Facts> for CliError {
    fn from(facts: Facts) -> Self {
        Self(Box::new(facts))
    }
}

impl From<RpcError> for CliError {
    fn from(error: RpcError) -> Self {
        let mut ours = Self::of(error.code, error.message);
        ours.0.retryable = error.retryable;
        ours.0.retry_after = error.retry_after;
        match error.details.as_deref().map(crate::output::json::decode) {
            Some(Some(details)) => ours.detail("remote", details),
            _ => ours,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style::plain();

    fn gardne() -> CliError {
        CliError::of(ErrorCode::TransportNoResponders, "nobody in swarm \"gardne\" answered within 2.0 s")
            .looked("this host (1 node, other swarm), mDNS on eth0 (3 libp2p peers, none in \"gardne\")")
            .maybe("did you mean \"garden\" (2 nodes, seen just now)?")
            .try_this("p2pnode ask garden \"who is there?\"")
            .try_also("p2pnode up gardne --demo", "start the first node of this swarm")
    }

    #[test]
    fn drawn_as_on_the_page() {
        let expected = "\
error: nobody in swarm \"gardne\" answered within 2.0 s                     [no_responders]
  looked:  this host (1 node, other swarm), mDNS on eth0 (3 libp2p peers, none in \"gardne\")
  maybe:   did you mean \"garden\" (2 nodes, seen just now)?
  try:     p2pnode ask garden \"who is there?\"
           p2pnode up gardne --demo             start the first node of this swarm";
        assert_eq!(gardne().to_text(PLAIN), expected);
    }

    #[test]
    fn json_has_every_part() {
        let json = gardne().detail("libp2p_peers", 3).to_json();
        assert_eq!(json["code"], "no_responders");
        assert_eq!(json["number"], 1002);
        assert_eq!(json["exit"], 6);
        assert_eq!(json["hint"], "p2pnode ask garden \"who is there?\"");
        assert_eq!(json["details"]["libp2p_peers"], 3);
        assert_eq!(CliError::from_json(&json).to_json(), json, "and back");
    }

    #[test]
    fn exits_follow_the_protocol_table() {
        for (code, exit) in [
            (ErrorCode::TransportTimeout, 6),
            (ErrorCode::InvalidArgument, 2),
            (ErrorCode::EndpointNotFound, 5),
            (ErrorCode::AgentUnavailable, 3),
            (ErrorCode::PermissionDenied, 4),
            (ErrorCode::Ambiguous, 8),
            (ErrorCode::Overloaded, 7),
            (ErrorCode::HandlerFailed, 7),
        ] {
            assert_eq!(CliError::of(code, "x").exit(), exit, "{code:?}");
        }
    }

    #[test]
    fn foreign_text_stays_harmless_and_keeps_its_lines() {
        let error = CliError::new("handler_failed", 7, "exit 127\n\u{1b}]0;owned\u{7}not found");
        let text = error.to_text(PLAIN);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text}");
        assert!(text.contains("\n       "), "{text}");
    }

    #[test]
    fn a_long_message_pushes_the_code_on() {
        let text = CliError::usage("x".repeat(90)).to_text(PLAIN);
        assert!(text.ends_with("x  [usage]"), "{text}");
    }
}
