//! What happens to the nodes: crashes, pauses, partitions, slow links.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures::{StreamExt, stream::FuturesUnordered};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::{
    super::{Turnover, file::Event, report::Band},
    presence::{self, Seen},
    seek,
    world::World,
};
use crate::net::{self, Fault};

pub(super) async fn happen(world: World, event: Event, chance: ChaCha8Rng, began: Duration) {
    let (Event::Partition { at, .. }
    | Event::Churn { at, .. }
    | Event::Crash { at, .. }
    | Event::Leave { at, .. }
    | Event::Vanish { at, .. }
    | Event::Quiet { at, .. }
    | Event::Pause { at, .. }
    | Event::Slow { at, .. }
    | Event::Newcomer { at, .. }) = &event;
    tokio::time::sleep((began + at.0).saturating_sub(world.sim.elapsed())).await;
    let mut now = Now { world, chance, began };
    match event {
        Event::Partition { groups, one_way, bridge, heal_after, .. } => {
            now.partition(&groups, one_way, bridge, heal_after.map(|span| span.0)).await;
        }
        Event::Churn { rate, restart_after, until, .. } => {
            now.churn(rate.0, restart_after.map(|span| span.0), until.map(|span| span.0)).await;
        }
        Event::Crash { share, restart_after, .. } => now.crash(share, restart_after.map(|span| span.0)).await,
        Event::Leave { share, .. } => now.leave(share).await,
        Event::Vanish { share, .. } => now.vanish(share).await,
        Event::Quiet { lasts, .. } => now.quiet(lasts.0).await,
        Event::Pause { share, lasts, .. } => now.pause(share, lasts.0).await,
        Event::Slow { share, by, lasts, .. } => now.slow(share, by.0, lasts.map(|span| span.0)).await,
        Event::Newcomer { finds, .. } => seek::newcomer(&now.world, &finds).await,
    }
}

/// The moment of an event.
struct Now {
    world: World,
    chance: ChaCha8Rng,
    /// When the work began.
    began: Duration,
}

impl Now {
    async fn partition(&self, groups: &[f64], one_way: bool, bridge: usize, heal_after: Option<Duration>) {
        let fault = part(&self.world, groups, one_way, bridge);
        self.band(&format!("partition {groups:?}"), heal_after);
        let Some(span) = heal_after else { return fault.for_ever() };
        tokio::time::sleep(span).await;
        fault.heal();
        self.world.members(|members| members.iter_mut().for_each(|member| member.side = None));
        self.world.note("the partition is healed".into());
    }

    async fn churn(&mut self, rate: Turnover, restart_after: Option<Duration>, until: Option<Duration>) {
        self.band("churn", until);
        let world = self.world.clone();
        let end = until.map(|span| world.sim.elapsed() + span);
        let mut tasks = JoinSet::new();
        // One after the other, not all at once.
        let count = world.members(|members| members.len()) as f64;
        let pause = rate.every.div_f64((rate.share * count).max(1e-3));
        while end.is_none_or(|end| world.sim.elapsed() < end) {
            tokio::time::sleep(pause).await;
            while tasks.try_join_next().is_some() {}
            let Some(index) = self.some(1.0).choose(&mut self.chance).copied() else { continue };
            world.crash(index);
            if let Some(after) = restart_after {
                let world = world.clone();
                tasks.spawn(async move {
                    tokio::time::sleep(after).await;
                    world.restart(index).await;
                });
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn crash(&mut self, share: f64, restart_after: Option<Duration>) {
        let chosen = self.some(share);
        self.band(&format!("{} nodes crash", chosen.len()), restart_after);
        chosen.iter().for_each(|index| self.world.crash(*index));
        let known = presence::known(&self.world, &chosen, Seen::Gone, "presence.crash_known_ms");
        let Some(after) = restart_after else { return known.await };
        let back = async {
            tokio::time::sleep(after).await;
            let restarts = chosen.iter().map(|index| self.world.restart(*index));
            let back = presence::known(&self.world, &chosen, Seen::There, "presence.join_known_ms");
            let restarts = restarts.collect::<FuturesUnordered<_>>().collect::<Vec<()>>();
            tokio::join!(restarts, back);
        };
        tokio::join!(known, back);
    }

    async fn leave(&mut self, share: f64) {
        let chosen = self.some(share);
        self.band(&format!("{} nodes leave", chosen.len()), None);
        let leaving = chosen.iter().map(|index| self.world.leave(*index));
        let leaving = leaving.collect::<FuturesUnordered<_>>().collect::<Vec<()>>();
        tokio::join!(leaving, presence::known(&self.world, &chosen, Seen::Gone, "presence.leave_known_ms"));
    }

    async fn vanish(&mut self, share: f64) {
        let chosen = self.some(share);
        self.band(&format!("{} nodes vanish", chosen.len()), None);
        chosen.iter().for_each(|index| self.world.vanish(*index));
        presence::known(&self.world, &chosen, Seen::Gone, "presence.vanish_known_ms").await;
    }

    async fn quiet(&mut self, lasts: Duration) {
        self.band("quiet", Some(lasts));
        presence::quiet(&self.world, lasts).await;
    }

    async fn pause(&mut self, share: f64, lasts: Duration) {
        let chosen = self.some(share);
        self.band(&format!("{} nodes stand still", chosen.len()), Some(lasts));
        let world = &self.world;
        for index in &chosen {
            let node = world.node(*index);
            world.book.gone(|host| host == node.host(), world.sim.elapsed());
            world.members(|members| members[*index].paused = true);
            node.pause();
        }
        tokio::time::sleep(lasts).await;
        let now = world.sim.elapsed();
        for index in &chosen {
            world.node(*index).resume();
            world.members(|members| {
                members[*index].paused = false;
                members[*index].since = members[*index].since.map(|_| now);
            });
        }
    }

    async fn slow(&mut self, share: f64, by: Duration, lasts: Option<Duration>) {
        let chosen = self.some(share);
        self.band(&format!("{} nodes are slow", chosen.len()), lasts);
        let hosts = chosen.iter().map(|index| self.world.node(*index).host()).collect();
        let fault = self.world.sim.fault(net::slow(hosts, by));
        let Some(span) = lasts else { return fault.for_ever() };
        tokio::time::sleep(span).await;
        fault.heal();
    }

    /// A share of the nodes that are up, but not the first: it is the bootstrap peer.
    fn some(&mut self, share: f64) -> Vec<usize> {
        let up: Vec<usize> = self.world.members(|members| {
            (1..members.len()).filter(|index| members[*index].since.is_some() && !members[*index].paused).collect()
        });
        let count = (share * up.len() as f64).round() as usize;
        up.sample(&mut self.chance, count).copied().collect()
    }

    fn band(&self, text: &str, lasts: Option<Duration>) {
        let from = self.world.sim.elapsed().saturating_sub(self.began).as_secs_f64();
        let to = lasts.map(|lasts| from + lasts.as_secs_f64());
        self.world.tally(|tally| tally.bands.push(Band { from_s: from, to_s: to, text: text.to_owned() }));
        self.world.note(text.to_owned());
    }
}

/// Parts the nodes, in the order of their numbers, and notes who is where.
fn part(world: &World, groups: &[f64], one_way: bool, bridge: usize) -> Fault {
    let count = world.members(|members| members.len());
    let mut sides: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let (mut from, mut share) = (0, 0.0);
    for (side, group) in groups.iter().enumerate() {
        share += group;
        let to = ((share * count as f64).round() as usize).min(count);
        // The first of each side hear all when there is a bridge.
        let first = from + if side == 0 { bridge } else { 0 };
        for index in first.min(to)..to {
            let host = world.members(|members| {
                members[index].side = (!one_way).then_some(side);
                members[index].node.host()
            });
            sides.entry(side).or_default().push(host);
        }
        from = to;
    }
    let now = world.sim.elapsed();
    let sets: Vec<BTreeSet<usize>> = sides.values().map(|hosts| hosts.iter().copied().collect()).collect();
    // What was just said may not have come across.
    world.book.gone(|host| sets.iter().any(|set| set.contains(&host)), now);
    let mut sides = sides.into_values();
    if one_way {
        let (first, second) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        return world.sim.fault(net::one_way(second, first));
    }
    world.sim.fault(net::partition(sides))
}
