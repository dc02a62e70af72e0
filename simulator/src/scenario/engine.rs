//! Runs a scenario.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use p2pnode::{Ask, AskEvent, Builder, Context, Endpoint};
use p2pnode_wire::{
    ids::{SwarmId, SwarmName},
    key,
};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinSet;

use super::{
    book::Book,
    file::{Event, Nats, Pattern, Scenario, Workload},
    metrics::Metrics,
    report::{Band, Outcome, Point, Report},
};
use crate::{
    log::Log,
    net::{self, Fault, Nat},
    sim::{Mode, SWARM, Sim, SimError, SimNode},
};

/// What is under way at the end still has this long to arrive.
const DRAIN: Duration = Duration::from_secs(5);

/// A node that came so long ago should hear everything.
const SETTLED: Duration = Duration::from_secs(5);

/// For a node to know somebody after its start.
const JOIN: Duration = Duration::from_secs(60);

/// For one look-up or search.
const LOOKUP: Duration = Duration::from_secs(30);

/// Asks, look-ups and searches under way at once; beyond that a scenario asks for more than nodes can do.
const UNDER_WAY: usize = 1_000;

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
    let (wall, cpu) = (Instant::now(), cpu_time());
    let (mut report, virtual_time) = builder.run(move |sim| async move {
        let mut run = Run::new(sim, scenario, options);
        let ended = run.main().await;
        let report = run.report(ended?);
        Ok::<_, SimError>((report, run.sim.elapsed()))
    })??;
    let (wall, cpu) = (wall.elapsed().as_secs_f64(), (cpu_time() - cpu).as_secs_f64());
    let virtual_s = virtual_time.as_secs_f64();
    report.wall_s = wall;
    report.metrics.number("wall_s", wall);
    report.metrics.number("cpu_s", cpu);
    report.metrics.number("cpu_per_virtual_s", cpu / virtual_s.max(1e-9));
    let peak_kib = peak_kib();
    report.metrics.number("process.rss_mib", peak_kib / 1024.0);
    report.metrics.number("process.rss_per_node_kib", peak_kib / report.nodes as f64);
    report.judge();
    Ok(report)
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The most memory this process has had so far, in KiB; NaN where the system does not tell.
fn peak_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How the main part ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    Stopped,
    Aborted,
}

/// A node and what the scenario knows of it.
struct Member {
    node: SimNode,
    role: Option<usize>,
    /// Since when it is up.
    since: Option<Duration>,
    /// Which side of a partition it is on.
    side: Option<usize>,
    paused: bool,
}

#[derive(Default)]
struct Tally {
    metrics: Metrics,
    asks: u64,
    asks_answered: u64,
    lookups: u64,
    lookups_found: u64,
    searches: u64,
    searches_found: u64,
    bands: Vec<Band>,
    note: String,
}

struct Run {
    sim: Sim,
    scenario: Scenario,
    options: Options,
    members: Arc<Mutex<Vec<Member>>>,
    tally: Arc<Mutex<Tally>>,
    book: Book,
    points: Vec<Point>,
    /// When the work began.
    began: Duration,
    tasks: JoinSet<()>,
}

/// What tasks of a run share.
#[derive(Clone)]
struct Shared {
    sim: Sim,
    members: Arc<Mutex<Vec<Member>>>,
    tally: Arc<Mutex<Tally>>,
    book: Book,
    perturb: Arc<AtomicBool>,
}

impl Shared {
    fn members<T>(&self, with: impl FnOnce(&mut Vec<Member>) -> T) -> T {
        with(&mut self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn tally<T>(&self, with: impl FnOnce(&mut Tally) -> T) -> T {
        with(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn note(&self, text: String) {
        self.sim.say(text.clone());
        self.tally(|tally| tally.note = text);
    }

    /// Hosts that should hear what `from` says now.
    fn audience(&self, from: usize) -> BTreeSet<usize> {
        let now = self.sim.elapsed();
        self.members(|members| {
            let side = members[from].side;
            let settled = |m: &&Member| m.since.is_some_and(|since| since + SETTLED <= now) && !m.paused;
            let hears = |m: &&Member| m.side.is_none() || side.is_none() || m.side == side;
            let others = members.iter().filter(settled).filter(hears).map(|m| m.node.host());
            others.filter(|host| *host != members[from].node.host()).collect()
        })
    }

    /// A random node that is up and settled, of a role if one is given.
    fn pick(&self, chance: &mut ChaCha8Rng, role: Option<usize>) -> Option<usize> {
        let now = self.sim.elapsed();
        self.members(|members| {
            let fit = |m: &Member| {
                let settled = m.since.is_some_and(|since| since + SETTLED <= now);
                settled && !m.paused && role.is_none_or(|role| m.role == Some(role))
            };
            let fits: Vec<usize> = (0..members.len()).filter(|index| fit(&members[*index])).collect();
            fits.choose(chance).copied()
        })
    }

    fn node(&self, index: usize) -> SimNode {
        self.members(|members| members[index].node.clone())
    }

    fn crash(&self, index: usize) {
        let node = self.node(index);
        self.book.gone(|host| host == node.host(), self.sim.elapsed());
        self.members(|members| members[index].since = None);
        node.crash();
    }

    async fn restart(&self, index: usize) {
        let node = self.node(index);
        let began = self.sim.elapsed();
        if let Err(error) = node.restart().await {
            self.note(error.to_string());
            return;
        }
        let Ok(started) = node.node() else { return };
        let known = started.wait_until(JOIN, |peers| !peers.is_empty()).await;
        drop(started);
        let now = self.sim.elapsed();
        self.members(|members| members[index].since = node.is_up().then_some(now));
        let took = if known { now.saturating_sub(began).as_secs_f64() } else { f64::INFINITY };
        self.tally(|tally| tally.metrics.sample("rejoin_s", took));
    }
}

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
    fn new(sim: Sim, scenario: Scenario, options: Options) -> Self {
        Self {
            sim,
            scenario,
            options,
            members: Arc::default(),
            tally: Arc::default(),
            book: Book::default(),
            points: Vec::new(),
            began: Duration::ZERO,
            tasks: JoinSet::new(),
        }
    }

    fn shared(&self) -> Shared {
        Shared {
            sim: self.sim.clone(),
            members: self.members.clone(),
            tally: self.tally.clone(),
            book: self.book.clone(),
            perturb: Arc::new(AtomicBool::new(self.options.perturb)),
        }
    }

    async fn main(&mut self) -> Result<Ended, SimError> {
        self.join().await?;
        tokio::time::sleep(self.scenario.warmup.0).await;
        self.sim.net().forget_gossip();
        self.began = self.sim.elapsed();
        let shared = self.shared();
        for (number, workload) in self.scenario.workload.clone().into_iter().enumerate() {
            let chance = self.sim.chance(&format!("workload {number}"));
            let roles = self.scenario.nodes.roles.iter().map(|role| role.name.clone()).collect();
            self.tasks.spawn(work(shared.clone(), workload, roles, chance, self.scenario.duration.0));
        }
        for (number, event) in self.scenario.event.clone().into_iter().enumerate() {
            let chance = self.sim.chance(&format!("event {number}"));
            self.tasks.spawn(happen(shared.clone(), event, chance, self.began));
        }
        let ended = self.watch().await;
        if ended == Ended::Done {
            tokio::time::sleep(DRAIN).await;
        }
        self.tasks.abort_all();
        while self.tasks.join_next().await.is_some() {}
        Ok(ended)
    }

    async fn join(&mut self) -> Result<(), SimError> {
        let mut chance = self.sim.chance("join");
        let times = joins(&self.scenario, &mut chance);
        let roles = roles(&self.scenario, &mut chance);
        let mut ready = FuturesUnordered::new();
        let began = self.sim.elapsed();
        let mut seeds: Vec<String> = Vec::new();
        for (index, at) in times.into_iter().enumerate() {
            let wait = (began + at).saturating_sub(self.sim.elapsed());
            if !wait.is_zero() {
                tokio::time::sleep(wait).await;
            }
            let nat = nat_of(self.scenario.network.nat, index, self.scenario.nodes.bootstrap, &mut chance);
            let capabilities = roles[index].map(|role| self.scenario.nodes.roles[role].capabilities.clone());
            let make = make(&self.sim, &self.book, index, seeds.clone(), capabilities.unwrap_or_default());
            let node = self.sim.node_behind(format!("n{index}"), nat, make).await?;
            if index < self.scenario.nodes.bootstrap
                && let Some(addr) = node.address()
            {
                seeds.push(addr.to_string());
            }
            let since = Some(self.sim.elapsed());
            let member = Member { node: node.clone(), role: roles[index], since, side: None, paused: false };
            self.members.lock().unwrap_or_else(PoisonError::into_inner).push(member);
            if index > 0 {
                let (sim, shared) = (self.sim.clone(), self.shared());
                ready.push(tokio::spawn(async move {
                    let began = sim.elapsed();
                    let Ok(started) = node.node() else { return };
                    let known = started.wait_until(JOIN, |peers| !peers.is_empty()).await;
                    let took = if known { ms(sim.elapsed().saturating_sub(began)) } else { f64::INFINITY };
                    shared.tally(|tally| tally.metrics.sample("join.ready_ms", took));
                }));
            }
            if self.options.stop.load(Ordering::Relaxed) {
                break;
            }
        }
        while ready.next().await.is_some() {}
        Ok(())
    }

    /// Looks once per virtual second.
    async fn watch(&mut self) -> Ended {
        let until = self.began + self.scenario.duration.0;
        let mut before: u64 = self.traffic();
        loop {
            if self.sim.elapsed() >= until {
                return Ended::Done;
            }
            tokio::time::sleep(Duration::from_secs(1).min(until.saturating_sub(self.sim.elapsed()))).await;
            let bytes = self.traffic();
            self.points.push(self.point(bytes - before));
            before = bytes;
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

    fn traffic(&self) -> u64 {
        self.sim.net().protocols().iter().map(|(_, traffic)| traffic.bytes).sum()
    }

    /// Whether a threshold is missed that ends the run at once.
    fn fails(&self) -> bool {
        let passed = self.sim.elapsed().saturating_sub(self.began);
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

    fn point(&self, bytes: u64) -> Point {
        let (now, second) = (self.sim.elapsed(), Duration::from_secs(1));
        let mut times = Vec::new();
        for said in self.book.lock().said.values() {
            let recent = said.heard.values().filter(|at| **at + second > now);
            times.extend(recent.map(|at| ms(at.saturating_sub(said.at))));
        }
        let summary = super::Summary::of(&times);
        let (up, nodes, connections) = {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            let hosts = members.iter().map(|m| self.sim.net().host(m.node.host()).connections);
            (members.iter().filter(|m| m.since.is_some()).count(), members.len(), hosts.sum::<u64>())
        };
        Point {
            at_s: now.saturating_sub(self.began).as_secs_f64(),
            up,
            connections_per_node: connections as f64 / nodes.max(1) as f64,
            bytes_per_node_s: bytes as f64 / nodes.max(1) as f64,
            delivery_ms: summary.map(|s| [s.p50, s.p95, s.p99]),
        }
    }

    fn progress(&self, until: Duration) -> Progress {
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let (up, nodes) = (members.iter().filter(|m| m.since.is_some()).count(), members.len());
        drop(members);
        let (delivered, times) = self.deliveries();
        let summary = super::Summary::of(&times);
        Progress {
            at: self.sim.elapsed(),
            until,
            up,
            nodes,
            events: self.sim.log().entries(),
            delivered,
            delivery_ms: summary.map(|s| (s.p50, s.p99)),
            note: self.tally.lock().unwrap_or_else(PoisonError::into_inner).note.clone(),
        }
    }

    /// The share of what should have been heard by now, and how long each took.
    fn deliveries(&self) -> (Option<f64>, Vec<f64>) {
        let now = self.sim.elapsed();
        let (mut expected, mut heard, mut times) = (0_u64, 0_u64, Vec::new());
        for said in self.book.lock().said.values() {
            times.extend(said.heard.values().map(|at| ms(at.saturating_sub(said.at))));
            // What was said this moment is still under way.
            if said.at + Duration::from_secs(2) <= now {
                expected += said.expected.len() as u64;
                heard += said.expected.iter().filter(|host| said.heard.contains_key(host)).count() as u64;
            }
        }
        ((expected > 0).then(|| heard as f64 / expected as f64), times)
    }

    fn measure(&self) -> Metrics {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let mut metrics = tally.metrics.clone();
        let ratio = |part: u64, all: u64| part as f64 / all as f64;
        for (name, part, all) in [
            ("ask.success_ratio", tally.asks_answered, tally.asks),
            ("dht.lookup_success_ratio", tally.lookups_found, tally.lookups),
            ("dht.search_success_ratio", tally.searches_found, tally.searches),
        ] {
            if all > 0 {
                metrics.number(name, ratio(part, all));
            }
        }
        drop(tally);
        let (delivered, times) = self.deliveries();
        if let Some(delivered) = delivered {
            metrics.number("gossip.delivery_ratio", delivered);
            let twice: u64 = self.book.lock().said.values().map(|said| said.twice).sum();
            metrics.number("gossip.told_twice", twice as f64);
        }
        times.into_iter().for_each(|time| metrics.sample("gossip.delivery_ms", time));
        let paths = self.sim.net().gossip();
        if paths.firsts > 0 {
            metrics.number("gossip.duplicates_per_msg", ratio(paths.copies - paths.firsts, paths.firsts));
            metrics.number("gossip.messages", paths.messages as f64);
            paths.hops.iter().for_each(|hops| metrics.sample("gossip.hops", f64::from(*hops)));
        }
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed = self.sim.elapsed().as_secs_f64().max(1e-9);
        for member in members.iter() {
            let host = self.sim.net().host(member.node.host());
            metrics.sample("node.connections", host.connections as f64);
            metrics.sample("node.connections_peak", host.peak as f64);
            metrics.sample("node.dials", host.dials as f64);
            metrics.sample("node.sent_bytes_per_s", host.sent as f64 / elapsed);
        }
        metrics
    }

    fn report(&self, ended: Ended) -> Report {
        let tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        let bands = tally.bands.clone();
        drop(tally);
        let members = self.members.lock().unwrap_or_else(PoisonError::into_inner).len();
        self.sim.log().flush();
        Report {
            scenario: self.scenario.name.clone(),
            description: self.scenario.description.clone(),
            seed: self.sim.seed(),
            digest: (self.options.mode == Mode::Virtual).then(|| self.sim.log().digest()),
            events: self.sim.log().entries(),
            nodes: members,
            virtual_s: self.sim.elapsed().as_secs_f64(),
            wall_s: f64::NAN,
            outcome: match ended {
                Ended::Done => Outcome::Done,
                Ended::Stopped => Outcome::Stopped,
                Ended::Aborted => Outcome::Aborted,
            },
            metrics: self.measure(),
            points: self.points.clone(),
            bands,
            protocols: self.sim.net().protocols(),
            thresholds: self.scenario.thresholds.clone(),
            verdicts: Vec::new(),
        }
    }
}

/// What every node of a scenario is.
fn make(
    sim: &Sim,
    book: &Book,
    host: usize,
    seeds: Vec<String>,
    capabilities: Vec<String>,
) -> impl Fn(Builder) -> Builder + Send + Sync + 'static {
    let (sim, book) = (sim.clone(), book.clone());
    move |builder| {
        let (sim, book) = (sim.clone(), book.clone());
        let seeds = seeds.iter().filter_map(|addr| addr.parse().ok());
        let builder = capabilities.iter().fold(builder.bootstrap(seeds), |b, name| b.capability(name.as_str()));
        builder
            .endpoint(Endpoint::new("sim.note").public(), move |_: Context, (id, _pad): (u64, String)| {
                book.heard(id, host, sim.elapsed());
                async { Ok(()) }
            })
            .ask(|cx: Ask, task: String| async move {
                cx.ack().await?;
                Ok(task)
            })
    }
}

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

async fn work(shared: Shared, workload: Workload, roles: Vec<String>, mut chance: ChaCha8Rng, duration: Duration) {
    let role = |name: &Option<String>| name.as_ref().and_then(|name| roles.iter().position(|role| role == name));
    let (rate, after) = match &workload {
        Workload::Broadcast { rate, after, .. }
        | Workload::Ask { rate, after, .. }
        | Workload::Lookup { rate, after }
        | Workload::Search { rate, after, .. } => (rate.0, after.map_or(Duration::ZERO, |span| span.0)),
    };
    let from = match &workload {
        Workload::Broadcast { from, .. } | Workload::Ask { from, .. } => role(from),
        _ => None,
    };
    let until = shared.sim.elapsed() + duration;
    tokio::time::sleep(after).await;
    let (began, mut count) = (shared.sim.elapsed(), 0);
    let mut tasks = JoinSet::new();
    while every(rate, &mut chance, &mut count, began, &shared.sim, until).await {
        while tasks.try_join_next().is_some() {}
        let Some(index) = shared.pick(&mut chance, from).filter(|_| tasks.len() < UNDER_WAY) else { continue };
        let shared = shared.clone();
        match &workload {
            Workload::Broadcast { size, .. } => {
                let size = size.0;
                tasks.spawn(async move { broadcast(shared, index, size).await });
            }
            Workload::Ask { .. } => {
                tasks.spawn(async move { ask(shared, index).await });
            }
            Workload::Lookup { .. } => {
                let other = shared.pick(&mut chance, None).filter(|target| *target != index);
                let Some(target) = other else { continue };
                tasks.spawn(async move { lookup(shared, index, target).await });
            }
            Workload::Search { capability, .. } => {
                let capability = capability.clone();
                tasks.spawn(async move { search(shared, index, capability).await });
            }
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn broadcast(shared: Shared, index: usize, size: usize) {
    let Ok(node) = shared.node(index).node() else { return };
    let id = shared.book.say(shared.sim.elapsed(), shared.audience(index));
    let more = usize::from(shared.perturb.swap(false, Ordering::Relaxed));
    let pad = "x".repeat(size + more);
    if let Err(error) = node.broadcast("sim.note", (id, pad)).await {
        shared.book.unsaid(id);
        shared.note(format!("n{index} cannot say anything: {error}"));
    }
}

async fn ask(shared: Shared, index: usize) {
    let Ok(node) = shared.node(index).node() else { return };
    let began = shared.sim.elapsed();
    shared.tally(|tally| tally.asks += 1);
    let Ok(mut asked) = node.ask(SWARM, "who is there?").timeout(LOOKUP).await else { return };
    let (mut first, mut last, mut replies) = (None, None, 0.0);
    while let Some(event) = asked.next().await {
        let took = ms(shared.sim.elapsed().saturating_sub(began));
        match event {
            AskEvent::Ack { .. } => drop(first.get_or_insert(took)),
            AskEvent::Reply { .. } => {
                last = Some(took);
                replies += 1.0;
            }
            _ => {}
        }
    }
    shared.tally(|tally| {
        tally.asks_answered += u64::from(last.is_some());
        tally.metrics.sample("ask.replies", replies);
        first.into_iter().for_each(|first| tally.metrics.sample("ask.first_ack_ms", first));
        last.into_iter().for_each(|last| tally.metrics.sample("ask.last_reply_ms", last));
    });
}

async fn lookup(shared: Shared, index: usize, target: usize) {
    let Ok(node) = shared.node(index).node() else { return };
    let wanted = shared.node(target).peer_id();
    let host = shared.node(index).host();
    shared.sim.net().follow_lookup(host, &wanted);
    let began = shared.sim.elapsed();
    shared.tally(|tally| tally.lookups += 1);
    let found = tokio::time::timeout(LOOKUP, node.dht().lookup(wanted)).await;
    let found = matches!(found, Ok(Ok(peers)) if peers.iter().any(|(peer, _)| *peer == wanted));
    let took = ms(shared.sim.elapsed().saturating_sub(began));
    let followed = shared.sim.net().lookup_followed(host, &wanted);
    shared.tally(|tally| {
        tally.lookups_found += u64::from(found);
        tally.metrics.sample("dht.lookup_ms", took);
        if let Some((hops, requests)) = followed.filter(|(_, requests)| *requests > 0) {
            tally.metrics.sample("dht.lookup_requests", f64::from(requests));
            hops.into_iter().for_each(|hops| tally.metrics.sample("dht.lookup_hops", f64::from(hops)));
        }
    });
}

async fn search(shared: Shared, index: usize, capability: String) {
    let Ok(node) = shared.node(index).node() else { return };
    let Ok(name) = SWARM.parse::<SwarmName>() else { return };
    let key = key::capability(&SwarmId::open(&name), &capability, 0);
    let began = shared.sim.elapsed();
    shared.tally(|tally| tally.searches += 1);
    let found = tokio::time::timeout(LOOKUP, node.dht().providers(&key)).await;
    let took = ms(shared.sim.elapsed().saturating_sub(began));
    shared.tally(|tally| {
        if let Ok(Ok(found)) = found {
            tally.searches_found += u64::from(!found.providers.is_empty());
            tally.metrics.sample("dht.search_requests", f64::from(found.requests));
            tally.metrics.sample("dht.search_ms", took);
        }
    });
}

async fn at(shared: &Shared, began: Duration, span: Duration) {
    tokio::time::sleep((began + span).saturating_sub(shared.sim.elapsed())).await;
}

/// A share of the nodes that are up, but not the first: it is the bootstrap peer.
fn some(shared: &Shared, share: f64, chance: &mut ChaCha8Rng) -> Vec<usize> {
    let up: Vec<usize> = shared.members(|members| {
        (1..members.len()).filter(|index| members[*index].since.is_some() && !members[*index].paused).collect()
    });
    let count = (share * up.len() as f64).round() as usize;
    up.sample(chance, count).copied().collect()
}

async fn happen(shared: Shared, event: Event, mut chance: ChaCha8Rng, began: Duration) {
    match event {
        Event::Partition { at: when, groups, one_way, bridge, heal_after } => {
            at(&shared, began, when.0).await;
            let fault = part(&shared, &groups, one_way, bridge);
            let text = format!("partition {groups:?}");
            band(&shared, began, &text, heal_after.map(|span| span.0));
            match heal_after {
                Some(span) => {
                    tokio::time::sleep(span.0).await;
                    fault.heal();
                    shared.members(|members| members.iter_mut().for_each(|member| member.side = None));
                    shared.note("the partition is healed".into());
                }
                None => fault.for_ever(),
            }
        }
        Event::Churn { at: when, rate, restart_after, until } => {
            at(&shared, began, when.0).await;
            band(&shared, began, "churn", until.map(|span| span.0));
            let end = until.map(|span| shared.sim.elapsed() + span.0);
            let mut tasks = JoinSet::new();
            // One after the other, not all at once.
            let count = shared.members(|members| members.len()) as f64;
            let pause = rate.0.every.div_f64((rate.0.share * count).max(1e-3));
            while end.is_none_or(|end| shared.sim.elapsed() < end) {
                tokio::time::sleep(pause).await;
                while tasks.try_join_next().is_some() {}
                let Some(index) = some(&shared, 1.0, &mut chance).choose(&mut chance).copied() else { continue };
                shared.crash(index);
                if let Some(after) = restart_after {
                    let shared = shared.clone();
                    tasks.spawn(async move {
                        tokio::time::sleep(after.0).await;
                        shared.restart(index).await;
                    });
                }
            }
            while tasks.join_next().await.is_some() {}
        }
        Event::Crash { at: when, share, restart_after } => {
            at(&shared, began, when.0).await;
            let chosen = some(&shared, share, &mut chance);
            band(&shared, began, &format!("{} nodes crash", chosen.len()), restart_after.map(|span| span.0));
            chosen.iter().for_each(|index| shared.crash(*index));
            if let Some(after) = restart_after {
                tokio::time::sleep(after.0).await;
                let restarts = chosen.into_iter().map(|index| {
                    let shared = shared.clone();
                    async move { shared.restart(index).await }
                });
                restarts.collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
            }
        }
        Event::Pause { at: when, share, lasts } => {
            at(&shared, began, when.0).await;
            let chosen = some(&shared, share, &mut chance);
            band(&shared, began, &format!("{} nodes stand still", chosen.len()), Some(lasts.0));
            for index in &chosen {
                let node = shared.node(*index);
                shared.book.gone(|host| host == node.host(), shared.sim.elapsed());
                shared.members(|members| members[*index].paused = true);
                node.pause();
            }
            tokio::time::sleep(lasts.0).await;
            let now = shared.sim.elapsed();
            for index in &chosen {
                shared.node(*index).resume();
                shared.members(|members| {
                    members[*index].paused = false;
                    members[*index].since = members[*index].since.map(|_| now);
                });
            }
        }
        Event::Slow { at: when, share, by, lasts } => {
            at(&shared, began, when.0).await;
            let chosen = some(&shared, share, &mut chance);
            band(&shared, began, &format!("{} nodes are slow", chosen.len()), lasts.map(|span| span.0));
            let hosts = chosen.iter().map(|index| shared.node(*index).host()).collect();
            let fault = shared.sim.fault(net::slow(hosts, by.0));
            match lasts {
                Some(span) => {
                    tokio::time::sleep(span.0).await;
                    fault.heal();
                }
                None => fault.for_ever(),
            }
        }
    }
}

/// Parts the nodes, in the order of their numbers, and notes who is where.
fn part(shared: &Shared, groups: &[f64], one_way: bool, bridge: usize) -> Fault {
    let count = shared.members(|members| members.len());
    let mut sides: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let (mut from, mut share) = (0, 0.0);
    for (side, group) in groups.iter().enumerate() {
        share += group;
        let to = ((share * count as f64).round() as usize).min(count);
        // The first of each side hear all when there is a bridge.
        let first = from + if side == 0 { bridge } else { 0 };
        for index in first.min(to)..to {
            let host = shared.members(|members| {
                members[index].side = (!one_way).then_some(side);
                members[index].node.host()
            });
            sides.entry(side).or_default().push(host);
        }
        from = to;
    }
    let now = shared.sim.elapsed();
    let sets: Vec<BTreeSet<usize>> = sides.values().map(|hosts| hosts.iter().copied().collect()).collect();
    // What was just said may not have come across.
    shared.book.gone(|host| sets.iter().any(|set| set.contains(&host)), now);
    let mut sides = sides.into_values();
    if one_way {
        let (first, second) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
        return shared.sim.fault(net::one_way(second, first));
    }
    shared.sim.fault(net::partition(sides))
}

fn band(shared: &Shared, began: Duration, text: &str, lasts: Option<Duration>) {
    let from = shared.sim.elapsed().saturating_sub(began).as_secs_f64();
    let to = lasts.map(|lasts| from + lasts.as_secs_f64());
    shared.tally(|tally| tally.bands.push(Band { from_s: from, to_s: to, text: text.to_owned() }));
    shared.note(text.to_owned());
}
