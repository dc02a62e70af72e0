use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const STRANGE: bool = true;

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn id(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

/// Accepts, authenticates and opens, as the swarm does.
fn connect(state: &mut State, number: usize, peer: PeerId, remote: &Multiaddr, now: Instant) -> Result<(), Refused> {
    state.accept(id(number), remote, now)?;
    let admitted = state.admit(&peer, STRANGE, false);
    match admitted {
        Ok(()) => state.opened(id(number), peer, true, false),
        Err(_) => state.failed(id(number)),
    }
    admitted
}

#[test]
fn ten_thousand_dials_from_one_host_hold_sixteen() {
    let (mut state, start) = (State::new(Limits::default()), Instant::now());
    let remote = addr("/ip4/8.8.8.8/tcp/1");
    let opened = (0..10_000_usize)
        .filter(|n| {
            let now = start + Duration::from_millis(*n as u64 * 6);
            connect(&mut state, *n, PeerId::random(), &remote, now).is_ok()
        })
        .count();
    assert_eq!(opened, 16);
    let elsewhere = connect(&mut state, 99_999, PeerId::random(), &addr("/ip4/9.9.9.9/tcp/1"), start);
    assert_eq!(elsewhere, Ok(()), "others are not concerned");
}

#[test]
fn one_host_does_not_take_all_handshakes() {
    let (mut state, now) = (State::new(Limits::default()), Instant::now());
    let slow = addr("/ip6/2a00:1:2:3::1/tcp/1");
    assert!((0..4).all(|n| state.accept(id(n), &slow, now).is_ok()));
    let neighbour = addr("/ip6/2a00:1:2:3:ffff::2/tcp/1");
    assert_eq!(state.accept(id(5), &neighbour, now), Err(Refused::PendingInPerIp), "the same /56");
    assert_eq!(state.accept(id(6), &addr("/ip4/8.8.8.8/tcp/1"), now), Ok(()));
}

#[test]
fn reconnecting_fast_is_refused() {
    let (mut state, start) = (State::new(Limits::default()), Instant::now());
    let remote = addr("/ip4/8.8.8.8/tcp/1");
    let mut accepted = 0;
    for n in 0..1_000 {
        let now = start + Duration::from_millis(10 * n as u64);
        if connect(&mut state, n, PeerId::random(), &remote, now).is_ok() {
            accepted += 1;
            state.closed(id(n));
        }
    }
    assert!((16..=21).contains(&accepted), "16 at once and one per two seconds for 10 s, not {accepted}");
}

#[test]
fn a_lan_is_exempt_unless_told_otherwise() {
    let now = Instant::now();
    let remote = addr("/ip4/192.168.0.1/tcp/1");
    let count = |exempt_private| {
        let limits = Limits { exempt_private, ..Limits::default() };
        let mut state = State::new(limits);
        (0..100).filter(|n| connect(&mut state, *n, PeerId::random(), &remote, now).is_ok()).count()
    };
    assert_eq!((count(true), count(false)), (100, 16));
}

#[test]
fn members_find_room_among_strangers() {
    let (mut state, now) = (State::new(Limits::default()), Instant::now());
    let remote = addr("/memory/1");
    let strangers = (0..200).filter(|n| connect(&mut state, *n, PeerId::random(), &remote, now).is_ok()).count();
    assert_eq!(strangers, 128);
    let members = (200..300).filter(|n| {
        let peer = PeerId::random();
        assert!(state.member(peer));
        connect(&mut state, *n, peer, &remote, now).is_ok()
    });
    assert_eq!(members.count(), 32, "what strangers cannot have");
}

#[test]
fn two_connections_per_peer() {
    let (mut state, now, peer) = (State::new(Limits::default()), Instant::now(), PeerId::random());
    state.member(peer);
    let results = [1, 2, 3].map(|n| connect(&mut state, n, peer, &addr("/memory/1"), now));
    assert_eq!(results, [Ok(()), Ok(()), Err(Refused::PerPeer)]);
}

/// Whatever happens in whatever order, no limit is passed and nothing is left behind.
#[test]
fn counts_hold_under_any_order() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let limits = Limits { exempt_private: false, rate_per_ip: 100.0, ..Limits::default() };
    let (mut state, mut now) = (State::new(limits.clone()), Instant::now());
    let (mut pending, mut open) = (Vec::new(), Vec::new());
    for n in 0..50_000 {
        now += Duration::from_millis(rng.random_range(0..50));
        match rng.random_range(0..5) {
            0 | 1 => {
                let remote = addr(&format!("/ip4/8.8.{}.{}/tcp/1", rng.random_range(0..4), rng.random_range(0..8)));
                if state.accept(id(n), &remote, now).is_ok() {
                    pending.push(id(n));
                }
            }
            2 if !pending.is_empty() => {
                let id = pending.swap_remove(rng.random_range(0..pending.len()));
                let peer = PeerId::random();
                if state.admit(&peer, true, false).is_ok() {
                    state.opened(id, peer, true, false);
                    open.push(id);
                } else {
                    state.failed(id);
                }
            }
            3 if !pending.is_empty() => state.failed(pending.swap_remove(rng.random_range(0..pending.len()))),
            4 if !open.is_empty() => state.closed(open.swap_remove(rng.random_range(0..open.len()))),
            _ => {}
        }
        assert!(pending.len() <= limits.pending_in && open.len() <= limits.inbound);
        assert!(state.hosts.values().all(|visitor| visitor.open + visitor.pending <= limits.per_ip));
        let held: usize = state.hosts.values().map(|visitor| visitor.open + visitor.pending).sum();
        assert_eq!(held, pending.len() + open.len());
    }
}

#[test]
fn hosts_are_bounded() {
    let (mut state, start) = (State::new(Limits::default()), Instant::now());
    for n in 0..10_000_u32 {
        let ip = std::net::Ipv4Addr::from(0x0800_0000 + n);
        let _ =
            state.accept(id(n as usize), &addr(&format!("/ip4/{ip}/tcp/1")), start + Duration::from_millis(n.into()));
        state.failed(id(n as usize));
    }
    assert_eq!(state.hosts.len(), MAX_HOSTS);
}
