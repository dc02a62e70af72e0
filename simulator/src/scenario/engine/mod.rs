//! Runs a scenario.

mod fault;
mod join;
mod measure;
mod presence;
mod seek;
mod siege;
mod work;
mod world;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use self::world::World;
use super::{
    file::Scenario,
    report::{Point, Report},
};
use crate::{
    log::Log,
    sim::{Mode, Sim, SimError},
};

/// What is under way at the end still has this long to arrive.
const DRAIN: Duration = Duration::from_secs(5);

/// Where a run is.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// Virtual time since the beginning, and when it ends.
    pub at: Duration,
    /// See [`at`](Self::at).
    pub until: Duration,
    /// Nodes that are up, and all.
    pub up: usize,
    /// See [`up`](Self::up).
    pub nodes: usize,
    /// Entries of the log.
    pub events: u64,
    /// Share of what should have been heard, if anything.
    pub delivered: Option<f64>,
    /// Times of deliveries, milliseconds: half, and 99 of 100.
    pub delivery_ms: Option<(f64, f64)>,
    /// What happened last.
    pub note: String,
}

/// Is told where a run is.
pub type Watcher = Arc<dyn Fn(&Progress) + Send + Sync>;

/// How a scenario is run.
#[derive(Clone)]
pub struct Options {
    /// The seed, instead of the scenario's.
    pub seed: Option<u64>,
    /// Virtual time, or the wall clock.
    pub mode: Mode,
    /// What happens is written there.
    pub log: Log,
    /// Ends the run early, with what there is, when set.
    pub stop: Arc<AtomicBool>,
    /// Called once per virtual second.
    pub watch: Option<Watcher>,
    /// Changes one thing: the first message has a byte more. For checks of the digest.
    pub perturb: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { seed: None, mode: Mode::Virtual, log: Log::default(), stop: Arc::default(), watch: None, perturb: false }
    }
}

/// Runs a scenario to its end.
///
/// # Errors
/// A node does not start, or the simulation itself fails.
pub fn run(scenario: &Scenario, options: Options) -> Result<Report, SimError> {
    let seed = options.seed.unwrap_or(scenario.seed);
    let builder = Sim::builder()
        .seed(seed)
        .network(scenario.network.model())
        .fidelity(scenario.fidelity.into())
        .mode(options.mode)
        .log(options.log.clone());
    let scenario = scenario.clone();
    let (wall, cpu) = (Instant::now(), measure::cpu_time());
    let (mut report, virtual_time) = builder.run(move |sim| async move {
        let mut run = Run::new(sim, scenario, options);
        let ended = run.main().await;
        let report = run.report(ended?);
        Ok::<_, SimError>((report, run.world.sim.elapsed()))
    })??;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), (measure::cpu_time() - cpu).as_secs_f64());
    let virtual_s = virtual_time.as_secs_f64();
    report.wall_s = wall;
    report.metrics.number("wall_s", wall);
    report.metrics.number("cpu_s", cpu);
    report.metrics.number("cpu_per_virtual_s", cpu / virtual_s.max(1e-9));
    let peak_kib = measure::peak_kib();
    report.metrics.number("process.rss_mib", peak_kib / 1024.0);
    report.metrics.number("process.rss_per_node_kib", peak_kib / report.nodes as f64);
    report.judge();
    Ok(report)
}

/// How the main part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Stopped,
    Aborted,
}

struct Run {
    world: World,
    scenario: Scenario,
    options: Options,
    points: Vec<Point>,
    /// When the work began.
    began: Duration,
    tasks: JoinSet<()>,
}

impl Run {
    fn new(sim: Sim, scenario: Scenario, options: Options) -> Self {
        Self {
            world: World::new(sim, options.perturb),
            scenario,
            options,
            points: Vec::new(),
            began: Duration::ZERO,
            tasks: JoinSet::new(),
        }
    }

    async fn main(&mut self) -> Result<Ended, SimError> {
        let cpu = measure::cpu_time();
        self.join().await?;
        self.joined(measure::cpu_time() - cpu);
        tokio::time::sleep(self.scenario.warmup.0).await;
        self.world.sim.net().forget_gossip();
        self.began = self.world.sim.elapsed();
        for (number, workload) in self.scenario.workload.clone().into_iter().enumerate() {
            let chance = self.world.sim.chance(&format!("workload {number}"));
            let roles = self.scenario.nodes.roles.iter().map(|role| role.name.clone()).collect();
            self.tasks.spawn(work::work(self.world.clone(), workload, roles, chance, self.scenario.duration.0));
        }
        for (number, event) in self.scenario.event.clone().into_iter().enumerate() {
            let chance = self.world.sim.chance(&format!("event {number}"));
            self.tasks.spawn(fault::happen(self.world.clone(), event, chance, self.began));
        }
        if let Some(sybils) = self.scenario.sybils.clone() {
            self.besiege(sybils);
        }
        let ended = self.watch().await;
        if self.scenario.sybils.is_some() {
            siege::look(&self.world).await;
        }
        if ended == Ended::Done {
            tokio::time::sleep(DRAIN).await;
        }
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        Ok(ended)
    }

    /// Looks once per virtual second.
    async fn watch(&mut self) -> Ended {
        let until = self.began + self.scenario.duration.0;
        let mut before: u64 = self.traffic();
        loop {
            if self.world.sim.elapsed() >= until {
                return Ended::Done;
            }
            tokio::time::sleep(Duration::from_secs(1).min(until.saturating_sub(self.world.sim.elapsed()))).await;
            let bytes = self.traffic();
            self.points.push(self.point(bytes - before));
            before = bytes;
            if self.scenario.watches_presence() {
                presence::look(&self.world, self.points.len());
            }
            if let Some(watch) = &self.options.watch {
                watch(&self.progress(until));
            }
            if self.options.stop.load(Ordering::Relaxed) {
                return Ended::Stopped;
            }
            if self.fails() {
                return Ended::Aborted;
            }
        }
    }

    /// Whether a threshold is missed that ends the run at once.
    fn fails(&self) -> bool {
        let passed = self.world.sim.elapsed().saturating_sub(self.began);
        let due = |t: &super::Threshold| t.abort_on_fail && t.after <= passed;
        if !self.scenario.thresholds.values().any(due) {
            return false;
        }
        let metrics = self.measure();
        let failed = |(name, t): (&String, &super::Threshold)| {
            due(t) && metrics.get(name).is_some_and(|value| !t.expr.holds(value))
        };
        self.scenario.thresholds.iter().any(failed)
    }
}
