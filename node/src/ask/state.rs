//! When an ask is over: a pure machine over who was asked and how they stand.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// Members that are kept account of: in an open swarm anybody may answer, under any number of names.
const MAX_ANSWERERS: usize = 4_096;

/// When to stop waiting. See [`AskBuilder`](super::AskBuilder) for the defaults.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// For the first sign of life, counted from the end of discovery.
    pub(crate) wait_first: Duration,
    /// After the last one has ended, for others that are about to appear.
    pub(crate) linger: Duration,
    /// Replies that are enough.
    pub(crate) replies: Option<usize>,
    /// After these, for more that come at the same time.
    pub(crate) after_enough: Duration,
    /// The whole ask.
    pub(crate) timeout: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The question is on its way.
    Asked,
    /// Delivered to somebody who takes asks; no word yet.
    Delivered,
    /// Wades in.
    Acked,
    Replied,
    Failed,
    Declined,
    /// Takes no asks, or could not be reached.
    Out,
}

impl Standing {
    fn ended(self) -> bool {
        matches!(self, Self::Replied | Self::Failed | Self::Declined | Self::Out)
    }
}

/// Why an ask ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskEnd {
    /// All who acked have ended.
    Complete,
    /// As many replies as were wanted.
    Enough,
    /// Nobody took it.
    Nobody,
    /// The time for the whole ask is over.
    TimedOut,
    /// The asker closed it.
    Closed,
}

pub(crate) struct State {
    rules: Rules,
    started: Instant,
    /// The end of the first round of discovery.
    settled: Option<Instant>,
    peers: HashMap<PeerId, Standing>,
    last_end: Option<Instant>,
    enough_at: Option<Instant>,
}

/// How many stand where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) asked: usize,
    pub(crate) acks: usize,
    pub(crate) replies: usize,
    pub(crate) failures: usize,
    pub(crate) declined: usize,
}

impl State {
    pub(crate) fn new(rules: Rules, now: Instant) -> Self {
        Self { rules, started: now, settled: None, peers: HashMap::new(), last_end: None, enough_at: None }
    }

    /// Discovery's first round is over; those who come later still count.
    pub(crate) fn settled(&mut self, now: Instant) {
        self.settled.get_or_insert(now);
    }

    /// True the first time: then the question goes out.
    pub(crate) fn ask(&mut self, peer: PeerId) -> bool {
        if self.peers.contains_key(&peer) || self.peers.len() >= MAX_ANSWERERS {
            return false;
        }
        self.peers.insert(peer, Standing::Asked);
        true
    }

    pub(crate) fn delivered(&mut self, peer: PeerId) {
        self.advance(peer, Standing::Delivered, |s| s == Standing::Asked);
    }

    /// Returns whether this is news.
    pub(crate) fn acked(&mut self, peer: PeerId) -> bool {
        self.advance(peer, Standing::Acked, |s| matches!(s, Standing::Asked | Standing::Delivered | Standing::Out))
    }

    pub(crate) fn replied(&mut self, peer: PeerId, now: Instant) -> bool {
        let news = self.end(peer, Standing::Replied, now);
        let replies = self.tally().replies;
        if news && self.rules.replies.is_some_and(|n| replies >= n) {
            self.enough_at.get_or_insert(now);
        }
        news
    }

    pub(crate) fn failed(&mut self, peer: PeerId, now: Instant) -> bool {
        self.end(peer, Standing::Failed, now)
    }

    pub(crate) fn declined(&mut self, peer: PeerId, now: Instant) -> bool {
        self.end(peer, Standing::Declined, now)
    }

    /// Not delivered: it does not count as somebody who was asked.
    pub(crate) fn out(&mut self, peer: PeerId, now: Instant) -> bool {
        self.end(peer, Standing::Out, now)
    }

    /// Whether `peer` has been asked and has not ended.
    pub(crate) fn is_open(&self, peer: &PeerId) -> bool {
        self.peers.get(peer).is_some_and(|s| !s.ended())
    }

    /// Those who still work on it.
    pub(crate) fn open(&self) -> Vec<PeerId> {
        self.peers.iter().filter(|(_, s)| !s.ended()).map(|(peer, _)| *peer).collect()
    }

    fn end(&mut self, peer: PeerId, standing: Standing, now: Instant) -> bool {
        // What could not be delivered may have come another way.
        let news = self.advance(peer, standing, |s| !s.ended() || (s == Standing::Out && standing != s));
        if news {
            self.last_end = Some(now);
        }
        news
    }

    /// Only those we asked may move, and only forward.
    fn advance(&mut self, peer: PeerId, to: Standing, may: impl FnOnce(Standing) -> bool) -> bool {
        let Some(standing) = self.peers.get_mut(&peer) else { return false };
        let news = may(*standing);
        if news {
            *standing = to;
        }
        news
    }

    pub(crate) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for standing in self.peers.values() {
            tally.asked += usize::from(*standing != Standing::Out);
            tally.acks += usize::from(matches!(standing, Standing::Acked | Standing::Replied | Standing::Failed));
            tally.replies += usize::from(*standing == Standing::Replied);
            tally.failures += usize::from(*standing == Standing::Failed);
            tally.declined += usize::from(*standing == Standing::Declined);
        }
        tally
    }

    /// How the ask ends now, if it does.
    pub(crate) fn over(&self, now: Instant) -> Option<AskEnd> {
        let (end, at) = self.next_end()?;
        (at <= now).then_some(end)
    }

    /// When [`State::over`] must be asked again if nothing happens before.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next_end().map(|(_, at)| at)
    }

    fn next_end(&self) -> Option<(AskEnd, Instant)> {
        let limit = self.rules.timeout.map(|t| (AskEnd::TimedOut, self.started + t));
        let natural = self.natural_end();
        [limit, natural].into_iter().flatten().min_by_key(|(_, at)| *at)
    }

    fn natural_end(&self) -> Option<(AskEnd, Instant)> {
        if let Some(at) = self.enough_at {
            return Some((AskEnd::Enough, at + self.rules.after_enough));
        }
        // While discovery runs, others may come; it has a time limit of its own.
        let settled = self.settled?;
        if self.peers.is_empty() {
            return Some((AskEnd::Nobody, settled.max(self.started + self.rules.wait_first)));
        }
        if self.peers.values().any(|s| *s == Standing::Acked) {
            return None;
        }
        let tally = self.tally();
        let heard = tally.replies + tally.failures + tally.declined > 0;
        let end = if tally.replies + tally.failures > 0 { AskEnd::Complete } else { AskEnd::Nobody };
        let undecided = self.peers.values().any(|s| matches!(s, Standing::Asked | Standing::Delivered));
        if undecided || !heard {
            return Some((end, settled + self.rules.wait_first));
        }
        let last = self.last_end.map_or(settled, |at| at + self.rules.linger);
        Some((end, last.max(settled)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        wait_first: Duration::from_secs(2),
        linger: Duration::from_millis(250),
        replies: None,
        after_enough: Duration::ZERO,
        timeout: None,
    };

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn nobody_there_ends_after_the_first_wait() {
        let t = Instant::now();
        let mut state = State::new(RULES, t);
        assert_eq!(state.next(), None, "discovery has a limit of its own");
        state.settled(t + ms(10));
        assert_eq!(state.over(t + ms(1999)), None);
        assert_eq!(state.over(t + ms(2000)), Some(AskEnd::Nobody));
    }

    #[test]
    fn waits_for_all_who_acked_however_long() {
        let (t, a, b) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut state = State::new(RULES, t);
        state.settled(t);
        for peer in [a, b] {
            assert!(state.ask(peer));
            assert!(!state.ask(peer), "asked once");
            state.delivered(peer);
        }
        assert!(state.acked(a) && !state.acked(a));
        assert!(state.replied(b, t + ms(20)));
        assert_eq!(state.over(t + Duration::from_secs(3600)), None);
        assert!(state.replied(a, t + ms(60_000)));
        assert!(!state.failed(a, t + ms(60_001)), "an end is final");
        assert_eq!(state.over(t + ms(60_200)), None, "lingers");
        assert_eq!(state.over(t + ms(60_250)), Some(AskEnd::Complete));
        assert_eq!(state.tally(), Tally { asked: 2, acks: 2, replies: 2, ..Tally::default() });
    }

    #[test]
    fn a_delivered_peer_may_still_ack_until_the_first_wait_is_over() {
        let (t, fast, slow) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut state = State::new(RULES, t);
        state.settled(t);
        for peer in [fast, slow] {
            state.ask(peer);
            state.delivered(peer);
        }
        state.replied(fast, t + ms(5));
        assert_eq!(state.over(t + ms(1999)), None);
        assert_eq!(state.over(t + ms(2000)), Some(AskEnd::Complete));
        state.acked(slow);
        assert_eq!(state.over(t + ms(5000)), None);
    }

    #[test]
    fn enough_replies_end_it_though_others_work_on() {
        let (t, a, b) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut state = State::new(Rules { replies: Some(1), ..RULES }, t);
        for peer in [a, b] {
            state.ask(peer);
            state.acked(peer);
        }
        state.replied(a, t);
        assert_eq!(state.over(t), Some(AskEnd::Enough));
        assert_eq!(state.open(), vec![b]);
    }

    #[test]
    fn the_timeout_of_the_whole_ask_wins() {
        let (t, a) = (Instant::now(), PeerId::random());
        let mut state = State::new(Rules { timeout: Some(ms(500)), ..RULES }, t);
        state.ask(a);
        state.acked(a);
        assert_eq!(state.over(t + ms(500)), Some(AskEnd::TimedOut));
    }

    #[test]
    fn strangers_cannot_answer() {
        let t = Instant::now();
        let mut state = State::new(RULES, t);
        assert!(!state.acked(PeerId::random()));
        assert!(!state.replied(PeerId::random(), t));
        assert_eq!(state.tally(), Tally::default());
    }

    #[test]
    fn those_who_take_no_asks_do_not_hold_it_up() {
        let (t, a, b) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut state = State::new(RULES, t);
        state.settled(t);
        state.ask(a);
        state.ask(b);
        state.out(b, t + ms(3));
        state.replied(a, t + ms(5));
        assert_eq!(state.over(t + ms(255)), Some(AskEnd::Complete));
        assert_eq!(state.tally().asked, 1);
    }
}
