use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

#[test]
fn looks_around_less_and_less() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let (mut rng, start) = (StdRng::seed_from_u64(seed), Instant::now());
    let mut refresh = Refresh::new(start);
    assert_eq!(refresh.next(start, &mut rng), None, "nobody there");
    refresh.first_peer(start);
    let (mut lookups, mut now) = (Vec::new(), start);
    while let Some(at) = refresh.wake_at(now).filter(|at| *at < start + Duration::from_secs(4 * 3_600)) {
        now = at;
        lookups.extend(refresh.next(at, &mut rng).map(|lookup| (at - start, lookup)));
    }
    assert_eq!(lookups.first(), Some(&(Duration::ZERO, Lookup::Own)));
    assert!(lookups.iter().skip(1).all(|(_, lookup)| *lookup == Lookup::Random));
    let early = lookups.iter().filter(|(at, _)| at.as_secs() < 300).count();
    assert!((3..=6).contains(&early), "doubling from 30 s for 5 min: {early}");
    let late = lookups.len() - early;
    assert!((9..=33).contains(&late), "every 15 min ± 50 % for 4 h: {late}");
}

#[test]
fn rests_when_lookups_meet_nobody_new() {
    let mut rng = StdRng::seed_from_u64(1);
    let start = Instant::now();
    let mut refresh = Refresh::new(start);
    refresh.first_peer(start);
    assert_eq!(refresh.next(start, &mut rng), Some(Lookup::Own));
    refresh.looked(Lookup::Own, Some(0), start, &mut rng);
    let mut after = |new| {
        let at = refresh.next.expect("a lookup");
        assert_eq!(refresh.next(at, &mut rng), Some(Lookup::Random));
        refresh.looked(Lookup::Random, new, at, &mut rng);
        refresh.next.expect("another") - at
    };
    assert!(after(Some(3)) < 3 * FIRST, "there are more");
    assert!(after(None) < 6 * FIRST, "nobody answered");
    assert!(after(Some(0)) < 12 * FIRST, "by chance");
    assert!(after(Some(1)) < 24 * FIRST, "there are more");
    after(Some(0));
    for _ in 0..3 {
        assert!(after(Some(0)) >= CALM / 2, "all are known");
    }
    refresh.member_lost(0, start);
    let soon = refresh.next.expect("a lookup");
    refresh.next(soon, &mut rng);
    refresh.looked(Lookup::Random, Some(0), soon, &mut rng);
    assert!(refresh.next.expect("another") - soon < 2 * ALERT, "not while the network may be cut");
}

fn calm(start: Instant, rng: &mut StdRng) -> (Refresh, Instant) {
    let mut refresh = Refresh::new(start);
    refresh.first_peer(start);
    let mut now = start;
    while now < start + 2 * CALM {
        now = refresh.wake_at(now).expect("a lookup");
        refresh.next(now, rng);
    }
    (refresh, now)
}

#[test]
fn the_loss_of_many_makes_it_look_soon() {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut refresh, calm) = calm(Instant::now(), &mut rng);
    assert!(refresh.wake_at(calm).is_some_and(|at| at > calm + Duration::from_secs(400)));
    for left in (9..=15).rev() {
        refresh.member_lost(left, calm);
        let soon = refresh.wake_at(calm) == Some(calm + ALERT);
        assert_eq!(soon, 16 - left >= 6, "{left} of 16 are left");
    }
    assert!(refresh.next(calm + ALERT, &mut rng).is_some());
    assert!(refresh.wake_at(calm + ALERT).is_some_and(|at| at < calm + 3 * ALERT), "and again");
}

#[test]
fn members_that_come_and_go_do_not() {
    let mut rng = StdRng::seed_from_u64(1);
    let (mut refresh, calm) = calm(Instant::now(), &mut rng);
    let next = refresh.wake_at(calm);
    for minute in 0..10 {
        refresh.member_lost(15, calm + minute * COUNTED);
    }
    assert_eq!(refresh.wake_at(calm), next);
    refresh.member_lost(0, calm);
    assert_eq!(refresh.wake_at(calm), Some(calm + ALERT), "the only one");
}

#[test]
fn settles_when_the_neighbourhood_is_known() {
    let mut rng = StdRng::seed_from_u64(1);
    let start = Instant::now();
    let mut refresh = Refresh::new(start);
    assert!(!refresh.is_settled(start + CALM));
    refresh.first_peer(start);
    refresh.next(start, &mut rng);
    assert!(!refresh.is_settled(start));
    assert_eq!(refresh.wake_at(start), Some(start + SETTLING));
    assert!(refresh.is_settled(start + SETTLING), "no answer");
    refresh.looked(Lookup::Own, None, start + SETTLING / 2, &mut rng);
    assert!(refresh.is_settled(start + SETTLING / 2));
}

#[test]
fn lookups_go_where_peers_are_missing() {
    let mut rng = StdRng::seed_from_u64(1);
    // Sixty-four peers or so: 32 in the farthest bucket, of which it knows 20, 16, 8, 4, 2 and 1.
    let mut buckets = vec![(255, 20), (254, 11), (253, 8), (252, 3), (251, 2), (249, 1)];
    let places: std::collections::BTreeSet<_> = (0..200).filter_map(|_| thin(&buckets, 20, &mut rng)).collect();
    assert_eq!(places.into_iter().collect::<Vec<_>>(), [252, 253, 254]);
    // None that is empty because nobody of it was met is left out.
    buckets.retain(|(place, _)| *place != 254);
    assert!((0..200).any(|_| thin(&buckets, 20, &mut rng) == Some(254)));
    assert_eq!(thin(&[(255, 20), (254, 20), (253, 20), (252, 20), (251, 20)], 20, &mut rng), None, "all are full");
    assert_eq!(thin(&[], 20, &mut rng), None, "nobody is known");
}

#[test]
fn ids_are_in_their_bucket() {
    let own = PeerId::random();
    // Nearer ones are missed now and then: of bucket 246 all draws in one of fifty runs.
    for place in 249..=255 {
        let id = id_in(place, &own);
        let distance = KBucketKey::from(own).distance(&KBucketKey::from(id));
        assert_eq!(distance.ilog2(), Some(place.into()));
    }
}
