//! Attackers: many identities of one owner that get into the routing tables of others, tell only of each other, and keep
//! nothing.

mod grind;
mod message;
mod swarm;

use libp2p::{Multiaddr, PeerId, identity::Keypair};
use sha2::{Digest, Sha256};

pub(crate) use grind::{grind, nearest};
pub(crate) use message::{Peer, add_provider, put_value};
pub(crate) use swarm::{Order, Orders, start};

/// A place in the space of Kademlia keys: SHA-256 of a key or of the bytes of a peer id.
pub(crate) type Place = [u8; 32];

pub(crate) fn place_of(bytes: &[u8]) -> Place {
    Sha256::digest(bytes).into()
}

/// How far two places are from each other, to be compared.
pub(crate) fn distance(a: &Place, b: &Place) -> Place {
    std::array::from_fn(|at| a[at] ^ b[at])
}

/// One of them, before it runs.
#[derive(Debug, Clone)]
pub(crate) struct Sybil {
    pub(crate) keypair: Keypair,
    /// Of its Ed25519 key.
    pub(crate) seed: [u8; 32],
    pub(crate) peer: PeerId,
    pub(crate) place: Place,
}

impl Sybil {
    /// None: no key comes of that seed, which Ed25519 does not know.
    pub(crate) fn from_seed(seed: [u8; 32]) -> Option<Self> {
        let keypair = Keypair::ed25519_from_bytes(seed).ok()?;
        let peer = keypair.public().to_peer_id();
        Some(Self { keypair, seed, peer, place: place_of(&peer.to_bytes()) })
    }
}

/// What one knows of another.
#[derive(Debug, Clone)]
pub(crate) struct Accomplice {
    pub(crate) peer: PeerId,
    pub(crate) place: Place,
    pub(crate) addr: Multiaddr,
}
