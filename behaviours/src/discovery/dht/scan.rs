//! Looking through the region of a key that is surrounded: for its records, or for those who should hold ours.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::{self as kad, KBucketKey, RecordKey};
use libp2p_request_response::{self as request_response, Message, OutboundRequestId};

use super::{
    behaviour::Behaviour,
    direct::{Ask, Told},
    query::{Best, Output, Own, QueryToken, Stats},
    region::{self, Region},
    store,
    walk::Walk,
};

/// Regions looked through at once; beyond that a lookup ends as it would without.
const MAX_SCANS: usize = 16;
/// The way is asked for so long, as a lookup of libp2p-kad is; peers that never answer must not keep a place for minutes.
const WAY: Duration = Duration::from_secs(10);
/// Peers of a region that are asked, or told: as many as the lookups in its parts find.
const MAX_PEERS: usize = 24;
/// Providers told. Those of the lookup before do not count: whoever surrounds the key may have made all of them up.
const MAX_PROVIDERS: usize = 256;

/// What for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A lookup of providers goes on.
    Providers { token: QueryToken, seen: HashSet<PeerId>, told: usize, stats: Stats },
    /// A lookup of a value goes on.
    Value { token: QueryToken, best: Best, stats: Stats },
    /// Our announcement goes to the region, too.
    Announce,
    /// Our value does.
    Put,
}

#[derive(Debug)]
struct Scan {
    key: RecordKey,
    region: Region,
    purpose: Purpose,
    /// Lookups in its parts; none where one is over.
    walks: Vec<Option<Walk>>,
    /// Then nobody more is asked for the way: who has been found is asked for the record.
    until: Instant,
    /// Questions for the record under way.
    asking: usize,
    peers: HashSet<PeerId>,
}

/// What a peer was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// The way, by that lookup.
    Way(usize),
    Record,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Scans {
    begun: u64,
    running: HashMap<u64, Scan>,
    asked: HashMap<OutboundRequestId, (u64, Asked)>,
}

impl Behaviour {
    /// Whether those who answered near `key`, `least` or more, are too many for chance. Whoever has just been asked is still
    /// connected.
    pub(super) fn is_surrounded(&self, key: &RecordKey, size: f64, least: usize) -> bool {
        let place = KBucketKey::new(key.clone());
        region::is_crowded(self.remotes.keys().map(|peer| place.distance(&KBucketKey::from(*peer))), size, least)
    }

    /// Nodes of the network, as far as the neighbourhood of this one tells.
    pub(super) fn size(&mut self) -> f64 {
        let own = KBucketKey::from(self.own);
        let buckets = self.net.kad.kbuckets();
        let all: Vec<_> =
            buckets.flat_map(|b| b.iter().map(|e| own.distance(e.node.key)).collect::<Vec<_>>()).collect();
        region::size(all.into_iter())
    }

    /// Looks through the region of `key` if it is surrounded. Gives the purpose back if not.
    pub(super) fn scan(&mut self, key: &RecordKey, purpose: Purpose) -> Option<Purpose> {
        if self.scans.running.len() >= MAX_SCANS {
            return Some(purpose);
        }
        let size = self.size();
        if !self.is_surrounded(key, size, region::CROWD) {
            return Some(purpose);
        }
        let region = Region::new(key, size);
        let start = self.start(&region);
        let walks: Vec<_> = region.targets().into_iter().map(|target| Some(Walk::new(target, start.clone()))).collect();
        tracing::debug!(?purpose, size, "somebody surrounds a key: its region is looked through");
        self.scans.begun += 1;
        let number = self.scans.begun;
        let ways = walks.len();
        let scan = Scan {
            key: key.clone(),
            region,
            purpose,
            walks,
            until: Instant::now() + WAY,
            asking: 0,
            peers: HashSet::new(),
        };
        self.scans.running.insert(number, scan);
        (0..ways).for_each(|way| self.go_on(number, way));
        self.end_scan(number);
        None
    }

    /// All of the table who do not crowd, with their addresses.
    fn start(&mut self, region: &Region) -> Vec<(PeerId, Vec<Multiaddr>)> {
        let there = self.routing_table().into_iter().filter(|there| !region.is_inside(&there.peer));
        there.map(|there| (there.peer, there.addresses)).collect()
    }

    /// Asks for more of the way, or ends there.
    fn go_on(&mut self, number: u64, way: usize) {
        let Some(scan) = self.scans.running.get_mut(&number) else { return };
        let Some(walk) = scan.walks.get_mut(way).and_then(Option::as_mut) else { return };
        let target = walk.target();
        if Instant::now() >= scan.until {
            walk.stop();
        }
        while let Some((peer, addrs)) = walk.next() {
            let id = self.net.direct.send_request_with_addresses(&peer, Ask::Closest(target), addrs);
            self.scans.asked.insert(id, (number, Asked::Way(way)));
        }
        if walk.is_over() {
            let found = scan.walks.get_mut(way).and_then(Option::take);
            let found: Vec<_> = found.into_iter().flat_map(Walk::found).collect();
            self.scanned(number, found);
        }
    }

    /// A lookup in a part of the region has found these.
    fn scanned(&mut self, number: u64, peers: Vec<(PeerId, Vec<Multiaddr>)>) {
        let Some(scan) = self.scans.running.get_mut(&number) else { return };
        let room = MAX_PEERS.saturating_sub(scan.peers.len());
        let mut news = peers;
        news.retain(|(peer, _)| *peer != self.own && !scan.peers.contains(peer));
        news.truncate(room);
        scan.peers.extend(news.iter().map(|(peer, _)| *peer));
        let key = scan.key.clone();
        let ask = match &scan.purpose {
            Purpose::Providers { .. } => Ask::Providers(key),
            Purpose::Value { .. } => Ask::Value(key),
            Purpose::Announce => {
                let mut own: Vec<Multiaddr> = self.external.iter().chain(self.listening.iter()).cloned().collect();
                own.sort_unstable();
                own.dedup();
                Ask::Announce(key, self.own, own)
            }
            Purpose::Put => return self.put_to(&key, news.into_iter().map(|(peer, _)| peer).collect()),
        };
        scan.asking += news.len();
        for (peer, addrs) in news {
            let id = self.net.direct.send_request_with_addresses(&peer, ask.clone(), addrs);
            self.scans.asked.insert(id, (number, Asked::Record));
        }
    }

    fn put_to(&mut self, key: &RecordKey, peers: Vec<PeerId>) {
        let Some(raw) = self.values.get(key) else { return };
        let mut record = kad::Record::new(key.clone(), raw.to_vec());
        record.publisher = Some(self.own);
        self.net.kad.put_record_to(record, peers.into_iter(), kad::Quorum::One);
    }

    pub(super) fn on_direct(&mut self, event: request_response::Event<Ask, Told>) {
        use request_response::Event;
        let (id, peer, told) = match event {
            Event::Message { peer, message: Message::Response { request_id, response }, .. } => {
                (request_id, peer, Some(response))
            }
            Event::OutboundFailure { request_id, peer, .. } => (request_id, peer, None),
            _ => return,
        };
        match self.scans.asked.remove(&id) {
            Some((number, Asked::Way(way))) => {
                self.told_the_way(number, way, peer, told);
                self.go_on(number, way);
                self.end_scan(number);
            }
            Some((number, Asked::Record)) => self.told_the_record(number, peer, told.unwrap_or_default()),
            None => {}
        }
    }

    fn told_the_way(&mut self, number: u64, way: usize, peer: PeerId, told: Option<Told>) {
        let Some(Scan { walks, region, .. }) = self.scans.running.get_mut(&number) else { return };
        let Some(walk) = walks.get_mut(way).and_then(Option::as_mut) else { return };
        match told {
            Some(told) => {
                let own = self.own;
                walk.told(&peer, told.closer.into_iter().filter(|(peer, _)| *peer != own && !region.is_inside(peer)));
            }
            None => walk.failed(&peer),
        }
    }

    fn told_the_record(&mut self, number: u64, peer: PeerId, told: Told) {
        let Some(scan) = self.scans.running.get_mut(&number) else { return };
        scan.asking = scan.asking.saturating_sub(1);
        match &mut scan.purpose {
            Purpose::Providers { token, seen, told: before, .. } => {
                let room = MAX_PROVIDERS.saturating_sub(*before);
                let news = told.providers.into_iter().filter(|(peer, _)| !seen.contains(peer)).take(room);
                let providers: Vec<_> = news.collect();
                *before += providers.len();
                seen.extend(providers.iter().map(|(peer, _)| *peer));
                if !providers.is_empty() {
                    self.events.push_back(Output::Providers { token: *token, providers, last: false });
                }
            }
            Purpose::Value { best, .. } => {
                if let Some(Ok(value)) = told.value.map(|raw| store::open(&scan.key, &raw)) {
                    best.told(value, Some(peer));
                }
            }
            Purpose::Announce | Purpose::Put => {}
        }
        self.end_scan(number);
    }

    /// What was looked for is wanted no more, or there is enough of it. False if no region is looked through for it.
    pub(super) fn finish_scan(&mut self, token: QueryToken) -> bool {
        let of = |purpose: &Purpose| match purpose {
            Purpose::Providers { token, .. } | Purpose::Value { token, .. } => Some(*token),
            Purpose::Announce | Purpose::Put => None,
        };
        let found = self.scans.running.iter_mut().find(|(_, scan)| of(&scan.purpose) == Some(token));
        let Some((number, scan)) = found else { return false };
        scan.asking = 0;
        scan.walks.clear();
        let number = *number;
        self.end_scan(number);
        true
    }

    /// Ends it if nothing is under way.
    fn end_scan(&mut self, number: u64) {
        let is_over = |scan: &Scan| scan.asking == 0 && scan.walks.iter().all(Option::is_none);
        let found = |scan: &Scan| matches!(&scan.purpose, Purpose::Value { best, .. } if best.is_sure());
        if !self.scans.running.get(&number).is_some_and(|scan| is_over(scan) || found(scan)) {
            return;
        }
        let Some(scan) = self.scans.running.remove(&number) else { return };
        let (token, stats, reached) = match scan.purpose {
            Purpose::Providers { token, seen, stats, .. } => (token, stats, seen.len()),
            Purpose::Value { token, best, stats } => {
                let found = best.into_value();
                let reached = usize::from(found.is_some());
                self.events.extend(found.map(|(value, from)| Output::Value { token, value, from }));
                (token, stats, reached)
            }
            Purpose::Announce | Purpose::Put => return,
        };
        self.events.push_back(Output::Finished { token, stats, reached, error: None });
    }
}

/// What of an announcement goes to the region, and under which key; a name or a key for which any provider serves too.
pub(super) fn of(own: &Own) -> Option<(&RecordKey, Purpose)> {
    match own {
        Own::Key(key) | Own::Entrance(key) => Some((key, Purpose::Announce)),
        Own::Value(key) => Some((key, Purpose::Put)),
        Own::Spread(_) => None,
    }
}
