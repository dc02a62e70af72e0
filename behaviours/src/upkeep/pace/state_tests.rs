use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use super::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn rank(addr: &str) -> Rank {
    Rank::of(&addr.parse().expect("an address"))
}

/// Adds the addresses in this order and polls each once, as the Swarm does.
fn group(addrs: &[&str], now: Instant) -> Group {
    let mut group = Group::default();
    for (id, addr) in (0..).zip(addrs) {
        group.add(id, rank(addr));
    }
    for (id, _) in (0..).zip(addrs) {
        assert_eq!(group.ask(id, Waker::noop(), now), Verdict::Later, "nobody before all are there");
    }
    group
}

#[test]
fn near_before_far_and_tcp_before_quic() {
    let ordered = [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/127.0.0.1/udp/1/quic-v1",
        "/ip4/192.168.1.2/tcp/1",
        "/ip6/fd00::2/udp/1/quic-v1",
        "/ip4/9.9.9.9/tcp/1",
        "/ip4/9.9.9.9/udp/1/quic-v1",
        "/ip4/127.0.0.1/tcp/1/p2p-circuit",
    ];
    assert!(ordered.map(rank).is_sorted());
    assert_eq!(rank("/memory/1"), rank("/ip6/::1/tcp/2"));
}

#[test]
fn the_next_begins_when_one_takes_long() {
    let start = Instant::now();
    let mut group = group(&["/ip4/10.0.0.1/udp/1/quic-v1", "/ip4/9.9.9.9/tcp/1", "/ip4/10.0.0.1/tcp/1"], start);
    assert_eq!(group.ask(0, Waker::noop(), start), Verdict::Later);
    assert_eq!(group.ask(2, Waker::noop(), start), Verdict::Start);
    assert_eq!(group.ask(0, Waker::noop(), start), Verdict::Wait(NEAR));
    assert_eq!(group.ask(1, Waker::noop(), start + NEAR), Verdict::Later);
    assert_eq!(group.ask(0, Waker::noop(), start + NEAR), Verdict::Start);
    assert_eq!(group.ask(1, Waker::noop(), start + NEAR), Verdict::Wait(NEAR));
    assert_eq!(group.ask(1, Waker::noop(), start + 2 * NEAR), Verdict::Start);
}

#[test]
fn the_next_begins_at_once_when_one_fails() {
    let start = Instant::now();
    let mut group = group(&["/ip4/9.9.9.9/tcp/1", "/ip4/9.9.9.9/tcp/2", "/ip4/9.9.9.9/tcp/3"], start);
    assert_eq!(group.ask(0, Waker::noop(), start), Verdict::Start);
    let (woken, wakes) = (Arc::new(Count::default()), |count: &Count| count.0.load(Ordering::Relaxed));
    let waker = Waker::from(woken.clone());
    assert_eq!(group.ask(1, &waker, start), Verdict::Wait(FAR));
    assert!(!group.remove(0));
    assert_eq!(wakes(&woken), 1, "it is told");
    assert_eq!(group.ask(1, &waker, start), Verdict::Start);
    assert!(!group.remove(2), "the one that was given up");
    assert!(group.remove(1), "none is left");
}
