use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use p2pnode_wire::value::Value;

use super::{QueryToken, Stats, bootstrap, dht, mdns};

/// How a peer was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Via {
    /// Multicast DNS.
    Mdns,
}

/// What discovery tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A peer may be there; it is being dialled. New addresses of it come as another event.
    Found {
        /// Who, by its own word.
        peer: PeerId,
        /// Where, new ones only, allowed by the address rules.
        addrs: Vec<Multiaddr>,
        /// How.
        via: Via,
    },
    /// A configured address answered.
    BootstrapReached {
        /// The address.
        addr: Multiaddr,
        /// Who answered.
        peer: PeerId,
    },
    /// A configured address did not answer; it is tried again.
    BootstrapFailed {
        /// The address.
        addr: Multiaddr,
        /// How often in a row.
        failures: u32,
        /// Why.
        reason: String,
    },
    /// Some who announced a key: a hint, not a proof.
    ProvidersFound {
        /// Of which lookup.
        token: QueryToken,
        /// Who, each once per lookup, and where they say they are.
        providers: Vec<(PeerId, Vec<Multiaddr>)>,
        /// No more come.
        last: bool,
    },
    /// A value whose signature, owner and key hold: the newest of three that were told of, or of all there are. The lookup ends
    /// with it.
    ValueFound {
        /// Of which lookup.
        token: QueryToken,
        /// The value.
        value: Box<Value>,
        /// Who had it; none if this node itself.
        from: Option<PeerId>,
    },
    /// Where a peer is.
    PeerFound {
        /// Of which lookup.
        token: QueryToken,
        /// Whom we asked for.
        peer: PeerId,
        /// Where.
        addrs: Vec<Multiaddr>,
    },
    /// A lookup is over.
    QueryFinished {
        /// Which.
        token: QueryToken,
        /// What it cost.
        stats: Stats,
        /// Providers or values found, or peers that took a value.
        reached: usize,
        /// Why it came to nothing.
        error: Option<String>,
    },
    /// The routing table has grown or shrunk.
    TableChanged {
        /// Peers in it.
        peers: usize,
    },
}

impl From<mdns::Found> for Event {
    fn from(found: mdns::Found) -> Self {
        Self::Found { peer: found.peer, addrs: found.addrs, via: Via::Mdns }
    }
}

impl From<bootstrap::Outcome> for Event {
    fn from(outcome: bootstrap::Outcome) -> Self {
        match outcome {
            bootstrap::Outcome::Reached { addr, peer } => Self::BootstrapReached { addr, peer },
            bootstrap::Outcome::Failed { addr, failures, reason } => Self::BootstrapFailed { addr, failures, reason },
        }
    }
}

impl From<dht::Output> for Event {
    fn from(output: dht::Output) -> Self {
        use dht::Output as O;
        match output {
            O::Providers { token, providers, last } => Self::ProvidersFound { token, providers, last },
            O::Value { token, value, from } => Self::ValueFound { token, value, from },
            O::Peer { token, peer, addrs } => Self::PeerFound { token, peer, addrs },
            O::Finished { token, stats, reached, error } => Self::QueryFinished { token, stats, reached, error },
            O::Table { peers } => Self::TableChanged { peers },
        }
    }
}
