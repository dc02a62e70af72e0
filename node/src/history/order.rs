//! The order in which a conversation is told.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use p2pnode_wire::ids::EventId;

use super::handle::KeptEvent;

/// Causes before effects: an event comes after the one it answers and after what its author said earlier in the same
/// feed. What is bound by neither goes by the authors' clocks, then by id, so that all who keep the same tell the same.
///
/// Clocks alone do not do: an answer in the same millisecond, or of a clock that is behind, would stand before its
/// question. Events whose authors claim to answer each other in a ring come last.
pub(super) fn by_causes(events: Vec<KeptEvent>) -> Vec<KeptEvent> {
    let place: HashMap<EventId, usize> =
        events.iter().enumerate().map(|(index, kept)| (kept.event.id, index)).collect();
    let mut in_feed: Vec<usize> = (0..events.len()).collect();
    in_feed.sort_by_key(|index| feed(&events[*index]));
    let earlier = in_feed.windows(2).filter(|pair| {
        let (a, b) = (feed(&events[pair[0]]), feed(&events[pair[1]]));
        (a.0, a.1.0) == (b.0, b.1.0)
    });
    let earlier = earlier.map(|pair| (pair[0], pair[1]));
    let answered =
        events.iter().enumerate().filter_map(|(index, kept)| Some((*place.get(&kept.event.parent?)?, index)));

    let mut effects: Vec<Vec<usize>> = vec![Vec::new(); events.len()];
    let mut causes = vec![0_usize; events.len()];
    for (cause, effect) in earlier.chain(answered) {
        effects[cause].push(effect);
        causes[effect] += 1;
    }
    let key = |index: usize| Reverse((events[index].event.at, events[index].event.id, index));
    let mut ready: BinaryHeap<_> = (0..events.len()).filter(|index| causes[*index] == 0).map(key).collect();
    let mut told = Vec::with_capacity(events.len());
    while let Some(Reverse((_, _, index))) = ready.pop() {
        told.push(index);
        for effect in std::mem::take(&mut effects[index]) {
            causes[effect] -= 1;
            if causes[effect] == 0 {
                ready.push(key(effect));
            }
        }
    }
    let mut ring: Vec<usize> = (0..events.len()).filter(|index| causes[*index] > 0).collect();
    ring.sort_by_key(|index| Reverse(key(*index)));
    told.extend(ring);

    let mut events: Vec<Option<KeptEvent>> = events.into_iter().map(Some).collect();
    told.into_iter().filter_map(|index| events[index].take()).collect()
}

/// Whose it is, of which run, and its place there.
fn feed(kept: &KeptEvent) -> (libp2p::PeerId, (u64, u64)) {
    (kept.event.author.id, kept.event.feed)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use libp2p::PeerId;
    use p2pnode_wire::ids::ConversationId;
    use proptest::{prelude::*, sample::Index};

    use super::*;
    use crate::{
        peers::PeerRef,
        talk::{ConversationEvent, Said},
    };

    fn event(id: u8, author: u8, seq: u64, at_ms: u64, parent: Option<u8>) -> KeptEvent {
        let author = PeerId::from_multihash(libp2p::multihash::Multihash::wrap(0, &[author]).unwrap()).unwrap();
        let event = ConversationEvent {
            id: EventId([id; 32]),
            swarm: "garden".to_owned(),
            author: PeerRef { id: author, name: String::new() },
            own: false,
            via: author,
            conversation: ConversationId(uuid::Uuid::nil()),
            parent: parent.map(|id| EventId([id; 32])),
            feed: (1, seq),
            at: UNIX_EPOCH + Duration::from_millis(at_ms),
            trace: None,
            said: Said::Ask { text: String::new(), context: std::collections::BTreeMap::new() },
        };
        KeptEvent { event, received_ms: 0, live: false }
    }

    fn ids(events: Vec<KeptEvent>) -> Vec<u8> {
        by_causes(events).into_iter().map(|kept| kept.event.id.0[0]).collect()
    }

    #[test]
    fn an_answer_follows_its_question_whatever_the_clocks_say() {
        // In the same millisecond, with the smaller id; and by a clock that is an hour behind.
        assert_eq!(ids(vec![event(1, 2, 0, 5, Some(9)), event(9, 1, 0, 5, None)]), [9, 1]);
        let hour = 3_600_000;
        assert_eq!(ids(vec![event(1, 2, 0, 5, Some(9)), event(9, 1, 0, hour, None)]), [9, 1]);
        // Of those bound by nothing, the earlier one first.
        assert_eq!(ids(vec![event(3, 3, 0, 7, None), event(4, 4, 0, 6, None)]), [4, 3]);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_turn_a_feed_round() {
        let events = vec![event(1, 1, 0, 50, None), event(2, 1, 1, 10, None), event(3, 1, 2, 20, None)];
        assert_eq!(ids(events), [1, 2, 3]);
    }

    #[test]
    fn a_ring_of_answers_is_told_last() {
        let events = vec![event(1, 1, 0, 1, Some(2)), event(2, 2, 0, 2, Some(1)), event(3, 3, 0, 3, None)];
        assert_eq!(ids(events), [3, 1, 2]);
    }

    proptest! {
        #[test]
        fn all_are_told_in_one_order_and_causes_first(
            // Author, clock, and whom it answers, for each of the events.
            said in prop::collection::vec((0_u8..4, 0_u64..6, prop::option::of(any::<Index>())), 1..40),
            shuffle in any::<u64>(),
        ) {
            let mut seqs = [0_u64; 4];
            let mut events = Vec::new();
            for (number, (author, at, parent)) in said.iter().enumerate() {
                let parent = parent.filter(|_| number > 0).map(|parent| u8::try_from(parent.index(number)).unwrap());
                let seq = &mut seqs[usize::from(*author)];
                // Ids that say nothing about the order.
                let id = u8::try_from(number).unwrap() ^ 0x55;
                events.push(event(id, *author, *seq, *at, parent.map(|parent| parent ^ 0x55)));
                *seq += 1;
            }
            let told = ids(events.clone());
            let place = |id: u8| told.iter().position(|told| *told == id).unwrap();
            prop_assert_eq!(told.len(), events.len());
            for one in &events {
                for other in &events {
                    let later = one.event.parent == Some(other.event.id)
                        || (one.event.author.id == other.event.author.id && one.event.feed > other.event.feed);
                    prop_assert!(!later || place(one.event.id.0[0]) > place(other.event.id.0[0]));
                }
            }
            let by = usize::try_from(shuffle % events.len() as u64).unwrap();
            events.rotate_left(by);
            events.reverse();
            prop_assert_eq!(ids(events), told);
        }
    }
}
