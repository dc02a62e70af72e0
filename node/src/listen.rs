//! Listening, when a node starts.

use std::time::Duration;

use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, swarm::SwarmEvent};
use p2pnode_behaviours::upkeep::Compact;

use crate::{
    start::StartError,
    swarm::{Behaviour, BehaviourEvent},
};

/// Time for sockets to be bound.
const LISTEN: Duration = Duration::from_secs(5);

/// Listens on all addresses; those of an address family or transport this host does not have may fail, as long as
/// one works. A port that was asked for must work.
/// None of `self`: the builder cannot be shared between threads, and its future must be able to change them.
pub(crate) async fn listen_on(
    swarm: &mut Swarm<Compact<Behaviour>>,
    listen: &[Multiaddr],
    fixed_port: bool,
) -> Result<Vec<SwarmEvent<BehaviourEvent>>, StartError> {
    let mut waiting = Vec::new();
    let mut refused = None;
    for addr in listen {
        match swarm.listen_on(addr.clone()) {
            Ok(id) => waiting.push((id, addr.clone())),
            Err(error) => refused = Some(listen_error(addr, &root_cause(&error))),
        }
    }
    let (mut early, mut up) = (Vec::new(), 0);
    let deadline = tokio::time::sleep(LISTEN);
    tokio::pin!(deadline);
    while !waiting.is_empty() {
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            () = &mut deadline => break,
        };
        match &event {
            SwarmEvent::NewListenAddr { listener_id, .. } => {
                waiting.retain(|(id, _)| id != listener_id);
                up += 1;
            }
            SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } => {
                if let Some(at) = waiting.iter().position(|(id, _)| id == listener_id) {
                    let (_, addr) = waiting.swap_remove(at);
                    refused = Some(listen_error(&addr, &root_cause(error)));
                }
            }
            _ => {}
        }
        early.push(event);
    }
    match refused {
        Some(error) if up == 0 || fixed_port => Err(error),
        _ => Ok(early),
    }
}

fn listen_error(addr: &Multiaddr, reason: &str) -> StartError {
    StartError::Listen { addr: addr.clone(), reason: reason.to_owned() }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
