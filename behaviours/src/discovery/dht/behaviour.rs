use std::{
    collections::{HashMap, HashSet, VecDeque},
    fmt,
    num::NonZeroUsize,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_kad::{self as kad, QueryId, RecordKey};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, DialError, DialFailure, ExternalAddresses, FromSwarm, ListenAddresses,
    NetworkBehaviour, THandler, THandlerInEvent, ToSwarm,
};
use p2pnode_wire::value::{self, Value};
use rand::seq::IteratorRandom;

use super::{
    announce::Announce,
    crowd::Crowd,
    direct::{self, Direct},
    entrance::{Entrances, Verdict},
    hearsay::Hearsay,
    query::{Best, Output, Own, PutError, Query, QueryToken, Stats},
    refresh::{Lookup, Refresh, id_in, thin},
    region,
    scan::Scans,
    settings::settings,
    spread::{Look, Spreads},
    store::{self, Store},
};
use crate::{alarm::Alarm, around::handlers_of, discovery::Config, upkeep::book};

/// Lookups a program may have under way. Each has up to eight requests out and may dial.
const MAX_QUERIES: usize = 64;
/// Peers wanted from a lookup that only looks around: on the way there it meets others. libp2p-kad's default is 20, and
/// most of them have to be dialled.
const SOMEWHERE: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);
/// Peers wanted from the lookup of our own id.
const NEIGHBOURS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);
/// Expired records are removed this often.
const PURGE: Duration = Duration::from_secs(60);

/// Kademlia, and what is asked past it.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude")]
pub struct Net {
    pub(super) kad: kad::Behaviour<Store>,
    pub(super) direct: Direct,
}

/// Kademlia in our rhythm.
pub struct Behaviour {
    pub(super) own: PeerId,
    pub(super) enabled: bool,
    pub(super) client: bool,
    pub(super) net: Net,
    pub(super) table: usize,
    pub(super) hearsay: Hearsay,
    /// Peers wanted from a lookup.
    pub(super) replication: NonZeroUsize,
    pub(super) announce: Announce<Own>,
    entrances: Entrances,
    pub(super) spreads: Spreads,
    /// Our own values, to be announced again. As many as `announce` takes.
    pub(super) values: HashMap<RecordKey, Bytes>,
    /// Tokens of values not announced yet.
    puts: HashMap<RecordKey, QueryToken>,
    pub(super) refresh: Refresh,
    /// Ours and the program's: bounded by `MAX_QUERIES` and what `announce` and `refresh` start.
    pub(super) queries: HashMap<QueryId, Query>,
    tokens: u64,
    /// Where connected peers are; as many as there are connections.
    pub(super) remotes: HashMap<PeerId, Multiaddr>,
    /// Networks from which peers of the table were seen, whatever they say; about as many as there are in the table.
    pub(super) networks: HashMap<PeerId, [u8; 7]>,
    pub(super) scans: Scans,
    pub(super) listening: ListenAddresses,
    pub(super) external: ExternalAddresses,
    pub(super) events: VecDeque<Output>,
    purged: Instant,
    /// When a peer of a full bucket was last checked.
    pub(super) checked: Option<Instant>,
    alarm: Alarm,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dht::Behaviour {{ table: {}, queries: {} }}", self.table, self.queries.len())
    }
}

impl Behaviour {
    pub(crate) fn new(config: &Config, own: PeerId) -> Self {
        let now = Instant::now();
        let mut kad = kad::Behaviour::with_config(own, Store::new(own), settings(config));
        let client = config.client || !config.dht;
        kad.set_mode(Some(if client { kad::Mode::Client } else { kad::Mode::Server }));
        Self {
            own,
            enabled: config.dht,
            client,
            net: Net { kad, direct: direct::behaviour() },
            table: 0,
            hearsay: Hearsay::default(),
            replication: NonZeroUsize::new(config.replication).unwrap_or(NonZeroUsize::MIN),
            announce: Announce::new(config.announce_interval, config.replication),
            entrances: Entrances::default(),
            spreads: Spreads::default(),
            values: HashMap::new(),
            puts: HashMap::new(),
            refresh: Refresh::new(now),
            queries: HashMap::new(),
            tokens: 0,
            remotes: HashMap::new(),
            networks: HashMap::new(),
            scans: Scans::default(),
            listening: ListenAddresses::default(),
            external: ExternalAddresses::default(),
            events: VecDeque::new(),
            purged: now,
            checked: None,
            alarm: Alarm::default(),
        }
    }

    pub(crate) fn set_client(&mut self, client: bool) {
        self.client = client || !self.enabled;
        self.net.kad.set_mode(Some(if self.client { kad::Mode::Client } else { kad::Mode::Server }));
    }

    pub(crate) fn remove(&mut self, peer: &PeerId) {
        self.hearsay.left(peer);
        self.networks.remove(peer);
        self.net.kad.remove_peer(peer);
        self.count();
    }

    pub(crate) fn peers(&self) -> usize {
        self.table
    }

    pub(crate) fn provide(&mut self, key: &str) -> bool {
        self.announce.add(Own::Key(RecordKey::new(&key)))
    }

    pub(crate) fn provide_entrance(&mut self, key: &str) -> bool {
        let key = RecordKey::new(&key);
        let added = self.announce.add(Own::Entrance(key.clone()));
        if added {
            self.entrances.add(key, &self.own, Instant::now(), &mut rand::rng());
        }
        added
    }

    pub(crate) fn provide_spread(&mut self, base: &str) -> bool {
        self.announce.add(Own::Spread(base.to_owned()))
    }

    pub(crate) fn stop_spreading(&mut self, base: &str) {
        self.announce.remove(&Own::Spread(base.to_owned()));
        for key in self.spreads.remove(base) {
            self.net.kad.stop_providing(&key);
        }
    }

    pub(crate) fn met(&mut self, key: &str, peer: PeerId) {
        self.entrances.met(&RecordKey::new(&key), peer);
    }

    pub(crate) fn lost(&mut self, peer: &PeerId) {
        self.entrances.lost(peer);
    }

    pub(crate) fn stop_providing(&mut self, key: &str) {
        let key = RecordKey::new(&key);
        self.net.kad.stop_providing(&key);
        self.announce.remove(&Own::Key(key.clone()));
        self.entrances.remove(&key);
        self.announce.remove(&Own::Entrance(key));
    }

    pub(crate) fn providers(&mut self, key: &str, enough: usize) -> QueryToken {
        let token = self.token();
        if self.has_room(token) {
            let key = RecordKey::new(&key);
            let id = self.net.kad.get_providers(key.clone());
            self.queries.insert(id, Query::Providers { token, key, seen: HashSet::new(), enough: enough.max(1) });
        }
        token
    }

    pub(crate) fn lookup(&mut self, peer: PeerId) -> QueryToken {
        let token = self.token();
        if self.has_room(token) {
            let id = self.net.kad.get_n_closest_peers(peer, self.replication);
            self.queries.insert(id, Query::Peer { token, peer });
        }
        token
    }

    pub(crate) fn put_value(&mut self, raw: Bytes) -> Result<QueryToken, PutError> {
        let (value, _) = Value::open(raw.clone())?;
        if crate::peer_of(&value.owner) != Some(self.own) {
            return Err(PutError::Foreign(value.owner));
        }
        self.carry_value(raw)
    }

    /// The same for a value that somebody else has signed: its signature speaks for it.
    pub(crate) fn carry_value(&mut self, raw: Bytes) -> Result<QueryToken, PutError> {
        let (value, _) = Value::open(raw.clone())?;
        let key = RecordKey::new(&value::key(&value.owner, &value.name));
        if !self.announce.renew(Own::Value(key.clone())) {
            return Err(PutError::TooMany);
        }
        let mut record = kad::Record::new(key.clone(), raw.to_vec());
        record.publisher = Some(self.own);
        if let Err(refused) = self.net.kad.store_mut().offer(record, Instant::now()) {
            tracing::debug!(%refused, "a value of our own is not kept");
            return Err(if refused == store::Refused::Old { PutError::Old } else { PutError::TooMany });
        }
        let token = self.token();
        self.values.insert(key.clone(), raw);
        self.puts.insert(key, token);
        if self.table == 0 {
            self.settle_puts();
        }
        Ok(token)
    }

    pub(crate) fn get_value(&mut self, key: &str) -> QueryToken {
        let token = self.token();
        if self.has_room(token) {
            let key = RecordKey::new(&key);
            let id = self.net.kad.get_record(key.clone());
            self.queries.insert(id, Query::Value { token, key, best: Best::default() });
        }
        token
    }

    pub(crate) fn finish(&mut self, token: QueryToken) {
        if self.finish_scan(token) {
            return;
        }
        let id = self.queries.iter().find(|(_, query)| query.token() == Some(token)).map(|(id, _)| *id);
        if let Some(mut query) = id.and_then(|id| self.net.kad.query_mut(&id)) {
            query.finish();
        }
    }

    pub(crate) fn member_lost(&mut self, left: usize) {
        self.refresh.member_lost(left, Instant::now());
    }

    /// Nobody is there to hear of our values: say so; they are announced when somebody comes.
    fn settle_puts(&mut self) {
        for (_, token) in self.puts.drain() {
            let error = Some("no peer of the DHT is known yet; it is published when one appears".to_owned());
            self.events.push_back(Output::Finished { token, stats: Stats::default(), reached: 0, error });
        }
    }

    fn token(&mut self) -> QueryToken {
        self.tokens += 1;
        QueryToken(self.tokens)
    }

    fn has_room(&mut self, token: QueryToken) -> bool {
        let mine = self.queries.values().filter(|query| query.token().is_some()).count();
        if mine < MAX_QUERIES {
            return true;
        }
        let error = Some("too many lookups are under way".to_owned());
        self.events.push_back(Output::Finished { token, stats: Stats::default(), reached: 0, error });
        false
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        while self.may_announce(now)
            && let Some(own) = self.announce.next(self.table, now)
        {
            self.start_announcing(own, now);
        }
        if let Some(lookup) = self.refresh.next(now, &mut rand::rng()) {
            let (target, results) = match lookup {
                Lookup::Own => (self.own, NEIGHBOURS),
                Lookup::Random => (self.somewhere(), SOMEWHERE),
            };
            // A node that lives for one command looks around once.
            if self.table > 0 && (lookup == Lookup::Own || !self.client) {
                tracing::debug!(?lookup, "looks around");
                let id = self.net.kad.get_n_closest_peers(target, results);
                self.queries.insert(id, Query::Refresh { lookup, table: self.table });
            }
        }
        if now.duration_since(self.purged) >= PURGE {
            self.purged = now;
            self.net.kad.store_mut().purge(now);
        }
    }

    fn somewhere(&mut self) -> PeerId {
        let mut rng = rand::rng();
        let place = |(least, _): (kad::KBucketDistance, _)| least.ilog2().and_then(|log| u8::try_from(log).ok());
        let buckets: Vec<(u8, usize)> =
            self.net.kad.kbuckets().filter_map(|bucket| Some((place(bucket.range())?, bucket.num_entries()))).collect();
        let Some(thin) = thin(&buckets, kad::K_VALUE.get(), &mut rng) else { return PeerId::random() };
        let id = id_in(thin, &self.own);
        let Some(bucket) = self.net.kad.kbucket(id) else { return id };
        // Around one of that bucket: it is connected, and its neighbours are strangers, so that each dial meets one.
        let there = || bucket.iter().map(|entry| *entry.node.key.preimage());
        there()
            .filter(|peer| self.remotes.contains_key(peer))
            .choose(&mut rng)
            .or_else(|| there().choose(&mut rng))
            .unwrap_or(id)
    }

    /// At once if somebody waits for a value to be published.
    fn may_announce(&self, now: Instant) -> bool {
        self.refresh.is_settled(now) || !self.puts.is_empty()
    }

    fn start_announcing(&mut self, own: Own, now: Instant) {
        let key = match &own {
            Own::Entrance(key) => key,
            Own::Spread(base) => return self.start_spreading(base),
            Own::Key(_) | Own::Value(_) => return self.announce_now(own),
        };
        match self.entrances.verdict(key, self.replication.get(), now) {
            Verdict::Served => self.announce.finished(&own),
            Verdict::Later(until) => self.announce.postpone(&own, until),
            Verdict::Unknown if self.table >= store::MAX_PROVIDERS => {
                let key = key.clone();
                let crowd = Crowd::new(key.clone(), &self.own, self.replication.get());
                let id = self.net.kad.get_providers(key.clone());
                self.queries.insert(id, Query::Crowded { key, crowd });
            }
            Verdict::Unknown => self.announce_now(own),
        }
    }

    fn start_spreading(&mut self, base: &str) {
        self.spreads.begin(base);
        if self.table >= store::MAX_PROVIDERS {
            return self.look_at(base, 0);
        }
        // In a small network no shard is full.
        self.announce_shard(base, 0);
        self.spread(base);
    }

    fn look_at(&mut self, base: &str, level: usize) {
        let Some(look) = self.spreads.look(base, level, &self.own, self.replication.get()) else {
            return self.spread(base);
        };
        let id = self.net.kad.get_providers(look.key.clone());
        self.queries.insert(id, Query::Look(Box::new(look)));
    }

    pub(super) fn looked_at(&mut self, look: &Look) {
        // Holders that were put there say what they like.
        let size = self.size();
        let (here, on) = if self.is_surrounded(&look.key, size, region::PAIR) { (true, false) } else { look.verdict() };
        if here {
            self.announce_shard(&look.base, look.level);
        }
        if on { self.look_at(&look.base, look.level + 1) } else { self.spread(&look.base) }
    }

    fn announce_shard(&mut self, base: &str, level: usize) {
        if let Some(key) = self.spreads.announce(base, level, &self.own) {
            self.announce_now(Own::Key(key));
        }
    }

    /// A round of announcements has ended.
    fn spread(&mut self, base: &str) {
        let own = Own::Spread(base.to_owned());
        let (gone, again) = self.spreads.end(base, Instant::now(), &mut rand::rng());
        for key in gone {
            self.net.kad.stop_providing(&key);
        }
        match again {
            Some(at) => self.announce.postpone(&own, at),
            None => self.announce.finished(&own),
        }
    }

    pub(super) fn announce_now(&mut self, own: Own) {
        tracing::debug!(?own, "announces");
        let (started, token) = match &own {
            Own::Key(key) | Own::Entrance(key) => (self.net.kad.start_providing(key.clone()), None),
            Own::Value(key) => {
                let Some(raw) = self.values.get(key) else { return };
                let record = kad::Record::new(key.clone(), raw.to_vec());
                // All: with a smaller quorum it stops as soon as that many have answered.
                (self.net.kad.put_record(record, kad::Quorum::All), self.puts.remove(key))
            }
            // Of its shards, one by one.
            Own::Spread(_) => return,
        };
        match started {
            Ok(id) => {
                self.queries.insert(id, Query::Announce { own, token });
            }
            Err(error) => {
                tracing::warn!(%error, "the store does not take a record of our own");
                self.announce.finished(&own);
            }
        }
    }

    pub(super) fn count(&mut self) {
        let before = self.table;
        self.table = self.net.kad.kbuckets().map(|bucket| bucket.num_entries()).sum();
        if before == 0 && self.table > 0 {
            self.refresh.first_peer(Instant::now());
        }
        if before != self.table {
            self.events.push_back(Output::Table { peers: self.table });
        }
    }

    fn arm(&mut self, cx: &mut Context<'_>) {
        let now = Instant::now();
        let announce = self.announce.wake_at(self.table, now).filter(|_| self.may_announce(now));
        let due = [announce, self.refresh.wake_at(now), Some(self.purged + PURGE)];
        if self.alarm.is_due(due.into_iter().flatten().min(), cx) {
            cx.waker().wake_by_ref();
        }
    }
}

impl Behaviour {
    /// libp2p-kad looks up every bucket whenever a peer enters a small table, and offers no switch: hundreds of requests
    /// for a node that joins a hundred others. `refresh` looks around instead.
    fn end_bootstraps(&mut self) {
        for mut query in self.net.kad.iter_queries_mut() {
            if matches!(query.info(), kad::QueryInfo::Bootstrap { .. }) {
                query.finish();
            }
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Net>;
    type ToSwarm = Output;

    handlers_of!(net);

    fn handle_pending_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: Option<PeerId>,
        addresses: &[Multiaddr],
        role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        let known = self.net.handle_pending_outbound_connection(connection, peer, addresses, role)?;
        // The Swarm (0.48) drops equal addresses before it appends the peer id: one with and one without it would be
        // dialled twice at once.
        Ok(known.into_iter().filter_map(|addr| book::bare(&addr, &peer?)).collect())
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.net.on_swarm_event(event);
        self.listening.on_swarm_event(&event);
        self.external.on_swarm_event(&event);
        match event {
            FromSwarm::ConnectionEstablished(event) => {
                self.remotes.insert(event.peer_id, event.endpoint.get_remote_address().clone());
            }
            FromSwarm::ConnectionClosed(event) if event.remaining_established == 0 => {
                self.remotes.remove(&event.peer_id);
            }
            // libp2p-kad keeps whoever does not answer until the place is needed: right for one that has answered before.
            FromSwarm::DialFailure(DialFailure {
                peer_id: Some(peer),
                error: DialError::Transport(_) | DialError::WrongPeerId { .. },
                ..
            }) => self.heard_in_vain(&peer),
            _ => {}
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            self.start_due();
            self.end_bootstraps();
            match self.net.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(NetEvent::Kad(event))) => self.on_kad(event),
                Poll::Ready(ToSwarm::GenerateEvent(NetEvent::Direct(event))) => self.on_direct(event),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are handled above"))),
                Poll::Pending => {
                    self.arm(cx);
                    return Poll::Pending;
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "behaviour_tests.rs"]
mod tests;
