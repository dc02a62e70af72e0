//! Which messages of ours go next. Pure.
//!
//! Messages of one conversation with one peer stand in a line: one is under way, the others wait for it. A peer that does
//! not answer is asked with one message at a time until it does; all others wait for that, however many there are.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use p2pnode_wire::ids::{ConversationId, MailId, PeerKey};

use super::outbox::{FIRST, LONGEST, pause};
use crate::store::Waiting;

/// Messages under way at once, to all peers together.
pub(super) const FLIGHTS: usize = 128;

/// To one peer: what it takes with one flush of its disk, so that a slow peer leaves places for the others.
const PER_PEER: usize = 32;

/// A peer that was silent is tried for a new message, but not more often than this.
const ANEW: Duration = Duration::from_secs(5);

/// A peer that asks to come again at once is not taken at its word.
const SOONEST: Duration = Duration::from_millis(500);

/// How a try ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Landing {
    /// Settled, one way or the other.
    Settled,
    /// The peer asks to come again later, after so long if it says so.
    Later(Option<Duration>),
    /// No word from the peer.
    Silent,
}

#[derive(Debug, Default)]
struct Line {
    ids: BTreeSet<MailId>,
    /// Its place in [`Peer::ready`], while none of it is under way.
    rests: Option<(Instant, MailId)>,
    under_way: Option<MailId>,
}

#[derive(Debug, Default)]
struct Peer {
    lines: BTreeMap<ConversationId, Line>,
    /// Lines of which nothing is under way, by the time at which their first message may go.
    ready: BTreeSet<(Instant, MailId, ConversationId)>,
    flights: usize,
    /// It has answered, or shown itself, since it was silent last.
    there: bool,
    met: Option<Instant>,
    /// How often it was silent, one time after the other, and when last.
    failures: u32,
    silent: Option<Instant>,
    /// Not before then.
    until: Option<Instant>,
}

impl Peer {
    fn room(&self) -> usize {
        let most = if self.there { PER_PEER } else { 1 };
        most.saturating_sub(self.flights)
    }

    fn next(&self) -> Option<Instant> {
        let (due, ..) = self.ready.first().filter(|_| self.room() > 0)?;
        Some(self.until.map_or(*due, |until| until.max(*due)))
    }

    fn answers(&mut self) {
        (self.there, self.failures, self.silent, self.until) = (true, 0, None, None);
    }

    /// The first of a line may go at `due`; a line that is empty goes.
    fn rest(&mut self, conversation: ConversationId, due: Instant) {
        let Some(line) = self.lines.get_mut(&conversation) else { return };
        if let Some((due, id)) = line.rests.take() {
            self.ready.remove(&(due, id, conversation));
        }
        match line.ids.first() {
            Some(first) if line.under_way.is_none() => {
                line.rests = Some((due, *first));
                self.ready.insert((due, *first, conversation));
            }
            Some(_) => {}
            None => {
                self.lines.remove(&conversation);
            }
        }
    }
}

/// All messages of ours that are on their way.
#[derive(Debug, Default)]
pub(super) struct Lines {
    items: BTreeMap<MailId, Waiting>,
    peers: BTreeMap<PeerKey, Peer>,
    over: BTreeSet<(u64, MailId)>,
    flights: usize,
    /// Whose turn it was last.
    turn: Option<PeerKey>,
}

impl Lines {
    /// A message is to go.
    pub(super) fn add(&mut self, waiting: Waiting, now: Instant) {
        let Waiting { id, to, conversation, not_after_ms, .. } = waiting;
        if self.items.insert(id, waiting).is_some() {
            return;
        }
        self.over.insert((not_after_ms, id));
        let peer = self.peers.entry(to).or_default();
        if let (Some(until), Some(silent)) = (peer.until, peer.silent) {
            peer.until = Some(until.min(silent + ANEW));
        }
        let line = peer.lines.entry(conversation).or_default();
        line.ids.insert(id);
        // One that comes behind others does not change when the first may go. Clocks can be set: it may come before them.
        let due = line.rests.map_or(now, |(due, _)| due);
        peer.rest(conversation, due);
    }

    /// Messages that go now, each of them under way from now on.
    pub(super) fn take(&mut self, now: Instant) -> Vec<Waiting> {
        let mut go = Vec::new();
        let ready = |peer: &Peer| peer.next().is_some_and(|next| next <= now);
        let all = || self.peers.iter().filter(|(_, peer)| ready(peer)).map(|(key, _)| *key);
        let (before, after): (Vec<_>, Vec<_>) = all().partition(|key| self.turn.is_some_and(|turn| *key <= turn));
        let keys = after.into_iter().chain(before);
        for key in keys {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            let mut room = peer.room().min(FLIGHTS - self.flights);
            while room > 0
                && let Some((due, id, conversation)) = peer.ready.first().copied()
                && due <= now
            {
                peer.ready.pop_first();
                if let Some(line) = peer.lines.get_mut(&conversation) {
                    (line.rests, line.under_way) = (None, Some(id));
                }
                peer.flights += 1;
                self.flights += 1;
                room -= 1;
                go.extend(self.items.get(&id));
                self.turn = Some(key);
            }
        }
        go
    }

    /// A try that began at `since` has ended. When the next one is, if there is one; `spread` is drawn from 0 to 1.
    pub(super) fn landed(
        &mut self,
        id: MailId,
        landing: Landing,
        since: Instant,
        now: Instant,
        spread: f64,
    ) -> Option<Duration> {
        let item = self.items.get_mut(&id)?;
        item.attempts = item.attempts.saturating_add(1);
        let Waiting { attempts, conversation, .. } = *item;
        let peer = self.land(&id)?;
        match landing {
            Landing::Settled => {
                peer.answers();
                self.remove(&id, now);
                None
            }
            Landing::Later(after) => {
                peer.answers();
                let after = after.map_or(pause(attempts, spread), |after| after.clamp(SOONEST, LONGEST));
                peer.rest(conversation, now + after);
                Some(after)
            }
            Landing::Silent => {
                // It has come back since: what failed says nothing about it.
                let old = peer.met.is_some_and(|met| met >= since);
                // Those that were under way together are silent together: once.
                if !old && peer.silent.is_none_or(|silent| silent < since) {
                    peer.there = false;
                    peer.failures = peer.failures.saturating_add(1);
                    peer.silent = Some(now);
                    peer.until = Some(now + pause(peer.failures, spread));
                }
                let own = if old { FIRST } else { pause(attempts, spread) };
                peer.rest(conversation, now + own);
                let all = peer.until.map(|until| until.saturating_duration_since(now)).unwrap_or_default();
                Some(own.max(all))
            }
        }
    }

    /// Nothing of it is under way any more.
    fn land(&mut self, id: &MailId) -> Option<&mut Peer> {
        let Waiting { to, conversation, .. } = self.items.get(id)?;
        let peer = self.peers.get_mut(to)?;
        let line = peer.lines.get_mut(conversation).filter(|line| line.under_way == Some(*id))?;
        line.under_way = None;
        peer.flights = peer.flights.saturating_sub(1);
        self.flights = self.flights.saturating_sub(1);
        Some(peer)
    }

    /// It was to go, and is not in the outbox any more.
    pub(super) fn gone(&mut self, id: &MailId, now: Instant) {
        self.land(id);
        self.remove(id, now);
    }

    /// What became of it could not be noted: it goes once more, at `due`.
    pub(super) fn unkept(&mut self, waiting: &Waiting, due: Instant) {
        self.land(&waiting.id);
        self.add(*waiting, due);
        if let Some(peer) = self.peers.get_mut(&waiting.to) {
            peer.rest(waiting.conversation, due);
        }
    }

    /// A peer is there: what waited for it goes.
    pub(super) fn met(&mut self, key: &PeerKey, now: Instant) {
        let Some(peer) = self.peers.get_mut(key) else { return };
        peer.answers();
        peer.met = Some(now);
        let later = peer.ready.iter().filter(|(due, ..)| *due > now).map(|(_, _, conversation)| *conversation);
        for conversation in later.collect::<Vec<_>>() {
            peer.rest(conversation, now);
        }
    }

    /// It is not to go any more, and nothing of it is under way: its line goes on.
    fn remove(&mut self, id: &MailId, now: Instant) {
        let Some(item) = self.items.remove(id) else { return };
        self.over.remove(&(item.not_after_ms, *id));
        let Some(peer) = self.peers.get_mut(&item.to) else { return };
        let Some(line) = peer.lines.get_mut(&item.conversation) else { return };
        let due = line.rests.filter(|(_, first)| first != id).map_or(now, |(due, _)| due);
        line.ids.remove(id);
        peer.rest(item.conversation, due);
        if peer.lines.is_empty() {
            self.peers.remove(&item.to);
        }
    }

    /// Takes out the messages whose time is over. Those under way stay: they may arrive yet.
    pub(super) fn expire(&mut self, now_ms: u64, now: Instant) -> Vec<Waiting> {
        let over = self.over.iter().take_while(|(at, _)| *at <= now_ms).map(|(_, id)| *id);
        let over = over.filter(|id| !self.is_under_way(id)).filter_map(|id| self.items.get(&id));
        let over: Vec<Waiting> = over.copied().collect();
        over.iter().for_each(|waiting| self.remove(&waiting.id, now));
        over
    }

    fn is_under_way(&self, id: &MailId) -> bool {
        let line = self.items.get(id).and_then(|item| self.peers.get(&item.to)?.lines.get(&item.conversation));
        line.is_some_and(|line| line.under_way == Some(*id))
    }

    /// When there is something to do, if nothing happens before: when one may go, and the time when one expires.
    pub(super) fn next(&self) -> (Option<Instant>, Option<u64>) {
        let due = self.peers.values().filter_map(Peer::next).min().filter(|_| self.flights < FLIGHTS);
        let over = self.over.iter().find(|(_, id)| !self.is_under_way(id));
        (due, over.map(|(at, _)| *at))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn id(n: u8) -> MailId {
        MailId(Uuid::from_bytes([n; 16]))
    }

    fn waiting(n: u8, to: u8, talk: u8) -> Waiting {
        let conversation = ConversationId(Uuid::from_bytes([talk; 16]));
        Waiting { id: id(n), to: PeerKey([to; 32]), conversation, attempts: 0, not_after_ms: 1_000 + u64::from(n) }
    }

    fn taken(lines: &mut Lines, now: Instant) -> Vec<u128> {
        lines.take(now).iter().map(|waiting| u128::from(waiting.id.0.as_bytes()[0])).collect()
    }

    #[test]
    fn a_line_goes_one_by_one_and_lines_beside_each_other() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        lines.met(&PeerKey([1; 32]), now);
        for (n, talk) in [(1, 1), (2, 1), (3, 2), (4, 3)] {
            lines.add(waiting(n, 1, talk), now);
        }
        assert_eq!(taken(&mut lines, now), [1], "whether the peer is there is not known yet");
        assert_eq!(taken(&mut lines, now), [] as [u128; 0]);
        assert_eq!(lines.landed(id(1), Landing::Settled, now, now, 0.5), None);
        assert_eq!(taken(&mut lines, now), [2, 3, 4]);
        assert_eq!(lines.landed(id(2), Landing::Later(Some(SECOND)), now, now, 0.5), Some(SECOND));
        lines.add(waiting(5, 1, 1), now);
        assert_eq!(taken(&mut lines, now), [] as [u128; 0], "it stays behind the one before it");
        assert_eq!(taken(&mut lines, now + SECOND), [2]);
    }

    #[test]
    fn a_silent_peer_is_tried_with_one_and_gets_all_when_it_comes() {
        let (mut lines, mut now) = (Lines::default(), Instant::now());
        (1..=200).for_each(|n| lines.add(waiting(n, 1, n), now));
        (201..=203).for_each(|n| lines.add(waiting(n, 2, n), now));
        let first = lines.take(now);
        assert_eq!(first.len(), 2, "one for each peer");
        lines.landed(id(201), Landing::Settled, now, now, 0.5);
        assert_eq!(taken(&mut lines, now), [202, 203], "the other one is not held up");
        for doubled in [1, 2, 4, 8] {
            let Some(Waiting { id, .. }) = first.first().copied().filter(|_| doubled == 1).or_else(|| {
                let again = lines.take(now);
                assert_eq!(again.len(), 1);
                again.first().copied()
            }) else {
                panic!("none goes")
            };
            assert!(lines.landed(id, Landing::Silent, now, now, 0.5).is_some());
            now += doubled * SECOND;
            assert!(lines.take(now - SECOND / 10).is_empty());
        }
        lines.met(&PeerKey([1; 32]), now);
        assert_eq!(lines.take(now).len(), PER_PEER);
    }

    #[test]
    fn what_failed_before_a_peer_came_does_not_hold_it_up() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        lines.add(Waiting { attempts: 9, ..waiting(1, 1, 1) }, start);
        assert_eq!(taken(&mut lines, start), [1]);
        lines.met(&PeerKey([1; 32]), start + SECOND);
        let landed = start + 2 * SECOND;
        assert_eq!(lines.landed(id(1), Landing::Silent, start, landed, 0.5), Some(SECOND));
        assert_eq!(taken(&mut lines, landed + SECOND), [1]);
    }

    #[test]
    fn a_new_message_has_a_silent_peer_tried_soon() {
        let (mut lines, start) = (Lines::default(), Instant::now());
        lines.add(waiting(1, 1, 1), start);
        let mut now = start;
        for _ in 0..9 {
            assert_eq!(taken(&mut lines, now), [1]);
            let after = lines.landed(id(1), Landing::Silent, now, now, 0.5).unwrap();
            assert_eq!(lines.next().0, Some(now + after));
            now += after;
        }
        assert_eq!(taken(&mut lines, now), [1]);
        lines.landed(id(1), Landing::Silent, now, now, 0.5);
        lines.add(waiting(2, 1, 2), now);
        assert_eq!(lines.next().0, Some(now + ANEW));
        assert_eq!(taken(&mut lines, now + ANEW), [2]);
    }

    #[test]
    fn what_is_over_is_taken_out_but_not_from_the_air() {
        let (mut lines, now) = (Lines::default(), Instant::now());
        lines.add(waiting(1, 1, 1), now);
        lines.add(waiting(2, 1, 1), now);
        assert_eq!(lines.next(), (Some(now), Some(1_001)));
        assert_eq!(taken(&mut lines, now), [1]);
        assert_eq!(lines.next().1, Some(1_002));
        let ids = |over: Vec<Waiting>| over.iter().map(|waiting| waiting.id).collect::<Vec<_>>();
        assert_eq!(ids(lines.expire(5_000, now)), [id(2)]);
        lines.landed(id(1), Landing::Silent, now, now, 0.5);
        assert_eq!(ids(lines.expire(5_000, now)), [id(1)]);
        assert_eq!(lines.next(), (None, None));
        assert!(lines.peers.is_empty() && lines.items.is_empty());
    }

    #[derive(Debug, Clone)]
    enum Step {
        Add(u8, u8, u8),
        Take,
        Land(usize, u8),
        Met(u8),
        Pass(u16),
        Gone(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (any::<u8>(), 0..4_u8, 0..5_u8).prop_map(|(n, to, talk)| Step::Add(n, to, talk)),
            3 => Just(Step::Take),
            3 => (any::<usize>(), 0..4_u8).prop_map(|(at, how)| Step::Land(at, how)),
            1 => (0..4_u8).prop_map(Step::Met),
            1 => (0..4_000_u16).prop_map(Step::Pass),
            1 => any::<usize>().prop_map(Step::Gone),
        ]
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_no_two_of_a_line_go_together(steps in proptest::collection::vec(step(), 0..200)) {
            let (mut lines, mut now) = (Lines::default(), Instant::now());
            let mut there: BTreeMap<MailId, Waiting> = BTreeMap::new();
            let mut flying: Vec<(Waiting, Instant)> = Vec::new();
            let line = |waiting: &Waiting| (waiting.to, waiting.conversation);
            let land = |lines: &mut Lines, there: &mut BTreeMap<MailId, Waiting>, waiting: &Waiting, since, how, now| {
                let landing = match how {
                    0 => Landing::Silent,
                    1 => Landing::Later(None),
                    _ => Landing::Settled,
                };
                let again = lines.landed(waiting.id, landing, since, now, 0.5);
                assert_eq!(again.is_none(), how > 1);
                if how > 1 {
                    there.remove(&waiting.id);
                }
            };
            for step in steps {
                match step {
                    Step::Add(n, to, talk) => {
                        there.entry(id(n)).or_insert_with(|| waiting(n, to, talk));
                        lines.add(there[&id(n)], now);
                    }
                    Step::Take => {
                        for waiting in lines.take(now) {
                            prop_assert!(there.contains_key(&waiting.id));
                            prop_assert!(flying.iter().all(|(other, _)| line(other) != line(&waiting)));
                            flying.push((waiting, now));
                        }
                        prop_assert!(flying.len() <= FLIGHTS && lines.flights == flying.len());
                    }
                    Step::Land(at, how) if !flying.is_empty() => {
                        let (waiting, since) = flying.swap_remove(at % flying.len());
                        land(&mut lines, &mut there, &waiting, since, how, now);
                    }
                    Step::Gone(at) if !flying.is_empty() => {
                        let (waiting, _) = flying.swap_remove(at % flying.len());
                        lines.gone(&waiting.id, now);
                        there.remove(&waiting.id);
                    }
                    Step::Met(to) => lines.met(&PeerKey([to; 32]), now),
                    Step::Pass(ms) => now += Duration::from_millis(u64::from(ms)),
                    Step::Land(..) | Step::Gone(..) => {}
                }
            }
            // Peers that take all are left with none.
            for (waiting, since) in std::mem::take(&mut flying) {
                land(&mut lines, &mut there, &waiting, since, 2, now);
            }
            for _ in 0..1_000 {
                if there.is_empty() {
                    break;
                }
                now = now.max(lines.next().0.expect("something is to go"));
                for waiting in lines.take(now) {
                    land(&mut lines, &mut there, &waiting, now, 2, now);
                }
            }
            prop_assert!(there.is_empty() && lines.items.is_empty() && lines.peers.is_empty() && lines.over.is_empty());
        }
    }
}
