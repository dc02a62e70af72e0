//! Names of the protocols.

/// Greeting.
pub const HELLO: &str = "/p2pnode/hello/1";
/// Calls, one substream each.
pub const RPC: &str = "/p2pnode/rpc/1";
/// Calls, many on one substream.
pub const RPC_MUX: &str = "/p2pnode/rpc-mux/1";
/// Direct messages.
pub const MAIL: &str = "/p2pnode/mail/1";
/// Catching up with what a swarm has said.
pub const SYNC: &str = "/p2pnode/sync/1";
/// Who is there.
pub const PRESENCE: &str = "/p2pnode/presence/1";
/// Kademlia.
pub const KAD: &str = "/p2pnode/kad/1";
