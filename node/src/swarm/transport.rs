//! TCP, QUIC, WebSocket and circuits under one roof, behind the address rules.

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
use p2pnode_behaviours::{
    nat::Circuits,
    upkeep::{AddressRules, Door, Gate, Muxer, Orderly, Pace},
};

/// Dial, TLS or noise, and multiplexer together, when we dial.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Substreams per connection: our protocols need fewer than twenty at once, the classic RPC road sixteen.
const MAX_STREAMS: usize = 64;

/// What yamux lets a connection's receive windows grow beyond 256 KiB for each substream: to 1 MiB, if one has it all.
///
/// Enough for 84 Mbit/s at 100 ms. Left alone they grow to a gibibyte, and on a fast link, whose delay under load is that of
/// their own queue, a small call waits behind megabytes (measured: `benches/README.md`, P6).
const WINDOW_GROWTH: usize = 768 * 1024;

/// yamux (0.14) shares out a gibibyte less its first window for each substream there may be: the only number that can be
/// set. How many there really may be is [`MAX_STREAMS`].
const YAMUX_STREAMS: usize = (1024 * 1024 * 1024 - WINDOW_GROWTH) / (256 * 1024);

/// Unread bytes a peer may make us hold per QUIC stream and connection; the library's 10 and 15 MB would add up to
/// gigabytes over all connections.
const QUIC_STREAM_WINDOW: u32 = 1024 * 1024;
const QUIC_CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// A transport as the Swarm takes it.
pub type BoxedTransport = Boxed<(PeerId, StreamMuxerBox)>;

/// TCP + noise + yamux, the same over WebSocket where the feature is on, QUIC, and the same as over TCP over circuits, every dial checked against `rules`: that of a
/// circuit by the address of its relay. Names are resolved before they come here, by the system's own resolver.
pub(crate) fn build(
    keypair: &Keypair,
    rules: &AddressRules,
    places: usize,
    circuits: Option<Circuits>,
) -> io::Result<BoxedTransport> {
    let noise = noise::Config::new(keypair).map_err(io::Error::other)?;
    let yamux = multiplexer();
    let tcp = tcp::Config::default().nodelay(true);
    #[cfg(feature = "websocket")]
    let tcp = super::web::build(tcp.clone()).or_transport(tcp::tokio::Transport::new(tcp));
    #[cfg(not(feature = "websocket"))]
    let tcp = tcp::tokio::Transport::new(tcp);
    let tcp = tcp.upgrade(upgrade::Version::V1Lazy).authenticate(noise.clone()).multiplex(yamux.clone()).boxed();
    let tcp = TransportTimeout::new(tcp, HANDSHAKE).boxed();
    let quic = quic::tokio::Transport::new(quic_config(keypair))
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(Muxer::new(connection, said_goodbye, MAX_STREAMS))))
        .boxed();
    let direct = quic.or_transport(tcp).map(|either, _| either.into_inner()).boxed();
    let all = match circuits {
        None => direct,
        Some(circuits) => {
            let relayed = circuits.upgrade(upgrade::Version::V1Lazy).authenticate(noise).multiplex(yamux).boxed();
            let relayed = TransportTimeout::new(relayed, HANDSHAKE).boxed();
            relayed.or_transport(direct).map(|either, _| either.into_inner()).boxed()
        }
    };
    Ok(Door::new(Pace::new(Gate::new(all, rules.clone())), places).boxed())
}

/// yamux as a node uses it, for transports of one's own ([`Builder::transport`](crate::Builder::transport)): it knows a
/// farewell from a failure, has 64 substreams of the peer open at most, and windows that grow by 768 KiB at most.
pub fn multiplexer() -> Orderly<yamux::Config> {
    let mut upgrade = yamux::Config::default();
    upgrade.set_max_num_streams(YAMUX_STREAMS);
    Orderly { upgrade, most: MAX_STREAMS }
}

/// An "application close" (RFC 9000 §19.19): a process that dies sends none. libp2p-quic (0.14) hides the type.
fn said_goodbye(error: &quic::Error) -> bool {
    matches!(error, quic::Error::Connection(error) if error.to_string().starts_with("closed by peer"))
}

fn quic_config(keypair: &Keypair) -> quic::Config {
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = HANDSHAKE;
    config.max_concurrent_stream_limit = u32::try_from(MAX_STREAMS).unwrap_or(u32::MAX);
    config.max_stream_data = QUIC_STREAM_WINDOW;
    config.max_connection_data = QUIC_CONNECTION_WINDOW;
    config
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use libp2p::{
        Multiaddr, Swarm,
        multiaddr::Protocol,
        swarm::{self, ConnectionError, SwarmEvent, dummy},
    };
    use p2pnode_behaviours::upkeep::PeerClosed;
    use tokio::{
        io::copy_bidirectional,
        net::{TcpListener, TcpStream},
        sync::oneshot,
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    fn node(idle: Duration) -> Swarm<dummy::Behaviour> {
        let keypair = Keypair::generate_ed25519();
        let rules = AddressRules::new();
        rules.allow_loopback(true);
        let transport = build(&keypair, &rules, 16, None).expect("a transport");
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(idle);
        Swarm::new(transport, dummy::Behaviour, keypair.public().to_peer_id(), config)
    }

    /// Carries one TCP connection to `target` until it is told to stop, as a cable does.
    async fn cable(target: Multiaddr, cut: oneshot::Receiver<()>) -> Multiaddr {
        let port = target.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let own = listener.local_addr().expect("bound").port();
        tokio::spawn(async move {
            let (mut near, _) = listener.accept().await.expect("a connection");
            let mut far = TcpStream::connect(("127.0.0.1", port.expect("TCP"))).await.expect("reached");
            tokio::select! {
                _ = copy_bidirectional(&mut near, &mut far) => {}
                _ = cut => {}
            }
        });
        Multiaddr::empty().with(Protocol::Ip4([127, 0, 0, 1].into())).with(Protocol::Tcp(own))
    }

    /// Connects two nodes, of which the second lets the connection go or is cut off; how the first sees it.
    async fn end(listen: &str, cuts: bool) -> Option<ConnectionError> {
        let mut first = node(LIMIT);
        let mut second = node(if cuts { LIMIT } else { Duration::from_millis(100) });
        second.listen_on(listen.parse::<Multiaddr>().expect("an address")).expect("listens");
        let mut addr = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = second.select_next_some().await {
                break address;
            }
        };
        let (cut, cable_cut) = oneshot::channel();
        if cuts {
            addr = cable(addr, cable_cut).await;
        }
        tokio::spawn(async move { while let Some(_event) = second.next().await {} });
        first.dial(addr).expect("dials");
        let mut cut = Some(cut);
        loop {
            match first.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } if cuts => {
                    let _ = cut.take().expect("once").send(());
                }
                SwarmEvent::ConnectionClosed { cause, .. } => return cause,
                _ => {}
            }
        }
    }

    #[tokio::test]
    async fn a_farewell_is_told_from_a_failure() {
        let ended = |listen, cuts| async move {
            let cause = tokio::time::timeout(LIMIT, end(listen, cuts)).await.expect("it ends");
            match cause {
                Some(ConnectionError::IO(error)) => PeerClosed::caused(&error),
                other => panic!("{other:?}"),
            }
        };
        assert!(ended("/ip4/127.0.0.1/tcp/0", false).await, "TCP, idle");
        assert!(ended("/ip4/127.0.0.1/udp/0/quic-v1", false).await, "QUIC, idle");
        #[cfg(feature = "websocket")]
        assert!(ended("/ip4/127.0.0.1/tcp/0/ws", false).await, "WebSocket, idle");
        assert!(!ended("/ip4/127.0.0.1/tcp/0", true).await, "TCP, cut off");
    }
}
