//! Keys in the DHT and topics of gossip. Other implementations need `/namespace/…`.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::ids::SwarmId;

fn hashed(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    HEXLOWER.encode(&hash.finalize())
}

/// Under which members of a swarm announce themselves.
pub fn swarm(swarm: &SwarmId) -> String {
    format!("/p2pnode/swarm/{}", hashed(&[&swarm.0]))
}

/// Under which members with a capability announce themselves; `shard` spreads popular ones.
pub fn capability(swarm: &SwarmId, name: &str, shard: u8) -> String {
    format!("/p2pnode/cap/{}/{shard}", hashed(&[&swarm.0, name.as_bytes()]))
}

/// Under which members of that name announce themselves.
pub fn name(swarm: &SwarmId, name: &str) -> String {
    format!("/p2pnode/name/{}", hashed(&[&swarm.0, name.as_bytes()]))
}

/// The gossip topic of a swarm.
pub fn topic(swarm: &SwarmId) -> String {
    format!("p2pnode/1/{swarm}")
}
