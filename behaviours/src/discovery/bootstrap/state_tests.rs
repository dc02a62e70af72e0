use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn rng() -> StdRng {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    StdRng::seed_from_u64(seed)
}

/// Lets dials fail until `end`; the times at which they were made.
fn fail_until(state: &mut State, mut now: Instant, end: Instant, rng: &mut StdRng) -> Vec<Instant> {
    let mut dials = Vec::new();
    while let Some(at) = state.wake_at().filter(|at| at.max(&now) <= &end) {
        now = now.max(at);
        let dial = state.next(now).expect("due");
        state.failed(dial.index, false, now, rng);
        dials.push(now);
    }
    dials
}

fn longest_pause(dials: &[Instant]) -> Duration {
    dials.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
}

#[test]
fn a_lonely_node_never_waits_long() {
    let (mut state, start, mut rng) = (State::default(), Instant::now(), rng());
    assert!(state.add(addr("/ip4/1.1.1.1/tcp/1"), start));
    let dials = fail_until(&mut state, start, start + 600 * SECOND, &mut rng);
    assert!(longest_pause(&dials) <= 6 * SECOND, "{:?}", longest_pause(&dials));
    assert!(dials.len() < 200, "but not without pause");
}

#[test]
fn with_company_it_waits_up_to_a_minute() {
    let (mut state, start, mut rng) = (State::default(), Instant::now(), rng());
    state.add(addr("/ip4/1.1.1.1/tcp/1"), start);
    state.connected(PeerId::random(), None, start);
    let dials = fail_until(&mut state, start, start + 600 * SECOND, &mut rng);
    assert!(longest_pause(&dials) <= 12 * SECOND, "no members: {:?}", longest_pause(&dials));
    state.members(3, start);
    let from = start + 600 * SECOND;
    let dials = fail_until(&mut state, from, from + 1_200 * SECOND, &mut rng);
    let pause = longest_pause(&dials);
    assert!((48 * SECOND..=72 * SECOND).contains(&pause), "members: {pause:?}");
    let now = *dials.last().expect("dials");
    state.members(0, now);
    assert!(state.wake_at().is_some_and(|at| at <= now + CAP_ALONE), "the last member has gone");
}

#[test]
fn a_restart_is_found_in_time() {
    let (mut state, start, mut rng) = (State::default(), Instant::now(), rng());
    let (peer, other) = (PeerId::random(), PeerId::random());
    state.add(addr("/ip4/1.1.1.1/tcp/1"), start);
    state.members(5, start);
    let dial = state.next(start).expect("due");
    assert_eq!(state.connected(peer, Some(dial.index), start), Some(&addr("/ip4/1.1.1.1/tcp/1")));
    state.connected(other, None, start);
    let lost = start + 300 * SECOND;
    state.disconnected(&peer, false, lost, &mut rng);
    let dials = fail_until(&mut state, lost, lost + 500 * SECOND, &mut rng);
    assert!(dials[0] - lost <= SECOND, "at once");
    assert!(longest_pause(&dials) <= 6 * SECOND, "it answered lately: {:?}", longest_pause(&dials));
}

#[test]
fn an_idle_connection_is_not_dialled_again_and_again() {
    let (mut state, start, mut rng) = (State::default(), Instant::now(), rng());
    let (peer, other) = (PeerId::random(), PeerId::random());
    state.add(addr("/ip4/1.1.1.1/tcp/1"), start);
    state.connected(other, None, start);
    let (mut now, mut dials) = (start, 0);
    while let Some(at) = state.wake_at().filter(|at| *at < start + 3_600 * SECOND) {
        now = now.max(at);
        let dial = state.next(now).expect("due");
        dials += 1;
        state.connected(peer, Some(dial.index), now);
        // The other side closes it as idle, which looks like an error here.
        now += 12 * SECOND;
        state.disconnected(&peer, dials % 2 == 0, now, &mut rng);
    }
    assert!((6..=16).contains(&dials), "{dials} dials in an hour");
}

#[test]
fn who_was_led_in_leaves_the_other_addresses_alone() {
    let (mut state, start, mut rng) = (State::default(), Instant::now(), rng());
    for port in 1..=9 {
        state.add(addr(&format!("/ip4/1.1.1.1/tcp/{port}")), start);
    }
    let first: Vec<Dial> = std::iter::from_fn(|| state.next(start)).collect();
    assert_eq!(first.len(), AT_ONCE, "not all at once");
    let peer = PeerId::random();
    state.connected(peer, Some(0), start);
    state.connected(PeerId::random(), None, start);
    state.members(LED_IN, start);
    state.failed(1, false, start, &mut rng);
    state.disconnected(&peer, true, start + 5 * SECOND, &mut rng);
    assert!(state.wake_at().is_some_and(|at| at >= start + 48 * SECOND), "none of them is needed");
    state.members(0, start + 10 * SECOND);
    assert!(state.wake_at().is_some_and(|at| at <= start + 20 * SECOND), "now they are");
}

#[test]
fn all_addresses_are_dialled_while_nobody_is_met() {
    let (mut state, start) = (State::default(), Instant::now());
    for port in 1..=9 {
        state.add(addr(&format!("/ip4/1.1.1.1/tcp/{port}")), start);
    }
    let dials = std::iter::from_fn(|| state.next(start + 2 * FOLLOW)).count();
    assert_eq!(dials, 9);
}

#[test]
fn a_known_peer_counts_wherever_it_comes_from() {
    let (mut state, now, mut rng) = (State::default(), Instant::now(), rng());
    let peer = PeerId::random();
    state.connected(peer, None, now);
    assert!(state.add(addr(&format!("/ip4/1.1.1.1/tcp/1/p2p/{peer}")), now));
    assert_eq!(state.next(now), None);
    state.disconnected(&peer, false, now + 100 * SECOND, &mut rng);
    assert!(state.next(now + 102 * SECOND).is_some());
    state.connected(peer, None, now + 103 * SECOND);
    assert!(state.failed(0, false, now + 104 * SECOND, &mut rng).is_none(), "it came while we dialled");
    assert!(state.addresses().all(|(_, connected)| connected));
}

#[test]
fn ourselves_we_leave_alone() {
    let (mut state, now, mut rng) = (State::default(), Instant::now(), rng());
    state.add(addr("/dns/me/tcp/1"), now);
    let dial = state.next(now).expect("due");
    state.failed(dial.index, true, now, &mut rng);
    assert!(state.wake_at().is_some_and(|at| at > now + 400 * SECOND));
}

#[test]
fn is_bounded() {
    let (mut state, now) = (State::default(), Instant::now());
    let taken = (1..1_000).filter(|port| state.add(addr(&format!("/ip4/1.1.1.1/tcp/{port}")), now)).count();
    assert_eq!(taken, MAX_ADDRESSES);
}
