//! A peer on our wire is its raw Ed25519 key; libp2p's `PeerId` is that key behind two prefixes.

use libp2p_identity::{PeerId, PublicKey, ed25519};
use p2pnode_wire::ids::PeerKey;

/// Bytes before the raw key in an Ed25519 `PeerId`: identity multihash of a 36-byte protobuf with a 32-byte key.
const PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

/// The raw key inside `peer`; none for other key types, which p2pnode does not talk to.
pub fn key_of(peer: &PeerId) -> Option<PeerKey> {
    let bytes = peer.to_bytes();
    let key: [u8; 32] = bytes.strip_prefix(&PREFIX)?.try_into().ok()?;
    Some(PeerKey(key))
}

/// The `PeerId` of a raw key; none if the bytes are no point on the curve.
pub fn peer_of(key: &PeerKey) -> Option<PeerId> {
    let public = ed25519::PublicKey::try_from_bytes(&key.0).ok()?;
    Some(PublicKey::from(public).to_peer_id())
}

#[cfg(test)]
mod tests {
    use libp2p_identity::Keypair;

    use super::*;

    #[test]
    fn key_and_peer_id_are_two_spellings_of_one_thing() {
        let peer = Keypair::generate_ed25519().public().to_peer_id();
        let key = key_of(&peer).expect("an Ed25519 peer");
        assert_eq!(peer_of(&key), Some(peer));
    }

    #[test]
    fn other_keys_are_refused() {
        let hashed = "QmcgpsyWgH8Y8ajJz1Cu72KnS5uo2Aa2LpzU7kinSupNKC".parse().expect("a SHA-256 peer id");
        assert_eq!(key_of(&hashed), None);
    }
}
