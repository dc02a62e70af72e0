//! What comes back from a question, for people.

use p2pnode::{AskEvent, AskOutcome, ConversationId, PeerRef, Value, value::to_json};

use super::{
    Out, escape_all, escape_line,
    json::readable,
    peers::name,
    render::{count, duration, ends, labelled, seconds},
    style::Role,
};
use crate::error::CliError;

/// Names narrower than this stand in a column.
const NAMES: usize = 10;

/// Prints events as they come: replies to stdout, the rest too unless only the bodies are wanted.
#[derive(Debug)]
pub(crate) struct Screen<'a> {
    out: &'a Out,
    raw: bool,
    names: usize,
}

impl<'a> Screen<'a> {
    /// `raw`: only bodies.
    pub(crate) fn new(out: &'a Out, raw: bool) -> Self {
        Self { out, raw, names: NAMES }
    }

    /// Prints one event.
    pub(crate) fn tell(&mut self, event: &AskEvent) -> Result<(), CliError> {
        match (self.raw, event) {
            (true, AskEvent::Reply { result, .. }) => self.out.line(&body(result)),
            (true, _) => Ok(()),
            (false, event) => self.text(event).map_or(Ok(()), |text| self.out.line(&text)),
        }
    }

    /// One event as text; nothing for what nobody needs to know.
    fn text(&mut self, event: &AskEvent) -> Option<String> {
        let glyphs = self.out.glyphs;
        Some(match event {
            AskEvent::Ack { peer, elapsed } => self.line(Role::Ok, glyphs.ok, peer, "acked", &duration(*elapsed)),
            AskEvent::Progress { peer, text, elapsed } => {
                self.line(Role::Dim, glyphs.busy, peer, &format!("working: {}", escape_line(text)), &duration(*elapsed))
            }
            AskEvent::Failed { peer, error, elapsed } => self.line(
                Role::Bad,
                glyphs.bad,
                peer,
                &format!("failed: {}", escape_line(&error.message)),
                &duration(*elapsed),
            ),
            AskEvent::Reply { peer, result, elapsed } => self.reply(peer, result, &duration(*elapsed)),
            // Who declines wants not to be seen.
            _ => return None,
        })
    }

    fn line(&mut self, role: Role, glyph: &str, peer: &PeerRef, what: &str, time: &str) -> String {
        let name = self.name(peer);
        let line = ends(&format!("{glyph} {name:width$}  {what}", width = self.names), time);
        // Painted last, so that colours do not count as width.
        match line.strip_prefix(glyph) {
            Some(rest) => format!("{}{rest}", self.out.style.paint(role, glyph)),
            None => line,
        }
    }

    fn reply(&mut self, peer: &PeerRef, result: &Value, time: &str) -> String {
        let label = format!("{}:", self.name(peer));
        let text = labelled(&label, self.names + 4, &body(result), time);
        match text.strip_prefix(&label) {
            Some(rest) => format!("{}{rest}", self.out.style.paint(Role::Name, &label)),
            None => text,
        }
    }

    /// The last line, as talk; nothing if only bodies are wanted.
    pub(crate) fn sum(&self, conversation: ConversationId, outcome: &AskOutcome) {
        if !self.raw {
            self.out.say(&sum(&conversation.short(), outcome));
        }
    }

    fn name(&mut self, peer: &PeerRef) -> String {
        let name = name(peer, self.out.glyphs);
        self.names = self.names.max(unicode_width::UnicodeWidthStr::width(name.as_str()));
        name
    }
}

/// `1 reply, 1 failure from 2 nodes in 6.7 s   conversation 019e4ab0`.
fn sum(conversation: &str, outcome: &AskOutcome) -> String {
    let replies = count(outcome.replies, "reply", "replies");
    let failures = match outcome.failures {
        0 => String::new(),
        failures => format!(", {}", count(failures, "failure", "failures")),
    };
    let nodes = count(outcome.replies + outcome.failures, "node", "nodes");
    format!("{replies}{failures} from {nodes} in {}   conversation {conversation}", seconds(outcome.elapsed))
}

/// A result as text: strings as they are but harmless, everything else as JSON.
pub(crate) fn body(result: &Value) -> String {
    match result.as_str() {
        Some(text) => escape_all(text).into_owned(),
        None => readable(&to_json(result)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use p2pnode::RpcError;

    use super::*;
    use crate::args::{Early, global::Color};

    #[test]
    fn lines_as_on_the_page() {
        let mut out = Out::new(Early { color: Color::Never, ..Early::default() }, false);
        out.glyphs = super::super::style::UNICODE;
        let mut screen = Screen::new(&out, false);
        let peer = |name: &str| PeerRef { id: p2pnode::PeerId::random(), name: name.into() };
        let elapsed = Duration::from_millis;
        let error = RpcError::new(p2pnode::ErrorCode::HandlerFailed, "pytest: not found (exit 127)");
        let text = "LGTM after fixing tests\n- add a test";
        let events = [
            AskEvent::Ack { peer: peer("reviewer"), elapsed: elapsed(14) },
            AskEvent::Progress { peer: peer("reviewer"), text: "reading 14 files".into(), elapsed: elapsed(1_900) },
            AskEvent::Reply { peer: peer("reviewer"), result: text.into(), elapsed: elapsed(6_240) },
            AskEvent::Failed { peer: peer("tests"), error, elapsed: elapsed(6_400) },
            AskEvent::Declined { peer: peer("docs"), elapsed: elapsed(7) },
        ];
        let lines: Vec<String> = events.iter().filter_map(|event| screen.text(event)).collect();
        let expected = "\
✓ reviewer    acked                                                14 ms
… reviewer    working: reading 14 files                            1.9 s
reviewer:     LGTM after fixing tests
              - add a test                                         6.2 s
✗ tests       failed: pytest: not found (exit 127)                 6.4 s";
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn sums() {
        let outcome = AskOutcome {
            end: p2pnode::AskEnd::Complete,
            members: 2,
            acks: 2,
            replies: 1,
            failures: 1,
            declined: 0,
            elapsed: Duration::from_millis(6_700),
        };
        assert_eq!(sum("019e4ab0", &outcome), "1 reply, 1 failure from 2 nodes in 6.7 s   conversation 019e4ab0");
        let outcome = AskOutcome { replies: 2, failures: 0, ..outcome };
        assert_eq!(sum("019e4ab0", &outcome), "2 replies from 2 nodes in 6.7 s   conversation 019e4ab0");
    }

    #[test]
    fn text_stays_text_and_harmless() {
        assert_eq!(body(&Value::from("two\nlines")), "two\nlines");
        assert!(!body(&Value::from("\u{1b}[2J")).contains('\u{1b}'));
        assert_eq!(body(&Value::from(3)), "3");
        assert_eq!(body(&Value::Array(vec![1.into(), "a".into()])), "[1,\"a\"]");
    }
}
