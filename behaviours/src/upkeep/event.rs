use std::time::Duration;

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::{ConnectionId, StreamProtocol};

/// What upkeep tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A connection stands.
    Connected {
        /// With whom.
        peer: PeerId,
        /// Which one.
        connection: ConnectionId,
        /// Where the peer is; for an inbound connection with a port that it does not listen on, or with the relay over
        /// which it came.
        remote: Multiaddr,
        /// There was none before.
        first: bool,
        /// We dialled.
        dialer: bool,
    },
    /// A connection is gone.
    Disconnected {
        /// With whom.
        peer: PeerId,
        /// Which one.
        connection: ConnectionId,
        /// There is none left.
        last: bool,
        /// Why.
        cause: Cause,
    },
    /// A ping came back.
    Rtt {
        /// From whom.
        peer: PeerId,
        /// Over which connection.
        connection: ConnectionId,
        /// After which time.
        rtt: Duration,
    },
    /// A peer told what it is; its addresses are in the book already as far as they are believed.
    Identified {
        /// Who.
        peer: PeerId,
        /// Its program and version, at most 64 characters; escape it before printing.
        agent: String,
        /// What it speaks, at most 64.
        protocols: Vec<StreamProtocol>,
        /// Where it says it listens, at most 10, unchecked.
        listen_addrs: Vec<Multiaddr>,
        /// On which connection it said so.
        connection: ConnectionId,
        /// Where it says it sees us, unchecked.
        observed: Multiaddr,
    },
    /// Another node uses our key, at this address: a copied data directory.
    DuplicateIdentity {
        /// Where it is.
        remote: Multiaddr,
    },
    /// A dial ended without a connection.
    DialFailed {
        /// Whom we wanted, if we knew.
        peer: Option<PeerId>,
        /// Each address and what went wrong there.
        attempts: Vec<(Multiaddr, String)>,
        /// All of it in one line.
        reason: String,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// Nobody on this side needed it.
    Idle,
    /// This node closed it on purpose.
    Local,
    /// The peer did not answer pings any more.
    Silent,
    /// The peer closed it in order: nobody on its side needed it. Known where the multiplexer tells, see
    /// [`Orderly`](super::Orderly).
    Peer,
    /// It broke: the peer's process ended, or the network did.
    Error(String),
}
