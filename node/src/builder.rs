//! Setting a node up and starting it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, Swarm, identity::Keypair, swarm};
use p2pnode_behaviours::{
    Clock, discovery, gossip, hello, rpc, sync,
    upkeep::{self, AddressRules, Compact},
};
use p2pnode_wire::{
    card::{Availability, Capability},
    ids::{SwarmId, SwarmName},
};
use serde::Serialize;
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{Nearness, OpenSwarms, Vicinity},
    acquaintances,
    addr::BootstrapAddr,
    ask::{Answerer, Ask, AskFn, AskHandler, Asks},
    blocks::Blocks,
    command::COMMAND_QUEUE,
    endpoint::{DynHandler, Endpoint, Endpoints, Handler, HandlerError, Runner},
    event_loop::{About, EventLoop, Setup},
    events::EVENT_QUEUE,
    history,
    history::{Folder, Folding, Summarize},
    identity::Identity,
    limits::Limits,
    listen::listen_on,
    mail,
    node::{Inner, Node, Own, Shared, lock},
    peers::Peers,
    periodic::Work,
    pins,
    profile::{Paths, Profile},
    progress::Progress,
    registry::LocalRegistry,
    reserved::NodeEndpoints,
    schedule::{self, Schedule, ScheduleError},
    schedules::{ExecFn, Timetable},
    start::StartError,
    store::Store,
    swarm::{Behaviour, BoxedTransport, build_transport},
};

/// Inbound handshakes that upkeep may still count after the door has let the next one in.
const PENDING_SLACK: usize = 16;

/// A connection that nothing used for so long is closed, but for those with members of a small swarm, which are held. A
/// seed has places for 160: at 10 s, five hundred nodes that came within 10 s waited 5.6 s for one on the average, at 5 s
/// 1.8 s, and those of a swarm at rest dial no more often.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Who may call endpoints and ask, in an open swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Allow {
    /// Members on this host or from a private address range.
    #[default]
    Private,
    /// Members from anywhere.
    Any,
}

type TransportFn = Box<dyn FnOnce(&Keypair) -> BoxedTransport + Send>;

/// A node to be: set what differs from the preset, then [`Builder::start`] or [`Builder::run`].
#[must_use = "a node starts with start() or run()"]
pub struct Builder {
    swarms: Vec<String>,
    name: Option<String>,
    role: String,
    description: String,
    team: Option<String>,
    capabilities: Vec<Capability>,
    endpoints: Vec<(Endpoint, Arc<dyn DynHandler>)>,
    work: Vec<Work>,
    ask: Option<Arc<dyn AskHandler>>,
    identity: Option<Identity>,
    profile: Option<Profile>,
    paths: Option<Paths>,
    listen: Vec<Multiaddr>,
    bootstrap: Vec<BootstrapAddr>,
    mdns: bool,
    local: bool,
    dht: bool,
    allow: Allow,
    fixed_port: bool,
    hidden: bool,
    clock: Clock,
    ephemeral: bool,
    transport: Option<TransportFn>,
    limits: Limits,
    gossip: Option<bool>,
    store: Option<Store>,
    summarize: Option<Summarize>,
    pub(crate) exec: Option<Arc<ExecFn>>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
            swarms: Vec::new(),
            name: None,
            role: String::new(),
            description: String::new(),
            team: None,
            capabilities: Vec::new(),
            endpoints: Vec::new(),
            work: Vec::new(),
            ask: None,
            identity: None,
            profile: None,
            paths: None,
            listen: Vec::new(),
            bootstrap: Vec::new(),
            mdns: false,
            local: false,
            dht: true,
            allow: Allow::default(),
            fixed_port: false,
            hidden: false,
            clock: Clock::default(),
            ephemeral: false,
            transport: None,
            limits: Limits::default(),
            gossip: None,
            store: None,
            summarize: None,
            exec: None,
        }
    }

    /// Joins an open swarm: all who know the name are in it. Repeatable; nodes of different swarms never mix.
    pub fn swarm(mut self, name: impl Into<String>) -> Self {
        self.swarms.push(name.into());
        self
    }

    /// The name others call it by. Default: a word and four letters drawn from its id.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// What it does in a team, such as `reviewer`. Default none.
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = role.into();
        self
    }

    /// What it is, for people. Default none.
    pub fn description(mut self, text: impl Into<String>) -> Self {
        self.description = text.into();
        self
    }

    /// A label that filters use; no isolation. Default none.
    pub fn team(mut self, team: impl Into<String>) -> Self {
        self.team = Some(team.into());
        self
    }

    /// Advertises a capability. Repeatable.
    pub fn capability(mut self, capability: impl Into<Capability>) -> Self {
        self.capabilities.push(capability.into());
        self
    }

    /// Serves an endpoint by a typed closure `|cx: Context, args: A| async move { Ok(result) }`.
    pub fn endpoint<A, R, H: Handler<A, R>>(mut self, endpoint: Endpoint, handler: H) -> Self {
        self.endpoints.push(endpoint.with_handler(handler));
        self
    }

    /// Serves an endpoint whose types are known only at run time.
    pub fn endpoint_dyn(mut self, endpoint: Endpoint, handler: Arc<dyn DynHandler>) -> Self {
        self.endpoints.push((endpoint, handler));
        self
    }

    /// Runs `handler` on a schedule as long as the node runs; see [`Node::periodic`]. A schedule that is not good keeps the
    /// node from starting.
    pub fn periodic<S, F, Fut>(self, schedule: S, handler: F) -> Self
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
        F: Fn(Node) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.periodic_with(schedule, schedule::Options::default(), handler)
    }

    /// The same, with a say about overlaps, runs that were missed, and the run at start.
    pub fn periodic_with<S, F, Fut>(mut self, schedule: S, options: schedule::Options, handler: F) -> Self
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
        F: Fn(Node) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.work.push(Work::new(schedule, options, handler));
        self
    }

    /// Takes questions by a closure `|cx: Ask, task: String| async move { Ok(reply) }`. One per node; the last wins.
    pub fn ask<F, Fut, R>(self, handler: F) -> Self
    where
        F: Fn(Ask, String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, HandlerError>> + Send + 'static,
        R: Serialize + Send + 'static,
    {
        self.ask_dyn(Arc::new(AskFn(handler)))
    }

    /// Tells the middle of long conversations in few words, instead of the last lines of it: say by a language model. When
    /// that is done: [`Compaction`](crate::Compaction), or [`History::compact`](crate::History::compact).
    pub fn summarizer<F, Fut>(mut self, summarize: F) -> Self
    where
        F: Fn(Folding) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, HandlerError>> + Send + 'static,
    {
        self.summarize = Some(Arc::new(move |folding| Box::pin(summarize(folding))));
        self
    }

    /// Takes questions by an object.
    pub fn ask_dyn(mut self, handler: Arc<dyn AskHandler>) -> Self {
        self.ask = Some(handler);
        self
    }

    /// Its key. Default: the profile's, or a fresh one that ends with the node.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Its folders and lock: the node keeps the profile until it ends. Default none: nothing is written.
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = Some(profile);
        self
    }

    /// Where the registry of this host's nodes is. Default: the user's own folders.
    pub fn paths(mut self, paths: Paths) -> Self {
        self.paths = Some(paths);
        self
    }

    /// Listens on these addresses only. Repeatable calls replace each other.
    pub fn listen_all(mut self, addrs: impl IntoIterator<Item = Multiaddr>) -> Self {
        self.listen = addrs.into_iter().collect();
        self
    }

    /// Listens on one more address.
    pub fn listen(mut self, addr: Multiaddr) -> Self {
        self.listen.push(addr);
        self
    }

    /// Takes this TCP and UDP port on all addresses it listens on. Default any.
    pub fn port(mut self, port: u16) -> Self {
        self.listen = self.listen.iter().map(|addr| crate::addr::with_port(addr, port)).collect();
        self.fixed_port = port != 0;
        self
    }

    /// Addresses of ordinary nodes to begin with, tried again for ever.
    pub fn bootstrap(mut self, addrs: impl IntoIterator<Item = BootstrapAddr>) -> Self {
        self.bootstrap.extend(addrs);
        self
    }

    /// Finds neighbours by multicast. The preset decides.
    pub fn mdns(mut self, on: bool) -> Self {
        self.mdns = on;
        self
    }

    /// Finds nodes of the same user on this host, and is found by them. The preset decides.
    pub fn local(mut self, on: bool) -> Self {
        self.local = on;
        self
    }

    /// Takes part in the DHT. The preset decides.
    pub fn dht(mut self, on: bool) -> Self {
        self.dht = on;
        self
    }

    /// Who may call and ask in open swarms. Default [`Allow::Private`].
    pub fn allow(mut self, allow: Allow) -> Self {
        self.allow = allow;
        self
    }

    /// The wall clock, for expiry and display. Default: the system's. For trying what wrong clocks do.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Tells nobody outside a swarm that this node is in it. Default off.
    pub fn hidden(mut self, on: bool) -> Self {
        self.hidden = on;
        self
    }

    /// Lives for one command: a guest that nobody passes on. See [`presets::Command`](crate::presets::Command).
    pub fn ephemeral(mut self, on: bool) -> Self {
        self.ephemeral = on;
        self
    }

    /// Takes part in conversations: hears and passes on what is said. Default on, but off for a node that lives for one
    /// command, which would only disturb the mesh unless it asks or listens itself.
    pub fn gossip(mut self, on: bool) -> Self {
        self.gossip = Some(on);
        self
    }

    /// Where it keeps what is said, mail, schedules and artifacts. Default: `node.db` in the folder of its profile, or, without
    /// one, memory, for as long as the node runs.
    pub fn store(mut self, store: Store) -> Self {
        self.store = Some(store);
        self
    }

    /// What it holds, takes and does at most. Default [`Limits::default`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Another transport instead of TCP and QUIC: what tests and the simulator use.
    pub fn transport(mut self, build: impl FnOnce(&Keypair) -> BoxedTransport + Send + 'static) -> Self {
        self.transport = Some(Box::new(build));
        self
    }

    /// Starts the node; returns once it listens.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(self) -> Result<Node, StartError> {
        // Boxed: half of a node lives in this future.
        Box::pin(self.launch()).await
    }

    async fn launch(mut self) -> Result<Node, StartError> {
        let swarms = parse_swarms(&self.swarms, self.limits.swarms)?;
        let identity = self.take_identity()?;
        let keypair = identity.keypair();
        let own = identity.peer_id();
        let name = self.name.take().unwrap_or_else(|| crate::names::default_name(&own));
        let registry = self.open_registry()?;
        let rules = self.rules();
        let now = Instant::now();
        let shared = self.shared(&swarms, now);
        let endpoints = Endpoints::new(self.limits.endpoints);
        let answerer = Answerer::new(self.ask.take(), self.limits.answering);
        let nearness = Nearness::default();
        let vicinity = Vicinity::new(self.allow, nearness.clone());
        let (runner, late) =
            Runner::new(endpoints.clone(), self.access(own, &swarms, nearness.clone()), shared.clone());
        let (rpc, client) = rpc::Behaviour::new(self.limits.rpc.clone(), runner.clone());
        let mut behaviour = self.behaviour(&keypair, rpc, &swarms, &rules);
        let given = (self.store.take(), self.profile.as_ref().map(Profile::store));
        let store = if self.ephemeral { None } else { Some(history::open(given).await?) };
        if let Some(store) = &store {
            history::introduce(store, &own, &name, &swarms).await?;
        }
        let ids = swarms.iter().map(|(id, _)| *id).collect();
        let acquaintances = match &store {
            Some(store) => {
                *lock(&shared.pins) = pins::load(store).await?;
                for peer in Blocks::kept(store).await? {
                    behaviour.upkeep.block(peer);
                }
                acquaintances::load(store).await?
            }
            None => Vec::new(),
        };
        let post = store.clone().map(|store| mail::start(store, self.limits.mail.clone(), answerer.clone()));
        let history = match store.clone() {
            Some(store) => Some(history::start(store, ids, self.limits.history.clone()).await?),
            None => None,
        };
        let transport = match self.transport.take() {
            Some(build) => build(&keypair),
            None => build_transport(&keypair, &rules, self.limits.upkeep.limits.pending_in)
                .map_err(|e| StartError::Transport(e.to_string()))?,
        };
        let config = swarm::Config::with_tokio_executor().with_idle_connection_timeout(IDLE_TIMEOUT);
        let mut swarm = Swarm::new(transport, Compact(behaviour), own, config);
        let (listen, fixed_port) = (std::mem::take(&mut self.listen), self.fixed_port);
        let early = listen_on(&mut swarm, &listen, fixed_port).await?;
        let (commands, receiver) = mpsc::channel(COMMAND_QUEUE);
        let timetable = Timetable::new(store.clone(), self.exec.take());
        let node = Node::from_inner(Arc::new(Inner {
            identity: identity.clone(),
            name: name.clone(),
            ephemeral: self.ephemeral,
            clock: self.clock,
            timetable: timetable.clone(),
            swarms: swarms.clone(),
            commands,
            rpc: client,
            shared: shared.clone(),
            endpoints: endpoints.clone(),
            vicinity: vicinity.clone(),
            store,
            keep: history.as_ref().map(|(link, ..)| link.clone()),
            post: post.as_ref().map(|(link, _)| link.clone()),
            mail_limits: self.limits.mail.clone(),
            folder: Folder::new(self.limits.compaction.clone(), self.summarize.take()),
        }));
        let post = post.map(|(link, run)| {
            run(node.downgrade());
            link
        });
        let history = history.map(|(link, ends, keeping)| {
            keeping.run(node.downgrade());
            (link, ends)
        });
        let _ = late.set(node.downgrade());
        NodeEndpoints { node: node.downgrade(), answerer: answerer.clone() }.register(&endpoints)?;
        for (endpoint, handler) in std::mem::take(&mut self.endpoints) {
            endpoints.register(endpoint, handler)?.detach();
        }
        let setup = Setup {
            swarm,
            commands: receiver,
            shared,
            endpoints,
            answerer,
            runner,
            node: node.downgrade(),
            identity,
            rules,
            registry,
            profile: self.profile.take(),
            swarms,
            bootstrap: std::mem::take(&mut self.bootstrap),
            ephemeral: self.ephemeral,
            dht: self.dht,
            allow: self.allow,
            nearness,
            vicinity,
            about: self.about(&node.inner().identity, name)?,
            history,
            post,
            acquaintances,
            timetable,
        };
        EventLoop::start(setup, early);
        for work in std::mem::take(&mut self.work) {
            work.start(&node)?.detach();
        }
        node.timetable().open(&node).await?;
        Ok(node)
    }

    /// Starts the node and serves until Ctrl-C or TERM, then says goodbye.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn run(self) -> Result<(), StartError> {
        let node = self.start().await?;
        crate::signals::interrupted().await;
        node.shutdown().await;
        Ok(())
    }

    fn take_identity(&mut self) -> Result<Identity, StartError> {
        if let Some(identity) = self.identity.take() {
            return Ok(identity);
        }
        match &self.profile {
            Some(profile) => Ok(profile.identity()?),
            None => Ok(Identity::generate()),
        }
    }

    fn open_registry(&self) -> Result<Option<LocalRegistry>, StartError> {
        if !self.local || self.transport.is_some() {
            return Ok(None);
        }
        let paths = match (&self.paths, &self.profile) {
            (Some(paths), _) => paths.clone(),
            (None, Some(profile)) => profile.paths().clone(),
            (None, None) => Paths::discover()?,
        };
        Ok(Some(LocalRegistry::open(&paths)?))
    }

    fn rules(&self) -> AddressRules {
        let rules = AddressRules::new();
        let here = |addr: &Multiaddr| upkeep::is_loopback(addr);
        if self.bootstrap.iter().any(BootstrapAddr::is_loopback) || self.listen.iter().any(here) {
            rules.allow_loopback(true);
        }
        rules
    }

    fn shared(&self, swarms: &[(SwarmId, SwarmName)], now: Instant) -> Shared {
        let mut peers = Peers::new(self.limits.peers);
        for (id, name) in swarms {
            peers.join(*id, name.clone());
        }
        let bootstrap = self.bootstrap.iter().map(ToString::to_string);
        let own = Own { mdns: self.mdns, local: self.local, ..Own::default() };
        Shared {
            peers: Arc::new(Mutex::new(peers)),
            pins: Arc::default(),
            progress: Arc::new(Mutex::new(Progress::new(self.mdns, bootstrap, now))),
            own: Arc::new(Mutex::new(own)),
            changed: watch::Sender::new(0),
            events: broadcast::Sender::new(EVENT_QUEUE),
            asks: Asks::new(self.limits.asks),
            stopped: CancellationToken::new(),
        }
    }

    fn access(&self, own: PeerId, swarms: &[(SwarmId, SwarmName)], nearness: Nearness) -> OpenSwarms {
        OpenSwarms { own, swarms: swarms.to_vec(), allow: self.allow, nearness }
    }

    fn behaviour(
        &self,
        keypair: &Keypair,
        rpc: rpc::Behaviour,
        swarms: &[(SwarmId, SwarmName)],
        rules: &AddressRules,
    ) -> Behaviour {
        let own = keypair.public().to_peer_id();
        let hello = hello::Config { hidden: self.hidden, ephemeral: self.ephemeral, ..self.limits.hello.clone() };
        let mut hello = hello::Behaviour::new(hello, own);
        hello.set_clock(self.clock);
        let mut gossip = gossip::Behaviour::new(self.limits.gossip.clone());
        for (id, name) in swarms {
            hello.join(*id, Some(name.clone()));
            gossip.join(*id);
        }
        let discovery = discovery::Config {
            mdns: self.mdns && self.transport.is_none(),
            dht: self.dht,
            client: self.ephemeral,
            ..self.limits.discovery.clone()
        };
        let mut upkeep = self.limits.upkeep.clone();
        if self.transport.is_none() {
            // The door counts a handshake as over a little earlier than upkeep hears of it.
            upkeep.limits.pending_in += PENDING_SLACK;
        }
        Behaviour {
            upkeep: upkeep::Behaviour::new(upkeep, keypair, rules.clone()),
            hello,
            rpc,
            mail: p2pnode_behaviours::mail::Behaviour::new(own),
            sync: (!self.ephemeral).then(sync::Behaviour::default).into(),
            discovery: discovery::Behaviour::new(discovery, own, rules.clone()),
            gossip: self.gossip.unwrap_or(!self.ephemeral).then_some(gossip).into(),
        }
    }

    fn about(&self, identity: &Identity, name: String) -> Result<About, StartError> {
        let about = About {
            key: identity.peer_key(),
            clock: self.clock,
            name,
            role: self.role.clone(),
            description: self.description.clone(),
            team: self.team.as_deref().map(str::parse).transpose()?,
            capabilities: self.capabilities.clone(),
            agent: hello::Config::default().agent,
            availability: Availability::Online,
            load: 0,
        };
        about.check().map_err(StartError::Card)?;
        Ok(about)
    }
}

fn parse_swarms(names: &[String], limit: usize) -> Result<Vec<(SwarmId, SwarmName)>, StartError> {
    if names.len() > limit {
        return Err(StartError::TooManySwarms { given: names.len(), limit });
    }
    let mut swarms: Vec<(SwarmId, SwarmName)> = Vec::new();
    for name in names {
        let name: SwarmName = name.parse()?;
        let id = SwarmId::open(&name);
        if swarms.iter().all(|(known, _)| *known != id) {
            swarms.push((id, name));
        }
    }
    Ok(swarms)
}
