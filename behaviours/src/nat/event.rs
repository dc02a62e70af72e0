use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

/// What reaching and being reached tells.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The [`Report`](super::Report) is another one.
    Changed,
    /// A direct connection came about through a hole in the routers between.
    Punched {
        /// With whom.
        peer: PeerId,
        /// Which one.
        connection: ConnectionId,
    },
    /// No direct connection came about; the circuit stays.
    NotPunched {
        /// With whom.
        peer: PeerId,
        /// Why.
        reason: String,
    },
}
