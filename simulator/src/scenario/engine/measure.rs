//! What is measured, while it runs and at the end.

use std::time::Duration;

use super::{
    super::{
        Summary,
        metrics::Metrics,
        report::{Outcome, Point, Report},
    },
    Ended, Progress, Run,
    world::Member,
};
use crate::sim::Mode;

pub(super) fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The most memory this process has had so far, in KiB; NaN where the system does not tell.
pub(super) fn peak_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

impl Run {
    /// What it took until all knew somebody.
    pub(super) fn joined(&self, cpu: Duration) {
        let dials = self.world.sim.report().samples("node.dials").to_vec();
        self.world.tally(|tally| {
            tally.metrics.number("join.cpu_ms_per_node", ms(cpu) / dials.len().max(1) as f64);
            dials.into_iter().for_each(|dials| tally.metrics.sample("join.dials", dials));
        });
    }

    pub(super) fn traffic(&self) -> u64 {
        self.world.sim.net().protocols().iter().map(|(_, traffic)| traffic.bytes).sum()
    }

    pub(super) fn point(&self, bytes: u64) -> Point {
        let (now, second) = (self.world.sim.elapsed(), Duration::from_secs(1));
        let mut times = Vec::new();
        for said in self.world.book.lock().said.values() {
            let recent = said.heard.values().filter(|copy| copy.at + second > now);
            times.extend(recent.map(|copy| ms(copy.at.saturating_sub(said.at))));
        }
        let summary = Summary::of(&times);
        let (up, nodes, connections) = self.world.members(|members| {
            let hosts = members.iter().map(|m| self.world.sim.net().host(m.node.host()).connections);
            (members.iter().filter(|m| m.since.is_some()).count(), members.len(), hosts.sum::<u64>())
        });
        Point {
            at_s: now.saturating_sub(self.began).as_secs_f64(),
            up,
            connections_per_node: connections as f64 / nodes.max(1) as f64,
            bytes_per_node_s: bytes as f64 / nodes.max(1) as f64,
            delivery_ms: summary.map(|s| [s.p50, s.p95, s.p99]),
        }
    }

    pub(super) fn progress(&self, until: Duration) -> Progress {
        let up = |members: &mut Vec<_>| members.iter().filter(|m: &&Member| m.since.is_some()).count();
        let (up, nodes) = self.world.members(|members| (up(members), members.len()));
        let (delivered, times) = self.deliveries();
        let summary = Summary::of(&times);
        Progress {
            at: self.world.sim.elapsed(),
            until,
            up,
            nodes,
            events: self.world.sim.log().entries(),
            delivered,
            delivery_ms: summary.map(|s| (s.p50, s.p99)),
            note: self.world.tally(|tally| tally.note.clone()),
        }
    }

    /// The share of what should have been heard by now, and how long each took.
    pub(super) fn deliveries(&self) -> (Option<f64>, Vec<f64>) {
        let now = self.world.sim.elapsed();
        let (mut expected, mut heard, mut times) = (0_u64, 0_u64, Vec::new());
        for said in self.world.book.lock().said.values() {
            times.extend(said.heard.values().map(|copy| ms(copy.at.saturating_sub(said.at))));
            // What was said this moment is still under way.
            if said.at + Duration::from_secs(2) <= now {
                expected += said.expected.len() as u64;
                heard += said.expected.iter().filter(|host| said.heard.contains_key(host)).count() as u64;
            }
        }
        ((expected > 0).then(|| heard as f64 / expected as f64), times)
    }

    /// As the programs on the nodes saw it, which every network and every fidelity shows alike.
    fn hops(&self) -> Vec<f64> {
        let hosts = |members: &mut Vec<Member>| members.iter().map(|m| (m.node.peer_id(), m.node.host())).collect();
        let host_of = self.world.members(hosts);
        self.world.book.lock().said.values().flat_map(|said| said.hops(&host_of)).map(f64::from).collect()
    }

    pub(super) fn measure(&self) -> Metrics {
        let ratio = |part: u64, all: u64| part as f64 / all as f64;
        let mut metrics = self.world.sim.report();
        self.world.tally(|tally| {
            metrics.extend(&tally.metrics);
            for (name, part, all) in [
                ("ask.success_ratio", tally.asks_answered, tally.asks),
                ("dht.lookup_success_ratio", tally.lookups_found, tally.lookups),
                ("dht.search_success_ratio", tally.searches_found, tally.searches),
                ("find.success_ratio", tally.finds.found, tally.finds.tried),
            ] {
                if all > 0 {
                    metrics.number(name, ratio(part, all));
                }
            }
            tally.siege.measure(tally.searches, &mut metrics);
            if let Some((nodes, top)) = tally.finds.spread() {
                metrics.number("find.dead", tally.finds.dead as f64);
                metrics.number("find.offered", nodes as f64);
                metrics.number("find.top_tenth_share", top);
            }
        });
        let (delivered, times) = self.deliveries();
        if let Some(delivered) = delivered {
            metrics.number("gossip.delivery_ratio", delivered);
            let twice: u64 = self.world.book.lock().said.values().map(|said| said.twice).sum();
            metrics.number("gossip.told_twice", twice as f64);
            metrics.replace("gossip.hops", self.hops());
        }
        times.into_iter().for_each(|time| metrics.sample("gossip.delivery_ms", time));
        metrics
    }

    pub(super) fn report(&self, ended: Ended) -> Report {
        self.world.sim.log().flush();
        Report {
            scenario: self.scenario.name.clone(),
            description: self.scenario.description.clone(),
            seed: self.world.sim.seed(),
            again: format!("p2psim run {} --seed {}", self.scenario.name, self.world.sim.seed()),
            digest: (self.options.mode == Mode::Virtual).then(|| self.world.sim.log().digest()),
            events: self.world.sim.log().entries(),
            nodes: self.world.members(|members| members.len()),
            virtual_s: self.world.sim.elapsed().as_secs_f64(),
            wall_s: f64::NAN,
            outcome: match ended {
                Ended::Done => Outcome::Done,
                Ended::Stopped => Outcome::Stopped,
                Ended::Aborted => Outcome::Aborted,
            },
            metrics: self.measure(),
            points: self.points.clone(),
            bands: self.world.tally(|tally| tally.bands.clone()),
            protocols: self.world.sim.net().protocols(),
            thresholds: self.scenario.thresholds.clone(),
            verdicts: Vec::new(),
        }
    }
}
