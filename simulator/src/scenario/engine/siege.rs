//! Attackers come, get known, and poison; meanwhile honest nodes publish, search and read.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use p2pnode_wire::{
    limits::VALUE_MAX,
    value::{self, Value},
};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

use super::{
    super::{Sybils, metrics::Metrics},
    Run, join,
    seek::first_shard,
    work::LOOKUP,
    world::{Member, Published, Siege, World},
};
use crate::{
    net::{Nat, place_in},
    sim::SimNode,
    sybil::{self, Accomplice, Order, Orders, Peer, Place, Sybil},
};

/// Networks of attackers are numbered from here, those they only claim to be in from there: honest nodes have lower numbers.
const ATTACKERS: usize = 10_000;
const CLAIMED: usize = 30_000;

/// An attacker gets to know so many nodes a second.
const DIALS: f64 = 2.0;

/// Of the nodes that an attacker gets to know, so many are the nearest to the key.
const NEAREST: usize = 20;

/// Nodes that keep a value, and to which forged ones are sent.
const HOLDERS: usize = 8;

/// Within this time everything poisoned is sent.
const POISONING: Duration = Duration::from_secs(20);

/// Values that come late are published within this time.
const PUBLISHING: Duration = Duration::from_secs(30);

/// An honest node, as attackers know it.
struct Target {
    peer: PeerId,
    place: Place,
    addr: Multiaddr,
}

struct Attacker {
    sybil: Sybil,
    addr: Multiaddr,
    orders: Orders,
}

impl Run {
    /// Lets attackers come.
    pub(super) fn besiege(&mut self, sybils: Sybils) {
        let (world, began) = (self.world.clone(), self.began);
        let capable =
            |role: &super::super::file::Role| sybils.near.as_ref().is_some_and(|n| role.capabilities.contains(n));
        let roles: Vec<usize> =
            (0..self.scenario.nodes.roles.len()).filter(|role| capable(&self.scenario.nodes.roles[*role])).collect();
        let bootstrap = self.scenario.nodes.bootstrap;
        let chance = self.world.sim.chance("sybils");
        self.tasks.spawn(async move {
            let siege = Plan { world, sybils, roles, bootstrap, began };
            siege.lay(chance).await;
        });
    }
}

struct Plan {
    world: World,
    sybils: Sybils,
    /// That have the capability whose key is attacked.
    roles: Vec<usize>,
    bootstrap: usize,
    began: Duration,
}

impl Plan {
    async fn lay(self, mut chance: ChaCha8Rng) {
        let able = |member: &&Member| member.role.is_some_and(|role| self.roles.contains(&role));
        let early = self.world.members(|all| all.iter().filter(able).map(|m| m.node.peer_id()).collect());
        self.world.tally(|tally| tally.siege.providers[0] = early);
        self.publish(0, &mut chance).await;
        self.until(self.sybils.at.0).await;
        let key = self.sybils.near.as_ref().map(|name| first_shard(name));
        let target = key.as_ref().map(|key| sybil::place_of(key.as_bytes()));
        let found = sybil::grind(self.sybils.count, self.sybils.trials, target, &mut chance);
        let targets = self.targets();
        let attackers = self.come(found, &targets, target, &mut chance).await;
        self.until(self.sybils.at.0 + self.sybils.over.0 + self.sybils.settle.0).await;
        self.arrive().await;
        self.publish(1, &mut chance).await;
        self.poison(&attackers, &targets, key.as_deref(), &mut chance).await;
        // They stay to the end: a task that ends would take them along.
        std::future::pending::<()>().await;
    }

    async fn until(&self, at: Duration) {
        tokio::time::sleep((self.began + at).saturating_sub(self.world.sim.elapsed())).await;
    }

    /// All honest nodes that are up.
    fn targets(&self) -> Vec<Target> {
        let of = |node: &SimNode| {
            let (peer, addr) = (node.peer_id(), node.address()?);
            Some(Target { peer, place: sybil::place_of(&peer.to_bytes()), addr })
        };
        self.world.members(|members| members.iter().filter_map(|member| of(&member.node)).collect())
    }

    async fn come(
        &self,
        found: Vec<Sybil>,
        targets: &[Target],
        key: Option<Place>,
        chance: &mut ChaCha8Rng,
    ) -> Vec<Attacker> {
        let (net, networks) = (self.world.sim.net(), self.sybils.networks);
        let host = |at: usize, sybil: &Sybil| {
            let host = net.add_host(sybil.peer, Nat::Open, Some(place_in(ATTACKERS + at % networks, at / networks)));
            net.up(host);
            (host, net.address_of(host))
        };
        let hosts: Vec<(usize, Multiaddr)> = found.iter().enumerate().map(|(at, sybil)| host(at, sybil)).collect();
        let known = found.iter().zip(&hosts);
        let known = known.map(|(one, (_, addr))| Accomplice { peer: one.peer, place: one.place, addr: addr.clone() });
        let gang: Arc<Vec<Accomplice>> = Arc::new(known.collect());
        let sybils = found.iter().map(|sybil| sybil.peer).collect();
        self.world.tally(|tally| tally.siege.sybils = sybils);
        self.world.note(format!("{} attackers come", found.len()));
        let step = self.sybils.over.0.div_f64(found.len().max(1) as f64);
        let mut attackers = Vec::new();
        for (at, (sybil, (host, addr))) in found.into_iter().zip(hosts).enumerate() {
            let claimed = self.sybils.lies.then(|| crate::net::Net::address_at(place_in(CLAIMED + at, 0)));
            let transport = net.transport(host, &sybil.keypair);
            let orders = sybil::start(&sybil, transport, addr.clone(), claimed, gang.clone(), self.sybils.lies);
            let victims = self.victims(targets, key, chance);
            let told = orders.clone();
            tokio::spawn(async move {
                for (peer, addr) in victims {
                    // It has ended.
                    let Ok(()) = told.send(Order::Meet(peer, addr)).await else { return };
                    tokio::time::sleep(Duration::from_secs_f64(1.0 / DIALS)).await;
                }
            });
            attackers.push(Attacker { sybil, addr, orders });
            tokio::time::sleep(step).await;
        }
        attackers
    }

    /// Whom one of them gets to know: a bootstrap peer, those near the key, and others.
    fn victims(&self, targets: &[Target], key: Option<Place>, chance: &mut ChaCha8Rng) -> Vec<(PeerId, Multiaddr)> {
        let first = targets.get(chance.random_range(0..self.bootstrap.max(1)));
        let near = key.map_or_else(Vec::new, |key| sybil::nearest(targets, &key, NEAREST, |target| target.place));
        let left = self.sybils.dials.saturating_sub(near.len() + 1);
        let others: Vec<&Target> = targets.sample(chance, left).collect();
        first.into_iter().chain(near).chain(others).map(|target| (target.peer, target.addr.clone())).collect()
    }

    /// Honest nodes come late, with the capability whose key is attacked.
    async fn arrive(&self) {
        let seeds: Vec<String> = self.world.members(|members| {
            members.iter().take(self.bootstrap).filter_map(|m| m.node.address()).map(|a| a.to_string()).collect()
        });
        for number in 0..self.sybils.late {
            let index = self.world.members(|members| members.len());
            let capabilities = self.sybils.near.iter().cloned().collect();
            let what = join::What { index, clock: p2pnode::Clock::default(), seeds: seeds.clone(), capabilities };
            let make = join::make(&self.world.sim, &self.world.book, what);
            let node = match self.world.sim.node(format!("late{number}"), make).await {
                Ok(node) => node,
                Err(error) => {
                    self.world.note(format!("late{number} did not start: {error}"));
                    continue;
                }
            };
            self.world.tally(|tally| tally.siege.providers[1].insert(node.peer_id()));
            let since = Some(self.world.sim.elapsed());
            let role = self.roles.first().copied();
            self.world.members(|all| all.push(Member { node, role, since, gone: None, side: None, paused: false }));
        }
    }

    /// Some nodes publish a value each: the first ones before, others after.
    async fn publish(&self, era: usize, chance: &mut ChaCha8Rng) {
        let count = self.world.members(|members| members.len());
        let mut owners: Vec<usize> = (0..count).collect();
        owners = owners.sample(chance, self.sybils.values).copied().collect();
        let publishing = owners.into_iter().enumerate().map(|(number, owner)| async move {
            let (name, body) = (format!("v{era}-{number}"), Bytes::from(format!("value {number} of era {era}")));
            let Ok(node) = self.world.node(owner).node() else { return };
            let put = tokio::time::timeout(PUBLISHING, node.dht().put(&name, body.clone())).await;
            if let Ok(Ok(_)) = put {
                let value = Published { owner, name, body };
                self.world.tally(|tally| tally.siege.values[era].push(value));
            } else {
                self.world.note(format!("n{owner} cannot publish {name}"));
            }
        });
        futures::future::join_all(publishing).await;
    }

    /// Sends forged records to those who keep the values and the key.
    async fn poison(&self, attackers: &[Attacker], targets: &[Target], key: Option<&str>, chance: &mut ChaCha8Rng) {
        let values = self.world.tally(|tally| tally.siege.values.concat());
        if attackers.is_empty() || values.is_empty() || self.sybils.poison == 0 {
            return;
        }
        self.world.note(format!("{} forged records", self.sybils.poison));
        let forged: Vec<Forged> = values.iter().map(|value| Forged::of(&self.world, value)).collect();
        let step = POISONING.div_f64(self.sybils.poison as f64);
        for number in 0..self.sybils.poison {
            let attacker = &attackers[number % attackers.len()];
            // Each has its own victim, and few of those who keep its value: a connection with each.
            let about = &forged[number % attackers.len() % forged.len()];
            let round = number / attackers.len() + number % Forged::KINDS;
            let (key, message) = about.message(round, attacker, key, targets, chance);
            let holders = sybil::nearest(targets, &sybil::place_of(key.as_bytes()), HOLDERS, |target| target.place);
            let Some(holder) = holders.get((number + round / Forged::KINDS) % HOLDERS) else { continue };
            if attacker.orders.send(Order::Send(holder.peer, holder.addr.clone(), message)).await.is_ok() {
                self.world.tally(|tally| tally.siege.poisoned += 1);
            }
            tokio::time::sleep(step).await;
        }
    }
}

/// What is forged about one value.
struct Forged {
    key: String,
    owner: PeerId,
    /// An earlier version, in order.
    stale: Bytes,
    /// Signed by somebody else, in the owner's name.
    foreign: Bytes,
    /// The owner's, with a byte changed.
    broken: Bytes,
}

impl Forged {
    /// Kinds of messages.
    const KINDS: usize = 8;

    fn of(world: &World, published: &Published) -> Self {
        let node = world.node(published.owner);
        let signing = node.signing_key();
        let owner = p2pnode_wire::ids::PeerKey(signing.verifying_key().to_bytes());
        let make = |seq, body: &'static [u8]| Value {
            v: 1,
            owner,
            name: published.name.clone(),
            seq,
            at_ms: 0,
            body: Bytes::from_static(body),
        };
        let other = ed25519_dalek::SigningKey::from_bytes(&[7; 32]);
        let stale = make(1, b"stale").seal(&signing).into_raw();
        let mut broken = stale.to_vec();
        broken.iter_mut().rev().take(1).for_each(|byte| *byte ^= 1);
        Self {
            key: value::key(&owner, &published.name),
            owner: node.peer_id(),
            stale,
            foreign: make(u64::MAX, b"foreign").seal(&other).into_raw(),
            broken: broken.into(),
        }
    }

    /// The next forged message, and the key under which it goes.
    fn message(
        &self,
        round: usize,
        by: &Attacker,
        attacked: Option<&str>,
        targets: &[Target],
        chance: &mut ChaCha8Rng,
    ) -> (String, Vec<u8>) {
        let put = |value: &[u8], ttl| (self.key.clone(), sybil::put_value(self.key.as_bytes(), value, ttl));
        let honest = targets.choose(chance).map_or(self.owner, |target| target.peer);
        match round % Self::KINDS {
            0 => put(b"unsigned", None),
            1 => put(&self.foreign, None),
            2 => put(&self.stale, None),
            3 => put(&vec![0; VALUE_MAX + 1_000], None),
            // Soon expired, lest what is kept expires with it.
            4 => put(&self.broken, Some(1)),
            // In somebody else's name.
            5 => {
                let key = attacked.unwrap_or(&self.key).to_owned();
                let message = sybil::add_provider(key.as_bytes(), &Peer { id: honest, addr: by.addr.clone() });
                (key, message)
            }
            // In its own: nearer to the key than everybody who does provide it.
            6 => {
                let key = attacked.unwrap_or(&self.key).to_owned();
                let message = sybil::add_provider(key.as_bytes(), &Peer { id: by.sybil.peer, addr: by.addr.clone() });
                (key, message)
            }
            // And under any key: to fill the store.
            _ => {
                let key = format!("/p2pnode/junk/{}", chance.random_range(0..u64::MAX));
                let message = sybil::add_provider(key.as_bytes(), &Peer { id: by.sybil.peer, addr: by.addr.clone() });
                (self.key.clone(), message)
            }
        }
    }
}

/// One of the published values, and whether it was published before (0) or after (1).
pub(super) fn some_value(world: &World, chance: &mut ChaCha8Rng) -> Option<(usize, Published)> {
    let era = usize::from(chance.random::<bool>());
    world.tally(|tally| tally.siege.values[era].choose(chance).cloned()).map(|value| (era, value))
}

/// A node reads a value of another one.
pub(super) async fn read(world: World, index: usize, era: usize, value: Published) {
    if index == value.owner {
        return;
    }
    let Ok(node) = world.node(index).node() else { return };
    let name = format!("{}/{}", world.node(value.owner).peer_id(), value.name);
    let read = tokio::time::timeout(LOOKUP, node.dht().get(&name)).await;
    world.tally(|tally| {
        tally.siege.reads[era] += 1;
        if let Ok(Ok(found)) = read {
            let right = found.body == value.body;
            tally.siege.right[era] += u64::from(right);
            tally.siege.wrong += u64::from(!right);
        }
    });
}

/// Looks into the tables and stores of all honest nodes, and at whom they are connected with.
pub(super) async fn look(world: &World) {
    let nodes: Vec<SimNode> = world.members(|members| members.iter().map(|member| member.node.clone()).collect());
    let sybils = world.tally(|tally| tally.siege.sybils.clone());
    for node in nodes.iter().filter_map(|node| node.node().ok()) {
        let (Ok(table), Ok(stats)) = (node.dht().table().await, node.dht().stats().await) else { continue };
        let there = table.iter().filter(|there| sybils.contains(&there.peer)).count();
        world.tally(|tally| {
            tally.metrics.sample("siege.sybils_in_table", there as f64);
            tally.metrics.sample("siege.table", table.len() as f64);
            tally.metrics.sample("store.values", stats.values as f64);
            tally.metrics.sample("store.keys", stats.keys as f64);
        });
    }
    let hosts: BTreeSet<usize> = nodes.iter().filter(|node| node.is_up()).map(SimNode::host).collect();
    let joined = connected(&hosts, &world.sim.net().connections());
    world.tally(|tally| tally.metrics.number("siege.members_connected", joined));
}

/// The share of `hosts` in the largest group that hangs together by connections among themselves.
fn connected(hosts: &BTreeSet<usize>, links: &[[usize; 2]]) -> f64 {
    let mut neighbours: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for [a, b] in links.iter().filter(|ends| ends.iter().all(|end| hosts.contains(end))) {
        neighbours.entry(*a).or_default().push(*b);
        neighbours.entry(*b).or_default().push(*a);
    }
    let (mut left, mut largest) = (hosts.clone(), 0);
    while let Some(first) = left.pop_first() {
        let (mut group, mut next) = (1, vec![first]);
        while let Some(host) = next.pop() {
            let near = neighbours.get(&host).into_iter().flatten();
            for other in near.filter(|other| left.remove(*other)) {
                group += 1;
                next.push(*other);
            }
        }
        largest = largest.max(group);
    }
    f64::from(largest) / hosts.len().max(1) as f64
}

impl Siege {
    /// A search has brought these. Whether an honest node is among them; without attackers, whether there is anybody.
    pub(super) fn found(&mut self, providers: &[PeerId]) -> bool {
        if self.sybils.is_empty() {
            return !providers.is_empty();
        }
        let mut any = false;
        for (found, honest) in self.found.iter_mut().zip(&self.providers) {
            let here = providers.iter().any(|peer| honest.contains(peer));
            *found += u64::from(here);
            any |= here;
        }
        let known = |peer: &&PeerId| self.sybils.contains(peer) || self.providers.iter().any(|all| all.contains(peer));
        self.foreign += providers.iter().filter(|peer| !known(peer)).count() as u64;
        any
    }

    pub(super) fn measure(&self, searches: u64, metrics: &mut Metrics) {
        if self.sybils.is_empty() {
            return;
        }
        let mut share = |name, part: u64, all: u64| {
            if all > 0 {
                metrics.number(name, part as f64 / all as f64);
            }
        };
        for (era, name) in ["siege.search_early_ratio", "siege.search_late_ratio"].into_iter().enumerate() {
            if !self.providers[era].is_empty() {
                share(name, self.found[era], searches);
            }
        }
        share("siege.read_early_ratio", self.right[0], self.reads[0]);
        share("siege.read_late_ratio", self.right[1], self.reads[1]);
        metrics.number("siege.wrong_values", self.wrong as f64);
        metrics.number("siege.foreign_providers", self.foreign as f64);
        metrics.number("siege.poisoned", self.poisoned as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_group_counts() {
        let hosts: BTreeSet<usize> = (0..4).collect();
        assert!((connected(&hosts, &[[0, 1], [1, 2], [3, 9], [9, 0]]) - 0.75).abs() < 1e-9, "9 is an attacker");
        assert!((connected(&hosts, &[[0, 1], [2, 1], [3, 2]]) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn only_honest_providers_count() {
        let [honest, late, sybil, other] = [(); 4].map(|()| PeerId::random());
        let mut siege = Siege::default();
        assert!(siege.found(&[other]) && !siege.found(&[]), "without attackers");
        siege.sybils.insert(sybil);
        siege.providers = [[honest].into(), [late].into()];
        assert!(!siege.found(&[sybil]) && siege.found(&[sybil, late]) && siege.found(&[honest, other]));
        assert_eq!((siege.found, siege.foreign), ([1, 1], 1));
    }
}
