use libp2p::swarm::{NetworkBehaviour, behaviour::toggle::Toggle};
use p2pnode_behaviours::{discovery, gossip, hello, mail, nat, presence, rpc, sync, upkeep};

/// All protocols of a node.
#[derive(NetworkBehaviour)]
pub(crate) struct Behaviour {
    // First: it refuses connections before the others build handlers for them.
    pub(crate) upkeep: upkeep::Behaviour,
    /// Off where a transport of somebody else's is used: it brings its own world.
    pub(crate) nat: Toggle<nat::Behaviour>,
    pub(crate) hello: hello::Behaviour,
    pub(crate) rpc: rpc::Behaviour,
    pub(crate) mail: mail::Behaviour,
    /// Off in nodes that live for one command: they keep nothing.
    pub(crate) sync: Toggle<sync::Behaviour>,
    pub(crate) discovery: discovery::Behaviour,
    /// Off in nodes that live for one command: they would only disturb the mesh.
    pub(crate) gossip: Toggle<gossip::Behaviour>,
    /// Off in nodes that live for one command: nobody need know of them.
    pub(crate) presence: Toggle<presence::Behaviour>,
}
