//! From what a person writes to a peer: waits while discovery goes on, then says why not.

use std::{
    pin::pin,
    time::{Duration, Instant},
};

use libp2p::PeerId;
use p2pnode_wire::ids::SwarmId;

use crate::{
    addr::BootstrapAddr,
    call::{CallError, Pick, in_common},
    node::{Node, lock},
    peers::{Availability, Peer, PeerState},
    target::{Candidate, Resolution, Target, TargetError},
};

/// How long a name is waited for after the first round of discovery: members still introduce each other.
const AFTER_DISCOVERY: Duration = Duration::from_millis(300);

/// The same where members are coming just now: under load an introduction takes a few hundred milliseconds.
const IN_MOTION: Duration = Duration::from_secs(1);

/// How long a lookup of an unknown peer by id, or of a capability, in the DHT may take.
const DHT_LOOKUP: Duration = Duration::from_secs(5);

/// Time for a connection to an address that was given as the target.
const CONNECT: Duration = Duration::from_secs(10);

/// Finds the peer that `target` means.
pub(crate) async fn peer(node: &Node, target: &Target, pick: Pick, deadline: Instant) -> Result<PeerId, CallError> {
    if let Some(addr) = target.address() {
        return connect(node, addr, deadline).await;
    }
    Ok(wait(node, target, pick, deadline).await?)
}

/// The same for those who need only an id.
pub(crate) async fn id(node: &Node, target: &Target) -> Result<PeerId, TargetError> {
    wait(node, target, Pick::Rtt, Instant::now() + Duration::from_secs(10)).await
}

/// The same for those who need a member with its card.
pub(crate) async fn member(node: &Node, target: &Target) -> Result<Peer, TargetError> {
    let id = id(node, target).await?;
    node.known(&id).ok_or_else(|| unknown(node, target))
}

async fn connect(node: &Node, addr: &BootstrapAddr, deadline: Instant) -> Result<PeerId, CallError> {
    let left = deadline.saturating_duration_since(Instant::now()).min(CONNECT);
    let reached = node.connect_any(addr, left).await;
    reached.map_err(|reason| CallError::Target(TargetError::Unreachable { addr: addr.to_string(), reason }))
}

async fn wait(node: &Node, target: &Target, pick: Pick, deadline: Instant) -> Result<PeerId, TargetError> {
    let mut changed = node.changed();
    let mut give_up: Option<Instant> = None;
    loop {
        if let Some(found) = look(node, target, pick)? {
            return Ok(found);
        }
        let now = Instant::now();
        if give_up.is_none() && node.is_settled() {
            let mut far = pin!(look_far(node, target, deadline));
            // It may become known in another way meanwhile.
            let found = loop {
                tokio::select! {
                    found = &mut far => break found,
                    Ok(()) = changed.changed() => if let Some(found) = look(node, target, pick)? {
                        break Some(found);
                    },
                }
            };
            if let Some(found) = found.or(look(node, target, pick)?) {
                return Ok(found);
            }
            give_up = Some(now + if node.is_in_motion() { IN_MOTION } else { AFTER_DISCOVERY });
        }
        if give_up.is_some_and(|at| at <= now) || deadline <= now {
            return Err(unknown(node, target));
        }
        // Part of what ends the wait is only time passing.
        let _ = tokio::time::timeout(Duration::from_millis(20), changed.changed()).await;
    }
}

/// Among those known now.
fn look(node: &Node, target: &Target, pick: Pick) -> Result<Option<PeerId>, TargetError> {
    if target.is_self() {
        return Ok(Some(node.peer_id()));
    }
    if let Some(id) = target.peer_id()
        && (id == node.peer_id() || node.known(&id).is_some() || lock(&node.inner().shared.peers).is_connected(&id))
    {
        return Ok(Some(id));
    }
    let peers = node.peers();
    let candidates: Vec<Candidate> = peers.iter().filter(|p| !p.ephemeral).map(candidate).collect();
    match target.resolve(&candidates) {
        Resolution::Found(ids) if ids.len() > 1 => Ok(Some(choose(&ids, &peers, pick))),
        Resolution::Found(ids) => match ids.first() {
            Some(id) => bearer(node, target, &candidates, *id).map(Some),
            None => Ok(None),
        },
        Resolution::Ambiguous(found) => Err(TargetError::Ambiguous { target: target.to_string(), candidates: found }),
        Resolution::Unknown { .. } => Ok(None),
    }
}

/// The one that is found by a name, if it bears it. Who was first known by it may be away, and this one may be anybody.
fn bearer(node: &Node, target: &Target, candidates: &[Candidate], found: PeerId) -> Result<PeerId, TargetError> {
    let (Some(name), Some(this)) = (target.name(), candidates.iter().find(|one| one.id == found)) else {
        return Ok(found);
    };
    // It may have been meant by the beginning of its id.
    let bears = |swarm: &String| {
        let swarm = node.swarm_id(swarm)?;
        lock(&node.inner().shared.pins).bearer(swarm, name, node.now_ms()).filter(|bearer| *bearer != found)
    };
    let Some(first) = this.swarms.iter().find_map(bears).filter(|_| this.name == name) else { return Ok(found) };
    let away = || Candidate {
        id: first,
        role: String::new(),
        capabilities: Vec::new(),
        rtt: None,
        state: PeerState::Offline,
        ..this.clone()
    };
    let first = candidates.iter().find(|one| one.id == first).cloned().unwrap_or_else(away);
    Err(TargetError::Ambiguous { target: target.to_string(), candidates: vec![first, this.clone()] })
}

fn choose(ids: &[PeerId], peers: &[Peer], pick: Pick) -> PeerId {
    let rtt = |id: &PeerId| {
        let peer = peers.iter().find(|p| p.id == *id);
        let online = peer.is_some_and(|p| p.state == PeerState::Online);
        let free = peer.is_some_and(|p| p.availability == Availability::Online);
        (!online, !free, peer.and_then(|p| p.rtt).unwrap_or(Duration::MAX))
    };
    let best = match pick {
        Pick::Rtt => ids.iter().min_by_key(|id| rtt(id)),
        Pick::Random => ids.get(rand::random_range(0..ids.len())),
    };
    best.or(ids.first()).copied().unwrap_or_else(PeerId::random)
}

/// Beyond the neighbours: a peer by its id, which is told if it can be reached; a name or a capability by who has announced it, who is
/// known then.
async fn look_far(node: &Node, target: &Target, deadline: Instant) -> Option<PeerId> {
    let left = deadline.saturating_duration_since(Instant::now()).min(DHT_LOOKUP);
    let search = async {
        // A search that failed has found nobody.
        if let Some(id) = target.peer_id() {
            return node.dht().lookup(id).await.is_ok_and(|found| found.addresses.is_some()).then_some(id);
        } else if let Some(capability) = target.capability() {
            let _ = crate::find::by_capability(node, capability).await;
        } else if let Some(name) = target.name().filter(|_| !node.peers().is_empty()) {
            crate::find::by_name(node, name, target.swarm()).await;
        }
        None
    };
    tokio::time::timeout(left, search).await.ok().flatten()
}

fn unknown(node: &Node, target: &Target) -> TargetError {
    let peers = node.peers();
    let candidates: Vec<Candidate> = peers.iter().filter(|p| !p.ephemeral).map(candidate).collect();
    let near = match target.resolve(&candidates) {
        Resolution::Unknown { near } => near,
        _ => Vec::new(),
    };
    if candidates.is_empty() {
        return TargetError::Nobody { target: target.to_string() };
    }
    TargetError::Unknown { target: target.to_string(), near }
}

pub(crate) fn candidate(peer: &Peer) -> Candidate {
    Candidate {
        id: peer.id,
        name: peer.name.clone(),
        role: peer.role.clone(),
        swarms: peer.swarms.clone(),
        capabilities: peer.capabilities.iter().map(|c| c.name.clone()).collect(),
        rtt: peer.rtt,
        state: peer.state,
    }
}

/// The swarm in whose name a call to `peer` goes out.
pub(crate) fn common_swarm(node: &Node, peer: &PeerId, target: &Target) -> Option<SwarmId> {
    if let Some(name) = target.swarm() {
        return node.swarm_id(name);
    }
    let ours: Vec<SwarmId> = node.inner().swarms.all().iter().map(|(id, _)| *id).collect();
    in_common(&ours, &lock(&node.inner().shared.peers).swarms_of(peer))
}

impl Node {
    /// Connects to any of the addresses that `addr` stands for.
    pub(crate) async fn connect_any(&self, addr: &BootstrapAddr, limit: Duration) -> Result<PeerId, String> {
        let addrs = addr.resolve().await.map_err(|e| format!("{addr}: {e}"))?;
        let mut reasons = Vec::new();
        for one in addrs {
            match self.connect(one.clone(), limit).await {
                Ok(peer) => return Ok(peer),
                Err(reason) => reasons.push(format!("{one}: {reason}")),
            }
        }
        Err(reasons.join("; "))
    }
}
