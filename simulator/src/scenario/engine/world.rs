//! The nodes of a run, and what its tasks share.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError, atomic::AtomicBool},
    time::Duration,
};

use bytes::Bytes;
use libp2p::PeerId;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::super::{book::Book, metrics::Metrics, report::Band};
use crate::sim::{Sim, SimNode};

/// A node that came so long ago should hear everything.
const SETTLED: Duration = Duration::from_secs(5);

/// For a node to know somebody after its start.
pub(super) const JOIN: Duration = Duration::from_secs(60);

/// A node and what the scenario knows of it.
pub(super) struct Member {
    pub(super) node: SimNode,
    pub(super) role: Option<usize>,
    /// Since when it is up.
    pub(super) since: Option<Duration>,
    /// When it went last.
    pub(super) gone: Option<Duration>,
    /// Which side of a partition it is on.
    pub(super) side: Option<usize>,
    pub(super) paused: bool,
}

#[derive(Default)]
pub(super) struct Tally {
    pub(super) metrics: Metrics,
    pub(super) asks: u64,
    pub(super) asks_answered: u64,
    pub(super) lookups: u64,
    pub(super) lookups_found: u64,
    pub(super) searches: u64,
    pub(super) searches_found: u64,
    /// Members that are there and were taken for offline, each once.
    pub(super) falsely_offline: BTreeSet<usize>,
    /// Nothing is looked at that costs.
    pub(super) hushed: bool,
    pub(super) finds: Finds,
    pub(super) siege: Siege,
    pub(super) bands: Vec<Band>,
    pub(super) note: String,
}

/// What attackers achieve.
#[derive(Default)]
pub(super) struct Siege {
    pub(super) sybils: BTreeSet<PeerId>,
    /// Honest nodes that announced the attacked capability before, and after.
    pub(super) providers: [BTreeSet<PeerId>; 2],
    /// Searches that found one of them.
    pub(super) found: [u64; 2],
    /// Providers that were told of, and announced nothing.
    pub(super) foreign: u64,
    /// Values that were published before, and after.
    pub(super) values: [Vec<Published>; 2],
    /// Readings of them, those that brought the value, and those that brought another one.
    pub(super) reads: [u64; 2],
    pub(super) right: [u64; 2],
    pub(super) wrong: u64,
    /// Forged records sent.
    pub(super) poisoned: u64,
}

/// A value of a node.
#[derive(Clone)]
pub(super) struct Published {
    /// Which of the members.
    pub(super) owner: usize,
    pub(super) name: String,
    pub(super) body: Bytes,
}

/// What was found by cards.
#[derive(Default)]
pub(super) struct Finds {
    pub(super) tried: u64,
    pub(super) found: u64,
    /// Offered, although they were down.
    pub(super) dead: u64,
    /// How often each node was offered first, by the capability it was found for.
    pub(super) offered: BTreeMap<String, BTreeMap<usize, u64>>,
}

/// What tasks of a run share.
#[derive(Clone)]
pub(super) struct World {
    pub(super) sim: Sim,
    members: Arc<Mutex<Vec<Member>>>,
    tally: Arc<Mutex<Tally>>,
    pub(super) book: Book,
    pub(super) perturb: Arc<AtomicBool>,
}

impl World {
    pub(super) fn new(sim: Sim, perturb: bool) -> Self {
        Self {
            sim,
            members: Arc::default(),
            tally: Arc::default(),
            book: Book::default(),
            perturb: Arc::new(perturb.into()),
        }
    }

    pub(super) fn members<T>(&self, with: impl FnOnce(&mut Vec<Member>) -> T) -> T {
        with(&mut self.members.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn tally<T>(&self, with: impl FnOnce(&mut Tally) -> T) -> T {
        with(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn note(&self, text: String) {
        self.sim.say(text.clone());
        self.tally(|tally| tally.note = text);
    }

    /// Hosts that should hear what `from` says now.
    pub(super) fn audience(&self, from: usize) -> BTreeSet<usize> {
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
    pub(super) fn pick(&self, chance: &mut ChaCha8Rng, role: Option<usize>) -> Option<usize> {
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

    pub(super) fn node(&self, index: usize) -> SimNode {
        self.members(|members| members[index].node.clone())
    }

    pub(super) fn crash(&self, index: usize) {
        self.gone(index).crash();
    }

    pub(super) async fn leave(&self, index: usize) {
        self.gone(index).stop().await;
    }

    /// It runs on, and nobody hears of it any more.
    pub(super) fn vanish(&self, index: usize) {
        let node = self.gone(index);
        self.members(|members| members[index].paused = true);
        node.pause();
    }

    fn gone(&self, index: usize) -> SimNode {
        let (node, now) = (self.node(index), self.sim.elapsed());
        self.book.gone(|host| host == node.host(), now);
        self.members(|members| (members[index].since, members[index].gone) = (None, Some(now)));
        node
    }

    pub(super) async fn restart(&self, index: usize) {
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
