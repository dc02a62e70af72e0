//! What is kept, one entry like the other: said to a swarm, or written from one to another.

use std::time::UNIX_EPOCH;

use p2pnode::{ConversationId, InboxMail, KeptEntry, KeptEvent, OutboxMail, PeerRef, Said, Summary};
use serde_json::{Value, json};
use unicode_width::UnicodeWidthStr as _;

use super::{
    Out, escape_line,
    feed::{said_body, said_kind},
    json::{age, at_ms},
    mail::first_line,
    peers::{name, reference},
    render::ago,
    style::Role,
    table::{Column, Table},
};

/// An entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// `events`, `inbox` or `outbox`.
    pub(crate) place: &'static str,
    pub(crate) id: String,
    /// Milliseconds since 1970: the author's clock, but not later than it came.
    pub(crate) at_ms: u64,
    pub(crate) kind: String,
    pub(crate) author: PeerRef,
    /// Of a message.
    pub(crate) to: Option<PeerRef>,
    pub(crate) swarm: String,
    pub(crate) conversation: ConversationId,
    pub(crate) text: String,
    /// For programs.
    pub(crate) body: Value,
    /// Its author lived for one command.
    pub(crate) live: bool,
    /// From somebody outside of our swarms.
    pub(crate) requests: bool,
}

impl From<&KeptEvent> for Entry {
    fn from(kept: &KeptEvent) -> Self {
        let event = &kept.event;
        let said = event.at.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Self {
            place: "events",
            id: event.id.to_string(),
            at_ms: u64::try_from(said).unwrap_or(u64::MAX).min(kept.received_ms),
            kind: said_kind(&event.said).to_owned(),
            author: event.author.clone(),
            to: None,
            swarm: event.swarm.clone(),
            conversation: event.conversation,
            text: match &event.said {
                Said::Other { kind, .. } => kind.clone(),
                // What it is about stands before its data, on one line.
                Said::Emitted { .. } | Said::Broadcast { .. } => kept.text().replacen('\n', " ", 1),
                _ => kept.text(),
            },
            body: said_body(&event.said),
            live: kept.live,
            requests: false,
        }
    }
}

impl From<&InboxMail> for Entry {
    fn from(mail: &InboxMail) -> Self {
        let at_ms = mail.mail.sent_ms.min(mail.received_ms);
        let requests = mail.stranger;
        Self { requests, ..Self::of_mail("inbox", &mail.mail, at_ms, mail.from.clone(), None, mail.text()) }
    }
}

impl Entry {
    /// A message of this node, which is called so.
    pub(crate) fn outbox(mail: &OutboxMail, own: &PeerRef) -> Self {
        let to = Some(mail.to.clone());
        Self::of_mail("outbox", &mail.mail, mail.mail.sent_ms, own.clone(), to, mail.text())
    }

    /// Whatever it is; `own`: what this node is called.
    pub(crate) fn of(kept: &KeptEntry, own: &PeerRef) -> Option<Self> {
        match kept {
            KeptEntry::Event(kept) => Some(Self::from(&**kept)),
            KeptEntry::Inbox(mail) => Some(Self::from(&**mail)),
            KeptEntry::Outbox(mail) => Some(Self::outbox(mail, own)),
            _ => None,
        }
    }

    fn of_mail(
        place: &'static str,
        mail: &p2pnode::wire::mail::Mail,
        at_ms: u64,
        author: PeerRef,
        to: Option<PeerRef>,
        text: String,
    ) -> Self {
        Self {
            place,
            id: mail.id.to_string(),
            at_ms,
            kind: mail.kind.clone(),
            author,
            to,
            swarm: String::new(),
            conversation: mail.conversation,
            body: json!({"text": text}),
            text,
            live: false,
            requests: false,
        }
    }

    /// The last 8 digits.
    pub(crate) fn short(&self) -> &str {
        self.id.get(self.id.len().saturating_sub(8)..).unwrap_or(&self.id)
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let mut json = json!({
            "id": self.id,
            "box": self.place,
            "author": reference(&self.author),
            "kind": self.kind,
            "at": at_ms(self.at_ms),
            "conversation": self.conversation.to_string(),
            "body": self.body,
            "live": self.live,
        });
        match self.place {
            "events" => json["swarm"] = json!(self.swarm),
            "inbox" => json["requests"] = json!(self.requests),
            _ => json["to"] = json!(self.to.as_ref().map(reference)),
        }
        json
    }

    /// From whom, and, of a message of ours, for whom.
    pub(crate) fn who(&self, out: &Out) -> String {
        let author = name(&self.author, out.glyphs);
        match &self.to {
            Some(to) => format!("{author} {} {}", out.glyphs.to, name(to, out.glyphs)),
            None if self.requests => format!("{author} (requests)"),
            None => author,
        }
    }

    /// A line of a conversation, as wide as the terminal at most.
    pub(crate) fn line(&self, out: &Out, names: usize) -> String {
        let kind = if self.place == "events" { self.kind.clone() } else { format!("mail:{}", self.kind) };
        let (time, who) = (out.time(self.at_ms, "%H:%M:%S%.3f"), self.who(out));
        let gap = names.saturating_sub(who.width());
        let kind = format!("{:<9}", escape_line(&kind));
        let head = format!("{time}  {kind} ");
        let more = if self.live { "   (live)" } else { "" };
        let room = out.width.saturating_sub(head.width() + names.max(who.width()) + 3 + more.len()).max(8);
        let text = fit(&escape_line(&first_line(&self.text)), room, out.glyphs.cut);
        let line = format!("{head}{}{:gap$}   {text}{more}", out.style.paint(Role::Name, &who), "");
        line.trim_end().to_owned()
    }
}

/// How wide names are.
pub(crate) fn names(entries: &[Entry], out: &Out) -> usize {
    entries.iter().map(|entry| entry.who(out).width()).max().unwrap_or_default().clamp(8, 24)
}

/// The text, or its beginning and the sign for "cut off".
fn fit(text: &str, room: usize, cut: &str) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let mut kept = String::new();
    for sign in text.chars() {
        kept.push(sign);
        if kept.width() + cut.width() > room {
            kept.pop();
            break;
        }
    }
    kept + cut
}

/// The table of `history list`.
pub(crate) fn table(entries: &[Entry], out: &Out) -> String {
    let mut table = Table::new(&[
        Column::new("ID"),
        Column::new("AGE"),
        Column::new("KIND"),
        Column::new("FROM").flexible(),
        Column::new("SWARM").optional(1),
        Column::new("TEXT").flexible(),
    ]);
    for entry in entries {
        table.row([
            (entry.short().to_owned(), None),
            (ago(age(entry.at_ms)), None),
            (entry.kind.clone(), None),
            (entry.who(out), Some(Role::Name)),
            (entry.swarm.clone(), None),
            (first_line(&entry.text), None),
        ]);
    }
    table.render(Some(out.width), out.style, out.glyphs.cut)
}

/// One that was found: where, and the words around the hit.
pub(crate) fn hit(entry: &Entry, marked: &str, out: &Out) -> String {
    let place = if entry.swarm.is_empty() { entry.place } else { &entry.swarm };
    let who = out.style.paint(Role::Name, &entry.who(out));
    let head = format!(
        "{}  {}  {}  {who}  {}",
        entry.short(),
        ago(age(entry.at_ms)),
        escape_line(&entry.kind),
        escape_line(place)
    );
    let text = wrap(&escape_line(marked), out.width.saturating_sub(4).max(20));
    text.into_iter().fold(head, |text, line| format!("{text}\n    {line}"))
}

/// Words in lines of so many columns.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let last = lines.last_mut().filter(|line| line.is_empty() || line.width() + 1 + word.width() <= width);
        match last {
            Some(line) => {
                if !line.is_empty() {
                    line.push(' ');
                }
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The middle of a conversation in few words.
pub(crate) fn summary_json(summary: &Summary) -> Value {
    json!({
        "text": summary.text, "events": summary.events, "from": at_ms(summary.from_ms),
        "until": at_ms(summary.until_ms), "made": at_ms(summary.made_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Early, global::Color};

    fn out(width: usize) -> Out {
        let mut out = Out::new(Early { color: Color::Never, ..Early::default() }, false);
        (out.glyphs, out.width) = (super::super::style::UNICODE, width);
        out
    }

    fn entry(text: &str) -> Entry {
        Entry {
            place: "events",
            id: "ab".repeat(32),
            at_ms: 1_000,
            kind: "reply".into(),
            author: PeerRef { id: p2pnode::PeerId::random(), name: "reviewer".into() },
            to: None,
            swarm: "garden".into(),
            conversation: ConversationId::new(),
            text: text.into(),
            body: json!({}),
            live: false,
            requests: false,
        }
    }

    #[test]
    fn a_line_fits_the_terminal_and_harms_nobody() {
        let line = entry("LGTM\nafter \u{1b}[2J").line(&out(80), 10);
        assert!(line.ends_with("reply     reviewer     LGTM (+1 line)"), "{line}");
        let line = entry(&"long ".repeat(100)).line(&out(80), 10);
        assert!(line.width() <= 80 && line.ends_with('…'), "{line}");
        let line = entry("\u{1b}[2J").line(&out(80), 10);
        assert!(!line.contains('\u{1b}'), "{line}");
    }

    #[test]
    fn hits_are_wrapped() {
        let text = hit(&entry(""), &format!("{}[sunrise] here", "word ".repeat(20)), &out(40));
        assert!(text.starts_with("abababab  ") && text.contains("[sunrise]"), "{text}");
        assert!(text.lines().skip(1).all(|line| line.starts_with("    ") && line.width() <= 40), "{text}");
    }

    #[test]
    fn strangers_are_marked() {
        let entry = Entry { place: "inbox", requests: true, ..entry("hi") };
        assert!(entry.who(&out(80)).ends_with("(requests)"));
        assert_eq!(entry.json()["requests"], true);
    }
}
