//! Who should have heard what, and who has.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Whoever goes, or is parted from the author, so soon after something was said need not have heard it.
const GRACE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) at: Duration,
    /// Hosts that can hear it.
    pub(super) expected: BTreeSet<usize>,
    /// When each host heard it first, and in which of its runs last.
    pub(super) heard: BTreeMap<usize, (Duration, u64)>,
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

    /// Something was said, for these to hear; its number.
    pub(super) fn say(&self, at: Duration, expected: BTreeSet<usize>) -> u64 {
        let mut state = self.lock();
        let id = state.said.len() as u64;
        state.said.insert(id, Said { at, expected, heard: BTreeMap::new(), twice: 0 });
        id
    }

    /// It could not be said.
    pub(super) fn unsaid(&self, id: u64) {
        if let Some(said) = self.lock().said.get_mut(&id) {
            said.expected.clear();
        }
    }

    /// A host heard it, in its run of that number.
    pub(super) fn heard(&self, id: u64, (host, run): (usize, u64), at: Duration) {
        let mut state = self.lock();
        let Some(said) = state.said.get_mut(&id) else { return };
        match said.heard.entry(host) {
            Entry::Occupied(mut before) => {
                said.twice += u64::from(before.get().1 == run);
                before.get_mut().1 = run;
            }
            Entry::Vacant(place) => {
                place.insert((at, run));
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
