//! Messages as JSON, as tables and in full.

use p2pnode::{
    InboxMail, OutboxMail,
    store::{InboxState, OutboxState},
    wire::mail::{Mail, kind},
};
use serde_json::{Value, json};

use super::{
    Out, escape_all,
    json::{age, at_ms},
    peers::{name, reference},
    render::{ago, count},
    style::Role,
    table::{Column, Table},
};

/// Whether it only tells what became of another message: people do not want to see those.
pub(crate) fn is_receipt(mail: &Mail) -> bool {
    mail.kind == kind::RECEIPT
}

/// In a word.
pub(crate) fn inbox_state(state: InboxState) -> &'static str {
    match state {
        InboxState::Unread => "unread",
        InboxState::Read => "read",
        InboxState::Archived => "archived",
        InboxState::Deleted => "deleted",
    }
}

/// In a word.
pub(crate) fn outbox_state(state: OutboxState) -> &'static str {
    match state {
        OutboxState::Sent => "on its way",
        OutboxState::Stored => "stored",
        OutboxState::Delivered => "delivered",
        OutboxState::Read => "read",
        OutboxState::Expired => "expired",
        OutboxState::Refused => "refused",
    }
}

fn common(mail: &Mail, text: &str) -> Value {
    json!({
        "id": mail.id.to_string(),
        "conversation": mail.conversation.to_string(),
        "in_reply_to": mail.in_reply_to.map(|id| id.to_string()),
        "kind": mail.kind,
        "priority": mail.priority,
        "sent_at": at_ms(mail.sent_ms),
        "expires_at": at_ms(mail.not_after_ms),
        "text": text,
    })
}

/// A message to this node.
pub(crate) fn inbox_json(mail: &InboxMail) -> Value {
    let mut json = common(&mail.mail, &mail.text());
    json["from"] = reference(&mail.from);
    json["received_at"] = json!(at_ms(mail.received_ms));
    json["state"] = json!(inbox_state(mail.state));
    json["requests"] = json!(mail.stranger);
    json
}

/// A message of this node.
pub(crate) fn outbox_json(mail: &OutboxMail) -> Value {
    let mut json = common(&mail.mail, &mail.text());
    json["to"] = reference(&mail.to);
    json["state"] = json!(mail.state);
    json["attempts"] = json!(mail.attempts);
    json["changed_at"] = json!(at_ms(mail.changed_ms));
    json["error"] = json!(Some(&mail.error).filter(|error| !error.is_empty()));
    json
}

const ID: Column = Column::new("ID");
const FROM: Column = Column::new("FROM").flexible();
const TO: Column = Column::new("TO").flexible();
const AGE: Column = Column::new("AGE");
const PRIORITY: Column = Column::new("PRIO").right().optional(1);
const STATE: Column = Column::new("STATE");
const TEXT: Column = Column::new("TEXT").flexible();

/// The table of `inbox`, and a line that sums it up.
pub(crate) fn inbox_table(mails: &[InboxMail], out: &Out) -> String {
    let mut table = Table::new(&[ID, FROM, AGE, PRIORITY, STATE, TEXT]);
    for mail in mails {
        let role = if mail.state == InboxState::Unread { Role::Ok } else { Role::Dim };
        let requests = if mail.stranger { ", requests" } else { "" };
        table.row([
            (mail.mail.id.short(), None),
            (name(&mail.from, out.glyphs), Some(Role::Name)),
            (ago(age(mail.received_ms)), None),
            (priority(mail.mail.priority), None),
            (format!("{}{requests}", inbox_state(mail.state)), Some(role)),
            (first_line(&mail.text()), None),
        ]);
    }
    let unread = mails.iter().filter(|mail| mail.state == InboxState::Unread).count();
    let requests = mails.iter().filter(|mail| mail.stranger).count();
    let requests = if requests == 0 { String::new() } else { format!(", {requests} in requests") };
    let sum = format!("{}: {unread} unread{requests}", count(mails.len(), "message", "messages"));
    format!("{}\n{sum}", table.render(Some(out.width), out.style, out.glyphs.cut))
}

/// The table of `outbox`, and a line that sums it up.
pub(crate) fn outbox_table(mails: &[OutboxMail], out: &Out) -> String {
    let mut table = Table::new(&[ID, TO, AGE, PRIORITY, STATE, TEXT]);
    for mail in mails {
        table.row([
            (mail.mail.id.short(), None),
            (name(&mail.to, out.glyphs), Some(Role::Name)),
            (ago(age(mail.mail.sent_ms)), None),
            (priority(mail.mail.priority), None),
            (outbox_state(mail.state).to_owned(), Some(outbox_role(mail.state))),
            (first_line(&mail.text()), None),
        ]);
    }
    let waiting = mails.iter().filter(|mail| !mail.state.is_settled()).count();
    let sum = format!("{}: {waiting} on the way", count(mails.len(), "message", "messages"));
    format!("{}\n{sum}", table.render(Some(out.width), out.style, out.glyphs.cut))
}

fn outbox_role(state: OutboxState) -> Role {
    match state {
        OutboxState::Sent => Role::Warn,
        OutboxState::Expired | OutboxState::Refused => Role::Bad,
        _ => Role::Ok,
    }
}

fn priority(priority: Option<u8>) -> String {
    priority.map(|priority| priority.to_string()).unwrap_or_default()
}

/// The first line, and how many follow.
pub(crate) fn first_line(text: &str) -> String {
    let mut lines = text.trim().lines();
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => first.to_owned(),
        more => format!("{first} (+{})", count(more, "line", "lines")),
    }
}

/// A message of the inbox in full.
pub(crate) fn inbox_text(mail: &InboxMail, out: &Out) -> String {
    let requests = if mail.stranger { "   requests" } else { "" };
    let mut head = vec![
        ("from", format!("{}   {}{requests}", name(&mail.from, out.glyphs), mail.from.id)),
        ("received", out.time(mail.received_ms, "%Y-%m-%d %H:%M:%S")),
    ];
    head.extend(about(&mail.mail));
    full(head, &mail.text(), out)
}

/// A message of the outbox in full.
pub(crate) fn outbox_text(mail: &OutboxMail, out: &Out) -> String {
    let tries = count(mail.attempts as usize, "try", "tries");
    let state = format!("{}   {tries}", outbox_state(mail.state));
    let mut head = vec![
        ("to", format!("{}   {}", name(&mail.to, out.glyphs), mail.to.id)),
        ("sent", out.time(mail.mail.sent_ms, "%Y-%m-%d %H:%M:%S")),
        ("state", state),
    ];
    if !mail.error.is_empty() {
        head.push(("last try", super::escape_line(&mail.error).into_owned()));
    }
    if !mail.state.is_settled() {
        head.push(("expires", out.time(mail.mail.not_after_ms, "%Y-%m-%d %H:%M:%S")));
    }
    head.extend(about(&mail.mail));
    full(head, &mail.text(), out)
}

fn about(mail: &Mail) -> Vec<(&'static str, String)> {
    let mut about = vec![("id", mail.id.to_string()), ("talk", mail.conversation.to_string())];
    if mail.kind != kind::MESSAGE {
        about.push(("kind", super::escape_line(&mail.kind).into_owned()));
    }
    about.extend(mail.priority.map(|priority| ("priority", priority.to_string())));
    about.extend(mail.in_reply_to.map(|id| ("answers", id.to_string())));
    about
}

fn full(head: Vec<(&str, String)>, text: &str, out: &Out) -> String {
    let row =
        |(label, value): (&str, String)| format!("{} {value}", out.style.paint(Role::Dim, &format!("{label:<9}")));
    let head: Vec<String> = head.into_iter().map(row).collect();
    format!("{}\n\n{}", head.join("\n"), escape_all(text.trim_end()))
}

#[cfg(test)]
mod tests {
    use p2pnode::{
        ConversationId, PeerId, PeerRef,
        store::WorkState,
        wire::{
            ids::{MailId, PeerKey},
            mail::Part,
        },
    };
    use unicode_width::UnicodeWidthStr as _;

    use super::*;
    use crate::args::{Early, global::Color};

    fn out() -> Out {
        let mut out = Out::new(Early { color: Color::Never, ..Early::default() }, false);
        (out.glyphs, out.width) = (super::super::style::UNICODE, 80);
        out
    }

    fn mail(text: &str) -> Mail {
        Mail {
            v: 1,
            id: MailId("019e4ab0-1d0d-709a-8000-00009f31c2d4".parse().unwrap()),
            swarm: None,
            from: PeerKey([1; 32]),
            to: PeerKey([2; 32]),
            kind: kind::MESSAGE.into(),
            conversation: ConversationId::new(),
            in_reply_to: None,
            priority: Some(4),
            via: Vec::new(),
            sent_ms: 0,
            not_after_ms: 0,
            trace: None,
            meta: None,
            parts: vec![Part::Text(text.into())],
        }
    }

    fn inbox(text: &str, stranger: bool) -> InboxMail {
        InboxMail {
            from: PeerRef { id: PeerId::random(), name: "reviewer".into() },
            mail: mail(text),
            received_ms: 0,
            state: InboxState::Unread,
            work: WorkState::None,
            stranger,
        }
    }

    #[test]
    fn a_table_fits_and_marks_strangers() {
        let mails = [inbox("run the tests\nand \u{1b}[2J tell", false), inbox(&"spam ".repeat(50), true)];
        let table = inbox_table(&mails, &out());
        assert!(table.lines().all(|line| line.width() <= 80), "{table}");
        assert!(table.contains("9f31c2d4  reviewer") && table.contains("run the tests (+1 line)"), "{table}");
        assert!(
            table.contains("unread, requests") && table.ends_with("2 messages: 2 unread, 1 in requests"),
            "{table}"
        );
    }

    #[test]
    fn all_of_a_message_is_shown_and_harmless() {
        let text = inbox_text(&inbox("one\n\u{1b}]0;x\u{7}two", true), &out());
        assert!(text.contains("requests") && text.contains("\n\none\n") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_message_on_its_way_says_until_when() {
        let sent = OutboxMail {
            to: PeerRef { id: PeerId::random(), name: "moss".into() },
            mail: mail("hi"),
            state: OutboxState::Sent,
            attempts: 2,
            next_ms: 0,
            changed_ms: 0,
            error: "no\u{7} route".into(),
        };
        let text = outbox_text(&sent, &out());
        assert!(text.contains("on its way   2 tries") && text.contains("expires") && !text.contains('\u{7}'), "{text}");
        assert!(outbox_table(&[sent], &out()).ends_with("1 message: 1 on the way"));
    }
}
