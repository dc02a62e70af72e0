//! Keys in the DHT and topics of gossip. Other implementations need `/namespace/…`.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::ids::{PeerKey, SwarmId};

/// How many shards a capability has at each level: holders keep few providers of a key, so that what many can do is
/// announced under more of them. A level is used where the one before is full.
pub const SHARDS: [u8; 3] = [1, 4, 16];

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

/// Under which members with a capability announce themselves; `shard` spreads popular ones, see [`shard`].
pub fn capability(swarm: &SwarmId, name: &str, shard: u8) -> String {
    shard_key(&capability_base(swarm, name), shard)
}

/// What the keys of all shards of a capability begin with.
pub fn capability_base(swarm: &SwarmId, name: &str) -> String {
    format!("/p2pnode/cap/{}", hashed(&[&swarm.0, name.as_bytes()]))
}

/// The key of a shard.
pub fn shard_key(base: &str, shard: u8) -> String {
    format!("{base}/{shard}")
}

/// Under which shard of a level, counted from 0, `peer` announces itself; none beyond the last level. Shards are numbered
/// through: 0 is the first level, 1 to 4 the second, 5 to 20 the third.
pub fn shard(peer: &PeerKey, level: usize) -> Option<u8> {
    let count = *SHARDS.get(level)?;
    let [hash, ..] = <[u8; 32]>::from(Sha256::digest(peer.0));
    Some(first(level).saturating_add(hash.checked_rem(count)?))
}

/// The shards of the next level over which the providers of this one are spread; none for one of the last.
pub fn finer(shard: u8) -> Vec<u8> {
    let Some(level) = (0..SHARDS.len()).rev().find(|level| first(*level) <= shard) else { return Vec::new() };
    let (Some(here), Some(next)) = (SHARDS.get(level), SHARDS.get(level.saturating_add(1))) else { return Vec::new() };
    let begin = shard.saturating_sub(first(level));
    let within = (begin..*next).step_by(usize::from(*here));
    within.map(|place| first(level.saturating_add(1)).saturating_add(place)).collect()
}

/// The number of the first shard of a level.
fn first(level: usize) -> u8 {
    SHARDS.iter().take(level).fold(0, |sum, count| sum.saturating_add(*count))
}

/// Under which members of that name announce themselves.
pub fn name(swarm: &SwarmId, name: &str) -> String {
    format!("/p2pnode/name/{}", hashed(&[&swarm.0, name.as_bytes()]))
}

/// The gossip topic of a swarm.
pub fn topic(swarm: &SwarmId) -> String {
    format!("p2pnode/1/{swarm}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_level_splits_the_one_before() {
        assert_eq!(finer(0), [1, 2, 3, 4]);
        assert_eq!(finer(2), [6, 10, 14, 18]);
        assert_eq!(finer(5), [0_u8; 0]);
        assert_eq!(finer(200), [0_u8; 0]);
        for number in 0..=u8::MAX {
            let peer = PeerKey([number; 32]);
            let (one, two, three) = (shard(&peer, 0), shard(&peer, 1), shard(&peer, 2));
            assert_eq!((one, shard(&peer, 3)), (Some(0), None));
            assert!(finer(0).contains(&two.expect("a level")));
            assert!(finer(two.expect("a level")).contains(&three.expect("a level")), "{two:?} {three:?}");
        }
    }
}
