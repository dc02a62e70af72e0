use rand::{RngExt, SeedableRng, rngs::StdRng};

use super::*;

#[test]
fn looks_around_often_at_first_and_seldom_later() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let (mut rng, start) = (StdRng::seed_from_u64(seed), Instant::now());
    let mut refresh = Refresh::new(start);
    assert_eq!(refresh.next(start, &mut rng), None, "nobody there");
    refresh.first_peer(start);
    let mut lookups = Vec::new();
    while let Some(at) = refresh.wake_at().filter(|at| *at < start + Duration::from_secs(4 * 3_600)) {
        lookups.push((at - start, refresh.next(at, &mut rng).expect("due")));
    }
    assert_eq!(lookups.first(), Some(&(Duration::ZERO, Lookup::Own)));
    assert!(lookups.iter().skip(1).all(|(_, lookup)| *lookup == Lookup::Random));
    let early = lookups.iter().filter(|(at, _)| *at < NEW).count();
    assert!((8..=14).contains(&early), "every 30 s for 5 min: {early}");
    let late = lookups.len() - early;
    assert!((9..=32).contains(&late), "every 15 min ± 50 % for 4 h: {late}");
}

#[test]
fn a_loss_makes_it_look_soon() {
    let (mut rng, start) = (StdRng::seed_from_u64(1), Instant::now());
    let mut refresh = Refresh::new(start);
    refresh.first_peer(start);
    let calm = start + NEW;
    assert!(refresh.next(calm, &mut rng).is_some());
    assert!(refresh.wake_at().is_some_and(|at| at > calm + Duration::from_secs(400)));
    refresh.member_lost(calm);
    assert_eq!(refresh.wake_at(), Some(calm + ALERT));
}
