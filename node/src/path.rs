//! How traffic to a peer travels.

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol, swarm::ConnectionId};
use p2pnode_behaviours::upkeep::{is_relayed, is_web, relay_of};

/// How traffic to a peer travels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// `direct` or `relay`.
    pub kind: &'static str,
    /// `tcp`, `quic`, `websocket`, `memory` or `other`.
    pub transport: &'static str,
    /// The remote end of the connection; of one over a relay, with the relay's address.
    pub addr: Multiaddr,
    /// Over which relay.
    pub relay: Option<PeerId>,
    /// It began over a relay, and found its way through the routers between.
    pub hole_punched: bool,
}

impl Path {
    /// The path over a connection whose remote end is `addr`.
    pub fn over(addr: Multiaddr) -> Self {
        let transport = addr.iter().find_map(|part| match part {
            Protocol::QuicV1 | Protocol::Quic => Some("quic"),
            Protocol::Tcp(_) if is_web(&addr) => Some("websocket"),
            Protocol::Tcp(_) => Some("tcp"),
            Protocol::Memory(_) => Some("memory"),
            _ => None,
        });
        let kind = if is_relayed(&addr) { "relay" } else { "direct" };
        let (transport, relay) = (transport.unwrap_or("other"), relay_of(&addr));
        Self { kind, transport, addr, relay, hole_punched: false }
    }
}

pub(crate) type Connections = Vec<Connection>;

/// One connection with a peer.
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) remote: Multiaddr,
    /// There was a circuit with the peer when it came about.
    hole_punched: bool,
}

impl Connection {
    /// `others` are those that the peer has already.
    pub(crate) fn new(id: ConnectionId, remote: Multiaddr, others: &[Self]) -> Self {
        let hole_punched = !is_relayed(&remote) && others.iter().any(|other| is_relayed(&other.remote));
        Self { id, remote, hole_punched }
    }

    pub(crate) fn path(&self) -> Path {
        Path { hole_punched: self.hole_punched, ..Path::over(self.remote.clone()) }
    }
}

/// That over which calls go: a direct one before a circuit.
pub(crate) fn best(connections: &[Connection]) -> Option<&Connection> {
    connections.iter().find(|one| !is_relayed(&one.remote)).or(connections.first())
}
