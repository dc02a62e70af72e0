//! Finding members by what they can do, as programs do.

use std::time::Duration;

use libp2p::PeerId;
use p2pnode::{Found, Node, Query};
use p2pnode_wire::{
    ids::{SwarmId, SwarmName},
    key,
};

use super::{
    measure::ms,
    work::{LOOKUP, table},
    world::{Finds, World},
};
use crate::{net::Nat, sim::SWARM};

/// The end of a connection is on its way for as long: twice what one packet in a hundred takes in the usual network.
const UNDER_WAY: Duration = Duration::from_millis(360);

pub(super) async fn find(world: World, index: usize, capability: String, limit: usize) {
    let Ok(node) = world.node(index).node() else { return };
    if able(&node, &capability) {
        return;
    }
    let (host, key) = (world.node(index).host(), first_shard(&capability));
    let table = table(&node).await;
    world.sim.net().follow_lookup(host, key.as_bytes(), &table);
    let began = world.sim.elapsed();
    let found = look(&node, &capability, limit).await;
    let took = ms(world.sim.elapsed().saturating_sub(began));
    let followed = world.sim.net().lookup_followed(host, key.as_bytes());
    let hosts: Vec<Option<usize>> = found.iter().map(|one| up(&world, &one.peer.id)).collect();
    world.tally(|tally| {
        tally.finds.count(&capability, &hosts);
        if !found.is_empty() {
            tally.metrics.sample("find.ms", took);
        }
        let followed = followed.filter(|followed| followed.requests() > 0);
        let hops = followed.as_ref().and_then(|followed| followed.hops_to_provider());
        hops.into_iter().for_each(|hops| tally.metrics.sample("find.hops", f64::from(hops)));
        followed.into_iter().for_each(|all| tally.metrics.sample("find.requests", f64::from(all.requests())));
    });
}

/// A node that comes late: how long after its start it has found each.
pub(super) async fn newcomer(world: &World, finds: &[String]) {
    let seeds: Vec<String> = world.members(|members| {
        members.first().and_then(|first| first.node.address()).iter().map(ToString::to_string).collect()
    });
    let seeds = move || seeds.clone().into_iter().filter_map(|addr| addr.parse().ok());
    let began = world.sim.elapsed();
    let make = move |builder: p2pnode::Builder| builder.bootstrap(seeds());
    let node = match world.sim.node_behind("newcomer".to_owned(), Nat::Open, make).await {
        Ok(node) => node,
        Err(error) => return world.note(format!("the newcomer did not start: {error}")),
    };
    let Ok(started) = node.node() else { return };
    world.tally(|tally| tally.metrics.sample("newcomer.ready_ms", ms(world.sim.elapsed().saturating_sub(began))));
    for capability in finds {
        let mut found = Vec::new();
        while found.is_empty() && world.sim.elapsed().saturating_sub(began) < LOOKUP {
            found = look(&started, capability, 1).await;
            if found.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        let took = ms(world.sim.elapsed().saturating_sub(began));
        let took = if found.is_empty() { f64::INFINITY } else { took };
        let hosts: Vec<Option<usize>> = found.iter().map(|one| up(world, &one.peer.id)).collect();
        world.tally(|tally| {
            tally.finds.dead += hosts.iter().filter(|host| host.is_none()).count() as u64;
            tally.metrics.sample("newcomer.find_ms", took);
        });
    }
    let dials = world.sim.net().host(node.host()).dials;
    world.tally(|tally| tally.metrics.sample("newcomer.dials", dials as f64));
}

impl Finds {
    fn count(&mut self, capability: &str, hosts: &[Option<usize>]) {
        self.tried += 1;
        self.found += u64::from(!hosts.is_empty());
        self.dead += hosts.iter().filter(|host| host.is_none()).count() as u64;
        if let Some(Some(first)) = hosts.first() {
            *self.offered.entry(capability.to_owned()).or_default().entry(*first).or_default() += 1;
        }
    }

    /// Of the capability that was found most: how many different nodes were offered, and the share of the tenth of them
    /// that was offered most.
    pub(super) fn spread(&self) -> Option<(usize, f64)> {
        let offered = self.offered.values().max_by_key(|nodes| nodes.values().sum::<u64>())?;
        let mut times: Vec<u64> = offered.values().copied().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let top: u64 = times.iter().take(times.len().div_ceil(10)).sum();
        Some((times.len(), top as f64 / times.iter().sum::<u64>() as f64))
    }
}

async fn look(node: &Node, capability: &str, limit: usize) -> Vec<Found> {
    let query = Query { limit, ..Query::capability(capability) };
    let found = tokio::time::timeout(LOOKUP, node.find(query)).await;
    found.ok().and_then(Result::ok).unwrap_or_default()
}

fn able(node: &Node, capability: &str) -> bool {
    node.card().is_some_and(|card| card.capabilities.iter().any(|own| own.name == capability))
}

pub(super) fn first_shard(capability: &str) -> String {
    let swarm = SWARM.parse::<SwarmName>().map(|name| SwarmId::open(&name));
    swarm.map_or_else(|_| String::new(), |swarm| key::capability(&swarm, capability, 0))
}

/// The host of a node that is up, or went so lately that nobody can know.
fn up(world: &World, peer: &PeerId) -> Option<usize> {
    let now = world.sim.elapsed();
    world.members(|members| {
        let member = members.iter().find(|member| member.node.peer_id() == *peer)?;
        let lately = || member.gone.is_some_and(|gone| now < gone + UNDER_WAY);
        (member.since.is_some() || lately()).then(|| member.node.host())
    })
}
