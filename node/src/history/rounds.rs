//! When to compare with whom what is kept of a swarm. Pure.

use std::time::{Duration, Instant};

use libp2p::PeerId;

/// When nothing calls for it sooner; a third more or less.
const CALM: Duration = Duration::from_secs(30);

/// Members whom retention has left other parts of a history differ for ever: rounds that bring nothing become rarer, up
/// to so many times [`CALM`].
const RAREST: u32 = 16;

/// What a member has sent out may still be on its way by gossip.
const SOON: Duration = Duration::from_secs(1);

/// Members met first are compared with at once: one of them has what was said before we came.
const FIRST: u32 = 3;

/// Who meets somebody later compares, but not more often than this: members come in crowds.
const MET: Duration = Duration::from_secs(5);

/// The rounds of one swarm.
#[derive(Debug)]
pub(crate) struct Rounds {
    next: Instant,
    /// With whom, if that matters, and whether that one has just asked us.
    with: Option<(PeerId, bool)>,
    last: Option<Instant>,
    compared: u32,
    fruitless: u32,
    under_way: bool,
    /// Something has called for the next round since the last one began.
    called: bool,
}

/// How a round ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Both keep the same.
    Same,
    /// The other has nothing that we lack.
    Nothing,
    /// We have so many events more now.
    News(usize),
    /// There was no answer, or not a whole one.
    Failed,
}

impl Rounds {
    pub(crate) fn new(now: Instant) -> Self {
        Self { next: now + CALM, with: None, last: None, compared: 0, fruitless: 0, under_way: false, called: false }
    }

    /// A member has come, or come back.
    pub(crate) fn met(&mut self, peer: PeerId, now: Instant) {
        let recently = self.last.is_some_and(|last| now.saturating_duration_since(last) < MET);
        if self.compared < FIRST {
            self.hasten(Some((peer, false)), now);
        } else if !recently {
            self.hasten(Some((peer, false)), now + SOON);
        }
    }

    /// An event came, but not the one before it.
    pub(crate) fn gap(&mut self, source: PeerId, now: Instant) {
        self.hasten(Some((source, false)), now + SOON);
    }

    /// Somebody has compared with us and keeps something else.
    pub(crate) fn differs(&mut self, peer: PeerId, now: Instant) {
        self.hasten(Some((peer, true)), now + SOON / 2);
    }

    /// There is something that others should know.
    pub(crate) fn news(&mut self, spread: f64, now: Instant) {
        self.hasten(None, now + SOON.mul_f64(0.5 + spread));
    }

    fn hasten(&mut self, with: Option<(PeerId, bool)>, at: Instant) {
        if at < self.next {
            (self.next, self.with, self.called) = (at, with, true);
        }
    }

    /// When the next round is due; none while one is under way.
    pub(crate) fn due(&self) -> Option<Instant> {
        (!self.under_way).then_some(self.next)
    }

    /// A round begins; with whom, if that matters, and whether that one has just asked us. `spread` is drawn from 0 to 1.
    pub(crate) fn begin(&mut self, spread: f64, now: Instant) -> Option<(PeerId, bool)> {
        (self.under_way, self.called) = (true, false);
        self.last = Some(now);
        self.pause(spread, now);
        self.with.take()
    }

    fn pause(&mut self, spread: f64, now: Instant) {
        let pause = CALM * 2_u32.saturating_pow(self.fruitless).min(RAREST);
        self.next = now + pause.mul_f64(0.7 + 0.6 * spread);
    }

    /// Nobody was there to compare with.
    pub(crate) fn alone(&mut self) {
        self.under_way = false;
    }

    /// It has ended.
    pub(crate) fn ended(&mut self, outcome: Outcome, spread: f64, now: Instant) {
        self.under_way = false;
        match outcome {
            Outcome::Same => (self.compared, self.fruitless) = (self.compared + 1, 0),
            Outcome::Nothing => (self.compared, self.fruitless) = (self.compared + 1, (self.fruitless + 1).min(10)),
            // What we have just learnt others may not know either: they see that we differ, and ask.
            Outcome::News(_) => {
                (self.compared, self.fruitless) = (self.compared + 1, 0);
                return self.news(spread, now);
            }
            Outcome::Failed => {}
        }
        if !self.called {
            self.pause(spread, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(rounds: &mut Rounds, outcome: Outcome, now: Instant) -> Duration {
        rounds.begin(0.5, now);
        assert_eq!(rounds.due(), None);
        rounds.ended(outcome, 0.5, now);
        rounds.due().expect("due some time") - now
    }

    #[test]
    fn the_first_ones_met_are_compared_with_at_once() {
        let (now, peer) = (Instant::now(), PeerId::random());
        let mut rounds = Rounds::new(now);
        for _ in 0..FIRST {
            rounds.met(peer, now);
            assert_eq!(rounds.due(), Some(now));
            assert_eq!(rounds.begin(0.5, now), Some((peer, false)));
            rounds.ended(Outcome::Same, 0.5, now);
        }
        rounds.met(peer, now);
        assert!(rounds.due() > Some(now + SOON), "members come in crowds");
        rounds.met(peer, now + MET);
        assert_eq!(rounds.due(), Some(now + MET + SOON));
    }

    #[test]
    fn news_are_passed_on_and_rounds_in_vain_become_rarer() {
        let now = Instant::now();
        let mut rounds = Rounds::new(now);
        assert!(run(&mut rounds, Outcome::News(3), now) <= SOON * 2);
        assert_eq!(run(&mut rounds, Outcome::Same, now), CALM);
        let pauses: Vec<Duration> = (0..6).map(|_| run(&mut rounds, Outcome::Nothing, now)).collect();
        assert_eq!(pauses, [2, 4, 8, 16, 16, 16].map(|n| CALM * n));
        assert_eq!(run(&mut rounds, Outcome::Same, now), CALM);
        rounds.gap(PeerId::random(), now);
        assert_eq!(rounds.due(), Some(now + SOON));
    }

    #[test]
    fn what_calls_for_a_round_during_another_is_not_forgotten() {
        let now = Instant::now();
        for outcome in [Outcome::Nothing, Outcome::Same, Outcome::Failed] {
            let mut rounds = Rounds::new(now);
            rounds.begin(0.5, now);
            rounds.gap(PeerId::random(), now);
            rounds.ended(outcome, 0.5, now);
            assert_eq!(rounds.due(), Some(now + SOON), "{outcome:?}");
        }
    }
}
