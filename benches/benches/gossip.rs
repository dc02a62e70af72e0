//! P8: what 100 nodes of one process say to each other, beside plain gossipsub that neither signs nor verifies.
//!
//! `cargo bench -p p2pnode-benches --bench gossip [-- --quick]`. The ways take turns in one run, over libp2p's memory
//! transport with noise and yamux, with the same mesh; ratios are what counts.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash, Hasher},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures::StreamExt;
use libp2p::{
    Multiaddr, Swarm, gossipsub,
    identity::Keypair,
    swarm::{Config, NetworkBehaviour, SwarmEvent},
};
use p2pnode::{Context, Endpoint, Limits, Node};
use p2pnode_behaviours::gossip::{self, Budget};
use p2pnode_benches::{
    calm, cpu,
    figures::{Figures, Target},
    median, run,
};
use p2pnode_simulator::memory;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, PeerKey, SwarmId},
    talk::kind,
};
use tokio::sync::{Notify, mpsc};

const NODES: usize = 100;

/// Each dials so many others, at random from a fixed seed: 8 connections on the average.
const DIALS: usize = 4;

/// Bytes of what is said.
const BODY: usize = 200;

/// Events at once in the second half of a round: five by each node.
const BURST: usize = 500;

const LIMIT: Duration = Duration::from_secs(60);

const ENOUGH: Budget = Budget { events: 1e6, burst: 1e6, bytes: 1e12, bytes_burst: 1e12 };

/// What all nodes together have received.
#[derive(Default)]
struct Count {
    seen: AtomicU64,
    more: Notify,
}

impl Count {
    fn add(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        self.more.notify_one();
    }

    async fn reaches(&self, total: u64) -> anyhow::Result<()> {
        let all = async {
            while self.seen.load(Ordering::Relaxed) < total {
                self.more.notified().await;
            }
        };
        let came = tokio::time::timeout(LIMIT, all).await;
        came.map_err(|_| anyhow::anyhow!("{} of {total} came", self.seen.load(Ordering::Relaxed)))
    }
}

/// A behaviour that says things to a swarm.
trait Talks: NetworkBehaviour<ToSwarm: Send> + Sized + Send {
    fn new() -> anyhow::Result<Self>;
    fn say(&mut self, number: u64, author: &mut Author) -> anyhow::Result<()>;
    fn is_delivery(event: &Self::ToSwarm) -> bool;
}

struct Author {
    key: SigningKey,
    seq: u64,
}

impl Talks for gossipsub::Behaviour {
    fn new() -> anyhow::Result<Self> {
        let config = gossipsub::ConfigBuilder::default()
            .validation_mode(gossipsub::ValidationMode::None)
            // As its documentation shows it.
            .message_id_fn(|message| {
                let mut hasher = DefaultHasher::new();
                message.data.hash(&mut hasher);
                gossipsub::MessageId::from(hasher.finish().to_be_bytes().to_vec())
            })
            .mesh_n(6)
            .mesh_n_low(5)
            .mesh_n_high(12)
            .mesh_outbound_min(2)
            .heartbeat_initial_delay(Duration::from_millis(200))
            // Its own 1 and 5 s lose messages in a burst.
            .publish_queue_duration(LIMIT)
            .forward_queue_duration(LIMIT)
            .build()?;
        let mut behaviour =
            Self::new(gossipsub::MessageAuthenticity::Anonymous, config).map_err(|e| anyhow::anyhow!("{e}"))?;
        behaviour.subscribe(&gossipsub::IdentTopic::new("bench"))?;
        Ok(behaviour)
    }

    fn say(&mut self, number: u64, _: &mut Author) -> anyhow::Result<()> {
        let mut data = vec![7; BODY];
        data[..8].copy_from_slice(&number.to_be_bytes());
        self.publish(gossipsub::IdentTopic::new("bench"), data)?;
        Ok(())
    }

    fn is_delivery(event: &Self::ToSwarm) -> bool {
        matches!(event, gossipsub::Event::Message { .. })
    }
}

const SWARM: SwarmId = SwarmId([7; 32]);

impl Talks for gossip::Behaviour {
    fn new() -> anyhow::Result<Self> {
        let config = gossip::Config {
            per_source: ENOUGH,
            strangers: ENOUGH,
            per_author: ENOUGH,
            own: ENOUGH,
            queue: 5_000,
            ..gossip::Config::default()
        };
        let mut behaviour = Self::new(config);
        ensure!(behaviour.join(SWARM), "one swarm is not too many");
        Ok(behaviour)
    }

    fn say(&mut self, _: u64, author: &mut Author) -> anyhow::Result<()> {
        let event = Event {
            v: 1,
            swarm: SWARM,
            author: PeerKey(author.key.verifying_key().to_bytes()),
            epoch: 1,
            seq: author.seq,
            prev: None,
            at_ms: 0,
            conversation: ConversationId::new(),
            kind: kind::EMIT.into(),
            parent: None,
            seen: Vec::new(),
            mheads: Vec::new(),
            team: None,
            trace: None,
            meta: None,
            body: Bytes::from(vec![7; BODY]),
        };
        author.seq += 1;
        self.publish(&SWARM, event.seal(&author.key).into_raw())?;
        Ok(())
    }

    fn is_delivery(event: &Self::ToSwarm) -> bool {
        matches!(event, gossip::Event::Event { .. })
    }
}

/// Small and always the same: the graph is part of the measurement.
fn next(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Whom node `index` dials: those before it, so that all are connected.
fn dials(index: usize, seed: &mut u64) -> Vec<usize> {
    let mut chosen = Vec::new();
    while chosen.len() < DIALS.min(index) {
        let other = usize::try_from(next(seed)).unwrap_or_default() % index;
        if !chosen.contains(&other) {
            chosen.push(other);
        }
    }
    chosen
}

/// Nodes that say what they are told to, and count what they hear.
struct Crowd {
    say: Vec<mpsc::Sender<u64>>,
    count: Arc<Count>,
    /// Since the warm-up.
    said: u64,
    /// No two messages are alike.
    number: u64,
}

impl Crowd {
    async fn bare<B: Talks + 'static>() -> anyhow::Result<Self> {
        let (count, mut say, mut addresses, mut seed) = (Arc::<Count>::default(), Vec::new(), Vec::new(), 1);
        for index in 0..NODES {
            let keypair = Keypair::generate_ed25519();
            let config = Config::with_tokio_executor().with_idle_connection_timeout(Duration::from_secs(600));
            let mut swarm = Swarm::new(memory(&keypair), B::new()?, keypair.public().to_peer_id(), config);
            swarm.listen_on("/memory/0".parse()?)?;
            let address: Multiaddr = loop {
                if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                    break address;
                }
            };
            for other in dials(index, &mut seed) {
                let other: &Multiaddr = addresses.get(other).context("before it")?;
                swarm.dial(other.clone())?;
            }
            addresses.push(address);
            let (sender, receiver) = mpsc::channel(BURST);
            say.push(sender);
            let author = Author { key: SigningKey::from_bytes(&[u8::try_from(index)?; 32]), seq: 0 };
            tokio::spawn(drive(swarm, receiver, author, count.clone()));
        }
        Ok(Self { say, count, said: 0, number: 0 })
    }

    async fn nodes() -> anyhow::Result<Self> {
        let (count, mut say, mut addresses, mut seed) = (Arc::<Count>::default(), Vec::new(), Vec::new(), 1);
        for index in 0..NODES {
            let mut limits = Limits::default();
            limits.gossip = gossip::Config {
                per_source: ENOUGH,
                strangers: ENOUGH,
                per_author: ENOUGH,
                own: ENOUGH,
                queue: 5_000,
                ..limits.gossip
            };
            let heard = count.clone();
            let mut seeds = Vec::new();
            for other in dials(index, &mut seed) {
                let other: &Multiaddr = addresses.get(other).context("before it")?;
                seeds.push(other.to_string().parse()?);
            }
            let listen: Multiaddr = "/memory/0".parse()?;
            let node = Node::builder(|b: p2pnode::Builder| b.mdns(false).local(false).dht(false).transport(memory))
                .limits(limits)
                .listen(listen)
                .swarm("bench")
                .bootstrap(seeds)
                // Public, as plain gossipsub does not ask where an author is either: to know, each would have to connect to all.
                .endpoint(Endpoint::new("note").public(), move |_: Context, (_,): (u64,)| {
                    heard.add();
                    async move { Ok(()) }
                })
                .start()
                .await?;
            addresses.push(node.listen_addrs().first().context("it listens")?.clone());
            let (sender, mut receiver) = mpsc::channel(BURST);
            say.push(sender);
            tokio::spawn(async move {
                while let Some(number) = receiver.recv().await {
                    if let Err(error) = node.broadcast("note", (number,)).await {
                        eprintln!("not sent: {error}");
                    }
                }
            });
        }
        Ok(Self { say, count, said: 0, number: 0 })
    }

    fn say(&mut self, index: usize) -> anyhow::Result<()> {
        self.said += 1;
        self.number += 1;
        self.say.get(index % NODES).context("a node")?.try_send(self.number)?;
        Ok(())
    }

    /// Each message reaches everybody but its author.
    async fn all_heard(&self) -> anyhow::Result<()> {
        self.count.reaches(self.said * (NODES as u64 - 1)).await
    }

    /// Until the mesh carries what is said everywhere, and for the heartbeats to have balanced it.
    async fn warm_up(&mut self) -> anyhow::Result<()> {
        for index in 0..60 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let before = self.count.seen.load(Ordering::Relaxed);
            self.say(index)?;
            tokio::time::sleep(Duration::from_secs(1)).await;
            // What was said before the mesh was there may be lost to some.
            let now = self.count.seen.load(Ordering::Relaxed);
            if now - before == NODES as u64 - 1 {
                self.count.seen.store(0, Ordering::Relaxed);
                self.said = 0;
                return Ok(());
            }
        }
        bail!("no mesh within two minutes")
    }

    async fn alone(&mut self, times: usize) -> anyhow::Result<Vec<f64>> {
        let mut spans = Vec::new();
        for index in 0..times {
            let started = Instant::now();
            self.say(index * 7)?;
            self.all_heard().await?;
            spans.push(started.elapsed().as_secs_f64() * 1e3);
        }
        Ok(spans)
    }

    /// Deliveries per second, and CPU µs per delivery.
    async fn burst(&mut self) -> anyhow::Result<(f64, f64)> {
        let (started, before) = (Instant::now(), cpu());
        for index in 0..BURST {
            self.say(index)?;
        }
        self.all_heard().await?;
        let deliveries = (BURST * (NODES - 1)) as f64;
        Ok((deliveries / started.elapsed().as_secs_f64(), (cpu() - before).as_secs_f64() * 1e6 / deliveries))
    }
}

async fn drive<B: Talks + 'static>(
    mut swarm: Swarm<B>,
    mut receiver: mpsc::Receiver<u64>,
    mut author: Author,
    count: Arc<Count>,
) {
    loop {
        tokio::select! {
            event = swarm.select_next_some() => {
                if let SwarmEvent::Behaviour(event) = event && B::is_delivery(&event) {
                    count.add();
                }
            }
            number = receiver.recv() => match number {
                Some(number) => if let Err(error) = swarm.behaviour_mut().say(number, &mut author) {
                    eprintln!("not sent: {error}");
                },
                None => return,
            },
        }
    }
}

#[derive(Default)]
struct Samples {
    alone_ms: Vec<f64>,
    rate: Vec<f64>,
    cpu_us: Vec<f64>,
}

impl Samples {
    /// A crowd of its own, gone when it has been measured: idle nodes of another would share the cores.
    async fn take(&mut self, mut crowd: Crowd, rounds: usize) -> anyhow::Result<()> {
        calm().await?;
        crowd.warm_up().await?;
        for _ in 0..rounds {
            self.alone_ms.extend(crowd.alone(20).await?);
            let (rate, cpu_us) = crowd.burst().await?;
            self.rate.push(rate);
            self.cpu_us.push(cpu_us);
        }
        Ok(())
    }
}

async fn measure(figures: &mut Figures) -> anyhow::Result<()> {
    let (turns, rounds) = if figures.quick { (1, 1) } else { (3, 3) };
    let (mut plain, mut ours, mut nodes) = (Samples::default(), Samples::default(), Samples::default());
    for _ in 0..turns {
        plain.take(Crowd::bare::<gossipsub::Behaviour>().await?, rounds).await?;
        ours.take(Crowd::bare::<gossip::Behaviour>().await?, rounds).await?;
        nodes.take(Crowd::nodes().await?, rounds).await?;
    }
    figures
        .say(format!("{NODES} nodes in one process, {BODY} B, medians of {turns} crowds; burst of {BURST} events"))?;
    figures.say(format!(
        "{:<34} {:>14} {:>19} {:>20}",
        "", "all have it ms", "deliveries/s, burst", "CPU µs per delivery"
    ))?;
    for (name, s) in [
        ("plain gossipsub, nothing verified", &plain),
        ("ours, every event verified", &ours),
        ("whole nodes, handlers run", &nodes),
    ] {
        let (alone, rate, cpu) = (median(&s.alone_ms), median(&s.rate), median(&s.cpu_us));
        figures.say(format!("{name:<34} {alone:>14.1} {rate:>19.0} {cpu:>20.1}"))?;
    }
    let ratio = |of: fn(&Samples) -> f64, a: &Samples, b: &Samples| (of(a) / of(b), "");
    let time = |s: &Samples| median(&s.alone_ms);
    let rate = |s: &Samples| median(&s.rate);
    figures.row(
        "P8",
        "broadcast to 100, time of ours ÷ plain gossipsub",
        ratio(time, &ours, &plain),
        Target::AtMost(1.0),
    )?;
    figures.row(
        "P8",
        "burst, deliveries/s of ours ÷ plain gossipsub",
        ratio(rate, &ours, &plain),
        Target::AtLeast(1.0),
    )?;
    figures.row(
        "P8",
        "broadcast to 100, time of whole nodes ÷ plain",
        ratio(time, &nodes, &plain),
        Target::AtMost(1.0),
    )?;
    figures.row(
        "P8",
        "burst, deliveries/s of whole nodes ÷ plain",
        ratio(rate, &nodes, &plain),
        Target::AtLeast(1.0),
    )?;
    Ok(())
}

fn main() -> anyhow::Result<()> {
    run("gossip", measure)
}
