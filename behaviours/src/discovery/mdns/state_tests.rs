use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

fn addr(number: u32) -> Multiaddr {
    let ip = std::net::Ipv4Addr::from(0xc0a8_0000 + number % 65_000);
    format!("/ip4/{ip}/tcp/9999").parse().expect("an address")
}

#[test]
fn a_flood_is_dialled_slowly_and_the_real_one_soon() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let (mut rng, start) = (StdRng::seed_from_u64(seed), Instant::now());
    let mut state = State::new(start);
    let (mut dials, mut now, mut under_way) = (0, start, VecDequeOf::new());
    for n in 0..50_000_u32 {
        now = start + Duration::from_micros(u64::from(n) * 1_200);
        state.discovered(PeerId::random(), addr(n), now);
        while let Some((peer, _)) = state.next(now) {
            dials += 1;
            under_way.push_back((peer, now + Duration::from_secs(3)));
        }
        while let Some((peer, _)) = under_way.front().copied().filter(|(_, until)| *until <= now) {
            under_way.pop_front();
            state.failed(&peer, now, &mut rng);
        }
        assert!(state.known.len() <= MAX_PEERS && state.dialling.len() <= MAX_DIALS);
    }
    assert!(dials <= 122, "{dials} dials in 60 s");
    let real = PeerId::random();
    state.discovered(real, addr(1), now);
    let found = std::iter::from_fn(|| {
        now += Duration::from_millis(100);
        while let Some((peer, _)) = under_way.front().copied().filter(|(_, until)| *until <= now) {
            under_way.pop_front();
            state.failed(&peer, now, &mut rng);
        }
        Some(state.next(now).map(|(peer, _)| peer))
    });
    let waited = found.take(100).position(|dialled| dialled == Some(real));
    assert!(waited.is_some(), "the real neighbour is dialled within 10 s");
}

type VecDequeOf = std::collections::VecDeque<(PeerId, Instant)>;

#[test]
fn strangers_are_forgotten_for_ten_minutes() {
    let (mut state, now, peer) = (State::new(Instant::now()), Instant::now(), PeerId::random());
    assert!(state.discovered(peer, addr(1), now));
    state.forget(peer, now);
    assert!(!state.discovered(peer, addr(1), now + Duration::from_secs(599)));
    assert!(state.next(now + Duration::from_secs(1)).is_none());
    assert!(state.discovered(peer, addr(1), now + Duration::from_secs(601)));
    (0..1_000).for_each(|_| state.forget(PeerId::random(), now));
    assert_eq!(state.forgotten.len(), MAX_PEERS);
}

#[test]
fn failed_dials_are_repeated_a_few_times() {
    let (mut rng, start, peer) = (StdRng::seed_from_u64(7), Instant::now(), PeerId::random());
    let mut state = State::new(start);
    state.discovered(peer, addr(1), start);
    let (mut dials, mut now) = (0, start);
    while let Some(at) = state.wake_at(now) {
        now = at + Duration::from_millis(1);
        if state.next(now).is_some() {
            dials += 1;
            state.failed(&peer, now, &mut rng);
        }
    }
    assert_eq!(dials, MAX_FAILURES);
    assert!(!state.discovered(peer, addr(1), now), "nothing new");
    assert!(state.discovered(peer, addr(2), now) && state.next(now + Duration::from_secs(1)).is_some());
}

#[test]
fn the_connected_are_not_dialled() {
    let (mut state, now, peer) = (State::new(Instant::now()), Instant::now(), PeerId::random());
    state.connected(peer);
    assert!(state.discovered(peer, addr(1), now), "told all the same");
    assert!(state.next(now + Duration::from_secs(5)).is_none());
    state.expired(&peer, &addr(1));
    assert!(state.known.is_empty());
}
