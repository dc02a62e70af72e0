//! Runs several swarms in one task until something holds. No bare sleeps.

use std::{
    future::poll_fn,
    task::Poll,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p_core::Multiaddr;
use libp2p_swarm::{NetworkBehaviour, Swarm, SwarmEvent};
use libp2p_swarm_test::SwarmExt;

/// Conditions that no event announces are looked at this often.
const TICK: Duration = Duration::from_millis(50);

/// Runs `swarms` until `done` gives something, which is asked after every event and every tick.
pub(crate) async fn until<B: NetworkBehaviour, T>(
    swarms: &mut [Swarm<B>],
    limit: Duration,
    mut done: impl FnMut(&mut [Swarm<B>], Option<(usize, SwarmEvent<B::ToSwarm>)>) -> Option<T>,
) -> Option<T> {
    let start = Instant::now();
    let mut tick = tokio::time::interval(TICK);
    while start.elapsed() < limit {
        let next = poll_fn(|cx| {
            for (index, swarm) in swarms.iter_mut().enumerate() {
                if let Poll::Ready(Some(event)) = swarm.poll_next_unpin(cx) {
                    return Poll::Ready((index, event));
                }
            }
            Poll::Pending
        });
        let event = tokio::select! {
            event = next => Some(event),
            _ = tick.tick() => None,
        };
        if let Some(result) = done(swarms, event) {
            return Some(result);
        }
    }
    None
}

/// Swarms that listen on memory; their addresses are external.
pub(crate) async fn listening<B>(count: usize, make: impl Fn(&libp2p_identity::Keypair) -> B) -> Vec<Swarm<B>>
where
    B: NetworkBehaviour + Send,
    B::ToSwarm: std::fmt::Debug,
{
    let mut swarms = Vec::new();
    for _ in 0..count {
        let mut swarm = Swarm::new_ephemeral_tokio(|key| make(&key));
        swarm.listen().with_memory_addr_external().await;
        swarms.push(swarm);
    }
    swarms
}

/// The memory address of a swarm.
pub(crate) fn memory<B: NetworkBehaviour>(swarm: &Swarm<B>) -> Multiaddr {
    swarm.external_addresses().next().cloned().expect("listens on memory")
}

/// The TCP address of a swarm.
pub(crate) fn tcp<B: NetworkBehaviour>(swarm: &Swarm<B>) -> Multiaddr {
    let tcp = swarm.listeners().find(|addr| super::ip_of(addr).is_some());
    tcp.cloned().expect("listens on TCP")
}
