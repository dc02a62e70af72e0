//! A relay on this host, a member that nobody can dial, and a stranger that wants a place, too.

use futures::StreamExt;
use libp2p::{
    Multiaddr, SwarmBuilder,
    multiaddr::Protocol,
    noise, relay,
    swarm::{NetworkBehaviour, SwarmEvent},
    tcp, yamux,
};
use p2pnode::{Allow, Builder, Context, Endpoint, Limits, Node, Paths, nat, presets};
use p2pnode_tests::{Home, SOON};

fn builder(home: &Home, name: &str) -> Builder {
    let nat = nat::Config { always_reserve: true, ..nat::Config::default() };
    Node::builder(presets::Loopback)
        .paths(Paths::in_folder(home.path()).expect("paths"))
        .local(false)
        .swarm("garden")
        .allow(Allow::Any)
        .limits(Limits { nat, ..Limits::default() })
        .name(name)
}

fn tcp_addr(node: &Node) -> Multiaddr {
    node.listen_addrs().into_iter().find(|addr| addr.to_string().contains("tcp")).expect("it listens on TCP")
}

async fn relay(home: &Home) -> Node {
    builder(home, "relay").relay(nat::Relay::Server).start().await.expect("started")
}

/// Listens nowhere, and has a place with the relay when this returns.
async fn hidden(home: &Home, relay: &Node) -> Node {
    let hidden = builder(home, "hidden")
        .listen_all([])
        .bootstrap([tcp_addr(relay).to_string().parse().expect("an address")])
        .endpoint(Endpoint::new("length"), |_: Context, text: String| async move { Ok(text.len()) })
        .start()
        .await
        .expect("started");
    let told = |peers: &[p2pnode::Peer]| {
        let circuit = |known: &p2pnode::KnownAddress| known.addr.iter().any(|part| part == Protocol::P2pCircuit);
        peers.iter().any(|peer| peer.name == "hidden" && peer.addresses.iter().any(circuit))
    };
    assert!(relay.wait_until(SOON, told).await, "no place: {:?}, {:?}", hidden.reach(), relay.peers());
    hidden
}

async fn caller(home: &Home, relay: &Node) -> Node {
    let bootstrap = tcp_addr(relay).to_string().parse().expect("an address");
    builder(home, "caller").listen_all([]).bootstrap([bootstrap]).start().await.expect("started")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_nobody_can_dial_is_called_over_a_relay() {
    let home = Home::new();
    let relay = relay(&home).await;
    let hidden = hidden(&home, &relay).await;
    let caller = caller(&home, &relay).await;
    let call = caller.call::<usize>("hidden", "length", ("abc",)).details().await.expect("an answer");
    let path = call.path.expect("a path");
    assert_eq!((call.value, path.kind, path.relay, path.hole_punched), (3, "relay", Some(relay.peer_id()), false));
    // The other way, over the same circuit: its end there knows the relay too.
    let pong = hidden.ping(caller.peer_id()).await.expect("an answer");
    let path = pong.path.expect("a path");
    assert_eq!((path.kind, path.relay), ("relay", Some(relay.peer_id())));
    let reservations = hidden.reach().reservations;
    assert_eq!(reservations, [nat::Reservation { relay: relay.peer_id(), accepted: true }]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_over_a_relay_is_not_near() {
    let home = Home::new();
    let relay = relay(&home).await;
    let hidden = hidden(&home, &relay).await;
    let bootstrap = tcp_addr(&relay).to_string().parse().expect("an address");
    let private = builder(&home, "private")
        .allow(Allow::Private)
        .listen_all([])
        .bootstrap([bootstrap])
        .endpoint(Endpoint::new("length"), |_: Context, text: String| async move { Ok(text.len()) });
    let private = private.start().await.expect("started");
    assert!(private.wait_until(SOON, |peers| peers.iter().any(|peer| peer.name == "hidden")).await, "not met");
    let refused = hidden.call::<usize>(private.peer_id(), "length", ("abc",)).await.expect_err("refused");
    assert!(refused.to_string().contains("--allow any"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_circuit_is_cut_at_its_limit() {
    let home = Home::new();
    let relay = relay(&home).await;
    let _hidden = hidden(&home, &relay).await;
    let caller = caller(&home, &relay).await;
    let text = "x".repeat(2_500_000);
    let first = caller.call::<usize>("hidden", "length", (&text,)).await.expect("below the limit");
    assert_eq!(first, text.len());
    // Five millions in all.
    let cut = caller.call::<usize>("hidden", "length", (&text,)).await.expect_err("cut");
    println!("cut: {cut}");
    // A new circuit is a new beginning.
    let third = caller.call::<usize>("hidden", "length", (&text,)).await.expect("below the limit");
    assert_eq!(third, text.len());
}

#[derive(NetworkBehaviour)]
struct Stranger {
    relay: relay::client::Behaviour,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_no_place() {
    let home = Home::new();
    let relay = relay(&home).await;
    let _hidden = hidden(&home, &relay).await;
    let mut stranger = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|_, relay| Stranger { relay })
        .expect("a behaviour")
        .build();
    let there = tcp_addr(&relay).with_p2p(relay.peer_id()).expect("no id yet");
    stranger.listen_on(there.with(Protocol::P2pCircuit)).expect("asked");
    let refused = async {
        loop {
            match stranger.select_next_some().await {
                SwarmEvent::ListenerClosed { reason, .. } => return reason,
                SwarmEvent::NewListenAddr { address, .. } => panic!("a place was given: {address}"),
                _ => {}
            }
        }
    };
    let reason = tokio::time::timeout(SOON, refused).await.expect("an answer in time");
    println!("refused: {reason:?}");
    assert!(reason.is_err(), "the listener was refused, not just closed");
}
