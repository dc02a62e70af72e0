use libp2p_swarm::{Swarm, SwarmEvent};
use libp2p_swarm_test::SwarmExt;

use super::*;
use crate::upkeep::testing;

#[tokio::test]
#[ignore = "needs an interface that does multicast; runs in .ci/long, and first_success has two namespaces do it"]
async fn neighbours_find_one_another() {
    let make = |key: libp2p_identity::Keypair| {
        Behaviour::new(&Config::default(), key.public().to_peer_id(), AddressRules::new())
    };
    let mut swarms: Vec<Swarm<Behaviour>> = (0..2).map(|_| Swarm::new_ephemeral_tokio(make)).collect();
    for swarm in &mut swarms {
        assert_eq!(swarm.behaviour().error(), None);
        swarm.listen_on("/ip4/0.0.0.0/tcp/0".parse().expect("an address")).expect("listens");
    }
    let wanted = *swarms[1].local_peer_id();
    let found = testing::until(&mut swarms, Duration::from_secs(20), |swarms, event| match event {
        Some((0, SwarmEvent::Behaviour(found))) if found.peer == wanted => {
            println!("found {found:?}");
            None
        }
        _ => swarms[0].is_connected(&wanted).then_some(()),
    });
    found.await.expect("found and connected");
}
