//! What is kept of the feeds of one swarm, by number: from that, what to tell others and what to ask them for. Pure.

use std::collections::BTreeMap;

use p2pnode_wire::{
    ids::{EventId, PeerKey},
    limits,
    sync::{FeedState, RANGES_PER_REPLY, WANTS, Want},
};
use sha2::{Digest, Sha256};

use super::ranges::Ranges;
use crate::store::FeedRow;

/// An author, and which of its runs.
pub(crate) type Feed = (PeerKey, u64);

#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    ranges: Ranges,
    cut: u64,
    /// Id of the last event, which stands for all before it.
    head: Option<EventId>,
    /// From where on the author has signed another history.
    fork: Option<u64>,
}

/// The feeds of one swarm.
#[derive(Debug, Default)]
pub(crate) struct Index {
    feeds: BTreeMap<Feed, Held>,
    digest: Option<[u8; 32]>,
}

impl Index {
    /// A feed as the store has it; `head` is the id of its last event.
    pub(crate) fn load(&mut self, row: &FeedRow, head: Option<EventId>) {
        let held =
            Held { ranges: Ranges::new(&row.held), cut: row.cut, head, fork: row.fork.as_ref().map(|fork| fork.seq) };
        self.feeds.insert((row.key.author, row.key.epoch), held);
        self.digest = None;
    }

    /// An event is kept.
    pub(crate) fn kept(&mut self, feed: Feed, seq: u64, id: EventId) {
        let held = self.feeds.entry(feed).or_default();
        if held.ranges.last().is_none_or(|last| last < seq) {
            held.head = Some(id);
        }
        held.ranges.insert(seq);
        self.digest = None;
    }

    /// Whether the event before this one is missing.
    pub(crate) fn has_gap_before(&self, feed: Feed, seq: u64) -> bool {
        let held = self.feeds.get(&feed);
        held.is_some_and(|held| seq > held.cut && !held.ranges.contains(seq - 1))
    }

    /// The author has signed two histories.
    pub(crate) fn forked(&mut self, feed: Feed, seq: u64) {
        self.feeds.entry(feed).or_default().fork = Some(seq);
        self.digest = None;
    }

    /// Retention has removed what is below.
    pub(crate) fn cut(&mut self, feed: Feed, below: u64) {
        let Some(held) = self.feeds.get_mut(&feed) else { return };
        held.cut = held.cut.max(below);
        held.ranges.cut(below);
        self.digest = None;
    }

    /// The same for all who keep the same.
    pub(crate) fn digest(&mut self) -> [u8; 32] {
        *self.digest.get_or_insert_with(|| {
            let mut hash = Sha256::new();
            for ((author, epoch), held) in self.feeds.iter().filter(|(_, held)| !held.ranges.as_slice().is_empty()) {
                hash.update(author.0);
                hash.update(epoch.to_be_bytes());
                for (from, to) in held.ranges.as_slice() {
                    hash.update(from.to_be_bytes());
                    hash.update(to.to_be_bytes());
                }
                // Of a forked feed each keeps the branch it saw first: these would differ for ever.
                hash.update(held.head.filter(|_| held.fork.is_none()).map_or([0; 32], |head| head.0));
            }
            hash.finalize().into()
        })
    }

    /// What is kept, feed by feed, after the one named; and whether there are more.
    pub(crate) fn list(&self, after: Option<Feed>) -> (Vec<FeedState>, bool) {
        use std::ops::Bound::{Excluded, Unbounded};
        let start = after.map_or(Unbounded, Excluded);
        let mut kept = self.feeds.range((start, Unbounded)).filter(|(_, held)| !held.ranges.as_slice().is_empty());
        let (mut page, mut ranges) = (Vec::new(), 0);
        for (feed, held) in kept.by_ref() {
            ranges += held.ranges.as_slice().len();
            page.push(state(*feed, held));
            if page.len() >= limits::SYNC_FEEDS || ranges >= RANGES_PER_REPLY {
                break;
            }
        }
        (page, kept.next().is_some())
    }

    /// What somebody who keeps `theirs` has and we lack, the oldest first.
    pub(crate) fn lacks(&self, theirs: &[FeedState]) -> Vec<Want> {
        let mut wants: Vec<Want> = theirs.iter().flat_map(|their| self.lacks_of(their)).collect();
        wants.sort_by_key(|want| (want.epoch, want.author, want.from));
        wants.truncate(WANTS);
        wants
    }

    fn lacks_of(&self, their: &FeedState) -> Vec<Want> {
        let none = Held::default();
        let ours = self.feeds.get(&(their.author, their.epoch)).unwrap_or(&none);
        let want = |(from, to)| Want { author: their.author, epoch: their.epoch, from, to };
        match (ours.fork, their.fork) {
            (Some(_), _) => return Vec::new(),
            (None, Some(seq)) => return vec![want((seq, seq.saturating_add(2)))],
            (None, None) => {}
        }
        let theirs = their.held.iter().map(|(from, to)| (*from.max(&ours.cut), *to)).filter(|(from, to)| from < to);
        let lacking: Vec<Want> = theirs.flat_map(|range| ours.ranges.lacks(range)).map(want).collect();
        let last = their.held.last().map(|(_, to)| to - 1);
        let other = their.head.is_some() && ours.head.is_some() && their.head != ours.head;
        match last {
            // As many events, but others: theirs is the proof.
            Some(last) if lacking.is_empty() && other && ours.ranges.last() == Some(last) => {
                vec![want((last, last + 1))]
            }
            _ => lacking,
        }
    }
}

fn state((author, epoch): Feed, held: &Held) -> FeedState {
    let head = held.head.filter(|_| held.fork.is_none());
    FeedState { author, epoch, held: held.ranges.as_slice().to_vec(), cut: held.cut, head, fork: held.fork }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const AUTHOR: PeerKey = PeerKey([1; 32]);

    fn id(seq: u64) -> EventId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&seq.to_be_bytes());
        EventId(id)
    }

    fn index(numbers: impl IntoIterator<Item = u64>) -> Index {
        let mut index = Index::default();
        for seq in numbers {
            index.kept((AUTHOR, 1), seq, id(seq));
        }
        index
    }

    proptest! {
        /// Two who tell each other what they keep, and give what the other lacks, keep the same in the end.
        #[test]
        fn two_become_equal(
            a in prop::collection::vec((0_u64..3, 0_u64..60), 0..120),
            b in prop::collection::vec((0_u64..3, 0_u64..60), 0..120),
        ) {
            let make = |events: Vec<(u64, u64)>| {
                let mut index = Index::default();
                for (epoch, seq) in events {
                    index.kept((AUTHOR, epoch), seq, id(seq));
                }
                index
            };
            let (mut a, mut b) = (make(a), make(b));
            let mut rounds = 0;
            while a.digest() != b.digest() {
                rounds += 1;
                prop_assert!(rounds < 200, "no end");
                for (one, other) in [(0, 1), (1, 0)] {
                    let (from, into) = if (one, other) == (0, 1) { (&a, &mut b) } else { (&b, &mut a) };
                    for want in into.lacks(&from.list(None).0) {
                        for seq in want.from..want.to {
                            into.kept((want.author, want.epoch), seq, id(seq));
                        }
                    }
                }
            }
            prop_assert!(a.lacks(&b.list(None).0).is_empty() && b.lacks(&a.list(None).0).is_empty());
        }
    }

    #[test]
    fn what_was_cut_is_not_wanted_again() {
        let (mut ours, theirs) = (index(0..10), index(0..12));
        ours.cut((AUTHOR, 1), 8);
        let wants = ours.lacks(&theirs.list(None).0);
        assert_eq!(wants, [Want { author: AUTHOR, epoch: 1, from: 10, to: 12 }]);
        assert!(theirs.lacks(&ours.list(None).0).is_empty());
    }

    #[test]
    fn who_came_late_asks_for_the_beginning() {
        let mut late = Index::default();
        late.kept((AUTHOR, 1), 57, id(57));
        late.kept((AUTHOR, 1), 58, id(58));
        assert!(late.has_gap_before((AUTHOR, 1), 57) && !late.has_gap_before((AUTHOR, 1), 58));
        let wants = late.lacks(&index(40..59).list(None).0);
        assert_eq!(wants, [Want { author: AUTHOR, epoch: 1, from: 40, to: 57 }]);
    }

    #[test]
    fn another_history_of_the_same_length_is_noticed() {
        let (ours, mut theirs) = (index(0..5), index(0..4));
        theirs.kept((AUTHOR, 1), 4, EventId([9; 32]));
        let wants = ours.lacks(&theirs.list(None).0);
        assert_eq!(wants, [Want { author: AUTHOR, epoch: 1, from: 4, to: 5 }]);
        let mut ours = ours;
        let before = ours.digest();
        assert_ne!(before, theirs.digest());
        theirs.forked((AUTHOR, 1), 4);
        let wants = ours.lacks(&theirs.list(None).0);
        assert_eq!(wants, [Want { author: AUTHOR, epoch: 1, from: 4, to: 6 }], "the proof");
        ours.forked((AUTHOR, 1), 4);
        assert_eq!(ours.digest(), theirs.digest());
        assert!(ours.lacks(&theirs.list(None).0).is_empty());
    }

    #[test]
    fn lists_come_in_pages() {
        let mut index = Index::default();
        for epoch in 0..1_200 {
            index.kept((AUTHOR, epoch), 0, id(0));
        }
        let (mut after, mut pages, mut feeds) = (None, 0, 0);
        loop {
            let (page, more) = index.list(after);
            (pages, feeds) = (pages + 1, feeds + page.len());
            after = page.last().map(|state| (state.author, state.epoch));
            if !more {
                break;
            }
        }
        assert_eq!((pages, feeds), (3, 1_200));
    }
}
