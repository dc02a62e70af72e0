//! Who comes into the routing table.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::{self as kad, KBucketKey};

use super::{behaviour::Behaviour, table};
use crate::upkeep::{
    address::{is_relayed, neighbourhood},
    book,
};

/// Peers in a bucket that were only heard of: half of it stays for those that have answered, whoever tells us what.
pub(super) const HEARSAY: usize = kad::K_VALUE.get() / 2;

/// In full buckets one peer is checked this often. There libp2p-kad dials the member it has not seen for longest, to replace
/// it if it is gone. Every newcomer would cause a dial, and that dial another newcomer: a quarter of all dials of a hundred
/// quiet nodes.
const CHECK: Duration = Duration::from_secs(60);

/// The bucket of a peer.
#[derive(Default)]
struct Place {
    /// It is there.
    present: bool,
    entries: usize,
    /// Of these, who was only heard of.
    heard: Vec<PeerId>,
}

impl Place {
    fn has_room(&self) -> bool {
        self.present || self.entries < kad::K_VALUE.get()
    }
}

impl Behaviour {
    pub(crate) fn add(&mut self, peer: PeerId, addr: Multiaddr) -> bool {
        if !self.enabled || peer == self.own {
            return false;
        }
        self.hearsay.answered(&peer);
        let (place, now) = (self.place(&peer), Instant::now());
        let may_check = self.checked.is_none_or(|at| now.duration_since(at) >= CHECK);
        if place.present && self.seen_in(&peer) == self.networks.get(&peer).copied() {
            return !matches!(self.net.kad.add_address(&peer, addr), kad::RoutingUpdate::Failed);
        }
        // The dear question last.
        if !(place.has_room() || !place.heard.is_empty() || may_check) {
            return false;
        }
        if !self.fits(&peer, std::slice::from_ref(&addr)) {
            // It was told of at an address in another network.
            if place.present {
                self.remove(&peer);
            }
            return false;
        }
        if !place.has_room() {
            match place.heard.first() {
                // Whoever has answered takes the place of one that was only heard of.
                Some(heard) => self.remove(heard),
                None => self.checked = Some(now),
            }
        }
        let added = !matches!(self.net.kad.add_address(&peer, addr), kad::RoutingUpdate::Failed);
        if added {
            self.saw(peer);
        }
        added
    }

    pub(crate) fn lacks(&mut self, peer: &PeerId) -> bool {
        if !self.enabled || self.client || *peer == self.own || !self.hearsay.may(peer, Instant::now()) {
            return false;
        }
        let place = self.place(peer);
        !place.present && place.has_room() && place.heard.len() < HEARSAY
    }

    pub(crate) fn hear_of(&mut self, peer: PeerId, addrs: impl IntoIterator<Item = Multiaddr>) -> bool {
        let addrs: Vec<Multiaddr> = addrs.into_iter().take(book::MAX_PER_PEER).collect();
        let Some(first) = addrs.first() else { return false };
        if !self.lacks(&peer) || !self.fits(&peer, &addrs) {
            return false;
        }
        let added = matches!(self.net.kad.add_address(&peer, first.clone()), kad::RoutingUpdate::Success);
        if added {
            self.hearsay.insert(peer);
            for addr in addrs.into_iter().skip(1) {
                self.net.kad.add_address(&peer, addr);
            }
        }
        added
    }

    /// `peer` does not answer, or takes no part. libp2p-kad keeps it until its place is needed: right for one that has
    /// answered before.
    pub(crate) fn heard_in_vain(&mut self, peer: &PeerId) {
        if self.hearsay.in_vain(peer, Instant::now()) {
            self.remove(peer);
        }
    }

    fn place(&mut self, peer: &PeerId) -> Place {
        let Some(bucket) = self.net.kad.kbucket(*peer) else { return Place::default() };
        let mut place = Place { entries: bucket.num_entries(), ..Place::default() };
        for entry in bucket.iter() {
            let there = entry.node.key.preimage();
            place.present |= there == peer;
            if self.hearsay.contains(there) {
                place.heard.push(*there);
            }
        }
        place
    }

    /// Looks at the whole table.
    fn fits(&mut self, peer: &PeerId, addrs: &[Multiaddr]) -> bool {
        // What a connection shows counts, and what a peer says of itself only without one.
        let nets = match self.seen_in(peer) {
            Some(net) => vec![net],
            None => addrs.iter().filter_map(neighbourhood).collect(),
        };
        let (own, place) = (KBucketKey::from(self.own), KBucketKey::from(*peer));
        let Some(wanted) = own.distance(&place).ilog2() else { return false };
        let (networks, mut close, mut known) = (&self.networks, 0, Vec::new());
        for bucket in self.net.kad.kbuckets() {
            let number = bucket.range().0.ilog2().unwrap_or_default();
            for entry in bucket.iter().filter(|entry| entry.node.key.preimage() != peer) {
                close += usize::from(number == wanted && table::is_close(&place.distance(entry.node.key), wanted));
                if nets.is_empty() {
                    continue;
                }
                let mut theirs: Vec<_> = match networks.get(entry.node.key.preimage()) {
                    Some(net) => vec![*net],
                    None => entry.node.value.iter().filter_map(neighbourhood).collect(),
                };
                theirs.sort_unstable();
                theirs.dedup();
                known.extend(theirs.into_iter().map(|net| (number, net)));
            }
        }
        close < table::PER_PART && nets.iter().all(|net| table::fits(net, &wanted, known.iter().copied()))
    }

    /// The network from which `peer` is connected, which it cannot make up.
    fn seen_in(&self, peer: &PeerId) -> Option<[u8; 7]> {
        self.remotes.get(peer).filter(|remote| !is_relayed(remote)).and_then(neighbourhood)
    }

    /// Remembers from which network one of the table was seen.
    fn saw(&mut self, peer: PeerId) {
        let Some(net) = self.seen_in(&peer) else { return };
        self.networks.insert(peer, net);
        if self.networks.len() > 2 * self.table.max(kad::K_VALUE.get()) {
            let there: HashSet<PeerId> = self.routing_table().into_iter().map(|there| there.peer).collect();
            self.networks.retain(|peer, _| there.contains(peer));
        }
    }
}
