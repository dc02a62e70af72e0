use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use super::{
    super::host::Host,
    state::{MAX_WAITING, State, Step, Ticket},
};

const PLACES: usize = 4;

fn host(n: u8) -> Host {
    Host::of(&format!("/ip4/203.0.113.{n}/tcp/1").parse().expect("an address")).expect("an IP")
}

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// All steps until there is nothing to do now.
fn steps(state: &mut State, now: Instant) -> Vec<Step> {
    let mut steps = Vec::new();
    loop {
        let step = state.next(now);
        steps.push(step);
        if matches!(step, Step::Wait(_) | Step::Nothing) {
            return steps;
        }
        assert!(steps.len() < 10_000, "it never ends");
    }
}

/// A door whose places are all taken by `n`, and which has seen handshakes of 10 ms.
fn full(n: u8, now: Instant) -> (State, Vec<Ticket>) {
    let mut state = State::new(PLACES);
    let (honest, _) = state.arrive(host(200));
    assert_eq!(state.next(now), Step::Admit(honest));
    state.left(honest, true, now + ms(10));
    let tickets: Vec<_> = (0..PLACES).map(|_| state.arrive(host(n)).0).collect();
    let mut expected: Vec<_> = tickets.iter().copied().map(Step::Admit).collect();
    expected.push(Step::Nothing);
    assert_eq!(steps(&mut state, now), expected);
    (state, tickets)
}

#[test]
fn as_many_as_there_are_places_begin_at_once() {
    let now = Instant::now();
    let (mut state, tickets) = full(1, now);
    let (next, _) = state.arrive(host(1));
    assert!(matches!(steps(&mut state, now)[..], [Step::Wait(_)]), "the fifth waits");
    state.left(tickets[2], true, now);
    assert_eq!(steps(&mut state, now), [Step::Admit(next), Step::Nothing]);
}

#[test]
fn another_host_gets_a_place_at_once() {
    let now = Instant::now();
    let (mut state, tickets) = full(1, now);
    let (honest, _) = state.arrive(host(2));
    assert_eq!(steps(&mut state, now), [Step::Evict(tickets[0]), Step::Nothing]);
    assert!(state.is_evicted(tickets[0]));
    assert_eq!(state.next(now), Step::Nothing, "one for each that waits");
    state.left(tickets[0], false, now);
    assert_eq!(steps(&mut state, now), [Step::Admit(honest), Step::Nothing]);
}

#[test]
fn the_same_host_waits_for_four_times_what_a_handshake_takes() {
    let now = Instant::now();
    let (mut state, tickets) = full(1, now);
    state.arrive(host(1));
    let due = now + ms(50);
    assert_eq!(steps(&mut state, now + ms(49)), [Step::Wait(due)]);
    assert_eq!(steps(&mut state, due), [Step::Evict(tickets[0]), Step::Nothing]);
}

#[test]
fn a_slow_machine_has_more_patience() {
    let now = Instant::now();
    let (mut state, tickets) = full(1, now);
    state.left(tickets[0], true, now + ms(100));
    state.arrive(host(1));
    state.arrive(host(1));
    let steps = steps(&mut state, now + ms(100));
    assert!(matches!(steps[..], [Step::Admit(_), Step::Wait(due)] if due == now + ms(400)), "{steps:?}");
}

#[test]
fn who_holds_one_place_is_left_in_peace_longer() {
    let now = Instant::now();
    let mut state = State::new(PLACES);
    for n in 1..=4 {
        state.arrive(host(n));
    }
    assert_eq!(steps(&mut state, now).len(), PLACES + 1);
    state.arrive(host(5));
    assert_eq!(steps(&mut state, now), [Step::Wait(now + ms(1_500))]);
}

#[test]
fn the_line_is_bounded_and_the_greediest_pays() {
    let now = Instant::now();
    let (mut state, _) = full(1, now);
    let (honest, _) = state.arrive(host(2));
    let mut dropped = HashSet::new();
    for _ in 0..10 * MAX_WAITING {
        dropped.extend(state.arrive(host(1)).1);
    }
    assert_eq!(dropped.len(), 9 * MAX_WAITING + 1);
    assert!(!dropped.contains(&honest));
    let steps = steps(&mut state, now);
    let Step::Evict(ticket) = steps[0] else { panic!("{steps:?}") };
    state.left(ticket, false, now);
    assert_eq!(state.next(now), Step::Admit(honest), "not the 256 before it");
}

#[test]
fn a_member_is_served_within_a_second_while_its_own_address_floods() {
    let mut now = Instant::now();
    let (mut state, _) = full(1, now);
    for _ in 0..MAX_WAITING {
        state.arrive(host(1));
    }
    let (honest, _) = state.arrive(host(1));
    let start = now;
    loop {
        state.arrive(host(1));
        match state.next(now) {
            Step::Admit(ticket) if ticket == honest => break,
            Step::Evict(ticket) => state.left(ticket, false, now),
            Step::Wait(at) => now = at,
            _ => {}
        }
        assert!(now - start < Duration::from_secs(5), "it waits for ever");
    }
    // 256 before it, four at once, 50 ms each; a node has 16 places.
    assert!(now - start <= ms(50) * 64, "{:?}", now - start);
}
