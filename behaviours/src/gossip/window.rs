//! Which sequence numbers of a feed have been seen. Pure.

use std::{collections::HashMap, time::Instant};

use p2pnode_wire::ids::PeerKey;
use serde::{Deserialize, Serialize};

use super::seen::SeenAuthor;

/// Numbers per feed that may still arrive late.
pub(super) const WINDOW: u64 = 1_024;
const WORDS: usize = 16;

/// Feeds remembered per author: a program that was restarted a few times while its events were under way.
const MAX_EPOCHS: usize = 4;

/// Authors remembered, at about 700 bytes each. The one silent for longest goes first.
const MAX_AUTHORS: usize = 4_096;

/// The last 1,024 numbers of one feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Window {
    epoch: u64,
    highest: u64,
    bits: [u64; WORDS],
}

impl Window {
    fn new(epoch: u64, seq: u64) -> Self {
        let mut window = Self { epoch, highest: seq, bits: [0; WORDS] };
        window.set(seq);
        window
    }

    fn is_new(&self, seq: u64) -> bool {
        if seq > self.highest {
            return true;
        }
        self.highest - seq < WINDOW && !self.get(seq)
    }

    fn add(&mut self, seq: u64) {
        if seq > self.highest {
            let steps = seq - self.highest;
            if steps >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                (1..=steps).for_each(|step| self.clear(self.highest + step));
            }
            self.highest = seq;
        }
        self.set(seq);
    }

    fn place(seq: u64) -> (usize, u64) {
        let bit = seq % WINDOW;
        ((bit / 64) as usize, 1 << (bit % 64))
    }

    fn get(&self, seq: u64) -> bool {
        let (word, bit) = Self::place(seq);
        self.bits[word] & bit != 0
    }

    fn set(&mut self, seq: u64) {
        let (word, bit) = Self::place(seq);
        self.bits[word] |= bit;
    }

    fn clear(&mut self, seq: u64) {
        let (word, bit) = Self::place(seq);
        self.bits[word] &= !bit;
    }
}

#[derive(Debug)]
struct Author {
    /// Rising epochs.
    feeds: Vec<Window>,
    since: Instant,
    used: Instant,
}

/// The windows of all authors of one swarm.
#[derive(Debug, Default)]
pub(super) struct Windows {
    authors: HashMap<PeerKey, Author>,
}

impl Windows {
    /// Whether this number has not been seen, without remembering it: the signature is not checked yet.
    pub(super) fn is_new(&self, author: &PeerKey, epoch: u64, seq: u64) -> bool {
        let Some(known) = self.authors.get(author) else { return true };
        match known.feeds.iter().find(|feed| feed.epoch == epoch) {
            Some(feed) => feed.is_new(seq),
            // Older than all that are remembered: nothing can be said, so it counts as seen.
            None => known.feeds.len() < MAX_EPOCHS || known.feeds.first().is_some_and(|oldest| oldest.epoch < epoch),
        }
    }

    /// Remembers a number whose signature holds.
    pub(super) fn add(&mut self, author: PeerKey, epoch: u64, seq: u64, now: Instant) {
        self.make_room(&author);
        let known = self.authors.entry(author).or_insert(Author { feeds: Vec::new(), since: now, used: now });
        known.used = now;
        if let Some(feed) = known.feeds.iter_mut().find(|feed| feed.epoch == epoch) {
            feed.add(seq);
            return;
        }
        let place = known.feeds.partition_point(|feed| feed.epoch < epoch);
        known.feeds.insert(place, Window::new(epoch, seq));
        if known.feeds.len() > MAX_EPOCHS {
            known.feeds.remove(0);
        }
    }

    fn make_room(&mut self, newcomer: &PeerKey) {
        if self.authors.len() < MAX_AUTHORS || self.authors.contains_key(newcomer) {
            return;
        }
        // Who was heard for a moment only goes first: keys made for a flood must not wipe out those of members.
        let lived = |author: &Author| author.used.saturating_duration_since(author.since);
        let least = self.authors.iter().min_by_key(|(_, author)| (lived(author), author.used)).map(|(key, _)| *key);
        if let Some(least) = least {
            self.authors.remove(&least);
        }
    }

    /// The epoch of the newest feed of `author`.
    pub(super) fn newest_epoch(&self, author: &PeerKey) -> Option<u64> {
        self.authors.get(author)?.feeds.last().map(|feed| feed.epoch)
    }

    /// What is to be kept over a restart.
    pub(super) fn seen(&self) -> Vec<SeenAuthor> {
        let seen = |(key, author): (&PeerKey, &Author)| SeenAuthor { author: *key, feeds: author.feeds.clone() };
        self.authors.iter().map(seen).collect()
    }

    /// What was kept over a restart, within the bounds.
    pub(super) fn restore(&mut self, seen: Vec<SeenAuthor>, now: Instant) {
        for SeenAuthor { author, mut feeds } in seen.into_iter().take(MAX_AUTHORS) {
            feeds.sort_by_key(|feed| feed.epoch);
            feeds.dedup_by_key(|feed| feed.epoch);
            feeds.drain(..feeds.len().saturating_sub(MAX_EPOCHS));
            self.authors.entry(author).or_insert(Author { feeds, since: now, used: now });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    const AUTHOR: PeerKey = PeerKey([7; 32]);

    proptest! {
        /// Nothing is accepted twice, and nothing within the window is refused the first time.
        #[test]
        fn agrees_with_a_set(numbers in prop::collection::vec(0_u64..5_000, 1..400)) {
            let (mut windows, now) = (Windows::default(), Instant::now());
            let mut seen = HashSet::new();
            let mut highest = 0;
            for seq in numbers {
                let new = windows.is_new(&AUTHOR, 1, seq);
                if seen.contains(&seq) {
                    prop_assert!(!new, "{seq} twice");
                } else if seen.is_empty() || seq + WINDOW > highest {
                    prop_assert!(new, "{seq} refused, highest {highest}");
                }
                if new {
                    windows.add(AUTHOR, 1, seq, now);
                    seen.insert(seq);
                    highest = highest.max(seq);
                }
            }
        }
    }

    #[test]
    fn jumps_to_the_end_do_not_overflow() {
        let (mut windows, now) = (Windows::default(), Instant::now());
        for seq in [0, u64::MAX, u64::MAX - 1, u64::MAX - WINDOW + 1] {
            assert!(windows.is_new(&AUTHOR, 1, seq), "{seq}");
            windows.add(AUTHOR, 1, seq, now);
            assert!(!windows.is_new(&AUTHOR, 1, seq), "{seq}");
        }
        assert!(!windows.is_new(&AUTHOR, 1, 5));
    }

    #[test]
    fn old_feeds_cannot_come_back() {
        let (mut windows, now) = (Windows::default(), Instant::now());
        for epoch in 10..20 {
            windows.add(AUTHOR, epoch, 0, now);
        }
        assert!(!windows.is_new(&AUTHOR, 10, 1));
        assert!(windows.is_new(&AUTHOR, 17, 1));
        assert!(windows.is_new(&AUTHOR, 20, 0));
    }

    #[test]
    fn what_was_seen_outlives_a_restart() {
        let (mut before, mut after, now) = (Windows::default(), Windows::default(), Instant::now());
        for (epoch, seq) in [(1, 0), (1, 1), (1, 3), (2, 0)] {
            before.add(AUTHOR, epoch, seq, now);
        }
        after.restore(before.seen(), now);
        for (epoch, seq, new) in [(1, 0, false), (1, 2, true), (1, 3, false), (1, 4, true), (2, 0, false), (2, 1, true)]
        {
            assert_eq!(after.is_new(&AUTHOR, epoch, seq), new, "{epoch} {seq}");
        }
        assert_eq!(after.newest_epoch(&AUTHOR), Some(2));
    }

    #[test]
    fn keys_made_for_a_flood_do_not_wipe_out_members() {
        let (mut windows, now) = (Windows::default(), Instant::now());
        windows.add(AUTHOR, 1, 0, now);
        windows.add(AUTHOR, 1, 1, now + std::time::Duration::from_secs(1));
        for n in 0..2 * MAX_AUTHORS as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            windows.add(PeerKey(key), 1, 1, now + std::time::Duration::from_secs(2 + n));
        }
        assert!(!windows.is_new(&AUTHOR, 1, 1));
    }

    #[test]
    fn authors_are_bounded() {
        let (mut windows, now) = (Windows::default(), Instant::now());
        for n in 0..2 * MAX_AUTHORS as u64 {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&n.to_be_bytes());
            windows.add(PeerKey(key), 1, 1, now + std::time::Duration::from_millis(n));
        }
        assert_eq!(windows.authors.len(), MAX_AUTHORS);
    }
}
