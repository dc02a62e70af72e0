//! A node that runs, as its control socket sees it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use p2pnode::{KnownAddress, Node, NodeEvent, Peer, PeerState};
use tokio::sync::watch;

use super::about::{About, is_alone};
use crate::args::Global;

/// A warning is news for this long.
const WARNED: Duration = Duration::from_secs(600);

/// What `up` knows of its node that the node does not tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    /// Its profile.
    pub(crate) profile: String,
    /// Its control socket.
    pub(crate) socket: PathBuf,
    /// The folder with everything, if one was given.
    pub(crate) home: Option<PathBuf>,
    /// It takes questions.
    pub(crate) asks: bool,
    /// What it serves, also what it does not list.
    pub(crate) serving: Vec<String>,
    /// It runs in the background.
    pub(crate) detached: bool,
    /// Callers from anywhere are answered.
    pub(crate) any: bool,
    /// When its process began.
    pub(crate) started: Option<Instant>,
}

/// Commands under way, each with its client's name for it and what stops it.
#[derive(Debug, Default)]
struct Commands {
    next: u64,
    all: HashMap<u64, (Option<String>, watch::Sender<Option<u8>>)>,
}

/// A node that runs, with those who use it.
#[derive(Debug)]
pub(crate) struct Daemon {
    node: Node,
    facts: Facts,
    started: Instant,
    shutdown: watch::Sender<bool>,
    commands: Mutex<Commands>,
    running: watch::Sender<usize>,
    warning: Mutex<Option<(Instant, String)>>,
}

impl Daemon {
    /// For a node that has started.
    pub(crate) fn new(node: Node, facts: Facts) -> Arc<Self> {
        let daemon = Arc::new(Self {
            node,
            started: facts.started.unwrap_or_else(Instant::now),
            facts,
            shutdown: watch::Sender::new(false),
            commands: Mutex::default(),
            running: watch::Sender::new(0),
            warning: Mutex::default(),
        });
        tokio::spawn(note_warnings(daemon.node.events(), Arc::downgrade(&daemon)));
        daemon
    }

    /// The node.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// What `up` knows.
    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Where clients find it.
    pub(crate) fn socket(&self) -> &Path {
        &self.facts.socket
    }

    /// What it serves, questions included.
    pub(crate) fn serving(&self) -> Vec<String> {
        let asks = self.facts.asks.then(|| "ask".to_owned());
        let own = self.facts.serving.iter().filter(|name| *name != "ask").cloned();
        asks.into_iter().chain(own).collect()
    }

    /// Since its process began.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What it last warned of, while that is news.
    pub(crate) fn warning(&self) -> Option<String> {
        lock(&self.warning).as_ref().filter(|(at, _)| at.elapsed() < WARNED).map(|(_, text)| text.clone())
    }

    /// Options of every verb for a command that runs here.
    pub(crate) fn global(&self) -> Global {
        Global { home: self.facts.home.clone(), profile: Some(self.facts.profile.clone()), ..Global::default() }
    }

    /// What it says of itself.
    pub(crate) fn about(&self) -> About {
        let card = self.node.card();
        let listed = card.iter().flat_map(|card| &card.endpoints).map(|endpoint| endpoint.name.clone());
        let mut endpoints: Vec<String> = listed.chain(self.facts.serving.iter().cloned()).collect();
        endpoints.sort_unstable();
        endpoints.dedup();
        About {
            name: self.node.name().to_owned(),
            peer_id: self.node.peer_id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            profile: self.facts.profile.clone(),
            swarms: self.node.swarms(),
            asks: self.facts.asks,
            endpoints,
            capabilities: card.iter().flat_map(|card| &card.capabilities).map(|one| one.name.clone()).collect(),
            role: card.map(|card| card.role).unwrap_or_default(),
            alone: is_alone(&self.node.peers()),
            detached: self.facts.detached,
            busy: false,
        }
    }

    /// The node as a peer, as others see it; lists would lack it otherwise.
    pub(crate) fn itself(&self) -> Option<Peer> {
        let card = self.node.card()?;
        let listen = self.node.listen_addrs().into_iter();
        Some(Peer {
            id: self.node.peer_id(),
            availability: p2pnode::Availability::of(&card),
            load: card.load,
            name: card.name,
            state: PeerState::Online,
            rtt: None,
            path: None,
            swarms: self.node.swarms(),
            capabilities: card.capabilities,
            endpoints: card.endpoints,
            role: card.role,
            description: card.description,
            team: card.team.map(|team| team.to_string()),
            agent: p2pnode::hello::Config::default().agent,
            addresses: listen.map(|addr| KnownAddress { addr, source: "own".into() }).collect(),
            last_seen: Duration::ZERO,
            ephemeral: false,
            card_known: true,
        })
    }

    /// Asks the process to leave and end.
    pub(crate) fn shut_down(&self) {
        self.shutdown.send_replace(true);
    }

    /// Resolves when a client has asked it to end.
    pub(crate) async fn shutdown(&self) {
        let mut asked = self.shutdown.subscribe();
        // The sender is ours: it lives as long as we do.
        let _ = asked.wait_for(|asked| *asked).await;
    }

    /// A command begins; none if its client calls another one so, by which it could not be cancelled.
    pub(super) fn begin(&self, id: Option<&str>, stop: watch::Sender<Option<u8>>) -> Option<u64> {
        let mut commands = lock(&self.commands);
        if id.is_some() && commands.all.values().any(|(known, _)| known.as_deref() == id) {
            return None;
        }
        let key = commands.next;
        commands.next += 1;
        commands.all.insert(key, (id.map(str::to_owned), stop));
        self.running.send_replace(commands.all.len());
        Some(key)
    }

    /// It has ended.
    pub(super) fn end(&self, key: u64) {
        let mut commands = lock(&self.commands);
        commands.all.remove(&key);
        self.running.send_replace(commands.all.len());
    }

    /// Tells commands to stop as a signal would: that of an id, or all. False: there is none.
    pub(super) fn cancel(&self, id: Option<&str>, code: u8) -> bool {
        let commands = lock(&self.commands);
        let mut meant = commands.all.values().filter(|(known, _)| id.is_none() || known.as_deref() == id).peekable();
        let any = meant.peek().is_some();
        for (_, stop) in meant {
            stop.send_replace(Some(code));
        }
        any
    }

    /// Commands that run for clients now.
    pub(crate) fn running(&self) -> usize {
        *self.running.borrow()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn note_warnings(mut events: p2pnode::Events, daemon: std::sync::Weak<Daemon>) {
    while let Some(event) = events.next().await {
        let (NodeEvent::Warning(text), Some(daemon)) = (event, daemon.upgrade()) else { continue };
        *lock(&daemon.warning) = Some((Instant::now(), text));
    }
}
