use libp2p_core::{Transport as _, transport::MemoryTransport};
use libp2p_swarm::{Swarm, SwarmEvent, dial_opts::DialOpts};

use super::*;
use crate::upkeep::{Gate, Limits, testing};

const LIMIT: Duration = Duration::from_secs(30);

fn rules() -> AddressRules {
    let rules = AddressRules::new();
    rules.allow_loopback(true);
    rules
}

fn make(key: &Keypair) -> Behaviour {
    Behaviour::new(Config::default(), key, rules())
}

async fn pair(config: Config) -> Vec<Swarm<Behaviour>> {
    testing::listening(2, |key| Behaviour::new(config.clone(), key, rules())).await
}

/// Dials the second from the first over memory and waits for the event at both.
async fn connect(swarms: &mut [Swarm<Behaviour>]) {
    let addr = testing::memory(&swarms[1]);
    swarms[0].dial(addr).expect("a dial");
    let both = testing::until(swarms, LIMIT, |swarms, _| {
        swarms.iter().all(|swarm| swarm.connected_peers().count() == 1).then_some(())
    });
    both.await.expect("connected");
}

#[tokio::test]
async fn tells_who_a_peer_is_and_how_far() {
    let mut swarms = pair(Config { agent: "x".repeat(500), ..Config::default() }).await;
    connect(&mut swarms).await;
    let (mut told, mut rtt) = (None, false);
    let both = testing::until(&mut swarms, LIMIT, |_, event| {
        match event {
            Some((0, SwarmEvent::Behaviour(Event::Identified { agent, listen_addrs, .. }))) => {
                told = Some((agent, listen_addrs));
            }
            Some((0, SwarmEvent::Behaviour(Event::Rtt { .. }))) => rtt = true,
            _ => {}
        }
        (told.is_some() && rtt).then_some(())
    });
    both.await.expect("identified and pinged");
    let (agent, addrs) = told.expect("told");
    assert_eq!(agent.len(), 64);
    let peer = *swarms[1].local_peer_id();
    assert!(addrs.contains(&testing::memory(&swarms[1])));
    let known = swarms[0].behaviour().addresses(&peer);
    assert!(known.contains(&(testing::memory(&swarms[1]), Source::Observed)), "{known:?}");
    assert!(known.contains(&(testing::tcp(&swarms[1]), Source::Identify)), "{known:?}");
}

#[tokio::test]
async fn the_book_dials_by_peer_id() {
    let mut swarms = pair(Config::default()).await;
    let peer = *swarms[1].local_peer_id();
    let addr = testing::memory(&swarms[1]);
    assert!(swarms[0].behaviour_mut().learn(peer, &addr, Source::Card, None));
    swarms[0].dial(peer).expect("an address is known");
    let connected = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((0, SwarmEvent::Behaviour(Event::Connected { peer, first, dialer, .. }))) => Some((peer, first, dialer)),
        _ => None,
    });
    assert_eq!(connected.await, Some((peer, true, true)));
}

/// Idle connections close after 10 s in the test's swarms.
#[tokio::test]
async fn a_hold_keeps_a_connection_and_its_end_lets_it_close() {
    let mut swarms = pair(Config::default()).await;
    let peer = *swarms[1].local_peer_id();
    let other = *swarms[0].local_peer_id();
    let holds = [swarms[0].behaviour().hold(&peer), swarms[1].behaviour().hold(&other)];
    connect(&mut swarms).await;
    let closed = |event: Option<(usize, SwarmEvent<Event>)>| match event {
        Some((_, SwarmEvent::Behaviour(Event::Disconnected { cause, .. }))) => Some(cause),
        _ => None,
    };
    let early = testing::until(&mut swarms, Duration::from_secs(14), |_, event| closed(event)).await;
    assert_eq!(early, None, "held");
    drop(holds);
    let dropped = Instant::now();
    let cause = testing::until(&mut swarms, LIMIT, |_, event| closed(event)).await;
    assert!(cause.is_some(), "let go");
    let after = dropped.elapsed();
    assert!((Duration::from_secs(9)..Duration::from_secs(13)).contains(&after), "idle from the drop on: {after:?}");
}

#[tokio::test]
async fn one_host_gets_so_many_connections_and_no_more() {
    let limits = Limits { exempt_private: false, per_ip: 3, pending_in_per_ip: 3, ..Limits::default() };
    let config = Config { limits, ..Config::default() };
    let mut swarms = testing::listening(1, |key| Behaviour::new(config.clone(), key, rules())).await;
    swarms.extend(testing::listening(6, make).await);
    let addr = testing::tcp(&swarms[0]);
    let (mut open, mut refused) = (0, 0);
    for dialler in 1..swarms.len() {
        swarms[dialler].dial(addr.clone()).expect("a dial");
        let settled = testing::until(&mut swarms, LIMIT, |_, event| match event {
            Some((0, SwarmEvent::ConnectionEstablished { .. })) => Some(true),
            Some((0, SwarmEvent::IncomingConnectionError { .. })) => Some(false),
            _ => None,
        });
        *if settled.await.expect("settled") { &mut open } else { &mut refused } += 1;
    }
    assert_eq!((open, refused), (3, 3));
}

/// What a real twin looks like is tested in `twin`.
#[tokio::test]
async fn a_dial_to_oneself_is_no_twin() {
    let mut swarms = testing::listening(1, make).await;
    // The swarm itself refuses its own listen addresses; this one of its is not among them.
    let all = swarms[0].listen_on("/ip4/0.0.0.0/tcp/0".parse().expect("an address")).expect("listens");
    let port = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((_, SwarmEvent::NewListenAddr { listener_id, address })) if listener_id == all => {
            address.iter().nth(1).map(|port| port.acquire())
        }
        _ => None,
    });
    let mut addr: Multiaddr = "/ip4/127.0.0.2".parse().expect("an address");
    addr.push(port.await.expect("listens"));
    swarms[0].dial(addr).expect("a dial");
    let (mut dialled, mut accepted) = (false, false);
    let both = testing::until(&mut swarms, Duration::from_secs(5), |_, event| {
        if let Some((_, event)) = &event {
            println!("{event:?}");
        }
        match event {
            Some((_, SwarmEvent::OutgoingConnectionError { error: DialError::LocalPeerId { .. }, .. })) => {
                dialled = true
            }
            Some((_, SwarmEvent::IncomingConnectionError { error: ListenError::LocalPeerId { .. }, .. })) => {
                accepted = true;
            }
            _ => {}
        }
        (dialled && accepted).then_some(())
    });
    both.await.expect("both ends have met themselves");
    assert_eq!(swarms[0].behaviour().twins.wake_at(), None, "and that settles it");
}

#[tokio::test]
async fn a_blocked_peer_stays_out() {
    let mut swarms = pair(Config::default()).await;
    let peer = *swarms[1].local_peer_id();
    assert!(swarms[0].behaviour_mut().block(peer));
    let addr = testing::memory(&swarms[1]);
    swarms[0].dial(DialOpts::unknown_peer_id().address(addr).build()).expect("a dial");
    let failed = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((0, SwarmEvent::Behaviour(Event::DialFailed { reason, .. }))) => Some(reason),
        Some((0, SwarmEvent::ConnectionEstablished { .. })) => panic!("connected with a blocked peer"),
        _ => None,
    });
    let reason = failed.await.expect("refused");
    assert!(reason.contains("block list"), "{reason}");
}

#[tokio::test]
async fn a_failed_dial_says_what_was_tried() {
    let mut swarms = testing::listening(1, make).await;
    let addr: Multiaddr = "/memory/4711".parse().expect("an address");
    swarms[0].dial(addr.clone()).expect("a dial");
    let failed = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((_, SwarmEvent::Behaviour(Event::DialFailed { attempts, .. }))) => Some(attempts),
        _ => None,
    });
    assert_eq!(failed.await.expect("failed").first().map(|(tried, _)| tried.clone()), Some(addr));
}

#[test]
fn the_gate_refuses_before_anything_is_sent() {
    let rules = AddressRules::new();
    let mut gate = Gate::new(MemoryTransport::new(), rules);
    let opts =
        libp2p_core::transport::DialOpts { role: Endpoint::Dialer, port_use: libp2p_core::transport::PortUse::New };
    for bad in ["/ip4/127.0.0.1/tcp/22", "/ip4/169.254.169.254/tcp/80", "/dns/example.com/tcp/1"] {
        let error = match gate.dial(bad.parse().expect("an address"), opts) {
            Err(libp2p_core::transport::TransportError::Other(error)) => error.to_string(),
            Err(error) => panic!("another error: {error}"),
            Ok(_) => panic!("{bad} was dialled"),
        };
        assert!(error.starts_with("not dialled: "), "{error}");
    }
    let good = gate.dial("/memory/1".parse().expect("an address"), opts);
    assert!(!matches!(good, Err(libp2p_core::transport::TransportError::Other(crate::upkeep::GateError::Refused(_)))));
}
