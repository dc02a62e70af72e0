//! Why a node does not start.

use libp2p::Multiaddr;
use p2pnode_wire::ids::NameError;

use crate::{endpoint::EndpointError, profile::ProfileError, schedule::ScheduleError, store::StoreError};

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A swarm's name is not well formed.
    #[error("{0}")]
    SwarmName(#[from] NameError),
    /// More swarms than a node may be in.
    #[error("{given} swarms; this node may be in {limit}")]
    TooManySwarms {
        /// Swarms it was to join.
        given: usize,
        /// The limit, [`Limits::swarms`](crate::Limits::swarms).
        limit: usize,
    },
    /// This node's own name, role or description is too long or holds control characters.
    #[error("{0}")]
    Card(String),
    /// The profile, or the registry of this host's nodes, cannot be used.
    #[error(transparent)]
    Profile(#[from] ProfileError),
    /// An endpoint cannot be registered.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Something the node is to do by itself has no good schedule.
    #[error("a schedule: {0}")]
    Schedule(#[from] ScheduleError),
    /// What is kept cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing could be listened on.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: Multiaddr,
        /// What the system said.
        reason: String,
    },
    /// The transports could not be set up.
    #[error("cannot set up the network: {0}")]
    Transport(String),
}
