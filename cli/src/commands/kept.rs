//! What is kept: read from the node that runs, else from the database of the profile; and ids by a few of their digits.

use std::path::Path;

use p2pnode::{
    ConversationId, ErrorCode, History, Mailbox, Node, PeerRef, SendError,
    store::{ConversationQuery, StoreError},
};
use serde_json::json;

use crate::{
    context::Ctx,
    control::Daemon,
    error::{CliError, exit},
    output::{
        json::{Meta, millis},
        render::quote,
    },
    profile,
};

/// Candidates that are told of.
pub(super) const CANDIDATES: usize = 20;

/// Entries of this host.
#[derive(Debug)]
pub(super) struct Kept {
    /// For reading.
    pub(super) history: History,
    /// What the messages of this node are from.
    pub(super) own: PeerRef,
    node: Option<Node>,
}

impl Kept {
    /// Of the node that runs here, else the file.
    pub(super) async fn open(ctx: &Ctx) -> Result<Self, CliError> {
        if let Some(daemon) = &ctx.daemon {
            let node = daemon.node().clone();
            let own = PeerRef { id: node.peer_id(), name: node.name().to_owned() };
            return Ok(Self { history: node.history().ok_or_else(keeps_nothing)?, own, node: Some(node) });
        }
        let (paths, name) = (profile::paths(&ctx.global)?, profile::chosen(&ctx.global));
        let key = paths.identity_path(name)?;
        let file = key.with_file_name("node.db");
        if !file.exists() {
            return Err(no_store(name, &file));
        }
        let identity = p2pnode::Identity::load(&key).ok().flatten();
        let id = identity.map_or_else(p2pnode::PeerId::random, |identity| identity.peer_id());
        Ok(Self { history: History::open(file).await?, own: PeerRef { id, name: "me".to_owned() }, node: None })
    }

    /// `meta` of an answer.
    pub(super) fn meta(&self, ctx: &Ctx) -> Meta {
        let via = if self.node.is_some() { "daemon" } else { "file" };
        Meta::from([("via", json!(via)), ("elapsed_ms", millis(ctx.started.elapsed()))])
    }

    /// A conversation by some digits of its id.
    pub(super) async fn conversation(&self, id: &str) -> Result<ConversationId, CliError> {
        let query = ConversationQuery { id: Some(digits(id)?), limit: CANDIDATES, ..ConversationQuery::default() };
        let found = self.history.conversations(query).await?;
        let lines = found.iter().map(|row| (row.id.to_string(), row.id));
        the_one("conversation", id, lines.collect(), "p2pnode conv list")
    }
}

/// The conversation that is named: its whole id, known or not, or some digits of one that is kept.
pub(super) async fn given(ctx: &Ctx, id: Option<&str>) -> Result<Option<ConversationId>, CliError> {
    let Some(id) = id else { return Ok(None) };
    match id.parse() {
        Ok(id) => Ok(Some(id)),
        Err(_) => Ok(Some(Kept::open(ctx).await?.conversation(id).await?)),
    }
}

/// The node for whose client this runs, and its mail.
pub(super) fn mailbox(ctx: &Ctx) -> Result<(&Daemon, Mailbox), CliError> {
    let daemon = ctx.daemon.as_deref().ok_or_else(|| CliError::internal("no node runs here"))?;
    Ok((daemon, daemon.node().mail().ok_or_else(keeps_nothing)?))
}

/// No node has run with this profile.
pub(super) fn no_store(profile: &str, file: &Path) -> CliError {
    CliError::of(ErrorCode::NotFound, format!("profile \"{profile}\" keeps nothing yet"))
        .looked(file.display().to_string())
        .try_also("p2pnode up garden --detach", "a node that keeps what is said")
}

/// Nothing of a damaged file is used; what is whole in it can be had back.
fn damaged(file: &Path, text: String) -> CliError {
    let profile = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy()).unwrap_or_default();
    let option = if profile == profile::DEFAULT { String::new() } else { format!(" --profile {}", quote(&profile)) };
    CliError::new("store_damaged", exit::INTERNAL, text)
        .maybe("the disk fails, or the file was cut off or changed by something else; look after its backup, too")
        .try_also(format!("p2pnode history salvage{option}"), "keeps what is whole, and the damaged file beside it")
}

fn keeps_nothing() -> CliError {
    CliError::internal("this node keeps nothing")
}

/// Hex digits of an id; dashes do not count.
pub(super) fn digits(id: &str) -> Result<String, CliError> {
    let digits: String = id.trim().chars().filter(|sign| *sign != '-').collect();
    match digits.is_empty() {
        true => Err(CliError::usage("an id has hex digits; give the last ones, or the first")),
        false => Ok(digits.to_ascii_lowercase()),
    }
}

/// The only one there is; `found` are ids and what they stand for.
pub(super) fn the_one<T>(what: &str, id: &str, mut found: Vec<(String, T)>, list: &str) -> Result<T, CliError> {
    let full = digits(id)?;
    if let Some(at) = found.iter().position(|(id, _)| id.replace('-', "") == full).filter(|_| found.len() > 1) {
        found.swap(0, at);
        found.truncate(1);
    }
    match found.len() {
        0 => {
            Err(CliError::of(ErrorCode::NotFound, format!("there is no {what} {}", quote(id)))
                .try_also(list, "all ids"))
        }
        1 => Ok(found.swap_remove(0).1),
        more => {
            let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();
            let more = if more >= CANDIDATES { format!("{more} or more") } else { more.to_string() };
            let error = CliError::of(ErrorCode::Ambiguous, format!("{more} {what}s have the id {}", quote(id)));
            let error = error.detail("candidates", ids.as_slice());
            Err(ids.iter().take(5).fold(error, |error, id| error.maybe(*id)))
        }
    }
}

/// Whether a peer is the one that was named, by name or by id.
pub(super) fn is(peer: &PeerRef, wanted: &str) -> bool {
    peer.name == wanted || wanted.len() >= 6 && peer.id.to_string().starts_with(wanted)
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Damaged { path, .. } => damaged(&path, text),
            StoreError::NoSpace { .. } => Self::new("no_space", exit::INTERNAL, text),
            StoreError::Newer { .. } => Self::new("store_newer", exit::INTERNAL, text),
            StoreError::InUse { .. } => Self::new("store_in_use", exit::CONFLICT, text),
            StoreError::Full(_) => Self::of(ErrorCode::Overloaded, text),
            StoreError::Closed => Self::of(ErrorCode::AgentUnavailable, text),
            _ => Self::internal(text),
        }
    }
}

impl From<SendError> for CliError {
    fn from(error: SendError) -> Self {
        let text = error.to_string();
        match error {
            SendError::Target(error) => error.into(),
            SendError::Store(error) => error.into(),
            SendError::Own | SendError::Priority(_) => Self::usage(text),
            SendError::TooLarge { .. } => Self::of(ErrorCode::TooLarge, text),
            SendError::Budget { .. } => Self::of(ErrorCode::BudgetExceeded, text),
            SendError::Full { .. } => Self::of(ErrorCode::Overloaded, text).try_also("p2pnode outbox", "what waits"),
            SendError::NoSuchMessage(_) => Self::of(ErrorCode::NotFound, text),
            _ => Self::of(ErrorCode::AgentUnavailable, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_unique_unknown_or_ambiguous() {
        let found = |ids: &[&str]| ids.iter().enumerate().map(|(at, id)| ((*id).to_owned(), at)).collect::<Vec<_>>();
        assert_eq!(the_one("message", "a1", found(&["00a1"]), "list").unwrap(), 0);
        assert_eq!(the_one("message", "a1", found(&["00a1", "a1"]), "list").unwrap(), 1, "the whole id wins");
        let none = the_one("message", "ff", found(&[]), "p2pnode inbox").unwrap_err();
        assert_eq!(none.exit(), 5);
        let two = the_one("message", "a1", found(&["00a1", "a100"]), "list").unwrap_err();
        assert_eq!((two.exit(), two.facts().maybe.len()), (8, 2));
        assert_eq!(the_one("message", "-", found(&[]), "list").unwrap_err().exit(), 2);
    }
}
