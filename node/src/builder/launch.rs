//! Putting a node together from what was set.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, Swarm, swarm};
use p2pnode_behaviours::{
    discovery, gossip, hello,
    nat::Circuits,
    presence, rpc, sync,
    upkeep::{self, AddressRules, Compact},
};
use p2pnode_wire::{
    card::Availability,
    ids::{SwarmId, SwarmName},
};
use tokio::sync::{broadcast, mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::Builder;
use crate::{
    access::{Nearness, OpenSwarms, Vicinity},
    acquaintances,
    addr::BootstrapAddr,
    ask::{Answerer, Asks},
    blocks::Blocks,
    command::COMMAND_QUEUE,
    endpoint::{Endpoints, Runner},
    event_loop::{About, EventLoop, Setup},
    events::EVENT_QUEUE,
    history::{self, Folder},
    identity::Identity,
    listen::listen_on,
    mail,
    node::{Inner, Node, Own, Shared, lock},
    peers::Peers,
    pins,
    profile::{Paths, Profile},
    progress::Progress,
    registry::LocalRegistry,
    reserved::NodeEndpoints,
    schedules::Timetable,
    start::StartError,
    swarm::{Behaviour, build_transport, executor},
    swarms::Swarms,
};

/// Inbound handshakes that upkeep may still count after the door has let the next one in.
const PENDING_SLACK: usize = 16;

/// A connection that nothing used for so long is closed, but for those with members of a small swarm, which are held. A
/// seed has places for 160: at 10 s, five hundred nodes that came within 10 s waited 5.6 s for one on the average, at 5 s
/// 1.8 s, and those of a swarm at rest dial no more often.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

impl Builder {
    pub(super) async fn launch(mut self) -> Result<Node, StartError> {
        let swarms = parse_swarms(&self.swarms, self.limits.swarms)?;
        let joined = Swarms::new(self.limits.swarms, swarms.clone());
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
            Runner::new(endpoints.clone(), self.access(own, joined.clone(), nearness.clone()), shared.clone());
        let (rpc, client) = rpc::Behaviour::new(self.limits.rpc.clone(), runner.clone());
        let (mut behaviour, circuits) = self.behaviour(&identity, rpc, &swarms, &rules);
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
            None => build_transport(&keypair, &rules, self.limits.upkeep.limits.pending_in, circuits)
                .map_err(|e| StartError::Transport(e.to_string()))?,
        };
        let config = swarm::Config::with_executor(executor()).with_idle_connection_timeout(IDLE_TIMEOUT);
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
            swarms: joined.clone(),
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
            swarms: joined,
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

    fn access(&self, own: PeerId, swarms: Swarms, nearness: Nearness) -> OpenSwarms {
        OpenSwarms { own, swarms, allow: self.allow, nearness }
    }

    fn behaviour(
        &self,
        identity: &Identity,
        rpc: rpc::Behaviour,
        swarms: &[(SwarmId, SwarmName)],
        rules: &AddressRules,
    ) -> (Behaviour, Option<Circuits>) {
        let (keypair, own) = (identity.keypair(), identity.peer_id());
        let hello = hello::Config { hidden: self.hidden, ephemeral: self.ephemeral, ..self.limits.hello.clone() };
        let mut hello = hello::Behaviour::new(hello, own);
        hello.set_clock(self.clock);
        let mut gossip = gossip::Behaviour::new(self.limits.gossip.clone());
        // Milliseconds rise across restarts without a counter on disk.
        let first = self.clock.now_ms();
        let mut presence = presence::Behaviour::new(self.limits.presence.clone(), identity.signing_key(), first);
        for (id, name) in swarms {
            hello.join(*id, Some(name.clone()));
            gossip.join(*id);
            presence.join(*id);
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
        let (nat, circuits) = self.nat(own);
        let behaviour = Behaviour {
            upkeep: upkeep::Behaviour::new(upkeep, &keypair, rules.clone()),
            nat: nat.into(),
            hello,
            rpc,
            mail: p2pnode_behaviours::mail::Behaviour::new(own),
            sync: (!self.ephemeral).then(sync::Behaviour::default).into(),
            discovery: discovery::Behaviour::new(discovery, own, rules.clone()),
            gossip: self.gossip.unwrap_or(!self.ephemeral).then_some(gossip).into(),
            presence: (!self.ephemeral && self.limits.presence.enabled).then_some(presence).into(),
        };
        (behaviour, circuits)
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
