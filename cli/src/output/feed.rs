//! What a node notices, one line per event.

use std::{collections::BTreeMap, net::IpAddr};

use p2pnode::{
    ConversationEvent, Multiaddr, NodeEvent, OutboxMail, Peer, PeerRef, Said, store::OutboxState,
    value::to_json as to_json_value,
};
use serde_json::{Value, json};

use super::{
    Out, address,
    asked::body,
    escape_line,
    json::millis,
    mail::is_receipt,
    peers::{name, peer_json, reference},
    render::{count, duration},
    style::Role,
};
use crate::error::CliError;

/// Signs of a question that a line shows.
const QUESTION: usize = 60;

/// Shows events of one node.
#[derive(Debug)]
pub(crate) struct Feed<'a> {
    out: &'a Out,
    /// IP addresses of this host, to say "this host".
    own: Vec<IpAddr>,
}

impl<'a> Feed<'a> {
    /// `listen`: where the node listens.
    pub(crate) fn new(out: &'a Out, listen: &[Multiaddr]) -> Self {
        let own = listen.iter().filter_map(|addr| address::ip(&addr.to_string())?.parse().ok()).collect();
        Self { out, own }
    }

    /// The line for people, without its time; nothing for what only programs want.
    pub(crate) fn line(&self, event: &NodeEvent) -> Option<String> {
        let glyphs = self.out.glyphs;
        let who = |peer: &PeerRef| name(peer, glyphs);
        let to = |peer: &PeerRef| format!("{} {}", glyphs.to, name(peer, glyphs));
        Some(match event {
            NodeEvent::PeerJoined(peer) => self.joined(peer),
            NodeEvent::PeerSuspect(peer) => self.row(Role::Warn, "suspect", &who(&peer.to_ref()), "does not answer"),
            NodeEvent::PeerOffline(peer) => self.row(Role::Bad, "offline", &who(&peer.to_ref()), ""),
            NodeEvent::PeerLeft(peer) => self.row(Role::Dim, "left", &who(peer), ""),
            NodeEvent::AskReceived { from, text, .. } => self.row(Role::Accent, "ask", &who(from), &question(text)),
            NodeEvent::AskFinished { from, outcome, elapsed, .. } => {
                self.finished(&to(from), outcome, &duration(*elapsed))
            }
            NodeEvent::CallServed { from, endpoint, error, elapsed, .. } => {
                let (role, how) = match error {
                    None => (Role::Accent, "ok".to_owned()),
                    Some(error) => (Role::Bad, format!("failed: {}", escape_line(error))),
                };
                let what = format!("{}   {how}   {}", escape_line(endpoint), duration(*elapsed));
                self.row(role, "call", &who(from), &what)
            }
            NodeEvent::Conversation(event) => return self.said(event),
            NodeEvent::MailArrived(mail) => {
                let requests = if mail.stranger { "   requests" } else { "" };
                let what = format!("{}   {}{requests}", question(&mail.text()), mail.mail.id.short());
                self.row(Role::Ok, "mail", &who(&mail.from), &what)
            }
            NodeEvent::MailChanged(mail) => return self.changed(mail),
            NodeEvent::CaughtUp { swarm, with, events } => {
                let what = format!("{} of {}", count(*events, "missed event", "missed events"), escape_line(swarm));
                self.row(Role::Dim, "caught up", &who(with), &what)
            }
            NodeEvent::Compacted { swarm, conversation, summary } => {
                let folded = count(usize::try_from(summary.events).unwrap_or(usize::MAX), "event", "events");
                let what = format!("{folded} of {} in {}", conversation.short(), escape_line(swarm));
                self.row(Role::Dim, "folded", &what, "")
            }
            NodeEvent::FeedForked { swarm, author, .. } => {
                let what = format!("has signed two different histories in {}: do not trust it", escape_line(swarm));
                self.row(Role::Warn, "warning", &who(author), &what)
            }
            NodeEvent::ScheduleRan { name, when, outcome, elapsed } => {
                let role = if outcome == "ok" { Role::Ok } else { Role::Bad };
                let how = format!("{when}   {}   {}", escape_line(outcome), duration(*elapsed));
                self.row(role, "run", name, &how)
            }
            NodeEvent::Warning(text) => self.row(Role::Warn, "warning", &escape_line(text), ""),
            NodeEvent::Lagged(number) => {
                self.row(Role::Warn, "missed", &format!("{number} events: too many at once"), "")
            }
            NodeEvent::PeerUpdated(peer) if self.out.verbose => {
                self.row(Role::Dim, "updated", &who(&peer.to_ref()), "new card")
            }
            NodeEvent::Listening(addr) if self.out.verbose => self.row(Role::Dim, "listen", &addr.to_string(), ""),
            _ => return None,
        })
    }

    /// What was said in a conversation; nothing for what stands elsewhere.
    pub(crate) fn said(&self, event: &ConversationEvent) -> Option<String> {
        let who = name(&event.author, self.out.glyphs);
        let id = event.conversation.short();
        let row = |role, what: &str, more: &str| Some(self.row(role, what, &who, &format!("{more}   {id}")));
        match &event.said {
            Said::Ask { text, .. } => row(Role::Accent, "asks", &question(text)),
            Said::Broadcast { endpoint, args, .. } => {
                let args: Vec<String> = args.iter().map(|arg| to_json_value(arg).to_string()).collect();
                row(Role::Accent, "calls", &format!("{} {}", escape_line(endpoint), question(&args.join(" "))))
            }
            Said::Ack => row(Role::Dim, "acked", ""),
            Said::Progress(text) => row(Role::Dim, "working", &escape_line(text)),
            Said::Reply(value) => row(Role::Ok, "replied", &question(&body(value))),
            Said::Failed(error) => row(Role::Bad, "failed", &escape_line(&error.message)),
            Said::Emitted { subject, data } => {
                row(Role::Accent, "event", &format!("{subject} {}", question(&body(data))))
            }
            Said::Leave if event.parent.is_some() => row(Role::Dim, "enough", ""),
            Said::Leave => None,
            other => row(Role::Dim, "said", &escape_line(other.kind())),
        }
    }

    /// How a message of this node has come along; nothing while it is on its way, nor for receipts.
    fn changed(&self, mail: &OutboxMail) -> Option<String> {
        let role = match mail.state {
            OutboxState::Sent => return None,
            OutboxState::Expired | OutboxState::Refused => Role::Bad,
            _ => Role::Dim,
        };
        let to = format!("{} {}", self.out.glyphs.to, name(&mail.to, self.out.glyphs));
        let why = if mail.error.is_empty() { String::new() } else { format!("   {}", escape_line(&mail.error)) };
        let what = format!("{}   {}{why}", question(&mail.text()), mail.mail.id.short());
        (!is_receipt(&mail.mail)).then(|| self.row(role, super::mail::outbox_state(mail.state), &to, &what))
    }

    fn joined(&self, peer: &Peer) -> String {
        let addr = peer.path.as_ref().map(|path| path.addr.to_string()).unwrap_or_default();
        let relayed = peer.path.as_ref().is_some_and(|path| path.kind == "relay");
        let place = if relayed { "over a relay" } else { address::ip(&addr).unwrap_or_default() };
        let here = place.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback() || self.own.contains(&ip));
        let place = if here { format!("{place}   (this host)") } else { place.to_owned() };
        self.row(Role::Ok, "joined", &name(&peer.to_ref(), self.out.glyphs), &place)
    }

    fn finished(&self, to: &str, outcome: &str, time: &str) -> String {
        match outcome {
            "reply" => self.row(Role::Ok, "reply", to, time),
            "declined" => self.row(Role::Dim, "declined", to, time),
            "cancelled" => self.row(Role::Dim, "withdrawn", to, time),
            other => self.row(
                Role::Bad,
                "failed",
                to,
                &format!("{}   {time}", escape_line(other.trim_start_matches("failed: "))),
            ),
        }
    }

    fn row(&self, role: Role, what: &str, who: &str, more: &str) -> String {
        let word = self.out.style.paint(role, &format!("{what:<8}"));
        format!("{word} {who:<10}   {more}").trim_end().to_owned()
    }
}

fn question(text: &str) -> String {
    let text = escape_line(text);
    let short: String = text.chars().take(QUESTION).collect();
    let cut = if short.len() < text.len() { "..." } else { "" };
    format!("\"{short}{cut}\"")
}

/// What was said, for programs: kind and fields.
pub(crate) fn said_json(event: &ConversationEvent) -> (String, Value) {
    let mut fields = json!({
        "peer": reference(&event.author),
        "swarm": event.swarm,
        "conversation": event.conversation.to_string(),
        "id": event.id.to_string(),
        "parent": event.parent.map(|id| id.to_string()),
        "feed": {"epoch": event.feed.0, "seq": event.feed.1},
        "own": event.own,
    });
    let more = said_body(&event.said);
    if let (Some(fields), Value::Object(more)) = (fields.as_object_mut(), more) {
        fields.extend(more);
    }
    (said_kind(&event.said).to_owned(), fields)
}

/// What programs call it.
pub(crate) fn said_kind(said: &Said) -> &str {
    match said {
        Said::Emitted { .. } => "event",
        Said::Other { .. } => "other",
        said => said.kind(),
    }
}

/// What it says beside its kind, for programs.
pub(crate) fn said_body(said: &Said) -> Value {
    match said {
        Said::Ask { text, context } => {
            let context: BTreeMap<_, _> = context.iter().map(|(name, value)| (name, to_json_value(value))).collect();
            json!({"text": text, "context": context})
        }
        Said::Broadcast { endpoint, args, kwargs } => {
            let args: Vec<Value> = args.iter().map(to_json_value).collect();
            let kwargs: BTreeMap<_, _> = kwargs.iter().map(|(name, value)| (name, to_json_value(value))).collect();
            json!({"endpoint": endpoint, "args": args, "kwargs": kwargs})
        }
        Said::Progress(text) => json!({"text": text}),
        Said::Reply(value) => json!({"result": to_json_value(value)}),
        Said::Failed(error) => json!({"error": CliError::from(error.clone()).to_json()}),
        Said::Emitted { subject, data } => json!({"subject": subject, "data": to_json_value(data)}),
        Said::Other { body, .. } => json!({"body": super::json::bytes(body)}),
        _ => json!({}),
    }
}

/// The same for programs: kind and fields.
pub(crate) fn to_json(event: &NodeEvent) -> (String, Value) {
    if let NodeEvent::Conversation(event) = event {
        return said_json(event);
    }
    let (kind, fields) = own_json(event);
    (kind.to_owned(), fields)
}

fn own_json(event: &NodeEvent) -> (&'static str, Value) {
    match event {
        NodeEvent::Listening(addr) => ("listening", json!({"addr": addr.to_string()})),
        NodeEvent::PeerJoined(peer) => ("joined", json!({"peer": reference(&peer.to_ref()), "card": peer_json(peer)})),
        NodeEvent::PeerUpdated(peer) => {
            ("updated", json!({"peer": reference(&peer.to_ref()), "card": peer_json(peer)}))
        }
        NodeEvent::PeerSuspect(peer) => ("suspect", json!({"peer": reference(&peer.to_ref())})),
        NodeEvent::PeerOffline(peer) => ("offline", json!({"peer": reference(&peer.to_ref())})),
        NodeEvent::PeerLeft(peer) => ("left", json!({"peer": reference(peer)})),
        NodeEvent::AskReceived { from, conversation, text, .. } => {
            ("ask", json!({"peer": reference(from), "conversation": conversation.to_string(), "text": text}))
        }
        NodeEvent::AskFinished { from, conversation, outcome, elapsed } => (
            "ask_finished",
            json!({
                "peer": reference(from), "conversation": conversation.to_string(),
                "outcome": outcome, "elapsed_ms": millis(*elapsed),
            }),
        ),
        NodeEvent::CallServed { from, endpoint, ok, error, elapsed } => (
            "call",
            json!({
                "peer": reference(from), "endpoint": endpoint, "served": ok,
                "error": error, "elapsed_ms": millis(*elapsed),
            }),
        ),
        // Not beside the kind of the line: a message has one of its own.
        NodeEvent::MailArrived(mail) => {
            ("mail", json!({"peer": reference(&mail.from), "mail": super::mail::inbox_json(mail)}))
        }
        NodeEvent::MailChanged(mail) => {
            ("mail_changed", json!({"peer": reference(&mail.to), "mail": super::mail::outbox_json(mail)}))
        }
        NodeEvent::CaughtUp { swarm, with, events } => {
            ("caught_up", json!({"swarm": swarm, "peer": reference(with), "events": events}))
        }
        NodeEvent::Compacted { swarm, conversation, summary } => (
            "compacted",
            json!({"swarm": swarm, "conversation": conversation.to_string(), "summary": super::entry::summary_json(summary)}),
        ),
        NodeEvent::FeedForked { swarm, author, epoch } => {
            ("feed_forked", json!({"swarm": swarm, "peer": reference(author), "epoch": epoch}))
        }
        NodeEvent::ScheduleRan { name, when, outcome, elapsed } => (
            "run",
            json!({
                "name": name, "when": when, "succeeded": outcome == "ok", "outcome": outcome,
                "elapsed_ms": millis(*elapsed),
            }),
        ),
        NodeEvent::Warning(text) => ("warning", json!({"message": text})),
        NodeEvent::Lagged(number) => ("lagged", json!({"missed": number})),
        _ => ("other", json!({})),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::args::Early;

    fn feed(out: &Out) -> Feed<'_> {
        Feed::new(out, &["/ip4/192.168.1.25/tcp/9999".parse().unwrap()])
    }

    #[test]
    fn lines_in_the_words_of_the_page() {
        let mut out = Out::new(Early { color: crate::args::global::Color::Never, ..Early::default() }, false);
        out.glyphs = super::super::style::UNICODE;
        let peer = PeerRef { id: p2pnode::PeerId::random(), name: "cli-9f31".into() };
        let served = |error: Option<&str>| NodeEvent::CallServed {
            from: peer.clone(),
            endpoint: "sum".into(),
            ok: error.is_none(),
            error: error.map(str::to_owned),
            elapsed: Duration::from_millis(3),
        };
        let cases = [
            (NodeEvent::PeerLeft(peer.clone()), "left     cli-9f31"),
            (served(None), "call     cli-9f31     sum   ok   3 ms"),
            (served(Some("no\nnumber")), "call     cli-9f31     sum   failed: no\\nnumber   3 ms"),
            (
                NodeEvent::CaughtUp { swarm: "garden".into(), with: peer.clone(), events: 3 },
                "caught up cli-9f31     3 missed events of garden",
            ),
            (
                NodeEvent::FeedForked { swarm: "garden".into(), author: peer.clone(), epoch: 1 },
                "warning  cli-9f31     has signed two different histories in garden: do not trust it",
            ),
            (NodeEvent::Lagged(7), "missed   7 events: too many at once"),
        ];
        for (event, expected) in cases {
            let line = feed(&out).line(&event).unwrap();
            assert!(!line.contains('\n'));
            if !expected.contains("\\n") {
                assert_eq!(line, expected);
            }
        }
        let finished = |outcome: &str| feed(&out).finished("→ cli-9f31", outcome, "3 ms");
        assert_eq!(finished("reply"), "reply    → cli-9f31   3 ms");
        assert_eq!(finished("failed: exit 1"), "failed   → cli-9f31   exit 1   3 ms");
    }

    #[test]
    fn long_questions_are_cut_and_harmless() {
        let shown = question(&format!("\u{1b}[2J\n{}", "x".repeat(500)));
        assert!(shown.chars().count() < 70 && !shown.contains('\u{1b}') && !shown.contains('\n'), "{shown}");
        assert_eq!(question("hi"), "\"hi\"");
    }
}
