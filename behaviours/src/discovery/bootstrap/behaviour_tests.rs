use std::time::Duration;

use libp2p_swarm::{Swarm, SwarmEvent};

use super::*;
use crate::upkeep::testing;

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_bare_address_is_dialled_until_somebody_is_there() {
    let mut swarms = testing::listening(2, |_| Behaviour::default()).await;
    // Nobody listens there yet.
    let addr: Multiaddr = "/memory/990017".parse().expect("an address");
    assert!(swarms[0].behaviour_mut().add(addr.clone()));
    let failed = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((0, SwarmEvent::Behaviour(Outcome::Failed { failures, .. }))) => Some(failures),
        _ => None,
    });
    assert_eq!(failed.await, Some(1));
    swarms[1].listen_on(addr.clone()).expect("listens");
    let reached = |event: Option<(usize, SwarmEvent<Outcome>)>| match event {
        Some((0, SwarmEvent::Behaviour(Outcome::Reached { addr, peer }))) => Some((addr, peer)),
        _ => None,
    };
    let first = testing::until(&mut swarms, LIMIT, |_, event| reached(event)).await.expect("reached");
    let peer = *swarms[1].local_peer_id();
    assert_eq!(first, (addr.clone(), peer), "and now its id is known");
    assert!(swarms[0].behaviour().addresses().all(|(_, connected)| connected));

    let other = *swarms[0].local_peer_id();
    let both = testing::until(&mut swarms, LIMIT, |swarms, _| swarms[1].is_connected(&other).then_some(()));
    both.await.expect("connected");
    let lost = Instant::now();
    swarms[1].disconnect_peer_id(other).expect("connected");
    let again = testing::until(&mut swarms, LIMIT, |_, event| reached(event)).await;
    assert_eq!(again, Some((addr, peer)));
    assert!(lost.elapsed() < Duration::from_secs(10), "{:?}", lost.elapsed());
}

#[tokio::test]
async fn its_own_address_does_not_keep_it_busy() {
    let mut swarms: Vec<Swarm<Behaviour>> = testing::listening(1, |_| Behaviour::default()).await;
    let addr = testing::memory(&swarms[0]);
    swarms[0].behaviour_mut().add(addr);
    let failed = testing::until(&mut swarms, LIMIT, |_, event| match event {
        Some((_, SwarmEvent::Behaviour(Outcome::Failed { .. }))) => Some(()),
        _ => None,
    });
    failed.await.expect("met itself");
    let wake = swarms[0].behaviour().state.wake_at().expect("tried again some day");
    assert!(wake > Instant::now() + Duration::from_secs(60));
}
