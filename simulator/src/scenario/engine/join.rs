//! How the nodes come, and what each of them is.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use p2pnode::{Ask, Builder, Clock, Context, Endpoint};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::{
    super::{
        book::Book,
        file::{Nats, Pattern, Scenario},
    },
    Run,
    measure::ms,
    world::{JOIN, Member},
};
use crate::{
    net::{Nat, place_in},
    sim::{Sim, SimError},
};

/// When each of `count` nodes comes.
fn joins(scenario: &Scenario, chance: &mut ChaCha8Rng) -> Vec<Duration> {
    let (count, join) = (scenario.nodes.count, scenario.nodes.join);
    let over = join.over.0;
    let mut times: Vec<Duration> = (0..count)
        .map(|index| match join.pattern {
            Pattern::Ramp => over.mul_f64(index as f64 / count as f64),
            Pattern::Random => over.mul_f64(chance.random_range(0.0..1.0)),
            Pattern::Burst => Duration::ZERO,
        })
        .collect();
    times.sort();
    times
}

fn nat_of(nats: Nats, index: usize, bootstrap: usize, chance: &mut ChaCha8Rng) -> Nat {
    let drawn: f64 = chance.random_range(0.0..1.0);
    if index < bootstrap {
        Nat::Open
    } else if drawn < nats.symmetric {
        Nat::Symmetric
    } else if drawn < nats.symmetric + nats.cone {
        Nat::Cone
    } else {
        Nat::Open
    }
}

/// The role of each node, so that shares hold and roles are mixed.
fn roles(scenario: &Scenario, chance: &mut ChaCha8Rng) -> Vec<Option<usize>> {
    let count = scenario.nodes.count;
    let mut roles: Vec<Option<usize>> = Vec::with_capacity(count);
    for (index, role) in scenario.nodes.roles.iter().enumerate() {
        let share = (role.share * count as f64).round() as usize;
        roles.extend(std::iter::repeat_n(Some(index), share.max(1)));
    }
    roles.resize(count, None);
    rand::seq::SliceRandom::shuffle(roles.as_mut_slice(), chance);
    roles
}

impl Run {
    pub(super) async fn join(&mut self) -> Result<(), SimError> {
        let mut chance = self.world.sim.chance("join");
        let mut clocks = self.world.sim.chance("clocks");
        let times = joins(&self.scenario, &mut chance);
        let roles = roles(&self.scenario, &mut chance);
        let mut ready = FuturesUnordered::new();
        let began = self.world.sim.elapsed();
        let mut seeds: Vec<String> = Vec::new();
        let per_network = self.scenario.nodes.per_network;
        for (index, at) in times.into_iter().enumerate() {
            let wait = (began + at).saturating_sub(self.world.sim.elapsed());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let nat = nat_of(self.scenario.network.nat, index, self.scenario.nodes.bootstrap, &mut chance);
            let capabilities = roles[index].map(|role| self.scenario.nodes.roles[role].capabilities.clone());
            let clock = skewed(self.scenario.nodes.clock_skew.0, &mut clocks);
            let what = What { index, clock, seeds: seeds.clone(), capabilities: capabilities.unwrap_or_default() };
            let make = make(&self.world.sim, &self.world.book, what);
            let place = (per_network > 1).then(|| place_in(index / per_network, index % per_network));
            let node = self.world.sim.node_at(format!("n{index}"), nat, place, make).await?;
            if index < self.scenario.nodes.bootstrap
                && let Some(addr) = node.address()
            {
                seeds.push(addr.to_string());
            }
            let since = Some(self.world.sim.elapsed());
            let member =
                Member { node: node.clone(), role: roles[index], since, gone: None, side: None, paused: false };
            self.world.members(|members| members.push(member));
            if index > 0 {
                let world = self.world.clone();
                ready.push(tokio::spawn(async move {
                    let began = world.sim.elapsed();
                    let Ok(started) = node.node() else { return };
                    let known = started.wait_until(JOIN, |peers| !peers.is_empty()).await;
                    let took = if known { ms(world.sim.elapsed().saturating_sub(began)) } else { f64::INFINITY };
                    world.tally(|tally| tally.metrics.sample("join.ready_ms", took));
                }));
            }
            if self.options.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        while ready.next().await.is_some() {}
        Ok(())
    }
}

fn skewed(most: Duration, chance: &mut ChaCha8Rng) -> Clock {
    let by = most.mul_f64(chance.random_range(0.0..1.0));
    if chance.random() { Clock::ahead(by) } else { Clock::behind(by) }
}

/// What one node is.
pub(super) struct What {
    pub(super) index: usize,
    pub(super) clock: Clock,
    pub(super) seeds: Vec<String>,
    pub(super) capabilities: Vec<String>,
}

/// What every node of a scenario is.
pub(super) fn make(sim: &Sim, book: &Book, what: What) -> impl Fn(Builder) -> Builder + Send + Sync + 'static {
    let What { index: host, clock, seeds, capabilities } = what;
    let (sim, book, starts) = (sim.clone(), book.clone(), AtomicU64::new(0));
    move |builder| {
        let (sim, book, start) = (sim.clone(), book.clone(), starts.fetch_add(1, Ordering::Relaxed));
        let seeds = seeds.iter().filter_map(|addr| addr.parse().ok());
        let builder =
            capabilities.iter().fold(builder.bootstrap(seeds).clock(clock), |b, name| b.capability(name.as_str()));
        builder
            .endpoint(Endpoint::new("sim.note").public(), move |cx: Context, (id, _pad): (u64, String)| {
                book.heard(id, (host, start), cx.via(), sim.elapsed());
                async { Ok(()) }
            })
            .ask(|cx: Ask, task: String| async move {
                cx.ack().await?;
                Ok(task)
            })
    }
}
