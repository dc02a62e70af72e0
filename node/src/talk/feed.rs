//! What this node says, as one feed per swarm. Pure.

use std::collections::HashMap;

use bytes::Bytes;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, EventId, PeerKey, SwarmId, Team},
    talk::Meta,
};

use crate::history::FeedEnd;

/// An event before it has a place in its feed.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    pub(crate) swarm: SwarmId,
    /// For this team of it only.
    pub(crate) team: Option<Team>,
    pub(crate) conversation: ConversationId,
    pub(crate) kind: &'static str,
    pub(crate) parent: Option<EventId>,
    pub(crate) trace: Option<String>,
    pub(crate) body: Bytes,
}

/// An event of this node, signed.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) id: EventId,
    pub(crate) raw: Bytes,
    /// Members it went to at once.
    pub(crate) neighbours: usize,
}

#[derive(Debug)]
struct Feed {
    epoch: u64,
    next: u64,
    last: Option<EventId>,
}

/// The feeds of one node.
#[derive(Debug)]
pub(crate) struct Feeds {
    author: PeerKey,
    /// The author's name.
    meta: Bytes,
    feeds: HashMap<SwarmId, Feed>,
}

impl Feeds {
    /// `live`: what it says is not kept.
    pub(crate) fn new(author: PeerKey, name: &str, live: bool) -> Self {
        let meta = Meta { name: name.to_owned(), live }.encode();
        Self { author, meta, feeds: HashMap::new() }
    }

    /// Goes on where an earlier run has ended in order.
    pub(crate) fn resume(&mut self, ends: &[FeedEnd]) {
        for end in ends {
            self.feeds.insert(end.swarm, Feed { epoch: end.epoch, next: end.next, last: end.last });
        }
    }

    /// Where the feeds end as of now.
    pub(crate) fn ends(&self) -> Vec<FeedEnd> {
        let end = |(swarm, feed): (&SwarmId, &Feed)| FeedEnd {
            swarm: *swarm,
            epoch: feed.epoch,
            next: feed.next,
            last: feed.last,
        };
        self.feeds.iter().map(end).collect()
    }

    /// The draft in its place; [`Self::published`] takes the place, so that a failure leaves no gap.
    ///
    /// `before`: the epoch of the last run's feed, which a clock that was set back must not fall behind.
    pub(crate) fn next(&mut self, draft: Draft, now_ms: u64, before: Option<u64>) -> Event {
        let epoch = before.map_or(now_ms, |before| now_ms.max(before.saturating_add(1)));
        let feed = self.feeds.entry(draft.swarm).or_insert(Feed { epoch, next: 0, last: None });
        Event {
            v: 1,
            swarm: draft.swarm,
            author: self.author,
            epoch: feed.epoch,
            seq: feed.next,
            prev: feed.last,
            at_ms: now_ms,
            conversation: draft.conversation,
            kind: draft.kind.to_owned(),
            parent: draft.parent,
            seen: Vec::new(),
            mheads: Vec::new(),
            team: draft.team,
            trace: draft.trace,
            meta: Some(self.meta.clone()),
            body: draft.body,
        }
    }

    /// The event is out.
    pub(crate) fn published(&mut self, event: &Event, id: EventId) {
        if let Some(feed) = self.feeds.get_mut(&event.swarm) {
            feed.next = event.seq + 1;
            feed.last = Some(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(swarm: u8) -> Draft {
        Draft {
            swarm: SwarmId([swarm; 32]),
            team: None,
            conversation: ConversationId::new(),
            kind: "ack",
            parent: None,
            trace: None,
            body: Bytes::new(),
        }
    }

    #[test]
    fn events_follow_each_other_without_a_gap() {
        let mut feeds = Feeds::new(PeerKey([1; 32]), "fern", false);
        for seq in 0..3_u8 {
            let failed = feeds.next(draft(1), 90, None);
            assert_eq!(failed.seq, u64::from(seq), "what was not published takes no place");
            let event = feeds.next(draft(1), 100 + u64::from(seq), Some(90));
            assert_eq!((event.epoch, event.seq), (90, u64::from(seq)));
            assert_eq!(event.prev, seq.checked_sub(1).map(|n| EventId([n; 32])));
            feeds.published(&event, EventId([seq; 32]));
        }
        let other = feeds.next(draft(2), 200, None);
        assert_eq!((other.epoch, other.seq, other.prev), (200, 0, None), "each swarm has its own");
        let restarted = feeds.next(draft(3), 50, Some(200));
        assert_eq!((restarted.epoch, restarted.seq), (201, 0), "the clock was set back");
    }

    #[test]
    fn the_next_run_goes_on_where_this_one_ended() {
        let (mut before, mut after) =
            (Feeds::new(PeerKey([1; 32]), "fern", false), Feeds::new(PeerKey([1; 32]), "fern", false));
        let event = before.next(draft(1), 100, None);
        before.published(&event, EventId([7; 32]));
        after.resume(&before.ends());
        let event = after.next(draft(1), 900, Some(100));
        assert_eq!((event.epoch, event.seq, event.prev), (100, 1, Some(EventId([7; 32]))));
    }
}
