//! Peers as JSON and as tables.

use p2pnode::{Availability, Found, Path, Peer, PeerRef, PeerState, Via};
use serde_json::{Value, json};

use super::{
    json::{at_age, millis},
    render::{ago, count, duration},
    style::{Glyphs, Role},
    table::{Column, Table},
};

/// `{"id","name"}`.
pub(crate) fn reference(peer: &PeerRef) -> Value {
    json!({"id": peer.id.to_string(), "name": peer.name})
}

/// What a line calls somebody: the name, else the id.
pub(crate) fn name(peer: &PeerRef, glyphs: Glyphs) -> String {
    match peer.name.is_empty() {
        true => super::render::short_id(&peer.id.to_string(), glyphs.cut),
        false => super::escape_line(&peer.name).into_owned(),
    }
}

/// `{"kind","transport","addr","relay","hole_punched"}`.
pub(crate) fn path_json(path: &Path) -> Value {
    json!({
        "kind": path.kind, "transport": path.transport, "addr": path.addr.to_string(),
        "relay": path.relay.map(|relay| relay.to_string()), "hole_punched": path.hole_punched,
    })
}

/// `direct quic`.
pub(crate) fn path(path: &Path) -> String {
    format!("{} {}", path.kind, path.transport)
}

/// Everything a list tells about a peer.
pub(crate) fn peer_json(peer: &Peer) -> Value {
    let capability = |c: &p2pnode::Capability| json!({"name": c.name, "description": c.description});
    json!({
        "id": peer.id.to_string(),
        "name": peer.name,
        "state": peer.state.as_str(),
        "rtt_ms": peer.rtt.map(millis),
        "path": peer.path.as_ref().map(path_json),
        "swarms": peer.swarms,
        "capabilities": peer.capabilities.iter().map(capability).collect::<Vec<_>>(),
        "endpoints": peer.endpoints.iter().map(|endpoint| &endpoint.name).collect::<Vec<_>>(),
        "role": peer.role,
        "team": peer.team,
        "availability": peer.availability.as_str(),
        "load": peer.load,
        "description": peer.description,
        "agent": peer.agent,
        "ephemeral": peer.ephemeral,
        "card_known": peer.card_known,
        "last_seen": at_age(peer.last_seen),
    })
}

/// One found by `find`, with how.
pub(crate) fn found_json(found: &Found) -> Value {
    let mut peer = peer_json(&found.peer);
    peer["via"] = json!(via(found.via));
    peer["score"] = json!(found.score);
    peer
}

fn via(via: Via) -> &'static str {
    match via {
        Via::Known => "known",
        Via::Dht => "dht",
    }
}

const NAME: Column = Column::new("NAME").flexible();
const STATE: Column = Column::new("STATE");
const RTT: Column = Column::new("RTT").right();
const PATH: Column = Column::new("PATH").optional(1);
const SWARM: Column = Column::new("SWARM").optional(2);
const CAPABILITIES: Column = Column::new("CAPABILITIES").flexible().optional(3);
const SEEN: Column = Column::new("SEEN");

/// The table of `peers` and `members`.
pub(crate) fn table(peers: &[Peer], glyphs: Glyphs) -> Table {
    let mut table = Table::new(&[NAME, STATE, RTT, PATH, SWARM, CAPABILITIES, SEEN]);
    for peer in peers {
        table.row(cells(peer, glyphs));
    }
    table
}

/// The table of `find`.
pub(crate) fn found_table(found: &[Found], glyphs: Glyphs) -> Table {
    let mut table = Table::new(&[NAME, STATE, RTT, PATH, SWARM, CAPABILITIES, SEEN, Column::new("VIA")]);
    for one in found {
        table.row(cells(&one.peer, glyphs).into_iter().chain([(via(one.via).to_owned(), None)]));
    }
    table
}

/// Of a node that is there, whether it takes work.
fn state(peer: &Peer) -> &'static str {
    match (peer.state, peer.availability) {
        (PeerState::Online, Availability::Busy) => "busy",
        (PeerState::Online, Availability::Offline) => "away",
        (state, _) => state.as_str(),
    }
}

fn cells(peer: &Peer, glyphs: Glyphs) -> [(String, Option<Role>); 7] {
    let unknown = || glyphs.unknown.to_owned();
    let (glyph, role) = match peer.state {
        PeerState::Online if peer.availability != Availability::Online => (glyphs.online, Role::Warn),
        PeerState::Online => (glyphs.online, Role::Ok),
        PeerState::Suspect => (glyphs.suspect, Role::Warn),
        PeerState::Offline => (glyphs.offline, Role::Dim),
    };
    let capabilities: Vec<&str> = peer.capabilities.iter().map(|capability| capability.name.as_str()).collect();
    [
        (name(&peer.to_ref(), glyphs), Some(Role::Name)),
        (format!("{glyph} {}", state(peer)), Some(role)),
        (peer.rtt.map_or_else(unknown, duration), None),
        (peer.path.as_ref().map_or_else(unknown, path), None),
        (peer.swarms.join(" "), None),
        (capabilities.join(" "), None),
        (ago(peer.last_seen), None),
    ]
}

/// `4 peers: 2 online, 1 suspect, 1 offline`.
pub(crate) fn sum(peers: &[Peer]) -> String {
    let states = [PeerState::Online, PeerState::Suspect, PeerState::Offline];
    let parts: Vec<String> = states
        .into_iter()
        .map(|state| (state, peers.iter().filter(|peer| peer.state == state).count()))
        .filter(|(_, number)| *number > 0)
        .map(|(state, number)| format!("{number} {}", state.as_str()))
        .collect();
    match parts.is_empty() {
        true => "0 peers".to_owned(),
        false => format!("{}: {}", count(peers.len(), "peer", "peers"), parts.join(", ")),
    }
}
