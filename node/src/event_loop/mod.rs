//! The one owner of the Swarm: applies commands, forwards events, ticks. It waits for nothing else.

mod about;
mod apply;
mod forward;
mod goodbye;
mod greetings;
mod join;
mod presence;
mod queries;
mod reach;
mod talk;
mod tick;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt;
use libp2p::{Multiaddr, PeerId, Swarm, swarm::SwarmEvent};
use p2pnode_behaviours::upkeep::{AddressRules, Compact};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    access::{Nearness, Vicinity},
    acquaintances::Acquaintance,
    addr::BootstrapAddr,
    ask::Answerer,
    builder::Allow,
    command::Command,
    endpoint::{Endpoints, Runner},
    history::{FeedEnd, Link},
    identity::Identity,
    mail,
    node::{Shared, WeakNode, lock},
    profile::Profile,
    registry::{Announcement, Listing, LocalRegistry},
    schedules::Timetable,
    swarm::{Behaviour, BehaviourEvent},
    swarms::Swarms,
    talk::{Feeds, Heard, Keeper, Order},
};
pub(crate) use about::About;
use greetings::Greetings;
use queries::Queries;

/// How often retries, rechecks and expiries are looked at, and how soon after something has happened.
const TICK: Duration = Duration::from_millis(200);

/// The same of a node to which nothing happens, and which waits for nothing: each look wakes a processor.
const CALM_TICK: Duration = Duration::from_secs(1);

/// For the last messages to leave before the connections are dropped.
const GOODBYE: Duration = Duration::from_millis(300);

/// What a node is made of.
pub(crate) struct Setup {
    pub(crate) swarm: Swarm<Compact<Behaviour>>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) shared: Shared,
    pub(crate) endpoints: Endpoints,
    pub(crate) answerer: Answerer,
    pub(crate) runner: Arc<Runner>,
    pub(crate) node: WeakNode,
    pub(crate) identity: Identity,
    pub(crate) rules: AddressRules,
    pub(crate) registry: Option<LocalRegistry>,
    pub(crate) profile: Option<Profile>,
    pub(crate) swarms: Swarms,
    pub(crate) bootstrap: Vec<BootstrapAddr>,
    pub(crate) ephemeral: bool,
    pub(crate) dht: bool,
    pub(crate) allow: Allow,
    pub(crate) nearness: Nearness,
    pub(crate) vicinity: Vicinity,
    pub(crate) about: About,
    /// Keeps what is said, with the ends of our feeds. None in nodes that live for one command.
    pub(crate) history: Option<(Link, Vec<FeedEnd>)>,
    /// Keeps mail. None in nodes that live for one command.
    pub(crate) post: Option<mail::Link>,
    /// Members of the last run.
    pub(crate) acquaintances: Vec<Acquaintance>,
    /// What the node does by itself; its state is written at the end.
    pub(crate) timetable: Timetable,
}

impl Setup {
    /// Gossip takes up where the last run of this profile ended.
    fn remembered(&mut self, now: Instant) -> Option<Keeper> {
        let (profile, gossip) = (self.profile.as_ref()?, self.swarm.behaviour_mut().gossip.as_mut()?);
        let (keeper, seen) = Keeper::open(profile.heard(), now);
        gossip.restore(seen);
        Some(keeper)
    }
}

pub(crate) struct EventLoop {
    setup: Setup,
    announcement: Option<Announcement>,
    queries: Queries,
    greetings: Greetings,
    /// Answers to commands that wait for a dial.
    connecting: Vec<apply::Connecting>,
    /// Bootstrap addresses: what the user wrote for each, and whether it has failed.
    seeds: HashMap<Multiaddr, (String, bool)>,
    /// Nodes of this host.
    host: Listing,
    resolved: mpsc::Receiver<(String, Vec<Multiaddr>)>,
    /// Its other end, for seeds that come later.
    resolver: mpsc::Sender<(String, Vec<Multiaddr>)>,
    timer: Interval,
    /// The next tick is a calm one: so much later.
    calm: bool,
    next_scan: Instant,
    next_card: Instant,
    next_load: Instant,
    next_members: Instant,
    /// When a member that only presence tells of is dialled.
    next_check: Instant,
    members_pause: Duration,
    generation: u64,
    goodbye: Option<(Instant, Vec<oneshot::Sender<()>>)>,
    feeds: Feeds,
    order: Order<Heard>,
    /// Events of ours that nobody was there to take.
    unsent: VecDeque<talk::Kept>,
    /// Events of ours of the last seconds.
    recent: VecDeque<talk::Kept>,
    /// Events of ours that gossip takes later.
    deferred: VecDeque<talk::Kept>,
    keeper: Option<Keeper>,
    history: Option<Link>,
    post: Option<mail::Link>,
    /// Members that others have named, until they are too many for a small swarm.
    named: HashSet<PeerId>,
}

impl EventLoop {
    /// `early`: what the Swarm said while its sockets were being bound.
    pub(crate) fn start(mut setup: Setup, early: Vec<SwarmEvent<BehaviourEvent>>) {
        let now = Instant::now();
        let mut timer = interval(TICK);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (sender, resolved) = mpsc::channel(16);
        tick::resolve_bootstrap(setup.bootstrap.clone(), setup.shared.clone(), sender.clone());
        let mut feeds = Feeds::new(setup.about.key, &setup.about.name, setup.ephemeral);
        let history = setup.history.take().map(|(link, ends)| {
            feeds.resume(&ends);
            link
        });
        let keeper = setup.remembered(now);
        let post = setup.post.take();
        let mut this = Self {
            setup,
            announcement: None,
            queries: Queries::default(),
            greetings: Greetings::default(),
            connecting: Vec::new(),
            seeds: HashMap::new(),
            host: Listing::default(),
            resolved,
            resolver: sender,
            timer,
            calm: false,
            next_scan: now,
            next_card: now,
            next_load: now + tick::LOAD_EVERY,
            next_members: now,
            next_check: now + presence::CHECK_EVERY,
            members_pause: tick::MEMBERS_SOON,
            generation: 0,
            goodbye: None,
            feeds,
            order: Order::default(),
            unsent: VecDeque::new(),
            recent: VecDeque::new(),
            deferred: VecDeque::new(),
            keeper,
            history,
            post,
            named: HashSet::new(),
        };
        for event in early {
            this.forward(event);
        }
        this.greet_acquaintances();
        this.tick(now);
        tokio::spawn(this.run());
    }

    async fn run(mut self) {
        while !self.is_over() {
            tokio::select! {
                event = self.setup.swarm.select_next_some() => {
                    self.forward(event);
                    self.stir();
                }
                command = self.setup.commands.recv() => {
                    self.apply(command);
                    self.stir();
                }
                Some((addr, resolved)) = self.resolved.recv() => self.bootstrap(&addr, resolved),
                _ = self.timer.tick() => {
                    self.tick(Instant::now());
                    self.calm_down();
                }
            }
        }
        drop(self.announcement.take());
        // Nobody applies commands any more: whoever has given one, or is about to, must not wait for it, lest we wait for
        // them.
        self.setup.commands.close();
        while self.setup.commands.try_recv().is_ok() {}
        if let (Some(keeper), Some(gossip)) = (self.keeper.take(), self.setup.swarm.behaviour().gossip.as_ref()) {
            keeper.finish(gossip).await;
        }
        if let Some(post) = self.post.take() {
            post.close().await;
        }
        self.setup.timetable.close().await;
        if let Some(history) = self.history.take() {
            let table = self.behaviour().discovery.routing_table();
            history.close(self.feeds.ends(), table).await;
        }
        let (_, waiting) = self.goodbye.take().unwrap_or((Instant::now(), Vec::new()));
        let (shared, profile) = (self.setup.shared.clone(), self.setup.profile.take());
        // The Swarm first: sockets are closed, and the profile's lock is free, before anybody hears that we stopped.
        drop(self);
        drop(profile);
        shared.stopped.cancel();
        shared.touch();
        for done in waiting {
            let _ = done.send(());
        }
    }

    /// Something has happened: what follows from it may be due soon.
    fn stir(&mut self) {
        if std::mem::take(&mut self.calm) {
            self.timer.reset_after(TICK);
        }
    }

    fn calm_down(&mut self) {
        let waits = self.order.holds() || !self.deferred.is_empty() || self.goodbye.is_some();
        self.calm = !waits && !self.setup.ephemeral;
        if self.calm {
            self.timer.reset_after(CALM_TICK);
        }
    }

    fn is_over(&self) -> bool {
        let nobody_left = lock(&self.setup.shared.own).libp2p_peers == 0;
        self.goodbye.as_ref().is_some_and(|(at, _)| nobody_left || *at <= Instant::now())
    }
}
