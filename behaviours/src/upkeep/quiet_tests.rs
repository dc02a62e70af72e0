use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use libp2p_gossipsub::{self as gossipsub, IdentTopic};
use libp2p_swarm::{Swarm, SwarmEvent};

use super::*;
use crate::upkeep::testing;

const NODES: usize = 30;
const MESH: usize = 6;

fn gossip() -> gossipsub::Behaviour {
    let config = gossipsub::ConfigBuilder::default()
        .mesh_n(MESH)
        .heartbeat_initial_delay(Duration::from_millis(200))
        .validation_mode(gossipsub::ValidationMode::None)
        .message_id_fn(|message| gossipsub::MessageId(message.data.clone()))
        .build()
        .expect("good settings");
    gossipsub::Behaviour::new(gossipsub::MessageAuthenticity::Anonymous, config).expect("good settings")
}

fn topic() -> IdentTopic {
    IdentTopic::new("garden")
}

fn mean<B: NetworkBehaviour>(swarms: &[Swarm<B>]) -> f64 {
    let all: usize = swarms.iter().map(|swarm| swarm.connected_peers().count()).sum();
    all as f64 / swarms.len() as f64
}

/// Thirty nodes that have all dialled one another.
async fn full_mesh<B>(make: impl Fn() -> B) -> Vec<Swarm<B>>
where
    B: NetworkBehaviour + Send,
    B::ToSwarm: std::fmt::Debug,
{
    let mut swarms = testing::listening(NODES, |_| make()).await;
    for dialler in 0..NODES {
        for target in 0..dialler {
            let addr = testing::memory(&swarms[target]);
            swarms[dialler].dial(addr).expect("a dial");
        }
    }
    let full = |swarms: &mut [Swarm<B>], _| (mean(swarms) > 28.9).then_some(());
    testing::until(&mut swarms, Duration::from_secs(30), full).await.expect("all are connected with all");
    swarms
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gossip_keeps_its_mesh_and_lets_the_rest_go() {
    let subscribed = || {
        let mut gossip = gossip();
        gossip.subscribe(&topic()).expect("subscribed");
        gossip
    };
    let mut quiet = full_mesh(|| Quiet::new(subscribed())).await;
    let mut loud = full_mesh(subscribed).await;

    let over = AtomicBool::new(false);
    // Idle connections close after 10 s. Then nothing changes any more.
    let mut last = (mean(&quiet), Instant::now());
    let calm = async {
        let few = |swarms: &mut [Swarm<Quiet<gossipsub::Behaviour>>], _| {
            let now = mean(swarms);
            if now != last.0 {
                last = (now, Instant::now());
            }
            (now < 2.0 * MESH as f64 && last.1.elapsed() > Duration::from_secs(3)).then_some(now)
        };
        let mean = testing::until(&mut quiet, Duration::from_secs(60), few).await;
        over.store(true, Ordering::Relaxed);
        mean
    };
    let noise = testing::until(&mut loud, Duration::from_secs(61), |swarms, _| {
        over.load(Ordering::Relaxed).then(|| mean(swarms))
    });
    let (calm, noise) = tokio::join!(calm, noise);
    let (calm, noise) = (calm.expect("connections outside the mesh close"), noise.expect("asked"));
    println!("connections per node: {calm:.1} quiet, {noise:.1} as gossipsub comes");
    assert!(noise > 28.9, "the wrapper is needed: {noise}");

    let least = quiet.iter().map(|swarm| swarm.connected_peers().count()).min();
    println!("the least connected node has {least:?}");
    quiet[0].behaviour_mut().publish(topic(), b"hello".to_vec()).expect("published");
    let mut reached = std::collections::HashSet::new();
    let all = testing::until(&mut quiet, Duration::from_secs(10), |_, event| {
        if let Some((index, SwarmEvent::Behaviour(gossipsub::Event::Message { .. }))) = event {
            reached.insert(index);
        }
        (reached.len() == NODES - 1).then_some(())
    });
    all.await.expect("a message reaches everybody over the mesh");
}
