//! Setting a node up and starting it.

mod launch;

use std::sync::Arc;

use libp2p::{Multiaddr, identity::Keypair};
use p2pnode_behaviours::Clock;
use p2pnode_wire::card::Capability;
use serde::Serialize;

use crate::{
    addr::BootstrapAddr,
    ask::{Ask, AskFn, AskHandler},
    endpoint::{DynHandler, DynStreamHandler, Endpoint, Handler, HandlerError, Run},
    history::{Folding, Summarize},
    identity::Identity,
    limits::Limits,
    node::Node,
    periodic::Work,
    profile::{Paths, Profile},
    schedule::{self, Schedule, ScheduleError},
    schedules::ExecFn,
    start::StartError,
    store::Store,
    swarm::BoxedTransport,
};

/// Who may call endpoints and ask, in an open swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Allow {
    /// Members on this host or from a private address range.
    #[default]
    Private,
    /// Members from anywhere.
    Any,
}

pub(crate) type TransportFn = Box<dyn FnOnce(&Keypair) -> BoxedTransport + Send>;

/// A node to be: set what differs from the preset, then [`Builder::start`] or [`Builder::run`].
#[must_use = "a node starts with start() or run()"]
pub struct Builder {
    swarms: Vec<String>,
    name: Option<String>,
    role: String,
    description: String,
    team: Option<String>,
    capabilities: Vec<Capability>,
    endpoints: Vec<(Endpoint, Run)>,
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
    pub(crate) ephemeral: bool,
    pub(crate) transport: Option<TransportFn>,
    pub(crate) limits: Limits,
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

    /// Serves an endpoint by a typed closure `|cx: Context, args: A| async move { Ok(result) }`, or one that sends its
    /// result item by item; see [`Handler`].
    pub fn endpoint<A, R, H: Handler<A, R>>(mut self, endpoint: Endpoint, handler: H) -> Self {
        self.endpoints.push(endpoint.with_handler(handler));
        self
    }

    /// Serves an endpoint whose types are known only at run time.
    pub fn endpoint_dyn(mut self, endpoint: Endpoint, handler: Arc<dyn DynHandler>) -> Self {
        self.endpoints.push((endpoint, Run::Once(handler)));
        self
    }

    /// The same for one whose result is a stream.
    pub fn endpoint_stream_dyn(mut self, endpoint: Endpoint, handler: Arc<dyn DynStreamHandler>) -> Self {
        self.endpoints.push((endpoint, Run::Stream(handler)));
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

    /// What it holds, takes and does at most, and, in [`Limits::nat`], what [`Builder::relay`] and [`Builder::upnp`] set:
    /// call it before these. Default [`Limits::default`].
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
}
