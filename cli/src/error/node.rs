//! What the node's errors mean to somebody at a terminal.

use p2pnode::{
    AskError, BootstrapAddr, CallError, DhtError, ErrorCode, FindError, Node, PublishError, RpcError, StartError,
    TargetError,
};
use serde_json::json;

use super::{CliError, exit};
use crate::output::render::{again, quote};

/// No swarm is visible, and none was named.
pub(crate) fn no_swarm(node: &Node) -> CliError {
    let error = CliError::of(ErrorCode::TransportNoResponders, "no swarm can be seen from here, and none was named");
    crate::connect::looked(error, node, None)
        .try_also("p2pnode up garden --demo", "start the first node of a swarm")
        .try_also("p2pnode swarms --scan 5s", "look longer")
}

/// The address that was to be called does not answer.
pub(crate) fn unreachable(node: &Node, address: &BootstrapAddr) -> CliError {
    let error = CliError::of(ErrorCode::AgentUnavailable, format!("{address} cannot be reached"));
    let error = error.maybe("nothing listens there, or something on the way lets nothing through");
    let failed = node.looked().bootstrap_failed;
    failed.into_iter().fold(error, |error, (_, why)| error.maybe(why))
}

/// Several swarms are visible, and none was named.
pub(crate) fn which_swarm(names: &[String]) -> CliError {
    let error = CliError::of(
        ErrorCode::Ambiguous,
        format!("{} swarms can be seen from here: {}", names.len(), names.join(", ")),
    )
    .detail("candidates", names);
    names.iter().take(3).fold(error, |error, name| error.try_this(again(&format!("--swarm {name}"), "")))
}

/// Nobody in the swarm took the question, or is there at all.
pub(crate) fn nobody(node: &Node, swarm: &str, message: String, retry: impl Fn(&str) -> String) -> CliError {
    let seen = node.swarms_seen();
    let others: Vec<_> = seen.iter().filter(|other| other.name != swarm).collect();
    let mut error = CliError::of(ErrorCode::TransportNoResponders, message);
    let alone = node.members(swarm).iter().all(|peer| peer.ephemeral);
    error = crate::connect::looked(error, node, Some(swarm).filter(|_| alone));
    if !alone {
        return error
            .maybe("its nodes take no questions: they were started without --ask or --demo")
            .try_also(format!("p2pnode members {swarm}"), "who is there");
    }
    if let Some(near) = p2pnode::near(swarm, others.iter().map(|other| other.name.as_str())).first() {
        let nodes = others.iter().find(|other| other.name == *near).map_or(0, |other| other.nodes);
        let nodes = crate::output::render::count(nodes, "node", "nodes");
        error = error.maybe(format!("did you mean \"{near}\" ({nodes})?")).try_this(retry(near));
    }
    error.try_also(format!("p2pnode up {swarm} --demo"), "start the first node of this swarm")
}

/// Adds to an error about a target what this node knows.
pub(crate) fn about(node: &Node, target: &str, error: CallError) -> CliError {
    let unseen = matches!(&error, CallError::Target(TargetError::Nobody { .. } | TargetError::Unknown { .. }));
    let ours = CliError::from(error);
    if !unseen {
        return ours;
    }
    if target == node.name() || target == node.peer_id().to_string() {
        return ours
            .maybe("that is the running node itself, and it does not call itself")
            .try_also(again("--ephemeral", ""), "from another node");
    }
    let ours = match node.swarms().as_slice() {
        [] => ours.maybe("no swarm can be seen from here: there is nobody to call"),
        _ => ours,
    };
    let swarms = node.swarms();
    let ours = crate::connect::looked(ours, node, None).detail("target", target);
    match swarms.first() {
        Some(swarm) => ours.try_also(format!("p2pnode members {swarm}"), "who is there"),
        None => ours.try_also("p2pnode up garden --demo", "start a first node"),
    }
}

impl From<CallError> for CliError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Target(error) => error.into(),
            CallError::NoEndpoint { ref peer, ref endpoint, ref near } => {
                let name = if peer.name.is_empty() { peer.id.to_string() } else { peer.name.clone() };
                let ours = Self::of(error.code(), format!("{name} has no endpoint \"{endpoint}\""))
                    .detail("near", near.as_slice())
                    .detail("peer", crate::output::peers::reference(peer));
                let ours =
                    near.first().into_iter().fold(ours, |ours, near| ours.maybe(format!("did you mean \"{near}\"?")));
                ours.try_also(format!("p2pnode call {} --list", quote(&name)), "what it offers")
            }
            CallError::Rpc { ref peer, .. } => {
                let peer = crate::output::peers::reference(peer);
                let ours = match error.remote() {
                    Some(remote) => Self::from(RpcError { message: error.to_string(), ..remote.clone() }),
                    None => Self::of(error.code(), error.to_string()),
                };
                let ours = if error.may_have_run() { ours.detail("may_have_run", true) } else { ours };
                ours.retryable(error.retryable()).detail("peer", peer)
            }
            other => Self::of(other.code(), other.to_string()).retryable(other.retryable()),
        }
    }
}

impl From<TargetError> for CliError {
    fn from(error: TargetError) -> Self {
        let ours = Self::of(error.code(), error.to_string());
        match error {
            TargetError::Unknown { near, .. } => near
                .first()
                .into_iter()
                .fold(ours, |ours, near| ours.maybe(format!("did you mean \"{near}\"?")))
                .detail("near", near),
            TargetError::Ambiguous { candidates, .. } => {
                let all: Vec<_> = candidates
                    .iter()
                    .map(|candidate| json!({"id": candidate.id.to_string(), "name": candidate.name, "swarms": candidate.swarms}))
                    .collect();
                let lines = candidates.iter().take(5).map(|c| format!("{} {} in {}", c.name, c.id, c.swarms.join(" ")));
                lines.fold(ours.detail("candidates", all), |ours, line| ours.maybe(line))
            }
            _ => ours,
        }
    }
}

impl From<PublishError> for CliError {
    fn from(error: PublishError) -> Self {
        let code = match &error {
            PublishError::UnknownSwarm(_) => ErrorCode::NotFound,
            PublishError::TooLarge { .. } => ErrorCode::TooLarge,
            PublishError::TooFast => ErrorCode::RateLimited,
            PublishError::Arguments(_) | PublishError::Subject(_) => return Self::usage(error.to_string()),
            _ => ErrorCode::AgentUnavailable,
        };
        Self::of(code, error.to_string())
    }
}

impl From<AskError> for CliError {
    fn from(error: AskError) -> Self {
        let code = match &error {
            AskError::UnknownSwarm(_) => ErrorCode::NotFound,
            AskError::TooLarge { .. } => ErrorCode::TooLarge,
            AskError::Busy { .. } => ErrorCode::Overloaded,
            _ => ErrorCode::AgentUnavailable,
        };
        Self::of(code, error.to_string())
    }
}

impl From<DhtError> for CliError {
    fn from(error: DhtError) -> Self {
        let text = error.to_string();
        match error {
            DhtError::Alone => Self::of(ErrorCode::TransportNoResponders, text)
                .try_also("p2pnode up garden --demo", "a node that takes part"),
            DhtError::NotFound { .. } => Self::of(ErrorCode::NotFound, text),
            DhtError::TooLarge { .. } => Self::of(ErrorCode::TooLarge, text),
            DhtError::Target(error) => error.into(),
            DhtError::NotStored(_) => Self::of(ErrorCode::TransportNoResponders, text),
            DhtError::TimedOut => Self::of(ErrorCode::TransportTimeout, text),
            _ => Self::of(ErrorCode::AgentUnavailable, text),
        }
    }
}

impl From<FindError> for CliError {
    fn from(error: FindError) -> Self {
        match error {
            FindError::Dht(error) => error.into(),
            other => Self::of(ErrorCode::AgentUnavailable, other.to_string()),
        }
    }
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        let text = error.to_string();
        match error {
            StartError::Profile(error) => error.into(),
            StartError::Store(error) => error.into(),
            StartError::SwarmName(_) | StartError::TooManySwarms { .. } | StartError::Card(_) => Self::usage(text),
            StartError::Endpoint(_) | StartError::Schedule(_) => Self::usage(text),
            StartError::Listen { .. } => Self::new("listen", exit::CONFLICT, text)
                .maybe("another program has this port, or no interface has this address"),
            _ => Self::internal(text),
        }
    }
}
