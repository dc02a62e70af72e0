//! The handle: everything a program can do with a running node.

mod inner;

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{nat::Report, rpc};
use p2pnode_wire::{
    card::{Card, EndpointInfo},
    ids::ConversationId,
    subject::SubjectError,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

pub(crate) use inner::{Inner, Own, Shared, lock};

use crate::{
    ask::AskBuilder,
    blocks::Blocks,
    builder::Builder,
    call::{Call, CallError, Pong},
    command::Command,
    dht::Dht,
    endpoint::{
        DynHandler, DynStreamHandler, Endpoint, EndpointError, Handler, HandlerError, IntoArgs, Registration, Run,
    },
    events::{Events, NodeEvent},
    find::{FindError, Found, Query},
    history::History,
    mail::Mailbox,
    mutes::Mutes,
    peers::{Availability, Peer, PeerState, SwarmSeen},
    periodic::{Periodic, Work},
    presets::Preset,
    schedule::{self, Schedule, ScheduleError},
    schedules::Schedules,
    talk::{Broadcast, Conversation, Emit, Hook, Subscription},
    target::{Target, TargetError},
};

/// A running node. Cheap to clone; clones are the same node. It stops when the last clone is dropped or
/// [`Node::shutdown`] is called; only the latter says goodbye.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

/// A handle that does not keep the node running.
#[derive(Clone)]
pub(crate) struct WeakNode(Weak<Inner>);

impl WeakNode {
    pub(crate) fn upgrade(&self) -> Option<Node> {
        self.0.upgrade().map(Node)
    }
}

/// Where discovery has looked, for error messages that help.
#[derive(Debug, Clone, Default)]
pub struct Looked {
    /// Nodes found in this host's registry.
    pub local: usize,
    /// Whether the registry was read at all.
    pub local_enabled: bool,
    /// Whether multicast was used.
    pub mdns_enabled: bool,
    /// Interfaces other than loopback.
    pub interfaces: Vec<String>,
    /// Peers connected, of whatever swarm.
    pub libp2p_peers: usize,
    /// Bootstrap addresses given.
    pub bootstrap: usize,
    /// The same, as they were written.
    pub bootstrap_addrs: Vec<String>,
    /// Those that did not work, with the reason.
    pub bootstrap_failed: Vec<(String, String)>,
    /// Names of swarms seen.
    pub swarms_seen: Vec<String>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("name", &self.0.name).field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

impl Node {
    pub(crate) fn from_inner(inner: Arc<Inner>) -> Self {
        Self(inner)
    }

    /// Begins a node for an environment: [`presets::Lan`](crate::presets::Lan) is the usual one.
    pub fn builder(preset: impl Preset) -> Builder {
        preset.apply(Builder::new())
    }

    // Talking.

    /// Calls an endpoint of a peer, given by name, id, unique prefix of an id, `cap:NAME`, `role:NAME` or address:
    /// `let three: i64 = node.call("calculator", "sum", (1, 2)).await?`.
    pub fn call<R: DeserializeOwned>(
        &self,
        target: impl Into<Target>,
        endpoint: impl Into<String>,
        args: impl IntoArgs,
    ) -> Call<R> {
        Call::new(self.clone(), target.into(), endpoint.into(), args.into_args())
    }

    /// Puts a question to all members of a swarm that take asks; an empty name is the first swarm of this node.
    pub fn ask(&self, swarm: impl Into<String>, text: impl Into<String>) -> AskBuilder {
        AskBuilder::new(self.clone(), swarm.into(), text.into())
    }

    /// Calls an endpoint of everybody in a swarm who serves it. Over when the event is out; what members say to it comes
    /// in the [`Conversation`](crate::Conversation).
    pub fn broadcast(&self, endpoint: impl Into<String>, args: impl IntoArgs) -> Broadcast {
        Broadcast::new(self.clone(), endpoint.into(), args.into_args())
    }

    /// Tells a swarm that something happened: `node.emit("document.uploaded", &json!({"name": "q.pdf"})).await?`.
    pub fn emit(&self, subject: &str, data: &impl Serialize) -> Emit {
        Emit::new(self.clone(), subject, data)
    }

    /// What is emitted from now on, in all swarms of this node, by subject: `*` stands for any one word, `>` at the end
    /// for one or more.
    ///
    /// # Errors
    /// The pattern is none.
    pub fn subscribe(&self, pattern: &str) -> Result<Subscription, SubjectError> {
        Ok(Subscription::new(pattern.parse()?, self.events()))
    }

    /// What is said in a conversation from now on.
    pub fn conversation(&self, id: ConversationId) -> Conversation {
        Conversation::new(self.clone(), String::new(), id, None, self.events())
    }

    /// Calls `handler` for each event of that name, one after the other: `peer.joined`, `peer.offline`, `peer.left`,
    /// `conversation.ack`, `conversation.reply`, … (see [`NodeEvent::name`]), or the subject of an emitted event; `*` and
    /// `>` as in [`Node::subscribe`].
    ///
    /// # Errors
    /// The name is no pattern.
    pub fn on<F, Fut>(&self, name: &str, handler: F) -> Result<Hook, SubjectError>
    where
        F: Fn(NodeEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Ok(Hook::start(name.parse()?, self.events(), handler))
    }

    /// Runs `handler` on a schedule: a [`Duration`], a text such as `cron 0 9 * * mon-fri Europe/London` or
    /// `solar sunrise 51.5 -0.1`, or one made by [`schedule`](crate::schedule). A period begins with a run at once, the others
    /// with their first time. A run that fails or panics is logged and counted; a long one does not hold up the next. See
    /// [`Node::periodic_with`] for other habits.
    ///
    /// # Errors
    /// The schedule is not good, or never comes; or there are 1,000 already.
    pub fn periodic<S, F, Fut>(&self, schedule: S, handler: F) -> Result<Periodic, ScheduleError>
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
        F: Fn(Self) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        self.periodic_with(schedule, schedule::Options::default(), handler)
    }

    /// The same, with a say about overlaps, runs that were missed, and the run at start.
    ///
    /// # Errors
    /// As for [`Node::periodic`].
    pub fn periodic_with<S, F, Fut>(
        &self,
        schedule: S,
        options: schedule::Options,
        handler: F,
    ) -> Result<Periodic, ScheduleError>
    where
        S: TryInto<Schedule>,
        ScheduleError: From<S::Error>,
        F: Fn(Self) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), HandlerError>> + Send + 'static,
    {
        Work::new(schedule, options, handler).start(self)
    }

    /// Round trip to a peer's node, over the road calls take.
    ///
    /// # Errors
    /// As for [`Node::call`].
    pub async fn ping(&self, target: impl Into<Target>) -> Result<Pong, CallError> {
        crate::call::ping(self, target.into()).await
    }

    /// What a peer publishes, asked of the peer itself.
    ///
    /// # Errors
    /// As for [`Node::call`].
    pub async fn methods(&self, target: impl Into<Target>) -> Result<Vec<EndpointInfo>, CallError> {
        self.call(target, "_node.methods", ()).await
    }

    // Looking.

    /// Members of this node's swarms whose card is known, by name.
    pub fn peers(&self) -> Vec<Peer> {
        lock(&self.0.shared.peers).snapshot(Instant::now())
    }

    /// Everybody in this node's swarms, by name: [`peers`](Self::peers), and those of whom it only knows from others that
    /// they are there, or not any more ([`Peer::card_known`] is off: name, state and swarms, nothing else). Of a swarm of
    /// more than some four thousand members it is a part.
    pub fn roster(&self) -> Vec<Peer> {
        lock(&self.0.shared.peers).everybody(Instant::now())
    }

    /// How a member is, as far as this node knows; cheaper than a list. None: it knows of no such member.
    pub fn state_of(&self, peer: &PeerId) -> Option<PeerState> {
        lock(&self.0.shared.peers).state_of(peer)
    }

    /// Members of one swarm.
    pub fn members(&self, swarm: &str) -> Vec<Peer> {
        self.peers().into_iter().filter(|peer| peer.swarms.iter().any(|name| name == swarm)).collect()
    }

    /// One member, waited for while discovery goes on.
    ///
    /// # Errors
    /// [`TargetError`]: unknown with near names, or ambiguous with the candidates.
    pub async fn peer(&self, target: impl Into<Target>) -> Result<Peer, TargetError> {
        crate::resolve::member(self, &target.into()).await
    }

    /// Members by capability, name, role or text, among the known ones and then in the DHT.
    ///
    /// # Errors
    /// [`FindError`] when nothing can be looked up.
    pub async fn find(&self, query: Query) -> Result<Vec<Found>, FindError> {
        crate::find::find(self, query).await
    }

    /// Swarms seen on this host, on the network, and joined.
    pub fn swarms_seen(&self) -> Vec<SwarmSeen> {
        lock(&self.0.shared.peers).swarms_seen(!self.0.ephemeral, Instant::now())
    }

    /// Where discovery has looked so far.
    pub fn looked(&self) -> Looked {
        let progress = lock(&self.0.shared.progress).clone();
        let own = lock(&self.0.shared.own);
        Looked {
            local: progress.local_found(),
            local_enabled: own.local,
            mdns_enabled: own.mdns,
            interfaces: interfaces(),
            libp2p_peers: own.libp2p_peers,
            bootstrap: progress.bootstrap_count(),
            bootstrap_addrs: progress.bootstrap_addrs(),
            bootstrap_failed: progress.bootstrap_failures(),
            swarms_seen: self.swarms_seen().into_iter().filter(|s| !s.joined).map(|s| s.name).collect(),
        }
    }

    /// Waits until the first round of discovery (this host, multicast, bootstrap addresses) is over, at most `limit`.
    /// True if it is.
    pub async fn discovered(&self, limit: Duration) -> bool {
        tokio::time::timeout(limit, self.clone().into_settled()).await.is_ok()
    }

    pub(crate) async fn into_settled(self) {
        let mut changed = self.changed();
        loop {
            if lock(&self.0.shared.progress).settled(Instant::now()) {
                return;
            }
            // Some of what settles it is only time passing.
            let _ = tokio::time::timeout(Duration::from_millis(20), changed.changed()).await;
        }
    }

    /// Waits until the members fulfil a condition, at most `limit`. True if they do.
    pub async fn wait_until(&self, limit: Duration, condition: impl Fn(&[Peer]) -> bool) -> bool {
        let mut changed = self.changed();
        let wait = async {
            while !condition(&self.peers()) {
                if changed.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        tokio::time::timeout(limit, wait).await.is_ok()
    }

    /// How this node looks from outside, and what it does about it. Nothing with a transport of somebody else's.
    pub fn reach(&self) -> Report {
        lock(&self.0.shared.own).reach.clone()
    }

    /// Own values, providers and lookups in the DHT.
    pub fn dht(&self) -> Dht {
        Dht::new(self.clone())
    }

    /// What is kept of conversations. None in a node that lives for one command: it keeps nothing.
    pub fn history(&self) -> Option<History> {
        self.0.store.clone().map(|store| History::new(store, self.clone()))
    }

    /// Messages from one to another that wait for each other. None in a node that lives for one command: it keeps nothing.
    pub fn mail(&self) -> Option<Mailbox> {
        self.0.store.clone().map(|store| Mailbox::new(self.clone(), store))
    }

    /// Named schedules that last. None in a node that lives for one command: it keeps nothing.
    pub fn schedules(&self) -> Option<Schedules> {
        self.0.store.is_some().then(|| Schedules::new(self.clone()))
    }

    /// Peers for whose events and messages no program is run. None in a node that lives for one command.
    pub fn mutes(&self) -> Option<Mutes> {
        self.0.store.clone().map(|store| Mutes::new(self.clone(), store))
    }

    /// Tells others whether this node takes work; it serves all the same. `find` and `cap:` prefer those who do. Until the
    /// node stops: it starts as [`Availability::Online`].
    pub async fn set_availability(&self, availability: Availability) {
        self.send(Command::Availability { availability }).await;
    }

    /// Peers with which this node has nothing to do. None in a node that lives for one command.
    pub fn blocks(&self) -> Option<Blocks> {
        self.0.store.clone().map(|store| Blocks::new(self.clone(), store))
    }

    /// What happens from now on.
    pub fn events(&self) -> Events {
        Events::new(self.0.shared.events.subscribe())
    }

    // Being.

    /// This node's id.
    pub fn peer_id(&self) -> PeerId {
        self.0.identity.peer_id()
    }

    /// This node's name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Names of the swarms this node is in.
    pub fn swarms(&self) -> Vec<String> {
        self.0.swarms.names()
    }

    /// Addresses this node listens on.
    pub fn listen_addrs(&self) -> Vec<Multiaddr> {
        lock(&self.0.shared.own).listen.clone()
    }

    /// What this node tells others of itself; none before it has started.
    pub fn card(&self) -> Option<Card> {
        lock(&self.0.shared.own).card.clone()
    }

    /// Calls made and served so far, by road.
    pub fn stats(&self) -> rpc::Stats {
        self.0.rpc.stats()
    }

    /// Adds an endpoint while running. It goes when the registration is dropped; see [`Registration::detach`].
    ///
    /// # Errors
    /// The name is taken, reserved, or not well formed.
    pub fn register<A, R, H>(&self, endpoint: Endpoint, handler: H) -> Result<Registration, EndpointError>
    where
        H: Handler<A, R>,
    {
        let (endpoint, run) = endpoint.with_handler(handler);
        self.0.endpoints.register(endpoint, run)
    }

    /// Adds an endpoint whose types are known only at run time.
    ///
    /// # Errors
    /// As for [`Node::register`].
    pub fn register_dyn(
        &self,
        endpoint: Endpoint,
        handler: Arc<dyn DynHandler>,
    ) -> Result<Registration, EndpointError> {
        self.0.endpoints.register(endpoint, Run::Once(handler))
    }

    /// The same for one whose result is a stream.
    ///
    /// # Errors
    /// As for [`Node::register`].
    pub fn register_stream_dyn(
        &self,
        endpoint: Endpoint,
        handler: Arc<dyn DynStreamHandler>,
    ) -> Result<Registration, EndpointError> {
        self.0.endpoints.register(endpoint, Run::Stream(handler))
    }

    /// Removes an endpoint; false if there was none.
    pub fn unregister(&self, name: &str) -> bool {
        self.0.endpoints.unregister(name)
    }

    /// Says goodbye to the members, ends calls and asks under way, and stops. At most a second.
    pub async fn shutdown(&self) {
        let (done, ended) = oneshot::channel();
        if self.0.commands.send(Command::Shutdown { done }).await.is_ok() {
            let _ = ended.await;
        }
        self.0.shared.stopped.cancelled().await;
    }

    /// Waits until the node has stopped.
    pub async fn stopped(&self) {
        self.0.shared.stopped.cancelled().await;
    }

    // For the rooms of this crate.
}

/// Names of this host's interfaces other than loopback.
fn interfaces() -> Vec<String> {
    let all = if_addrs::get_if_addrs().unwrap_or_default();
    let mut names: Vec<String> = all.into_iter().filter(|i| !i.is_loopback()).map(|i| i.name).collect();
    names.sort();
    names.dedup();
    names
}
