//! Listening, when a node starts.

use std::time::Duration;

use futures::StreamExt;
use libp2p::{Multiaddr, Swarm, multiaddr::Protocol, swarm::SwarmEvent};
use p2pnode_behaviours::upkeep::{Compact, is_loopback, is_web};

use crate::{
    start::StartError,
    swarm::{Behaviour, BehaviourEvent},
};

/// Time for sockets to be bound.
const LISTEN: Duration = Duration::from_secs(5);

/// For the addresses of other interfaces than loopback, which come a moment later. A dial that begins before goes from
/// another port than the one we listen on, and what others then see is of no use to punch a hole.
const INTERFACES: Duration = Duration::from_millis(50);

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
            Err(_) if is_web(addr) => refused = Some(listen_error(addr, no_web(addr))),
            Err(error) => refused = Some(listen_error(addr, &root_cause(&error))),
        }
    }
    let (mut early, mut up) = (Vec::new(), 0);
    let mut narrow: Vec<_> = waiting.iter().filter(|(_, addr)| is_any(addr)).map(|(id, _)| *id).collect();
    let deadline = tokio::time::sleep(LISTEN);
    tokio::pin!(deadline);
    let mut shortened = false;
    while !waiting.is_empty() || !narrow.is_empty() {
        if waiting.is_empty() && !shortened {
            shortened = true;
            deadline.as_mut().reset(tokio::time::Instant::now() + INTERFACES);
        }
        let event = tokio::select! {
            event = swarm.select_next_some() => event,
            () = &mut deadline => break,
        };
        match &event {
            SwarmEvent::NewListenAddr { listener_id, address } => {
                waiting.retain(|(id, _)| id != listener_id);
                narrow.retain(|id| id != listener_id || is_loopback(address));
                up += 1;
            }
            SwarmEvent::ListenerClosed { listener_id, reason: Err(error), .. } => {
                narrow.retain(|id| id != listener_id);
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

/// All interfaces. Those of IPv6 often have no address of use.
fn is_any(addr: &Multiaddr) -> bool {
    matches!(addr.iter().next(), Some(Protocol::Ip4(ip)) if ip.is_unspecified())
}

/// Why an address over WebSocket is not listened on.
fn no_web(addr: &Multiaddr) -> &'static str {
    let tls = addr.iter().any(|part| matches!(part, Protocol::Tls | Protocol::Wss(_)));
    match cfg!(feature = "websocket") {
        false => crate::addr::NO_WEB,
        true if tls => "certificates are for a reverse proxy: listen on /ws behind it",
        true => "it is no address to listen on",
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
