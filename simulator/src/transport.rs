use std::time::Duration;

use libp2p::{
    Transport,
    core::{transport::MemoryTransport, upgrade},
    identity::Keypair,
    noise,
};
use p2pnode::{BoxedTransport, multiplexer};

/// libp2p's memory transport with the real noise and yamux on top.
pub fn memory(keypair: &Keypair) -> BoxedTransport {
    let noise = noise::Config::new(keypair).expect("an Ed25519 key signs a noise key");
    MemoryTransport::default()
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(multiplexer())
        .timeout(Duration::from_secs(10))
        .boxed()
}
