//! What the nodes do: broadcasts, questions, look-ups and searches.

use std::{sync::atomic::Ordering, time::Duration};

use futures::StreamExt;
use p2pnode::AskEvent;
use p2pnode_wire::{
    ids::{SwarmId, SwarmName},
    key,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::{super::file::Workload, measure::ms, seek, siege, world::World};
use crate::sim::{SWARM, Sim};

/// For one look-up or search.
pub(super) const LOOKUP: Duration = Duration::from_secs(30);

/// Asks, look-ups and searches under way at once; beyond that a scenario asks for more than nodes can do.
const UNDER_WAY: usize = 1_000;

/// The moments at which something happens `rate` times a second, by chance but not by accident: at equal steps with a
/// random beginning.
async fn every(
    rate: f64,
    chance: &mut ChaCha8Rng,
    count: &mut u64,
    began: Duration,
    sim: &Sim,
    until: Duration,
) -> bool {
    if *count == 0 {
        let first = Duration::from_secs_f64(chance.random_range(0.0..1.0) / rate);
        tokio::time::sleep(first).await;
    } else {
        let next = began + Duration::from_secs_f64(*count as f64 / rate);
        tokio::time::sleep(next.saturating_sub(sim.elapsed())).await;
    }
    *count += 1;
    sim.elapsed() < until
}

pub(super) async fn work(
    world: World,
    workload: Workload,
    roles: Vec<String>,
    mut chance: ChaCha8Rng,
    duration: Duration,
) {
    let role = |name: &Option<String>| name.as_ref().and_then(|name| roles.iter().position(|role| role == name));
    let (rate, after) = match &workload {
        Workload::Broadcast { rate, after, .. }
        | Workload::Ask { rate, after, .. }
        | Workload::Lookup { rate, after }
        | Workload::Search { rate, after, .. }
        | Workload::Read { rate, after }
        | Workload::Find { rate, after, .. } => (rate.0, after.map_or(Duration::ZERO, |span| span.0)),
    };
    let from = match &workload {
        Workload::Broadcast { from, .. } | Workload::Ask { from, .. } => role(from),
        _ => None,
    };
    let until = world.sim.elapsed() + duration;
    tokio::time::sleep(after).await;
    let (began, mut count) = (world.sim.elapsed(), 0);
    let mut tasks = JoinSet::new();
    while every(rate, &mut chance, &mut count, began, &world.sim, until).await {
        while tasks.try_join_next().is_some() {}
        let Some(index) = world.pick(&mut chance, from).filter(|_| tasks.len() < UNDER_WAY) else { continue };
        let world = world.clone();
        match &workload {
            Workload::Broadcast { size, .. } => {
                let size = size.0;
                tasks.spawn(async move { broadcast(world, index, size).await });
            }
            Workload::Ask { .. } => {
                tasks.spawn(async move { ask(world, index).await });
            }
            Workload::Lookup { .. } => {
                let other = world.pick(&mut chance, None).filter(|target| *target != index);
                let Some(target) = other else { continue };
                tasks.spawn(async move { lookup(world, index, target).await });
            }
            Workload::Search { capability, .. } => {
                let capability = capability.clone();
                tasks.spawn(async move { search(world, index, capability).await });
            }
            Workload::Read { .. } => {
                let Some((era, value)) = siege::some_value(&world, &mut chance) else { continue };
                tasks.spawn(async move { siege::read(world, index, era, value).await });
            }
            Workload::Find { capability, limit, .. } => {
                let (capability, limit) = (capability.clone(), *limit);
                tasks.spawn(async move { seek::find(world, index, capability, limit).await });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn broadcast(world: World, index: usize, size: usize) {
    let Ok(node) = world.node(index).node() else { return };
    let id = world.book.say(world.node(index).host(), world.sim.elapsed(), world.audience(index));
    let more = usize::from(world.perturb.swap(false, Ordering::Relaxed));
    let pad = "x".repeat(size + more);
    if let Err(error) = node.broadcast("sim.note", (id, pad)).await {
        world.book.unsaid(id);
        world.note(format!("n{index} cannot say anything: {error}"));
    }
}

async fn ask(world: World, index: usize) {
    let Ok(node) = world.node(index).node() else { return };
    let began = world.sim.elapsed();
    world.tally(|tally| tally.asks += 1);
    let Ok(mut asked) = node.ask(SWARM, "who is there?").timeout(LOOKUP).await else { return };
    let (mut first, mut last, mut replies) = (None, None, 0.0);
    while let Some(event) = asked.next().await {
        let took = ms(world.sim.elapsed().saturating_sub(began));
        match event {
            AskEvent::Ack { .. } => drop(first.get_or_insert(took)),
            AskEvent::Reply { .. } => {
                last = Some(took);
                replies += 1.0;
            }
            _ => {}
        }
    }
    world.tally(|tally| {
        tally.asks_answered += u64::from(last.is_some());
        tally.metrics.sample("ask.replies", replies);
        first.into_iter().for_each(|first| tally.metrics.sample("ask.first_ack_ms", first));
        last.into_iter().for_each(|last| tally.metrics.sample("ask.last_reply_ms", last));
    });
}

pub(super) async fn table(node: &p2pnode::Node) -> Vec<p2pnode::PeerId> {
    node.dht().table().await.unwrap_or_default().into_iter().map(|there| there.peer).collect()
}

async fn lookup(world: World, index: usize, target: usize) {
    let Ok(node) = world.node(index).node() else { return };
    let wanted = world.node(target).peer_id();
    let host = world.node(index).host();
    let table = table(&node).await;
    world.sim.net().follow_lookup(host, &wanted.to_bytes(), &table);
    let began = world.sim.elapsed();
    world.tally(|tally| tally.lookups += 1);
    let found = tokio::time::timeout(LOOKUP, node.dht().lookup(wanted)).await;
    let found = found.ok().and_then(Result::ok);
    let took = ms(world.sim.elapsed().saturating_sub(began));
    let followed = world.sim.net().lookup_followed(host, &wanted.to_bytes());
    world.tally(|tally| {
        tally.lookups_found += u64::from(found.as_ref().is_some_and(|found| found.addresses.is_some()));
        found.into_iter().for_each(|found| tally.metrics.sample("dht.lookup_failures", found.failures.into()));
        tally.metrics.sample("dht.lookup_ms", took);
        tally.metrics.sample("dht.table", table.len() as f64);
        if let Some(followed) = followed.filter(|followed| followed.requests() > 0) {
            tally.metrics.sample("dht.lookup_requests", f64::from(followed.requests()));
            let hops = followed.hops_to(&wanted);
            hops.into_iter().for_each(|hops| tally.metrics.sample("dht.lookup_hops", f64::from(hops)));
        }
    });
}

async fn search(world: World, index: usize, capability: String) {
    let Ok(node) = world.node(index).node() else { return };
    let Ok(name) = SWARM.parse::<SwarmName>() else { return };
    let key = key::capability(&SwarmId::open(&name), &capability, 0);
    let began = world.sim.elapsed();
    world.tally(|tally| tally.searches += 1);
    let found = tokio::time::timeout(LOOKUP, node.dht().providers(&key)).await;
    let took = ms(world.sim.elapsed().saturating_sub(began));
    world.tally(|tally| {
        if let Ok(Ok(found)) = found {
            let honest = tally.siege.found(&found.providers);
            tally.searches_found += u64::from(honest);
            tally.metrics.sample("dht.search_requests", found.requests.into());
            tally.metrics.sample("dht.search_failures", found.failures.into());
            tally.metrics.sample("dht.search_ms", took);
        }
    });
}
