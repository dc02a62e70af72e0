use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
};

use libp2p_identity::PeerId;

/// Calls that wait for a substream of the classic road, in order per peer: request-response drops what is more than
/// its handler holds, on both sides, and the caller could not tell whether it ran. Pure.
#[derive(Debug)]
pub(super) struct Lines<Id, T> {
    /// Under way at once, per peer.
    places: usize,
    /// Waiting and under way, per peer.
    most: usize,
    peers: HashMap<PeerId, Line<T>>,
    under_way: HashMap<Id, PeerId>,
}

#[derive(Debug)]
struct Line<T> {
    queue: VecDeque<T>,
    under_way: usize,
}

impl<Id: Eq + Hash, T> Lines<Id, T> {
    pub(super) fn new(places: usize, most: usize) -> Self {
        Self { places: places.max(1), most, peers: HashMap::new(), under_way: HashMap::new() }
    }

    /// Gives `call` back when as many as may be wait or are under way already.
    pub(super) fn push(&mut self, peer: PeerId, call: T) -> Result<(), T> {
        let line = self.peers.entry(peer).or_insert_with(|| Line { queue: VecDeque::new(), under_way: 0 });
        if line.queue.len() + line.under_way >= self.most {
            return Err(call);
        }
        line.queue.push_back(call);
        Ok(())
    }

    /// The next whose turn it is; follow with [`Self::began`], or drop it.
    pub(super) fn next(&mut self, peer: &PeerId) -> Option<T> {
        let line = self.peers.get_mut(peer)?;
        let next = if line.under_way < self.places { line.queue.pop_front() } else { None };
        self.forget_if_idle(peer);
        next
    }

    pub(super) fn began(&mut self, peer: PeerId, id: Id) {
        let line = self.peers.entry(peer).or_insert_with(|| Line { queue: VecDeque::new(), under_way: 0 });
        line.under_way += 1;
        self.under_way.insert(id, peer);
    }

    /// The peer whose next call may go.
    pub(super) fn ended(&mut self, id: &Id) -> Option<PeerId> {
        let peer = self.under_way.remove(id)?;
        if let Some(line) = self.peers.get_mut(&peer) {
            line.under_way = line.under_way.saturating_sub(1);
        }
        self.forget_if_idle(&peer);
        Some(peer)
    }

    /// Takes out all that wait and match.
    pub(super) fn remove_if(&mut self, mut matches: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut removed = Vec::new();
        for line in self.peers.values_mut() {
            for call in std::mem::take(&mut line.queue) {
                if matches(&call) { removed.push(call) } else { line.queue.push_back(call) }
            }
        }
        self.peers.retain(|_, line| line.under_way > 0 || !line.queue.is_empty());
        removed
    }

    pub(super) fn queued(&self) -> impl Iterator<Item = &T> {
        self.peers.values().flat_map(|line| &line.queue)
    }

    fn forget_if_idle(&mut self, peer: &PeerId) {
        if self.peers.get(peer).is_some_and(|line| line.under_way == 0 && line.queue.is_empty()) {
            self.peers.remove(peer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_go_at_once_and_in_order() {
        let (mut lines, peer) = (Lines::new(2, 5), PeerId::random());
        for call in 0..5 {
            lines.push(peer, call).expect("room");
        }
        assert_eq!(lines.push(peer, 5), Err(5));
        for id in 0..2 {
            assert_eq!(lines.next(&peer), Some(id));
            lines.began(peer, id);
        }
        assert_eq!(lines.next(&peer), None);
        assert_eq!(lines.ended(&0), Some(peer));
        assert_eq!(lines.next(&peer), Some(2));
        lines.began(peer, 2);
        assert_eq!(lines.remove_if(|call| *call == 3), [3]);
        assert_eq!((lines.ended(&1), lines.ended(&2), lines.ended(&2)), (Some(peer), Some(peer), None));
        assert_eq!((lines.next(&peer), lines.next(&peer)), (Some(4), None));
        assert!(lines.peers.is_empty() && lines.under_way.is_empty(), "nothing is kept of a peer that is idle");
    }
}
