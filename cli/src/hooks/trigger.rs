//! What wakes a program, and what it is told.

use std::path::PathBuf;

use p2pnode::{
    ConversationEvent, InboxMail, Mutes, Node, NodeEvent, PeerId, PeerRef, Said,
    store::Store,
    wire::{ids::SwarmId, subject::Pattern},
};
use serde_json::{Value, json};

use crate::{
    args::Global,
    error::CliError,
    output::{Out, escape_line, feed::said_json, json::ascii, peers::reference},
    profile,
    program::{Hooks, Job},
};

/// Which events and messages are meant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trigger {
    /// Events with such a subject.
    pub(crate) pattern: Option<Pattern>,
    /// Messages that arrive.
    pub(crate) mail: bool,
    /// Only events of these swarms.
    pub(crate) swarms: Option<Vec<String>>,
    /// Only messages in the name of this swarm.
    pub(crate) mail_of: Option<SwarmId>,
}

/// What arrived, for a program.
#[derive(Debug)]
pub(crate) struct Arrived {
    /// Who said it.
    pub(crate) from: PeerRef,
    json: Value,
    variables: Vec<(&'static str, String)>,
}

impl Trigger {
    /// What a program is told of this, if it is meant.
    pub(crate) fn arrived(&self, event: &NodeEvent) -> Option<Arrived> {
        match event {
            NodeEvent::Conversation(event) => self.emitted(event),
            NodeEvent::MailArrived(letter) if self.mail => self.message(letter),
            _ => None,
        }
    }

    fn emitted(&self, event: &ConversationEvent) -> Option<Arrived> {
        let (Said::Emitted { subject, .. }, Some(pattern)) = (&event.said, &self.pattern) else { return None };
        if !pattern.matches(subject) || self.swarms.as_ref().is_some_and(|swarms| !swarms.contains(&event.swarm)) {
            return None;
        }
        let (kind, mut json) = said_json(event);
        json["kind"] = kind.into();
        let mut variables = caller(&event.author);
        variables.extend([
            ("P2PNODE_SWARM", event.swarm.clone()),
            ("P2PNODE_CONVERSATION", event.conversation.to_string()),
            ("P2PNODE_SUBJECT", escape_line(subject).into_owned()),
        ]);
        Some(Arrived { from: event.author.clone(), json, variables })
    }

    fn message(&self, letter: &InboxMail) -> Option<Arrived> {
        let mail = &letter.mail;
        if self.mail_of.is_some() && mail.swarm != self.mail_of {
            return None;
        }
        let json = json!({
            "kind": "mail", "peer": reference(&letter.from), "id": mail.id.to_string(),
            "conversation": mail.conversation.to_string(), "mail_kind": mail.kind, "text": letter.text(),
            "sent_ms": mail.sent_ms, "received_ms": letter.received_ms, "stranger": letter.stranger,
        });
        let mut variables = caller(&letter.from);
        variables
            .extend([("P2PNODE_MAIL", mail.id.to_string()), ("P2PNODE_CONVERSATION", mail.conversation.to_string())]);
        Some(Arrived { from: letter.from.clone(), json, variables })
    }
}

/// Names are foreign text: what could steer a terminal that a program logs to is spelled out.
fn caller(from: &PeerRef) -> Vec<(&'static str, String)> {
    vec![("P2PNODE_CALLER", from.id.to_string()), ("P2PNODE_CALLER_NAME", escape_line(&from.name).into_owned())]
}

/// Wakes a program, or tells that there are too many.
pub(crate) fn offer(out: &Out, hooks: &mut Hooks, which: usize, arrived: Arrived) {
    let job = Job { stdin: ascii(&arrived.json).into_bytes(), variables: arrived.variables, ..Job::default() };
    if !hooks.offer(which, job) {
        let dropped = hooks.counts().dropped;
        // At 1, 2, 4, 8, …: a flood is not to fill a log.
        if dropped.is_power_of_two() {
            out.note(&format!("{dropped} events dropped so far: too many at once for the program"));
        }
    }
}

/// Who is muted: by the node, or by that of the profile.
#[derive(Debug)]
pub(crate) enum Muted {
    /// This node remembers it.
    Node(Mutes),
    /// The store of a profile does, if it is there.
    File(PathBuf),
}

impl Muted {
    /// For a node; one that lives for a command asks that of the profile.
    pub(crate) fn of(node: &Node, global: &Global) -> Result<Self, CliError> {
        match node.mutes() {
            Some(mutes) => Ok(Self::Node(mutes)),
            None => Ok(Self::File(profile::paths(global)?.store_path(profile::chosen(global))?)),
        }
    }

    /// Asked each time: it counts at once.
    pub(crate) async fn has(&self, peer: &PeerId) -> Result<bool, CliError> {
        match self {
            Self::Node(mutes) => Ok(mutes.list().await?.iter().any(|muted| muted.id == *peer)),
            Self::File(file) if !file.exists() => Ok(false),
            Self::File(file) => {
                let file = file.clone();
                let opened = tokio::task::spawn_blocking(move || Store::open_read_only(&file)).await;
                let store = opened.map_err(|error| CliError::internal(error.to_string()))??;
                Ok(Mutes::kept(&store).await?.iter().any(|muted| muted.id == *peer))
            }
        }
    }
}
