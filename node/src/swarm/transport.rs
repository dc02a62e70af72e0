//! TCP and QUIC under one roof, behind the address rules.

use std::{io, time::Duration};

use libp2p::{
    PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, timeout::TransportTimeout},
        upgrade,
    },
    identity::Keypair,
    noise, quic, tcp, yamux,
};
use p2pnode_behaviours::upkeep::{AddressRules, Door, Gate};

/// Dial, TLS or noise, and multiplexer together, when we dial.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Substreams per connection: our protocols need fewer than twenty at once, the classic RPC road sixteen.
const MAX_STREAMS: usize = 64;

/// Unread bytes a peer may make us hold per QUIC stream and connection; the library's 10 and 15 MB would add up to
/// gigabytes over all connections.
const QUIC_STREAM_WINDOW: u32 = 1024 * 1024;
const QUIC_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// A transport as the Swarm takes it.
pub type BoxedTransport = Boxed<(PeerId, StreamMuxerBox)>;

/// TCP + noise + yamux, and QUIC, every dial checked against `rules`. Names are resolved before they come here, by
/// the system's own resolver.
pub(crate) fn build(keypair: &Keypair, rules: &AddressRules, places: usize) -> io::Result<BoxedTransport> {
    let noise = noise::Config::new(keypair).map_err(io::Error::other)?;
    let mut yamux = yamux::Config::default();
    yamux.set_max_num_streams(MAX_STREAMS);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(upgrade::Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux)
        .boxed();
    let tcp = TransportTimeout::new(tcp, HANDSHAKE).boxed();
    let quic = quic::tokio::Transport::new(quic_config(keypair))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)))
        .boxed();
    let both = quic.or_transport(tcp).map(|either, _| either.into_inner());
    Ok(Door::new(Gate::new(both, rules.clone()), places).boxed())
}

fn quic_config(keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = HANDSHAKE;
    config.max_concurrent_stream_limit = u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX);
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_CONNECTION_WINDOW;
    config
}
