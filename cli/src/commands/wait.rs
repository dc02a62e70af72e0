//! `p2pnode wait`: until something is there.

use std::{fmt, time::Duration};

use p2pnode::{Peer, PeerState, SwarmSeen};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    args::reach::Wait,
    connect::{self, Session, Want},
    context::Ctx,
    error::{CliError, exit},
};

/// Without `--timeout`.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// One thing to wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Online,
    Peers(usize),
    Peer(String),
    Cap(String),
    Swarm(String),
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => write!(f, "online"),
            Self::Peers(number) => write!(f, "peers {number}"),
            Self::Peer(name) => write!(f, "peer {name}"),
            Self::Cap(name) => write!(f, "cap {name}"),
            Self::Swarm(name) => write!(f, "swarm {name}"),
        }
    }
}

impl Condition {
    fn holds(&self, peers: &[Peer], seen: &[SwarmSeen]) -> bool {
        match self {
            Self::Online => !peers.is_empty(),
            Self::Peers(number) => peers.len() >= *number,
            Self::Peer(name) => peers.iter().any(|peer| is(peer, name)),
            Self::Cap(name) => {
                peers.iter().flat_map(|peer| &peer.capabilities).any(|capability| capability.name == *name)
            }
            Self::Swarm(name) => {
                let member = peers.iter().any(|peer| peer.swarms.iter().any(|swarm| swarm == name));
                member || seen.iter().any(|swarm| swarm.name == *name && swarm.nodes > 0)
            }
        }
    }
}

/// By name, id, or a prefix of the id that is long enough.
fn is(peer: &Peer, name: &str) -> bool {
    peer.name == name || (name.len() >= 6 && peer.id.to_string().starts_with(name))
}

/// Silent if all came true, else exit 10 with what is missing.
pub(super) async fn run(ctx: &Ctx, args: &Wait) -> Result<(), CliError> {
    let conditions = parse(&args.conditions)?;
    let mut missing = conditions.clone();
    let outcome = ctx.guard(Some(TIMEOUT), until(ctx, &conditions, &mut missing)).await;
    match outcome {
        Ok(()) => ctx.answer(json!({"met": texts(&conditions)}), ctx.meta(), String::new),
        Err(error) if error.facts().number == Some(1001) => Err(not_met(ctx, &missing)),
        Err(error) => Err(error),
    }
}

async fn until(ctx: &Ctx, conditions: &[Condition], missing: &mut Vec<Condition>) -> Result<(), CliError> {
    loop {
        let session = Session::open(ctx, Want::All(None), None).await?;
        let done = watch(ctx, &session, conditions, missing).await;
        session.close().await;
        if done {
            return Ok(());
        }
    }
}

/// True: all hold. False: there is a swarm now that this session is not in.
async fn watch(ctx: &Ctx, session: &Session, conditions: &[Condition], missing: &mut Vec<Condition>) -> bool {
    loop {
        let node = session.node();
        let mut peers = session.peers();
        peers.retain(|peer| !peer.ephemeral && peer.state == PeerState::Online);
        let seen = node.swarms_seen();
        missing.clone_from(&conditions.iter().filter(|condition| !condition.holds(&peers, &seen)).cloned().collect());
        if missing.is_empty() {
            return true;
        }
        let new = seen.iter().any(|swarm| !swarm.joined && !session.swarms().contains(&swarm.name));
        if new && ctx.global.swarm.is_none() && !session.is_borrowed() {
            return false;
        }
        sleep(LOOK).await;
    }
}

fn not_met(ctx: &Ctx, missing: &[Condition]) -> CliError {
    let waited = crate::output::render::seconds(ctx.started.elapsed());
    let all = texts(missing).join(", ");
    CliError::new("not_met", exit::CHECK, format!("not there within {waited}: {all}"))
        .retryable(true)
        .detail("missing", texts(missing))
        .try_also("p2pnode peers", "who can be seen")
}

fn texts(conditions: &[Condition]) -> Vec<String> {
    conditions.iter().map(ToString::to_string).collect()
}

fn parse(words: &[String]) -> Result<Vec<Condition>, CliError> {
    let mut words = words.iter();
    let mut conditions = Vec::new();
    while let Some(word) = words.next() {
        let value = match word.as_str() {
            "online" => "",
            "peers" | "peer" | "cap" | "swarm" => {
                words.next().ok_or_else(|| what(&format!("`{word}` needs a value")))?
            }
            other => return Err(what(&format!("there is no condition `{other}`"))),
        };
        conditions.push(match word.as_str() {
            "online" => Condition::Online,
            "peers" => Condition::Peers(value.parse().map_err(|_| what(&format!("`peers {value}` is no number")))?),
            "peer" => Condition::Peer(value.to_owned()),
            "cap" => Condition::Cap(value.to_owned()),
            _ => Condition::Swarm(connect::swarm_name(value)?),
        });
    }
    Ok(conditions)
}

fn what(message: &str) -> CliError {
    CliError::usage(message)
        .maybe("conditions are: online, peers N, peer NAME, cap NAME, swarm NAME")
        .try_this("p2pnode wait peers 3 --swarm garden --timeout 30s")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Vec<Condition>, CliError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn conditions_follow_each_other() {
        let all = parsed("peers 3 peer reviewer online cap pytest swarm Garden").unwrap();
        assert_eq!(texts(&all), ["peers 3", "peer reviewer", "online", "cap pytest", "swarm garden"]);
        for line in ["peers", "peers many", "peers -1", "wibble", "swarm a/b"] {
            assert_eq!(parsed(line).unwrap_err().exit(), 2, "{line}");
        }
    }

    #[test]
    fn nobody_fulfils_nothing() {
        assert!(!Condition::Online.holds(&[], &[]));
        assert!(Condition::Peers(0).holds(&[], &[]));
        let garden = SwarmSeen {
            name: "garden".into(),
            nodes: 1,
            seen_by: vec!["local".into()],
            joined: false,
            last_seen: Duration::ZERO,
        };
        assert!(Condition::Swarm("garden".into()).holds(&[], &[garden]));
    }
}
