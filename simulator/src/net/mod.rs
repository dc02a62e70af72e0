//! The modelled network: hosts, the ways between them, and what goes wrong on purpose.

mod fault;
mod frames;
mod gossip;
mod kad;
mod model;
mod muxer;
mod pipe;
mod sniff;
mod transport;
mod wheel;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fmt,
    net::SocketAddrV4,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::Waker,
    time::Duration,
};

use libp2p::{Multiaddr, PeerId, core::muxing::StreamMuxerBox};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use tokio::time::Instant;

pub use fault::{Fault, Flow, Verdict, What, one_way, partition, slow};
pub(crate) use frames::{Field, fields};
pub use kad::Lookup;
pub use model::{Latency, Model};
use pipe::{Lane, Pipe};
pub(crate) use transport::place_in;
use wheel::{Due, Fire, Wheel};

use crate::log::{Entry, Log};

/// How much of libp2p's own connection layers is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fidelity {
    /// Connections and substreams are the simulator's, which also says who is who: fastest, and traffic can be told apart
    /// by protocol.
    #[default]
    Direct,
    /// yamux is real; who is who the simulator says.
    Plain,
    /// noise and yamux are real.
    Noise,
}

/// Who may dial a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Nat {
    /// Everybody.
    #[default]
    Open,
    /// Those it has dialled itself.
    Cone,
    /// Nobody.
    Symmetric,
}

/// Connections waiting to be taken by a host: the backlog of a listening socket.
const BACKLOG: usize = 256;

/// Without an answer a dial is given up after so long.
const DIAL: Duration = Duration::from_secs(10);

/// TCP, noise and the choice of protocols take the dialler so many one-way times.
const HANDSHAKE: u32 = 6;

struct Host {
    peer: PeerId,
    at: SocketAddrV4,
    up: bool,
    /// Processes that have run on it: an old one has no more say.
    generation: u64,
    paused: bool,
    nat: Nat,
    /// Its uplink is busy until then.
    busy: Option<Instant>,
    waiting: VecDeque<Incoming>,
    listener: Option<Waker>,
    sent: u64,
    received: u64,
    dials: u64,
    connections: i64,
    peak: i64,
}

/// A connection that somebody has made with a host.
struct Incoming {
    remote: Multiaddr,
    local: Multiaddr,
    peer: PeerId,
    end: End,
}

/// One end of a new connection.
enum End {
    Muxer(StreamMuxerBox),
    Stream(pipe::Stream),
}

/// One way a message of gossip came first.
#[derive(Debug, Clone, Copy)]
struct First {
    hops: u32,
}

#[derive(Default)]
struct Heard {
    /// By host.
    first: HashMap<usize, First>,
    copies: u64,
}

struct Inner {
    model: Model,
    seed: u64,
    chance: ChaCha8Rng,
    hosts: Vec<Host>,
    /// Which host an address is of. Ordered, so that it draws no keys from the chance of the run.
    places: BTreeMap<SocketAddrV4, usize>,
    /// Ways that hosts have opened themselves: (dialler, dialled).
    opened: BTreeMap<(usize, usize), ()>,
    rules: BTreeMap<u64, fault::Rule>,
    next_rule: u64,
    held: Vec<Weak<Pipe>>,
    links: Vec<Weak<muxer::Link>>,
    protocols: Vec<(String, Traffic)>,
    gossip: HashMap<u64, Heard>,
    /// Look-ups that are followed, by host and key.
    lookups: BTreeMap<(usize, Vec<u8>), Lookup>,
    log: Log,
}

/// What was sent, of one protocol or in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Writes: a message or a part of one.
    pub writes: u64,
}

/// What one host has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HostTraffic {
    /// Bytes it sent.
    pub sent: u64,
    /// Bytes sent to it.
    pub received: u64,
    /// Dials it made.
    pub dials: u64,
    /// Connections it has.
    pub connections: u64,
    /// Connections it had at most.
    pub peak: u64,
}

/// How messages of gossip went about; known with [`Fidelity::Direct`] only.
#[derive(Debug, Clone, Default)]
pub struct GossipPaths {
    /// Messages seen.
    pub messages: u64,
    /// Copies sent, first ones included.
    pub copies: u64,
    /// First copies: hosts that got one, over all messages.
    pub firsts: u64,
    /// Hops of each first copy.
    pub hops: Vec<u32>,
}

/// The network of one simulation. Clones are the same network.
#[derive(Clone)]
pub struct Net {
    inner: Arc<Mutex<Inner>>,
    wheel: Arc<Wheel>,
    begun: Instant,
    fidelity: Fidelity,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net").field("hosts", &self.lock().hosts.len()).finish_non_exhaustive()
    }
}

impl Net {
    pub(crate) fn new(seed: u64, model: Model, fidelity: Fidelity, log: Log) -> Self {
        let inner = Inner {
            model,
            seed,
            chance: ChaCha8Rng::seed_from_u64(seed ^ 0x6e65_7477_6f72_6b21),
            hosts: Vec::new(),
            places: BTreeMap::new(),
            opened: BTreeMap::new(),
            rules: BTreeMap::new(),
            next_rule: 0,
            held: Vec::new(),
            links: Vec::new(),
            protocols: Vec::new(),
            gossip: HashMap::new(),
            lookups: BTreeMap::new(),
            log,
        };
        let wheel = Arc::<Wheel>::default();
        tokio::spawn(wheel.clone().turn());
        Self { inner: Arc::new(Mutex::new(inner)), wheel, begun: Instant::now(), fidelity }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// A host at that address, or in a network of its own. Of two at one address the first is reached.
    pub(crate) fn add_host(&self, peer: PeerId, nat: Nat, at: Option<SocketAddrV4>) -> usize {
        let mut inner = self.lock();
        let number = inner.hosts.len();
        let at = at.unwrap_or_else(|| transport::alone(number));
        inner.places.entry(at).or_insert(number);
        inner.hosts.push(Host {
            peer,
            at,
            up: false,
            generation: 0,
            paused: false,
            nat,
            busy: None,
            waiting: VecDeque::new(),
            listener: None,
            sent: 0,
            received: 0,
            dials: 0,
            connections: 0,
            peak: 0,
        });
        number
    }

    /// Where a host is dialled.
    pub(crate) fn address_of(&self, host: usize) -> Multiaddr {
        let inner = self.lock();
        transport::address(inner.hosts.get(host).map_or_else(|| transport::alone(host), |host| host.at))
    }

    /// That of a place, whoever lives there.
    pub(crate) fn address_at(at: SocketAddrV4) -> Multiaddr {
        transport::address(at)
    }

    /// The rule decides before older ones; the first verdict counts.
    pub fn rule(&self, rule: impl FnMut(&Flow) -> Option<Verdict> + Send + 'static) -> Fault {
        let mut inner = self.lock();
        inner.next_rule += 1;
        let id = inner.next_rule;
        inner.rules.insert(id, Box::new(rule));
        Fault::new(self.clone(), id)
    }

    fn remove_rule(&self, id: u64) {
        self.lock().rules.remove(&id);
        self.release();
    }

    /// Whether the host's network stands still: nothing leaves, nothing arrives.
    pub(crate) fn pause(&self, host: usize, paused: bool) {
        if let Some(host) = self.lock().hosts.get_mut(host) {
            host.paused = paused;
        }
        if !paused {
            self.release();
        }
    }

    /// Ways may be open again: what waits tries once more.
    fn release(&self) {
        let held = std::mem::take(&mut self.lock().held);
        held.iter().filter_map(Weak::upgrade).for_each(|pipe| pipe.release());
    }

    /// The process on that host is gone: its connections break, and dials are refused until it is up again.
    pub(crate) fn crash(&self, host: usize) {
        let mut inner = self.lock();
        if let Some(state) = inner.hosts.get_mut(host) {
            state.up = false;
            state.generation += 1;
            state.waiting.clear();
            state.listener = None;
        }
        inner.links.retain(|link| link.strong_count() > 0);
        let links: Vec<_> = inner.links.iter().filter_map(Weak::upgrade).collect();
        drop(inner);
        for link in links {
            if link.touches(host) {
                link.reset(host);
            }
        }
    }

    pub(crate) fn up(&self, host: usize) {
        if let Some(state) = self.lock().hosts.get_mut(host) {
            state.up = true;
        }
    }

    fn verdict(&self, inner: &mut Inner, flow: &Flow) -> Verdict {
        let stands = |host: usize| inner.hosts.get(host).is_none_or(|host| host.paused);
        if stands(flow.from) || stands(flow.to) {
            return Verdict::Hold;
        }
        inner.rules.values_mut().rev().find_map(|rule| rule(flow)).unwrap_or(Verdict::Pass)
    }

    /// When so many bytes, sent now, arrive.
    fn send(&self, lane: &Arc<Lane>, bytes: usize, pipe: &Arc<Pipe>) -> Due {
        self.send_in(lane, bytes, pipe, Duration::ZERO)
    }

    /// The same for what waited: TCP learns that the way is open by its next try.
    fn send_again(&self, lane: &Arc<Lane>, bytes: usize, pipe: &Arc<Pipe>) -> Due {
        self.send_in(lane, bytes, pipe, Duration::from_millis(200))
    }

    fn send_in(&self, lane: &Arc<Lane>, bytes: usize, pipe: &Arc<Pipe>, later: Duration) -> Due {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let (now, at) = (Instant::now(), self.begun.elapsed());
        let flow = Flow { from: lane.from, to: lane.to, at, what: What::Data(bytes) };
        let extra = match self.verdict(inner, &flow) {
            Verdict::Pass => Duration::ZERO,
            Verdict::Delay(by) => by,
            Verdict::Hold => {
                inner.held.push(Arc::downgrade(pipe));
                return Due::NEVER;
            }
            Verdict::Reset => {
                drop(guard);
                pipe.reset(now);
                return Due::at(now);
            }
        };
        let jitter = lane.jitter(now, || inner.model.jitter(&mut inner.chance));
        let late = jitter + inner.model.lost(lane.base, bytes, &mut inner.chance);
        let mut leaves = now;
        if let (Some(bandwidth), Some(host)) = (inner.model.bandwidth, inner.hosts.get_mut(lane.from)) {
            leaves =
                host.busy.map_or(now, |busy| busy.max(now)) + Duration::from_secs_f64(bytes as f64 * 8.0 / bandwidth);
            host.busy = Some(leaves);
        }
        inner.log.add(at, || Entry::Sent { from: lane.from, to: lane.to, bytes });
        Due::at(lane.after_last(leaves + lane.base + late + extra + later))
    }

    /// When the other end learns of a substream opened now: with its first bytes.
    fn opens(&self, lane: &Lane) -> Due {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let now = Instant::now();
        let jitter = lane.jitter(now, || inner.model.jitter(&mut inner.chance));
        Due::at(lane.after_last(now + lane.base + jitter))
    }

    fn fire(&self, due: Due, what: Weak<impl Fire + 'static>) {
        self.wheel.put(due, what);
    }

    fn protocol(&self, name: &str) -> usize {
        let mut inner = self.lock();
        if let Some(at) = inner.protocols.iter().position(|(known, _)| known == name) {
            return at;
        }
        inner.protocols.push((name.to_owned(), Traffic::default()));
        inner.protocols.len() - 1
    }

    fn count(&self, from: usize, to: usize, name: &str, bytes: usize) {
        let protocol = self.protocol(name);
        self.count_as(from, to, protocol, bytes);
    }

    fn count_as(&self, from: usize, to: usize, protocol: usize, bytes: usize) {
        let mut inner = self.lock();
        if let Some((_, traffic)) = inner.protocols.get_mut(protocol) {
            traffic.bytes += bytes as u64;
            traffic.writes += 1;
        }
        if let Some(host) = inner.hosts.get_mut(from) {
            host.sent += bytes as u64;
        }
        if let Some(host) = inner.hosts.get_mut(to) {
            host.received += bytes as u64;
        }
    }

    /// A copy of a message of gossip goes from one host to another.
    fn gossiped(&self, from: usize, to: usize, id: u64) {
        let mut inner = self.lock();
        let heard = inner.gossip.entry(id).or_default();
        heard.copies += 1;
        // Who sends it without having got it is its author, or has it otherwise.
        let hops = heard.first.entry(from).or_insert(First { hops: 0 }).hops + 1;
        heard.first.entry(to).or_insert(First { hops });
    }

    /// Follows the look-up of `key`, such as the bytes of a peer id, by `host`, whose routing table has these, from now on.
    pub fn follow_lookup(&self, host: usize, key: &[u8], table: &[PeerId]) {
        self.lock().lookups.insert((host, key.to_vec()), Lookup::from(table));
    }

    /// What came of it; ends the following. With [`Fidelity::Direct`] only.
    pub fn lookup_followed(&self, host: usize, key: &[u8]) -> Option<Lookup> {
        self.lock().lookups.remove(&(host, key.to_vec()))
    }

    fn looked_up(&self, by: usize, at: usize, key: &[u8]) {
        let mut inner = self.lock();
        let Some(peer) = inner.hosts.get(at).map(|host| host.peer) else { return };
        if let Some(track) = inner.lookups.get_mut(&(by, key.to_vec())) {
            track.asked(peer);
        }
    }

    fn told_of(&self, by: usize, at: usize, key: &[u8], (peers, provided): (&[PeerId], bool)) {
        let mut inner = self.lock();
        let Some(peer) = inner.hosts.get(at).map(|host| host.peer) else { return };
        if let Some(track) = inner.lookups.get_mut(&(by, key.to_vec())) {
            track.told(&peer, peers, provided);
        }
    }

    /// Forgets what gossip did so far.
    pub fn forget_gossip(&self) {
        self.lock().gossip.clear();
    }

    /// How gossip went about so far.
    pub fn gossip(&self) -> GossipPaths {
        let inner = self.lock();
        let mut paths = GossipPaths { messages: inner.gossip.len() as u64, ..GossipPaths::default() };
        for heard in inner.gossip.values() {
            let hops = heard.first.values().map(|first| first.hops).filter(|hops| *hops > 0);
            let before = paths.hops.len();
            paths.hops.extend(hops);
            paths.firsts += (paths.hops.len() - before) as u64;
            paths.copies += heard.copies;
        }
        paths.hops.sort_unstable();
        paths
    }

    /// What each protocol has sent; with [`Fidelity::Direct`] by name, else as one.
    pub fn protocols(&self) -> Vec<(String, Traffic)> {
        let mut all = self.lock().protocols.clone();
        all.sort_by(|a, b| b.1.bytes.cmp(&a.1.bytes).then_with(|| a.0.cmp(&b.0)));
        all
    }

    /// What a host has done.
    pub fn host(&self, host: usize) -> HostTraffic {
        let inner = self.lock();
        let Some(host) = inner.hosts.get(host) else { return HostTraffic::default() };
        HostTraffic {
            sent: host.sent,
            received: host.received,
            dials: host.dials,
            connections: host.connections.max(0).unsigned_abs(),
            peak: host.peak.max(0).unsigned_abs(),
        }
    }

    /// Pairs of hosts that have a connection now; in any order, one pair perhaps twice.
    pub(crate) fn connections(&self) -> Vec<[usize; 2]> {
        let links: Vec<_> = self.lock().links.iter().filter_map(Weak::upgrade).collect();
        links.iter().filter_map(|link| link.ends()).collect()
    }

    fn connected(&self, hosts: [usize; 2], by: i64) {
        let mut inner = self.lock();
        for host in hosts {
            if let Some(host) = inner.hosts.get_mut(host) {
                host.connections += by;
                host.peak = host.peak.max(host.connections);
            }
        }
    }
}
