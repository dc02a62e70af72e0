use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use super::{
    super::testing::{GARDEN, ORCHARD, author, event, sealed},
    *,
};

fn state() -> State {
    let mut state = State::new(&Config::default());
    assert!(state.join(GARDEN));
    state
}

fn check(state: &mut State, data: Bytes) -> Result<EventId, Refused> {
    state.check(GARDEN, PeerId::random(), data, Instant::now()).map(|accepted| accepted.id)
}

#[test]
fn each_fault_has_its_name_and_its_verdict() {
    let (mut state, key) = (state(), author(1));
    let good = sealed(&key, GARDEN, 1);
    let mut changed = good.to_vec();
    *changed.last_mut().expect("bytes") ^= 1;
    let signed_by_another = event(&key, GARDEN, 3, vec![0xc0]).seal(&author(2)).into_raw();
    let huge = event(&key, GARDEN, 4, vec![0; MAX_EVENT]).seal(&key).into_raw();
    for (data, why, verdict) in [
        (huge, Refused::Size, Verdict::Reject),
        (Bytes::from_static(b"short"), Refused::Layout, Verdict::Reject),
        (Bytes::from(vec![0xc1; 200]), Refused::Layout, Verdict::Reject),
        (sealed(&key, ORCHARD, 2), Refused::Swarm, Verdict::Reject),
        (Bytes::from(changed), Refused::Signature, Verdict::Reject),
        (signed_by_another, Refused::Signature, Verdict::Reject),
    ] {
        assert_eq!(check(&mut state, data), Err(why));
        assert_eq!(why.verdict(), verdict);
    }
    assert!(check(&mut state, good.clone()).is_ok(), "bad ones have not hurt it");
    assert_eq!(check(&mut state, good), Err(Refused::Known));
    // The same number again with other words: a fork, or a replay.
    let again = event(&key, GARDEN, 1, vec![0xc3]).seal(&key).into_raw();
    assert_eq!(check(&mut state, again), Err(Refused::Replay));
    assert_eq!(Refused::Replay.verdict(), Verdict::Ignore, "the neighbour need not know");
    state.leave(&GARDEN);
    assert_eq!(check(&mut state, sealed(&key, GARDEN, 9)), Err(Refused::Elsewhere));
}

#[test]
fn an_author_gets_a_hundred_and_twenty_a_second() {
    let (mut state, key, start) = (state(), author(1), Instant::now());
    let source = PeerId::random();
    let (mut taken, mut over) = (0, 0);
    for seq in 0..1_000_u64 {
        let now = start + Duration::from_millis(seq);
        match state.check(GARDEN, source, sealed(&key, GARDEN, seq), now) {
            Ok(_) => taken += 1,
            Err(Refused::Author) => over += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!((118..=121).contains(&taken), "{taken}");
    assert_eq!(taken + over, 1_000);
    let honest = state.check(GARDEN, source, sealed(&author(2), GARDEN, 1), start + Duration::from_secs(1));
    assert!(honest.is_ok(), "others through the same neighbour are not concerned");
}

#[test]
fn a_neighbour_is_bounded_and_forgeries_cost_the_author_nothing() {
    let (mut state, key, now) = (state(), author(1), Instant::now());
    state.know(PeerKey(key.verifying_key().to_bytes()));
    let source = PeerId::random();
    let refused: Vec<Refused> = (0..3_000_u64)
        .filter_map(|seq| {
            let forged = event(&key, GARDEN, seq, vec![0xc0]).seal(&author(2)).into_raw();
            state.check(GARDEN, source, forged, now).err()
        })
        .collect();
    assert_eq!(refused.iter().filter(|why| **why == Refused::Signature).count(), 2_000, "then it is not even verified");
    assert_eq!(refused.iter().filter(|why| **why == Refused::Source).count(), 1_000);
    let through_another =
        (0..100).filter(|seq| state.check(GARDEN, PeerId::random(), sealed(&key, GARDEN, *seq), now).is_ok());
    assert_eq!(through_another.count(), 100);
}

#[test]
fn strangers_leave_room_for_members() {
    let (mut state, start, source) = (state(), Instant::now(), PeerId::random());
    let member = author(1);
    state.know(PeerKey(member.verifying_key().to_bytes()));
    let (mut strange, mut heard) = (0, 0);
    // Ten seconds, 1,000 strangers a second, each with a key of its own.
    for n in 0..10_000_u64 {
        let now = start + Duration::from_millis(n);
        let mut key = [9; 32];
        key[..8].copy_from_slice(&n.to_be_bytes());
        let stranger = sealed(&ed25519_dalek::SigningKey::from_bytes(&key), GARDEN, 0);
        match state.check(GARDEN, source, stranger, now) {
            Ok(_) => strange += 1,
            Err(why) => assert_eq!(why, Refused::Strangers),
        }
        if n.is_multiple_of(100) {
            heard += u64::from(state.check(GARDEN, source, sealed(&member, GARDEN, n), now).is_ok());
        }
    }
    assert_eq!(heard, 100, "a member is heard each time");
    assert!((1_990..=2_001).contains(&strange), "{strange}");
}

/// Any order, any number of copies, changed ones between: each good event once, nothing else.
#[test]
fn each_good_event_once() {
    let seed = rand::rng().random::<u64>();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut state = state();
    let mut all: Vec<(bool, Bytes)> = Vec::new();
    for number in 1..=5 {
        let key = author(number);
        for seq in 0..60 {
            let good = sealed(&key, GARDEN, seq);
            for _ in 0..rng.random_range(1..5) {
                all.push((true, good.clone()));
            }
            let mut bad = good.to_vec();
            let place = rng.random_range(0..bad.len());
            bad[place] ^= 1 << rng.random_range(0..8);
            all.push((false, Bytes::from(bad)));
        }
    }
    all.shuffle(&mut rng);
    let mut delivered = HashSet::new();
    for (good, data) in all {
        if let Ok(id) = check(&mut state, data) {
            assert!(good, "a changed event was delivered");
            assert!(delivered.insert(id), "twice");
        }
    }
    assert_eq!(delivered.len(), 300);
}

#[test]
fn what_is_remembered_is_bounded() {
    let mut known = Known::default();
    for n in 0..2 * MAX_KNOWN {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        assert!(known.insert(EventId(id)));
        assert!(!known.insert(EventId(id)));
    }
    assert_eq!((known.ids.len(), known.order.len()), (MAX_KNOWN, MAX_KNOWN));

    let mut meters = Meters::new(Config::default().per_source);
    let now = Instant::now();
    for n in 0..2 * MAX_METERS {
        meters.take(n, 1, now + Duration::from_micros(n as u64));
    }
    assert_eq!(meters.meters.len(), MAX_METERS);

    let mut state = State::new(&Config::default());
    let joined = (0..100).filter(|n| state.join(SwarmId([*n; 32]))).count();
    assert_eq!(joined, MAX_SWARMS);
}
