//! Tells a second node with our identity from a dial that ended at ourselves.

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant},
};

use libp2p_core::Multiaddr;

use super::address::ip_of;

/// Both ends of a dial to ourselves are seen by this process within this time.
const BOTH_ENDS: Duration = Duration::from_secs(3);

/// Ends waiting for their other end. More come only from a flood, of which the newest are as good as the oldest.
const MAX_WAITING: usize = 32;

#[derive(Debug)]
struct End {
    dialler: bool,
    remote: Multiaddr,
    ips: Vec<IpAddr>,
    at: Instant,
}

/// A connection that turned out to be with our own `PeerId` has two ends. If both are ours, it was a dial to one of our
/// own addresses, as happens when a node is in its own list of addresses. A single end belongs to somebody else.
#[derive(Debug, Default)]
pub(super) struct Twins {
    waiting: VecDeque<End>,
}

impl Twins {
    /// We dialled `addr` and met our own identity.
    pub(super) fn dialled(&mut self, addr: &Multiaddr, now: Instant) {
        let ips = ip_of(addr).into_iter().collect();
        self.seen(End { dialler: true, remote: addr.clone(), ips, at: now });
    }

    /// Somebody dialled us, from `remote` to `local`, with our own identity.
    pub(super) fn accepted(&mut self, local: &Multiaddr, remote: &Multiaddr, now: Instant) {
        let ips = ip_of(local).into_iter().chain(ip_of(remote)).collect();
        self.seen(End { dialler: false, remote: remote.clone(), ips, at: now });
    }

    fn seen(&mut self, end: End) {
        let other = self.waiting.iter().position(|known| known.dialler != end.dialler && known.may_belong_to(&end));
        if let Some(other) = other {
            self.waiting.remove(other);
            return;
        }
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
        }
        self.waiting.push_back(end);
    }

    /// The remote of a connection with a second node of our identity, once that is sure.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Multiaddr> {
        let first = self.waiting.front()?;
        if now.saturating_duration_since(first.at) < BOTH_ENDS {
            return None;
        }
        self.waiting.pop_front().map(|end| end.remote)
    }

    /// When to ask again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.waiting.front().map(|end| end.at + BOTH_ENDS)
    }
}

impl End {
    /// A dial by name has no address to compare; it may belong to any.
    fn may_belong_to(&self, other: &Self) -> bool {
        self.ips.is_empty() || other.ips.is_empty() || self.ips.iter().any(|ip| other.ips.contains(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_dial_to_ourselves_is_no_twin() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        twins.dialled(&addr("/ip4/127.0.0.1/tcp/1"), now);
        twins.accepted(&addr("/ip4/127.0.0.1/tcp/1"), &addr("/ip4/127.0.0.1/tcp/5"), now);
        twins.accepted(&addr("/ip4/10.0.0.1/tcp/1"), &addr("/ip4/10.0.0.1/tcp/5"), now);
        twins.dialled(&addr("/dns/me/tcp/1"), now);
        assert_eq!(twins.poll(now + BOTH_ENDS), None);
        assert_eq!(twins.wake_at(), None);
    }

    #[test]
    fn one_end_alone_is_a_twin() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        twins.accepted(&addr("/ip4/10.0.0.1/tcp/1"), &addr("/ip4/10.0.0.2/tcp/5"), now);
        twins.dialled(&addr("/ip4/10.0.0.3/tcp/1"), now);
        assert_eq!(twins.poll(now), None);
        assert_eq!(twins.poll(now + BOTH_ENDS), Some(addr("/ip4/10.0.0.2/tcp/5")));
        assert_eq!(twins.poll(now + BOTH_ENDS), Some(addr("/ip4/10.0.0.3/tcp/1")));
    }

    #[test]
    fn a_flood_is_bounded() {
        let (mut twins, now) = (Twins::default(), Instant::now());
        for _ in 0..1_000 {
            twins.accepted(&addr("/ip4/10.0.0.1/tcp/1"), &addr("/ip4/10.0.0.2/tcp/5"), now);
        }
        assert_eq!(twins.waiting.len(), MAX_WAITING);
    }
}
