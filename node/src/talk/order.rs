//! Events of each feed in their order, although gossip brings them as it likes. Pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use p2pnode_wire::ids::{PeerKey, SwarmId};

/// A missing event is waited for so long: neighbours tell what they have every second, and are asked for it.
const GAP: Duration = Duration::from_secs(3);

/// Of a feed never heard of before: its earlier events may be under way, or we came in the middle of it.
const FIRST: Duration = Duration::from_millis(300);

/// Events of one feed that wait for an earlier one: an author's burst.
const MAX_HELD: usize = 128;

/// Feeds remembered; the one silent for longest is forgotten.
const MAX_FEEDS: usize = 4_096;

type Feeder = (SwarmId, PeerKey);

#[derive(Debug)]
struct Feed<T> {
    epoch: u64,
    next: u64,
    held: BTreeMap<u64, T>,
    give_up: Option<Instant>,
    used: Instant,
}

impl<T> Feed<T> {
    /// What has no gap before it.
    fn release(&mut self, out: &mut Vec<T>) {
        while let Some(item) = self.held.remove(&self.next) {
            out.push(item);
            self.next += 1;
        }
        if self.held.is_empty() {
            self.give_up = None;
        }
    }

    /// What is held, gap or not.
    fn flush(&mut self, out: &mut Vec<T>) {
        for (seq, item) in std::mem::take(&mut self.held) {
            out.push(item);
            self.next = seq + 1;
        }
        self.give_up = None;
    }
}

/// Holds events until those before them have come, or are given up.
#[derive(Debug)]
pub(crate) struct Order<T> {
    feeds: HashMap<Feeder, Feed<T>>,
}

impl<T> Default for Order<T> {
    fn default() -> Self {
        Self { feeds: HashMap::new() }
    }
}

impl<T> Order<T> {
    /// An event that was never seen before; what may be delivered now, in order.
    pub(crate) fn arrive(&mut self, feeder: Feeder, epoch: u64, seq: u64, item: T, now: Instant) -> Vec<T> {
        let mut out = Vec::new();
        self.make_room(&feeder);
        let feed = self.feeds.entry(feeder).or_insert_with(|| Feed::begun(epoch, now));
        feed.used = now;
        if epoch > feed.epoch {
            feed.flush(&mut out);
            *feed = Feed::begun(epoch, now);
        }
        // Given up before, or of an earlier run: late is better than never.
        if epoch < feed.epoch || seq < feed.next {
            out.push(item);
            return out;
        }
        let wait = if feed.next == 0 { FIRST } else { GAP };
        feed.held.insert(seq, item);
        feed.release(&mut out);
        if !feed.held.is_empty() {
            feed.give_up.get_or_insert(now + wait);
        }
        if feed.held.len() > MAX_HELD {
            feed.flush(&mut out);
        }
        out
    }

    /// What has waited long enough.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<T> {
        let mut out = Vec::new();
        for feed in self.feeds.values_mut() {
            if feed.give_up.is_some_and(|at| at <= now) {
                feed.flush(&mut out);
            }
        }
        out
    }

    /// Whether anything is held.
    pub(crate) fn holds(&self) -> bool {
        self.feeds.values().any(|feed| feed.give_up.is_some())
    }

    fn make_room(&mut self, newcomer: &Feeder) {
        if self.feeds.len() < MAX_FEEDS || self.feeds.contains_key(newcomer) {
            return;
        }
        let idle = self.feeds.iter().filter(|(_, feed)| feed.held.is_empty());
        let oldest = idle.min_by_key(|(_, feed)| feed.used).map(|(feeder, _)| *feeder);
        if let Some(oldest) = oldest {
            self.feeds.remove(&oldest);
        }
    }
}

impl<T> Feed<T> {
    fn begun(epoch: u64, now: Instant) -> Self {
        Self { epoch, next: 0, held: BTreeMap::new(), give_up: None, used: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEEDER: Feeder = (SwarmId([0; 32]), PeerKey([0; 32]));

    fn arrive(order: &mut Order<(u64, u64)>, epoch: u64, seq: u64, now: Instant) -> Vec<(u64, u64)> {
        order.arrive(FEEDER, epoch, seq, (epoch, seq), now)
    }

    #[test]
    fn a_feed_is_delivered_in_its_order() {
        let (now, mut order, mut got) = (Instant::now(), Order::default(), Vec::new());
        for seq in [1, 0, 2, 5, 4, 3, 7, 6] {
            got.extend(arrive(&mut order, 9, seq, now));
        }
        assert_eq!(got, (0..8).map(|seq| (9, seq)).collect::<Vec<_>>());
        assert!(order.due(now + GAP * 2).is_empty());
    }

    #[test]
    fn a_gap_is_given_up_and_what_comes_late_is_not_lost() {
        let (now, mut order) = (Instant::now(), Order::default());
        arrive(&mut order, 9, 0, now);
        assert!(arrive(&mut order, 9, 2, now).is_empty());
        assert!(arrive(&mut order, 9, 3, now + GAP / 2).is_empty());
        assert!(order.due(now + GAP - Duration::from_millis(1)).is_empty());
        assert_eq!(order.due(now + GAP), [(9, 2), (9, 3)]);
        assert_eq!(arrive(&mut order, 9, 1, now + GAP), [(9, 1)]);
        assert_eq!(arrive(&mut order, 9, 4, now + GAP), [(9, 4)]);
    }

    #[test]
    fn who_comes_in_the_middle_waits_a_moment_only() {
        let (now, mut order) = (Instant::now(), Order::default());
        assert!(arrive(&mut order, 9, 41, now).is_empty());
        assert!(arrive(&mut order, 9, 40, now).is_empty());
        assert_eq!(order.due(now + FIRST), [(9, 40), (9, 41)]);
        assert_eq!(arrive(&mut order, 9, 42, now + FIRST), [(9, 42)]);
    }

    #[test]
    fn a_new_run_begins_anew() {
        let (now, mut order) = (Instant::now(), Order::default());
        arrive(&mut order, 9, 0, now);
        arrive(&mut order, 9, 2, now);
        assert_eq!(arrive(&mut order, 10, 0, now), [(9, 2), (10, 0)], "nobody waits for the past");
        assert_eq!(arrive(&mut order, 9, 1, now), [(9, 1)]);
        assert_eq!(arrive(&mut order, 10, 1, now), [(10, 1)]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let (now, mut order) = (Instant::now(), Order::default());
        arrive(&mut order, 9, 0, now);
        let mut got = 0;
        for seq in 2..1_000 {
            got += arrive(&mut order, 9, seq, now).len();
        }
        assert!(got >= 998 - MAX_HELD, "{got}");
        for author in 0..5_000_u16 {
            let mut key = [0; 32];
            key[..2].copy_from_slice(&author.to_be_bytes());
            order.arrive((SwarmId([0; 32]), PeerKey(key)), 1, 0, (1, 0), now);
        }
        assert!(order.feeds.len() <= MAX_FEEDS);
    }
}
