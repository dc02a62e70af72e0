//! A simulation: real nodes in a modelled network.

use std::{
    fmt,
    future::Future,
    net::SocketAddrV4,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use ed25519_dalek::SigningKey;
use p2pnode::{Allow, Builder, Identity, Multiaddr, Node, PeerId, StartError};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use crate::{
    log::{Entry, Log},
    net::{self, Fault, Fidelity, Flow, Model, Nat, Net, Verdict},
    scenario::Metrics,
    transport::memory,
};

/// The swarm all nodes of a simulation are in, unless they say otherwise.
pub const SWARM: &str = "sim";

/// Where the nodes of a simulation live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// In virtual time, over the modelled network.
    #[default]
    Virtual,
    /// On the wall clock, over libp2p's memory transport with noise and yamux. No faults, no latencies.
    Memory,
    /// On the wall clock, over TCP on loopback. No faults, no latencies.
    Loopback,
}

/// Why a simulation does not do what it should.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// A node does not start.
    #[error("node {name} does not start: {source}")]
    Start {
        /// Which.
        name: String,
        /// Why.
        source: Box<StartError>,
    },
    /// Something did not come true in time.
    #[error("not within {limit:?}: {what}")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        limit: Duration,
    },
    /// A node that is down was asked to do something.
    #[error("node {0} is down")]
    Down(String),
    /// No thread, or no runtime, for the simulation.
    #[error("the simulation cannot be started: {0}")]
    Thread(#[from] std::io::Error),
}

/// A simulation about to be run: set what differs.
#[derive(Debug)]
#[must_use = "a simulation runs when it is told to"]
pub struct SimBuilder {
    seed: u64,
    model: Model,
    fidelity: Fidelity,
    mode: Mode,
    log: Log,
}

impl SimBuilder {
    /// All chance comes from this number. Default 1.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The network between the nodes.
    pub fn network(mut self, model: Model) -> Self {
        self.model = model;
        self
    }

    /// How much of libp2p's connection layers is real. Default [`Fidelity::Direct`].
    pub fn fidelity(mut self, fidelity: Fidelity) -> Self {
        self.fidelity = fidelity;
        self
    }

    /// Virtual time, or the wall clock. Default [`Mode::Virtual`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Where what happens is written down.
    pub fn log(mut self, log: Log) -> Self {
        self.log = log;
        self
    }

    /// Runs `main` to its end.
    ///
    /// # Errors
    /// [`SimError::Thread`]. What `main` returns is returned.
    ///
    /// # Panics
    /// If `main` does.
    pub fn run<F, Fut, T>(self, main: F) -> Result<T, SimError>
    where
        F: FnOnce(Sim) -> Fut + Send + 'static,
        Fut: Future<Output = T>,
        T: Send + 'static,
    {
        let wall = Instant::now();
        if self.mode == Mode::Virtual {
            return Ok(crate::time::simulate(self.seed, move || async move { main(self.begin(wall)).await })?);
        }
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        Ok(runtime.block_on(async move { main(self.begin(wall)).await }))
    }

    fn begin(self, wall: Instant) -> Sim {
        let net = Net::new(self.seed, self.model, self.fidelity, self.log.clone());
        Sim(Arc::new(Inner {
            seed: self.seed,
            mode: self.mode,
            net,
            log: self.log,
            wall,
            nodes: AtomicU64::new(0),
            hosts: Mutex::default(),
        }))
    }
}

struct Inner {
    seed: u64,
    mode: Mode,
    net: Net,
    log: Log,
    /// On the real clock.
    wall: Instant,
    nodes: AtomicU64,
    /// Of the nodes; attackers have hosts, too.
    hosts: Mutex<Vec<usize>>,
}

/// A running simulation. Clones are the same one.
#[derive(Clone)]
pub struct Sim(Arc<Inner>);

impl fmt::Debug for Sim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sim").field("seed", &self.0.seed).field("mode", &self.0.mode).finish_non_exhaustive()
    }
}

type Make = dyn Fn(Builder) -> Builder + Send + Sync;

impl Sim {
    /// A simulation with seed 1, the default network and nothing of libp2p's connection layers.
    pub fn builder() -> SimBuilder {
        SimBuilder {
            seed: 1,
            model: Model::default(),
            fidelity: Fidelity::default(),
            mode: Mode::default(),
            log: Log::default(),
        }
    }

    /// Its seed.
    pub fn seed(&self) -> u64 {
        self.0.seed
    }

    /// Time since it began: virtual, or by the clock.
    pub fn elapsed(&self) -> Duration {
        self.0.net.elapsed()
    }

    /// The clock of the machine when the simulation was started.
    pub fn wall(&self) -> Instant {
        self.0.wall
    }

    /// The network.
    pub fn net(&self) -> &Net {
        &self.0.net
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.0.log
    }

    /// Puts a line into the log, where it counts for the digest.
    pub fn say(&self, text: impl Into<String>) {
        self.0.log.add(self.elapsed(), || Entry::Said(text.into()));
    }

    /// What was measured so far, as in the reports of scenarios: `node.connections`, `node.connections_peak`,
    /// `node.dials` and `node.sent_bytes_per_s` with a sample per node; `gossip.hops`, `gossip.messages` and
    /// `gossip.duplicates_per_msg` with [`Fidelity::Direct`] only.
    pub fn report(&self) -> Metrics {
        let mut metrics = Metrics::default();
        let elapsed = self.elapsed().as_secs_f64().max(1e-9);
        let hosts = self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for host in hosts {
            let host = self.0.net.host(host);
            metrics.sample("node.connections", host.connections as f64);
            metrics.sample("node.connections_peak", host.peak as f64);
            metrics.sample("node.dials", host.dials as f64);
            metrics.sample("node.sent_bytes_per_s", host.sent as f64 / elapsed);
        }
        let paths = self.0.net.gossip();
        if paths.firsts > 0 {
            let duplicates = (paths.copies - paths.firsts) as f64 / paths.firsts as f64;
            metrics.number("gossip.duplicates_per_msg", duplicates);
            metrics.number("gossip.messages", paths.messages as f64);
            paths.hops.iter().for_each(|hops| metrics.sample("gossip.hops", f64::from(*hops)));
        }
        metrics
    }

    /// Chance of a purpose of its own: what one part of a program draws does not change what another gets.
    pub fn chance(&self, purpose: &str) -> ChaCha8Rng {
        let salt = purpose
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        ChaCha8Rng::seed_from_u64(self.0.seed ^ salt)
    }

    /// Starts a node. It is in [`SWARM`], its identity comes from the seed, it takes no part in mDNS nor in the registry
    /// of this host; `make` sets what differs, and is called again when the node is restarted.
    ///
    /// # Errors
    /// [`SimError::Start`].
    pub async fn node(
        &self,
        name: impl Into<String>,
        make: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<SimNode, SimError> {
        self.node_behind(name, Nat::Open, make).await
    }

    /// The same behind a NAT.
    ///
    /// # Errors
    /// [`SimError::Start`].
    pub async fn node_behind(
        &self,
        name: impl Into<String>,
        nat: Nat,
        make: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<SimNode, SimError> {
        self.node_at(name, nat, None, make).await
    }

    /// The same at that address; without one, in a public /24 of its own.
    pub(crate) async fn node_at(
        &self,
        name: impl Into<String>,
        nat: Nat,
        at: Option<SocketAddrV4>,
        make: impl Fn(Builder) -> Builder + Send + Sync + 'static,
    ) -> Result<SimNode, SimError> {
        let number = self.0.nodes.fetch_add(1, Ordering::Relaxed);
        let mut seed = [0; 32];
        let mut chance = ChaCha8Rng::seed_from_u64(self.0.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        chance.fill_bytes(&mut seed);
        let identity = Identity::from_seed(seed);
        let host = self.0.net.add_host(identity.peer_id(), nat, at);
        self.0.hosts.lock().unwrap_or_else(PoisonError::into_inner).push(host);
        let node = SimNode(Arc::new(NodeInner {
            sim: self.clone(),
            name: name.into(),
            host,
            seed,
            identity,
            make: Box::new(make),
            node: Mutex::new(None),
        }));
        node.start().await?;
        Ok(node)
    }

    /// Starts nodes, each when the one before it is there: the first is the bootstrap peer of all.
    ///
    /// # Errors
    /// [`SimError::Start`].
    pub async fn nodes(
        &self,
        count: usize,
        make: impl Fn(usize, Builder) -> Builder + Send + Sync + Clone + 'static,
    ) -> Result<Vec<SimNode>, SimError> {
        let mut nodes: Vec<SimNode> = Vec::with_capacity(count);
        for index in 0..count {
            let make = make.clone();
            let seed = nodes.first().and_then(|first| first.address()).map(|addr| addr.to_string());
            let node = self.node(format!("n{index}"), move |builder| {
                let seeds = seed.iter().filter_map(|addr| addr.parse().ok());
                make(index, builder.bootstrap(seeds))
            });
            nodes.push(node.await?);
        }
        Ok(nodes)
    }

    /// Makes something go wrong, until the guard is dropped.
    pub fn fault(&self, rule: impl FnMut(&Flow) -> Option<Verdict> + Send + 'static) -> Fault {
        self.0.net.rule(rule)
    }

    /// Parts the groups from each other, until the guard is dropped; who is in none of them hears all.
    pub fn partition(&self, groups: &[&[SimNode]]) -> Fault {
        let hosts = |group: &&[SimNode]| group.iter().map(SimNode::host).collect();
        self.fault(net::partition(groups.iter().map(hosts).collect::<Vec<_>>()))
    }

    /// Waits until `condition` holds, asking ten times a second; how long it took.
    ///
    /// # Errors
    /// [`SimError::Late`] when `limit` has passed.
    pub async fn eventually(
        &self,
        limit: Duration,
        what: &str,
        mut condition: impl FnMut() -> bool,
    ) -> Result<Duration, SimError> {
        let began = self.elapsed();
        loop {
            let took = self.elapsed().saturating_sub(began);
            if condition() {
                return Ok(took);
            }
            if took >= limit {
                return Err(SimError::Late { what: what.to_owned(), limit });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

struct NodeInner {
    sim: Sim,
    name: String,
    host: usize,
    /// Of its key.
    seed: [u8; 32],
    identity: Identity,
    make: Box<Make>,
    node: Mutex<Option<Node>>,
}

/// A node of a simulation: a host in the network, and the process on it, when it is up. Clones are the same one.
#[derive(Clone)]
pub struct SimNode(Arc<NodeInner>);

impl fmt::Debug for SimNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimNode").field("name", &self.0.name).field("host", &self.0.host).finish_non_exhaustive()
    }
}

impl SimNode {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its host in the network.
    pub fn host(&self) -> usize {
        self.0.host
    }

    /// Its id, up or not.
    pub fn peer_id(&self) -> PeerId {
        self.0.identity.peer_id()
    }

    /// What it signs with.
    pub(crate) fn signing_key(&self) -> SigningKey {
        SigningKey::from_bytes(&self.0.seed)
    }

    /// Whether it is up.
    pub fn is_up(&self) -> bool {
        self.lock().is_some()
    }

    /// The node itself, through the public API. A handle that is kept keeps it running over a [`crash`](Self::crash),
    /// cut off from all others.
    ///
    /// # Errors
    /// [`SimError::Down`].
    pub fn node(&self) -> Result<Node, SimError> {
        self.lock().clone().ok_or_else(|| SimError::Down(self.0.name.clone()))
    }

    /// Where others dial it; none while it is down.
    pub fn address(&self) -> Option<Multiaddr> {
        self.lock().as_ref()?.listen_addrs().into_iter().next()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Node>> {
        self.0.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn start(&self) -> Result<(), SimError> {
        let NodeInner { sim, name, host, identity, make, .. } = &*self.0;
        let (mode, net, host) = (sim.0.mode, sim.0.net.clone(), *host);
        let builder = Node::builder(move |builder: Builder| {
            // The addresses of the network are public ones.
            let builder = builder.mdns(false).local(false).dht(true).allow(Allow::Any);
            let listen = |text: &str| text.parse().expect("a constant address");
            match mode {
                Mode::Virtual => builder.listen(net.address_of(host)).transport(move |key| net.transport(host, key)),
                Mode::Memory => builder.listen(listen("/memory/0")).transport(memory),
                Mode::Loopback => builder.listen(listen("/ip4/127.0.0.1/tcp/0")),
            }
        });
        sim.0.net.up(host);
        let builder = make(builder.identity(identity.clone()).name(name.clone()).swarm(SWARM));
        let started = builder.start().await;
        let node = started.map_err(|source| SimError::Start { name: name.clone(), source: Box::new(source) })?;
        sim.say(format!("{name} is up on host {host}"));
        *self.lock() = Some(node);
        Ok(())
    }

    /// Its process ends without a word: connections break, dials are refused.
    pub fn crash(&self) {
        let node = self.lock().take();
        if node.is_some() {
            self.0.sim.net().crash(self.0.host);
            self.0.sim.say(format!("{} crashes", self.0.name));
        }
    }

    /// It says goodbye and ends.
    pub async fn stop(&self) {
        let node = self.lock().take();
        if let Some(node) = node {
            node.shutdown().await;
            self.0.sim.net().crash(self.0.host);
            self.0.sim.say(format!("{} stops", self.0.name));
        }
    }

    /// Starts it anew, as the same peer; does nothing if it is up.
    ///
    /// # Errors
    /// [`SimError::Start`].
    pub async fn restart(&self) -> Result<(), SimError> {
        if self.is_up() { Ok(()) } else { self.start().await }
    }

    /// Its network stands still: nothing leaves, nothing arrives, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.0.sim.net().pause(self.0.host, true);
        self.0.sim.say(format!("{} is cut off", self.0.name));
    }

    /// What was held goes on its way.
    pub fn resume(&self) {
        self.0.sim.say(format!("{} is back", self.0.name));
        self.0.sim.net().pause(self.0.host, false);
    }
}
