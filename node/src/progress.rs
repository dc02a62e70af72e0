//! Whether the first round of looking around is over; pure.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use libp2p::PeerId;

/// How long multicast may take to bring the first member: one round trip, and one repeated query that was lost.
const MDNS_WAIT: Duration = Duration::from_millis(1_200);

/// How long a node of this host may take to answer.
const LOCAL_WAIT: Duration = Duration::from_millis(1_500);

/// How long a bootstrap address may take: a handshake over a slow link and a retry.
const BOOTSTRAP_WAIT: Duration = Duration::from_secs(10);

/// A member that has just been greeted may name others, which take a moment to be greeted too.
const INTRODUCTIONS: Duration = Duration::from_millis(60);

/// While members come, more may: whoever has just met one waits longer for another.
const IN_MOTION: Duration = Duration::from_secs(3);

/// Addresses given by hand: each is resolved again and again for as long as the node runs.
const MAX_BOOTSTRAP: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bootstrap {
    Trying,
    Connected(PeerId),
    Greeted,
    Failed(String),
}

/// What is being tried and how it went.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    started: Instant,
    mdns: bool,
    local: HashSet<PeerId>,
    local_found: usize,
    bootstrap: BTreeMap<String, Bootstrap>,
    members: usize,
    last_member: Option<Instant>,
    introduced: HashSet<PeerId>,
}

impl Progress {
    pub(crate) fn new(mdns: bool, bootstrap: impl IntoIterator<Item = String>, now: Instant) -> Self {
        Self {
            started: now,
            mdns,
            local: HashSet::new(),
            local_found: 0,
            bootstrap: bootstrap.into_iter().map(|addr| (addr, Bootstrap::Trying)).collect(),
            members: 0,
            last_member: None,
            introduced: HashSet::new(),
        }
    }

    /// This address is tried from now on, too. False if it is tried already, or there are [`MAX_BOOTSTRAP`].
    pub(crate) fn also(&mut self, addr: &str, now: Instant) -> bool {
        let full = self.bootstrap.len() >= MAX_BOOTSTRAP;
        if let Some(state) = self.bootstrap.get_mut(addr) {
            if matches!(state, Bootstrap::Failed(_)) {
                (*state, self.started) = (Bootstrap::Trying, now);
            }
            return false;
        }
        if !full {
            self.bootstrap.insert(addr.to_owned(), Bootstrap::Trying);
            self.started = now;
        }
        !full
    }

    /// A node of this host is being dialled.
    pub(crate) fn local(&mut self, peer: PeerId) {
        if self.local.insert(peer) {
            self.local_found += 1;
        }
    }

    /// A member named by another is being dialled.
    pub(crate) fn introduced(&mut self, peer: PeerId) {
        self.introduced.insert(peer);
    }

    pub(crate) fn bootstrap_connected(&mut self, addr: &str, peer: PeerId) {
        if let Some(state) = self.bootstrap.get_mut(addr).filter(|s| **s != Bootstrap::Greeted) {
            *state = Bootstrap::Connected(peer);
        }
    }

    pub(crate) fn bootstrap_failed(&mut self, addr: &str, reason: &str) {
        if let Some(state @ (Bootstrap::Trying | Bootstrap::Failed(_))) = self.bootstrap.get_mut(addr) {
            *state = Bootstrap::Failed(reason.to_owned());
        }
    }

    /// `peer` has answered our hello, or cannot be reached; `member`: it shares a swarm with us.
    pub(crate) fn done(&mut self, peer: &PeerId, member: bool, now: Instant) {
        self.local.remove(peer);
        self.introduced.remove(peer);
        // Of several addresses of one peer, as in a ticket, one is enough: the others are not dialled any more.
        if self.bootstrap.values().any(|state| *state == Bootstrap::Connected(*peer)) {
            let its = format!("/p2p/{peer}");
            for (addr, state) in &mut self.bootstrap {
                if *state == Bootstrap::Connected(*peer) || addr.ends_with(&its) {
                    *state = Bootstrap::Greeted;
                }
            }
        }
        if member {
            self.members += 1;
            self.last_member = Some(now);
        }
    }

    pub(crate) fn settled(&self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.started);
        let waiting = |s: &Bootstrap| matches!(s, Bootstrap::Trying | Bootstrap::Connected(_));
        // A node of this host that was not reached at once, under load, is dialled again.
        let missed = self.members == 0 && self.local_found > 0;
        if elapsed < LOCAL_WAIT && (missed || !self.local.is_empty()) {
            return false;
        }
        if elapsed < BOOTSTRAP_WAIT && self.bootstrap.values().any(waiting) {
            return false;
        }
        if let Some(last) = self.last_member {
            let fresh = now.saturating_duration_since(last) < INTRODUCTIONS;
            return elapsed >= LOCAL_WAIT || (self.introduced.is_empty() && !fresh);
        }
        !self.mdns || elapsed >= MDNS_WAIT
    }

    /// Whether a member came lately.
    pub(crate) fn is_in_motion(&self, now: Instant) -> bool {
        self.last_member.is_some_and(|last| now.saturating_duration_since(last) < IN_MOTION)
    }

    pub(crate) fn local_found(&self) -> usize {
        self.local_found
    }

    pub(crate) fn bootstrap_failures(&self) -> Vec<(String, String)> {
        let failed = |(addr, state): (&String, &Bootstrap)| match state {
            Bootstrap::Failed(reason) => Some((addr.clone(), reason.clone())),
            _ => None,
        };
        self.bootstrap.iter().filter_map(failed).collect()
    }

    pub(crate) fn bootstrap_addrs(&self) -> Vec<String> {
        self.bootstrap.keys().cloned().collect()
    }

    pub(crate) fn bootstrap_count(&self) -> usize {
        self.bootstrap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn alone_without_network_is_settled_at_once() {
        let t = Instant::now();
        assert!(Progress::new(false, [], t).settled(t));
    }

    #[test]
    fn multicast_gets_its_time_unless_a_member_is_there() {
        let t = Instant::now();
        let mut progress = Progress::new(true, [], t);
        assert!(!progress.settled(t + ms(1_199)));
        assert!(progress.settled(t + MDNS_WAIT));
        let peer = PeerId::random();
        progress.local(peer);
        assert!(!progress.settled(t + ms(1_300)));
        progress.done(&peer, true, t + ms(10));
        assert!(progress.settled(t + ms(10) + INTRODUCTIONS));
    }

    #[test]
    fn a_bootstrap_peer_must_greet_or_fail() {
        let (t, peer) = (Instant::now(), PeerId::random());
        let mut progress = Progress::new(false, ["a".to_owned(), "b".to_owned()], t);
        assert!(!progress.settled(t));
        progress.bootstrap_failed("b", "refused");
        progress.bootstrap_connected("a", peer);
        assert!(!progress.settled(t + ms(100)));
        progress.done(&peer, true, t + ms(200));
        assert!(progress.settled(t + ms(300)));
        assert_eq!(progress.bootstrap_failures(), vec![("b".to_owned(), "refused".to_owned())]);
    }

    #[test]
    fn an_address_is_tried_once_and_no_more_than_so_many() {
        let start = Instant::now();
        let mut progress = Progress::new(false, [], start);
        assert!(progress.also("a:1", start) && !progress.also("a:1", start));
        progress.bootstrap_failed("a:1", "refused");
        assert!(!progress.also("a:1", start), "it is tried all along");
        assert!(!progress.settled(start + ms(10)), "and waited for again");
        let more = (0..2 * MAX_BOOTSTRAP).filter(|n| progress.also(&format!("b:{n}"), start)).count();
        assert_eq!(more, MAX_BOOTSTRAP - 1);
    }

    #[test]
    fn one_address_of_a_peer_is_enough() {
        let (start, peer) = (Instant::now(), PeerId::random());
        let ticket = ["/ip4/10.0.0.7/tcp/1", "/ip4/10.0.0.7/udp/1/quic-v1"].map(|addr| format!("{addr}/p2p/{peer}"));
        let mut progress = Progress::new(false, ticket.clone(), start);
        progress.bootstrap_connected(&ticket[1], peer);
        assert!(!progress.settled(start + ms(100)));
        progress.done(&peer, true, start + ms(100));
        assert!(progress.settled(start + ms(200)), "the other address is not waited for");
    }

    #[test]
    fn a_swarm_is_in_motion_while_members_come() {
        let t = Instant::now();
        let mut progress = Progress::new(false, [], t);
        assert!(!progress.is_in_motion(t));
        progress.done(&PeerId::random(), false, t);
        assert!(!progress.is_in_motion(t), "that was a stranger");
        progress.done(&PeerId::random(), true, t);
        assert!(progress.is_in_motion(t + ms(2_900)) && !progress.is_in_motion(t + ms(3_100)));
    }

    #[test]
    fn members_named_by_members_are_waited_for_a_little() {
        let (t, a, b) = (Instant::now(), PeerId::random(), PeerId::random());
        let mut progress = Progress::new(false, [], t);
        progress.local(a);
        progress.done(&a, true, t);
        progress.introduced(b);
        assert!(!progress.settled(t + ms(500)));
        progress.done(&b, false, t + ms(600));
        assert!(progress.settled(t + ms(700)));
    }
}
