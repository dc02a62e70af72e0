use std::time::Duration;

use libp2p_swarm::{Swarm, SwarmEvent};

use super::{super::Status, *};
use crate::upkeep::testing;

const LIMIT: Duration = Duration::from_secs(60);
const GARDEN: SwarmId = SwarmId([1; 32]);

fn behaviour(keypair: &libp2p_identity::Keypair, config: Config) -> Behaviour {
    let secret = keypair.clone().try_into_ed25519().expect("an Ed25519 key").secret();
    let key = SigningKey::from_bytes(secret.as_ref().try_into().expect("32 bytes"));
    let mut behaviour = Behaviour::new(config, key, 1_000);
    behaviour.join(GARDEN);
    behaviour.set_self("n".into(), 1);
    behaviour
}

/// A line of nodes: what one says must be passed on to reach all.
async fn line(count: usize, config: &Config) -> Vec<Swarm<Behaviour>> {
    let mut swarms = testing::listening(count, |keypair| behaviour(keypair, config.clone())).await;
    for index in 1..count {
        let addr = testing::memory(&swarms[index - 1]);
        swarms[index].dial(addr).expect("a dial");
    }
    let connected = testing::until(&mut swarms, LIMIT, |swarms, _| {
        let last = swarms.len() - 1;
        let links = |at: usize| if at == 0 || at == last { 1 } else { 2 };
        let linked = |(at, swarm): (usize, &Swarm<Behaviour>)| swarm.connected_peers().count() == links(at);
        swarms.iter().enumerate().all(linked).then_some(())
    });
    connected.await.expect("connected");
    for swarm in &mut swarms {
        let peers: Vec<PeerId> = swarm.connected_peers().copied().collect();
        peers.iter().for_each(|peer| swarm.behaviour_mut().member(peer, &[GARDEN]));
    }
    swarms
}

/// Waits until each of `missing` has heard that the peer is so.
async fn heard(swarms: &mut [Swarm<Behaviour>], mut missing: Vec<(usize, PeerId)>, status: Status) {
    let all = testing::until(swarms, LIMIT, |_, event| {
        if let Some((at, SwarmEvent::Behaviour(Event::Changed(changes)))) = event {
            let told = |peer: &PeerId| changes.iter().any(|change| change.peer == *peer && change.status == status);
            missing.retain(|(other, peer)| *other != at || !told(peer));
        }
        missing.is_empty().then_some(())
    });
    let came = all.await;
    assert!(came.is_some(), "{status:?} is not known to {missing:?}");
}

#[tokio::test]
async fn who_comes_leaves_or_is_gone_is_known_along_a_line() {
    let mut swarms = line(5, &Config::default()).await;
    let first = *swarms[0].local_peer_id();
    heard(&mut swarms, (1..5).map(|at| (at, first)).collect(), Status::Online).await;
    swarms[0].behaviour_mut().leave();
    heard(&mut swarms, (1..5).map(|at| (at, first)).collect(), Status::Left).await;
    // The last one is gone without a word, and its neighbour cannot reach it.
    let last = *swarms.pop().expect("five").local_peer_id();
    let alone = testing::until(&mut swarms, LIMIT, |swarms, _| (!swarms[3].is_connected(&last)).then_some(()));
    alone.await.expect("its connection is closed");
    swarms[3].behaviour_mut().suspect(&last);
    heard(&mut swarms, (1..4).map(|at| (at, last)).collect(), Status::Offline).await;
}

#[tokio::test]
async fn its_substreams_keep_no_connection() {
    let mut swarms = line(2, &Config::default()).await;
    let (first, second) = (*swarms[0].local_peer_id(), *swarms[1].local_peer_id());
    heard(&mut swarms, vec![(0, second), (1, first)], Status::Online).await;
    let keeps = Handler::new();
    assert!(!libp2p_swarm::ConnectionHandler::connection_keep_alive(&keeps));
    let idle = testing::until(&mut swarms, LIMIT, |swarms, _| (!swarms[0].is_connected(&second)).then_some(()));
    idle.await.expect("closed for want of use");
}

/// Frames for the Swarm to pass on, by connection.
fn sent(behaviour: &mut Behaviour) -> Vec<ConnectionId> {
    behaviour.turn();
    let commands = std::mem::take(&mut behaviour.commands);
    let by = |command| match command {
        ToSwarm::NotifyHandler { handler: NotifyHandler::One(by), event: Command::Send(_), .. } => Some(by),
        _ => None,
    };
    commands.into_iter().filter_map(by).collect()
}

/// Two nodes that dial each other at once have two connections for a moment; substreams of the one that is closed end as if the peer
/// did not speak the protocol.
#[test]
fn who_refuses_on_a_breaking_connection_is_told_by_the_other() {
    let own = libp2p_identity::Keypair::generate_ed25519();
    let peer = PeerId::from(libp2p_identity::Keypair::generate_ed25519().public());
    let [first, second, third] = [1, 2, 3].map(ConnectionId::new_unchecked);
    let mut behaviour = behaviour(&own, Config::default());
    behaviour.opened(peer, first);
    behaviour.opened(peer, second);
    behaviour.member(&peer, &[GARDEN]);
    assert_eq!(sent(&mut behaviour), [second], "a newcomer compares");
    behaviour.reported(peer, second, Report::Failed { unsupported: true });
    assert_eq!(sent(&mut behaviour), [first], "the comparison was lost");
    behaviour.closed(&peer, second);
    assert_eq!(sent(&mut behaviour), [], "nothing was sent by it since");
    // Nobody else is asked before that one has had time to answer; then the last connection breaks, too.
    behaviour.reported(peer, first, Report::Failed { unsupported: true });
    assert_eq!(sent(&mut behaviour), [], "it may not speak the protocol");
    behaviour.opened(peer, third);
    assert_eq!(sent(&mut behaviour), [third], "it has dialled again before the old one was closed");
    behaviour.closed(&peer, first);
    behaviour.reported(peer, third, Report::Malformed);
    behaviour.opened(peer, first);
    assert_eq!(sent(&mut behaviour), [], "who breaks the protocol is not told anything");
}
