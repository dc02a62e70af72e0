//! DHT queries under way, and who waits for them.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{
    discovery::{self, QueryToken, Stats},
    upkeep::Source,
};
use p2pnode_wire::value::Value;
use tokio::sync::oneshot;

use super::EventLoop;
use crate::{
    dht::{DhtError, PeerFound, ProvidersFound, ValueFound},
    node::lock,
};

/// Queries at once; more are refused. Each holds a few kilobytes of candidates.
const MAX_QUERIES: usize = 256;

/// A search for members ends when so many are found, as many as a holder of the key keeps.
const MEMBERS_FOUND: usize = 20;

/// A query that has not reported by then is forgotten: Kademlia's own limit is 10 s.
const FORGET: Duration = Duration::from_secs(30);

type Done<T> = oneshot::Sender<Result<T, DhtError>>;

enum Waiting {
    Put(Done<usize>),
    Get(String, Option<Done<ValueFound>>),
    Providers(ProvidersFound, Done<ProvidersFound>),
    Lookup(PeerFound, Done<PeerFound>),
    /// Our own search for members of our swarms.
    Members(Vec<PeerId>),
}

/// The table of queries.
#[derive(Default)]
pub(super) struct Queries(HashMap<QueryToken, (Waiting, Instant)>);

impl Queries {
    fn insert(&mut self, token: QueryToken, waiting: Waiting) {
        self.0.insert(token, (waiting, Instant::now()));
    }

    fn full(&self) -> bool {
        self.0.len() >= MAX_QUERIES
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.0.retain(|_, (_, since)| now.saturating_duration_since(*since) < FORGET);
    }
}

impl EventLoop {
    fn may_query<T>(&self, done: Done<T>) -> Option<Done<T>> {
        let ready = if self.queries.full() { Err(DhtError::TimedOut) } else { self.dht_ready() };
        match ready {
            Ok(()) => Some(done),
            Err(error) => {
                let _ = done.send(Err(error));
                None
            }
        }
    }

    pub(super) fn put_value(&mut self, sealed: Bytes, done: Done<usize>) {
        let Some(done) = self.may_query(done) else { return };
        match self.behaviour().discovery.carry_value(sealed) {
            Ok(token) => self.queries.insert(token, Waiting::Put(done)),
            Err(error) => {
                let _ = done.send(Err(DhtError::NotStored(error.to_string())));
            }
        }
    }

    pub(super) fn get_value(&mut self, key: String, done: Done<ValueFound>) {
        let Some(done) = self.may_query(done) else { return };
        let token = self.behaviour().discovery.get_value(&key);
        self.queries.insert(token, Waiting::Get(key, Some(done)));
    }

    pub(super) fn providers(&mut self, key: &str, enough: usize, done: Done<ProvidersFound>) {
        let Some(done) = self.may_query(done) else { return };
        let token = self.behaviour().discovery.providers(key, enough);
        self.queries.insert(token, Waiting::Providers(ProvidersFound::default(), done));
    }

    pub(super) fn lookup(&mut self, peer: PeerId, done: Done<PeerFound>) {
        let Some(done) = self.may_query(done) else { return };
        let token = self.behaviour().discovery.lookup(peer);
        self.queries.insert(token, Waiting::Lookup(PeerFound::default(), done));
    }

    pub(super) fn look_up_members(&mut self, key: &str) {
        if self.queries.full() {
            return;
        }
        let token = self.behaviour().discovery.providers(key, MEMBERS_FOUND);
        self.queries.insert(token, Waiting::Members(Vec::new()));
    }

    pub(super) fn on_query(&mut self, event: discovery::Event) {
        match event {
            discovery::Event::ProvidersFound { token, providers, .. } => self.providers_found(token, &providers),
            discovery::Event::ValueFound { token, value, from } => self.value_found(token, &value, from),
            discovery::Event::PeerFound { token, peer, addrs } => {
                for addr in &addrs {
                    self.behaviour().upkeep.learn(peer, addr, Source::Kad, None);
                }
                if let Some((Waiting::Lookup(found, _), _)) = self.queries.0.get_mut(&token) {
                    found.addresses = Some(addrs);
                }
            }
            discovery::Event::QueryFinished { token, stats, reached, error } => {
                self.finished(token, &stats, reached, error);
            }
            _ => {}
        }
    }

    fn providers_found(&mut self, token: QueryToken, found: &[(PeerId, Vec<Multiaddr>)]) {
        for (peer, addr) in found.iter().flat_map(|(peer, addrs)| addrs.iter().map(move |a| (peer, a))) {
            self.setup.swarm.behaviour_mut().upkeep.learn(*peer, addr, Source::Kad, None);
        }
        let into = match self.queries.0.get_mut(&token) {
            Some((Waiting::Providers(into, _), _)) => &mut into.providers,
            Some((Waiting::Members(into), _)) => into,
            _ => return,
        };
        for (peer, _) in found {
            if !into.contains(peer) {
                into.push(*peer);
            }
        }
        // The search itself dials: each holder of the key tells as much as the others.
        if let Some((Waiting::Members(found), _)) = self.queries.0.get(&token)
            && self.strangers(found).len() >= self.members_wanted()
        {
            self.behaviour().discovery.finish(token);
        }
    }

    /// Those of `found` that are not known to be members.
    fn strangers(&self, found: &[PeerId]) -> Vec<PeerId> {
        let own = self.setup.identity.peer_id();
        let peers = lock(&self.setup.shared.peers);
        found.iter().filter(|peer| **peer != own && !peers.is_member(peer)).copied().collect()
    }

    fn value_found(&mut self, token: QueryToken, value: &Value, from: Option<PeerId>) {
        let Some((Waiting::Get(_, done), _)) = self.queries.0.get_mut(&token) else { return };
        let (Some(done), Some(owner)) = (done.take(), p2pnode_behaviours::peer_of(&value.owner)) else { return };
        let found = ValueFound {
            owner,
            name: value.name.clone(),
            seq: value.seq,
            at_ms: value.at_ms.min(self.setup.about.clock.now_ms()),
            body: value.body.clone(),
            from,
        };
        let _ = done.send(Ok(found));
    }

    fn finished(&mut self, token: QueryToken, stats: &Stats, reached: usize, error: Option<String>) {
        let Some((waiting, _)) = self.queries.0.remove(&token) else { return };
        match waiting {
            Waiting::Put(done) => {
                let stored = error.map_or(Ok(reached), |e| Err(DhtError::NotStored(e)));
                let _ = done.send(stored);
            }
            Waiting::Get(key, done) => {
                if let Some(done) = done {
                    let _ = done.send(Err(DhtError::NotFound { key }));
                }
            }
            Waiting::Providers(mut found, done) => {
                (found.requests, found.failures) = (stats.requests, stats.failures);
                let _ = done.send(Ok(found));
            }
            Waiting::Lookup(mut found, done) => {
                (found.requests, found.failures) = (stats.requests, stats.failures);
                let _ = done.send(Ok(found));
            }
            Waiting::Members(found) => self.greet_providers(&found),
        }
    }

    /// Dials some of those who say that they are in our swarm.
    fn greet_providers(&mut self, found: &[PeerId]) {
        for peer in self.strangers(found).into_iter().take(self.members_wanted()) {
            self.dial(peer, "announces the swarm");
        }
    }
}
