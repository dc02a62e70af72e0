use proptest::prelude::*;

use super::*;

fn addr(text: &str) -> Multiaddr {
    text.parse().expect("an address")
}

fn state(config: &Config) -> State {
    State::new(PeerId::random(), config)
}

fn seen(state: &mut State, from: &str, at: &str) {
    let from = from.parse().expect("an address");
    state.seen(Seen { by: PeerId::random(), from, addr: addr(at), reused: true });
}

/// A node at home: one private address, seen elsewhere.
fn at_home() -> State {
    let mut state = state(&Config::default());
    state.listens(&addr("/ip4/192.168.1.2/tcp/9999"));
    seen(&mut state, "11.0.1.1", "/ip4/11.0.1.2/tcp/9999");
    state
}

fn relay(state: &mut State, at: &str) -> PeerId {
    let relay = PeerId::random();
    state.offers(relay, Some(addr(at)), true);
    relay
}

#[test]
fn where_all_is_private_nothing_happens() {
    let mut state = state(&Config::default());
    state.listens(&addr("/ip4/192.168.1.2/tcp/9999"));
    state.listens(&addr("/ip4/127.0.0.1/tcp/9999"));
    seen(&mut state, "192.168.1.3", "/ip4/192.168.1.2/tcp/9999");
    seen(&mut state, "192.168.1.3", "/ip4/11.0.0.1/tcp/9999");
    seen(&mut state, "11.0.0.3", "/ip4/192.168.1.2/tcp/9999");
    relay(&mut state, "/ip4/192.168.1.3/tcp/1");
    let now = Instant::now();
    assert_eq!((state.next(now), state.wake_at(), state.serves()), (None, None, false));
    let report = state.report();
    assert_eq!((report.reachability, report.tcp, report.relayed_only), (Reachability::Unknown, None, false));
}

#[test]
fn behind_a_router_two_places_are_reserved() {
    let mut state = at_home();
    let now = Instant::now();
    assert_eq!(state.reachability(), Reachability::Private);
    assert_eq!(state.next(now), None, "nobody offers any");
    let relays = [(); 3].map(|()| relay(&mut state, "/ip4/11.0.1.1/tcp/1"));
    let mut taken = Vec::new();
    while let Some(Step::Reserve { relay, .. }) = state.next(now) {
        let id = ListenerId::next();
        state.began(&relay, id);
        taken.push((relay, id));
    }
    assert_eq!(taken.len(), 2);
    assert!(!state.report().relayed_only, "not yet");
    assert_eq!(state.accepted(&taken[0].0), None);
    assert!(state.report().relayed_only);
    // One that is lost is replaced at once, and asked again later.
    state.lost(taken[1].1, now);
    let third = relays.into_iter().find(|one| taken.iter().all(|(taken, _)| taken != one)).expect("three");
    let Some(Step::Reserve { relay, .. }) = state.next(now) else { panic!("nothing is reserved") };
    assert_eq!(relay, third);
    let id = ListenerId::next();
    state.began(&relay, id);
    state.lost(id, now);
    assert_eq!(state.next(now), None);
    assert_eq!(state.wake_at(), Some(now + RETRY_FIRST));
    assert!(state.next(now + RETRY_FIRST).is_some());
}

#[test]
fn who_is_reached_gives_its_places_back_when_they_are_renewed() {
    let mut state = at_home();
    let relay = relay(&mut state, "/ip4/11.0.1.1/tcp/1");
    let now = Instant::now();
    assert!(state.next(now).is_some());
    let id = ListenerId::next();
    state.began(&relay, id);
    assert_eq!(state.accepted(&relay), None);
    state.confirmed(&addr("/ip4/11.0.1.2/tcp/9999"));
    assert_eq!(state.reachability(), Reachability::Public);
    assert!(state.serves());
    assert!(!state.report().relayed_only);
    assert_eq!(state.accepted(&relay), Some(id));
    state.lost(id, now);
    assert_eq!(state.next(now + RETRY_MAX), None);
}

#[test]
fn a_wall_without_a_router_is_noticed_by_a_test() {
    let mut state = state(&Config::default());
    let own = addr("/ip4/11.0.1.2/tcp/9999");
    state.listens(&own);
    seen(&mut state, "11.0.1.1", "/ip4/11.0.1.2/tcp/9999");
    assert_eq!((state.reachability(), state.report().tcp), (Reachability::Unknown, Some(Mapping::None)));
    assert!(state.serves(), "somebody must");
    state.tested(Tested { addr: own.clone(), error: Some("no answer".into()) });
    assert_eq!(state.reachability(), Reachability::Private);
    state.tested(Tested { addr: own.clone(), error: None });
    state.confirmed(&own);
    assert_eq!(state.reachability(), Reachability::Public);
    state.expired(&own);
    assert_eq!(state.reachability(), Reachability::Unknown);
}

#[test]
fn routers_are_told_apart_by_what_two_see() {
    let mut state = at_home();
    assert_eq!(state.report().tcp, Some(Mapping::One));
    seen(&mut state, "11.0.3.1", "/ip4/11.0.1.2/tcp/9999");
    assert_eq!(state.report().tcp, Some(Mapping::Same));
    seen(&mut state, "11.0.4.1", "/ip4/11.0.1.2/tcp/40001");
    assert_eq!(state.report().tcp, Some(Mapping::Differs));
    assert_eq!(state.report().udp, None);
    seen(&mut state, "11.0.1.1", "/ip4/11.0.1.2/udp/9999/quic-v1");
    seen(&mut state, "11.0.1.1", "/ip4/11.0.1.2/udp/9998/quic-v1");
    assert_eq!(state.report().udp, Some(Mapping::One), "one host is one observer");
}

#[test]
fn a_relay_vouches_for_the_widest_of_its_addresses() {
    let mut state = state(&Config { relay: Relay::Server, ..Config::default() });
    let now = Instant::now();
    let (here, near, wide) = (addr("/ip4/127.0.0.1/tcp/1"), addr("/ip4/10.0.0.1/tcp/1"), addr("/ip4/11.0.0.1/tcp/1"));
    assert_eq!(state.next(now), None);
    state.listens(&here);
    assert_eq!(state.next(now), Some(Step::Vouch(here.clone())));
    state.confirmed(&here);
    assert_eq!(state.reachability(), Reachability::Unknown, "its own word is no proof");
    state.listens(&near);
    assert_eq!(state.next(now), Some(Step::Retract(here)));
    assert_eq!(state.next(now), Some(Step::Vouch(near.clone())));
    state.listens(&wide);
    assert_eq!(state.next(now), Some(Step::Retract(near)));
    assert_eq!(state.next(now), Some(Step::Vouch(wide.clone())));
    assert_eq!(state.next(now), None);
    assert!(state.serves());
}

proptest! {
    /// Whatever happens, tables are bounded, places are never more than wanted, and no relay has two.
    #[test]
    fn bounded(steps in proptest::collection::vec((0..7u8, any::<u8>()), 0..400)) {
        let mut state = state(&Config::default());
        let relays: Vec<PeerId> = (0..64).map(|_| PeerId::random()).collect();
        let mut now = Instant::now();
        let mut listeners: Vec<ListenerId> = Vec::new();
        for (what, which) in steps {
            let relay = relays[usize::from(which) % relays.len()];
            let at = addr(&format!("/ip4/11.0.{which}.1/tcp/1"));
            match what {
                0 => state.offers(relay, Some(at), which % 3 != 0),
                1 => state.seen(Seen { by: relay, from: [11, 1, which, 1].into(), addr: at, reused: true }),
                2 => state.tested(Tested { addr: at, error: (which % 2 == 0).then(|| "no".into()) }),
                3 => drop(state.accepted(&relay)),
                4 => state.disconnected(&relay),
                5 => if let Some(id) = listeners.pop() { state.lost(id, now) },
                _ => now += Duration::from_secs(u64::from(which)),
            }
            while let Some(step) = state.next(now) {
                let Step::Reserve { relay, .. } = step else { panic!("{step:?}") };
                let id = ListenerId::next();
                state.began(&relay, id);
                listeners.push(id);
            }
            prop_assert!(state.held() <= 2);
            prop_assert!(state.candidates.len() <= MAX_RELAYS);
            prop_assert!(state.seen.len() <= MAX_SEEN && state.tested.len() <= MAX_TESTED);
        }
    }
}
