//! Who comes into the routing table.

use std::time::{Duration, Instant};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad as kad;

use super::{behaviour::Behaviour, table};
use crate::upkeep::address::neighbourhood;

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
        // The dear question last.
        if !(place.has_room() || !place.heard.is_empty() || may_check) || !(place.present || self.fits(&peer, &addr)) {
            return false;
        }
        if !place.has_room() {
            match place.heard.first() {
                // Whoever has answered takes the place of one that was only heard of.
                Some(heard) => self.remove(heard),
                None => self.checked = Some(now),
            }
        }
        !matches!(self.kad.add_address(&peer, addr), kad::RoutingUpdate::Failed)
    }

    pub(crate) fn lacks(&mut self, peer: &PeerId) -> bool {
        if !self.enabled || self.client || *peer == self.own || !self.hearsay.may(peer, Instant::now()) {
            return false;
        }
        let place = self.place(peer);
        !place.present && place.has_room() && place.heard.len() < HEARSAY
    }

    pub(crate) fn hear_of(&mut self, peer: PeerId, addrs: impl IntoIterator<Item = Multiaddr>) -> bool {
        let mut addrs = addrs.into_iter();
        let Some(first) = addrs.next() else { return false };
        if !self.lacks(&peer) || !self.fits(&peer, &first) {
            return false;
        }
        let added = matches!(self.kad.add_address(&peer, first), kad::RoutingUpdate::Success);
        if added {
            self.hearsay.insert(peer);
            for addr in addrs {
                self.kad.add_address(&peer, addr);
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
        let Some(bucket) = self.kad.kbucket(*peer) else { return Place::default() };
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
    fn fits(&mut self, peer: &PeerId, addr: &Multiaddr) -> bool {
        if neighbourhood(addr).is_none() {
            return true;
        }
        let Some(bucket) = self.kad.kbucket(*peer) else { return false };
        let wanted = bucket.range();
        let mut known = Vec::new();
        for bucket in self.kad.kbuckets() {
            let place = bucket.range();
            known.extend(bucket.iter().map(|entry| (place, entry.node.value.first().clone())));
        }
        table::fits(addr, &wanted, known.iter().map(|(place, addr)| (*place, addr)))
    }
}
