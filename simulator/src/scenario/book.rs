//! Who should have heard what, and who has.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use p2pnode::PeerId;

/// Whoever goes, or is parted from the author, so soon after something was said need not have heard it.
const GRACE: Duration = Duration::from_secs(5);

/// How a host heard something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Copy {
    /// When first.
    pub(super) at: Duration,
    /// In which of its runs last.
    run: u64,
    /// From whom first.
    via: Option<PeerId>,
}

#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) at: Duration,
    /// The host of its author.
    by: usize,
    /// Hosts that can hear it.
    pub(super) expected: BTreeSet<usize>,
    /// The hosts that heard it.
    pub(super) heard: BTreeMap<usize, Copy>,
    /// How often a node was told what it had been told in the same run: whoever restarts may be told again.
    pub(super) twice: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) said: BTreeMap<u64, Said>,
}

/// What was said in a run. Clones are the same book.
#[derive(Debug, Clone, Default)]
pub(super) struct Book(Arc<Mutex<State>>);

impl Book {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A host said something, for these to hear; its number.
    pub(super) fn say(&self, by: usize, at: Duration, expected: BTreeSet<usize>) -> u64 {
        let mut state = self.lock();
        let id = state.said.len() as u64;
        state.said.insert(id, Said { at, by, expected, heard: BTreeMap::new(), twice: 0 });
        id
    }

    /// It could not be said.
    pub(super) fn unsaid(&self, id: u64) {
        if let Some(said) = self.lock().said.get_mut(&id) {
            said.expected.clear();
        }
    }

    /// A host heard it, in its run of that number, from `via`.
    pub(super) fn heard(&self, id: u64, (host, run): (usize, u64), via: Option<PeerId>, at: Duration) {
        let mut state = self.lock();
        let Some(said) = state.said.get_mut(&id) else { return };
        match said.heard.entry(host) {
            Entry::Occupied(mut before) => {
                said.twice += u64::from(before.get().run == run);
                before.get_mut().run = run;
            }
            Entry::Vacant(place) => {
                place.insert(Copy { at, run, via });
            }
        }
    }

    /// These hosts hear nothing from now on: what was just said they may have missed.
    pub(super) fn gone(&self, hosts: impl Fn(usize) -> bool, now: Duration) {
        for said in self.lock().said.values_mut().rev() {
            if said.at + GRACE < now {
                break;
            }
            let heard = &said.heard;
            said.expected.retain(|host| heard.contains_key(host) || !hosts(*host));
        }
    }
}

impl Said {
    /// Through how many hands it went until each host heard it: 1 straight from its author. Who had it from somebody that
    /// did not tell the program, such as one that went down at that moment, is left out.
    pub(super) fn hops(&self, host_of: &HashMap<PeerId, usize>) -> Vec<u32> {
        let mut known = HashMap::from([(self.by, 0_u32)]);
        let mut hops = Vec::with_capacity(self.heard.len());
        for host in self.heard.keys().copied() {
            let (mut path, mut at) = (Vec::new(), Some(host));
            while let Some(on) = at.filter(|on| !known.contains_key(on) && path.len() <= self.heard.len()) {
                path.push(on);
                at = self.heard.get(&on).and_then(|copy| host_of.get(&copy.via?)).copied();
            }
            let Some(mut so_far) = at.and_then(|on| known.get(&on)).copied() else { continue };
            for on in path.into_iter().rev() {
                so_far += 1;
                known.insert(on, so_far);
            }
            hops.extend(known.get(&host).filter(|hops| **hops > 0));
        }
        hops
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_are_hands() {
        let book = Book::default();
        let peers: Vec<PeerId> = std::iter::repeat_with(PeerId::random).take(6).collect();
        let host_of: HashMap<PeerId, usize> =
            peers.iter().copied().enumerate().map(|(host, peer)| (peer, host)).collect();
        let id = book.say(0, Duration::ZERO, BTreeSet::new());
        // 0 tells 1, who tells 4, who tells 2 and 0 again; 3 had it from 5, which never said that it heard it.
        for (host, via) in [(4, 1), (2, 4), (1, 0), (0, 4), (3, 5)] {
            book.heard(id, (host, 0), Some(peers[via]), Duration::ZERO);
        }
        let mut hops = book.lock().said[&id].hops(&host_of);
        hops.sort_unstable();
        assert_eq!(hops, [1, 2, 3]);
    }

    #[test]
    fn who_restarts_may_be_told_again() {
        let book = Book::default();
        let id = book.say(0, Duration::ZERO, BTreeSet::from([1]));
        for run in [0, 1, 1] {
            book.heard(id, (1, run), None, Duration::ZERO);
        }
        assert_eq!(book.lock().said[&id].twice, 1);
    }
}
