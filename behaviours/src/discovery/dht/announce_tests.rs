use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn announce() -> Announce<u32> {
    Announce::new(20 * MINUTE, 8)
}

#[test]
fn waits_for_somebody_to_hear() {
    let (mut own, now) = (announce(), Instant::now());
    assert!(own.add(1));
    assert_eq!(own.next(0, now), None);
    assert_eq!(own.wake_at(0, now), None);
    assert_eq!(own.next(1, now), Some(1));
    assert_eq!(own.next(1, now), None, "under way");
}

#[test]
fn repeats_when_more_are_there_and_every_twenty_minutes() {
    let (mut own, start) = (announce(), Instant::now());
    own.add(1);
    assert_eq!(own.next(1, start), Some(1));
    own.finished(&1);
    assert_eq!(own.next(20, start), None, "not at once");
    assert_eq!(own.next(20, start + AGAIN), Some(1), "one peer was too few");
    own.finished(&1);
    assert_eq!(own.next(100, start + 10 * MINUTE), None, "twenty were enough");
    assert_eq!(own.wake_at(100, start), Some(start + AGAIN + 20 * MINUTE));
    assert_eq!(own.next(100, start + AGAIN + 20 * MINUTE), Some(1));
}

#[test]
fn is_bounded() {
    let (mut own, now) = (announce(), Instant::now());
    let taken = (0..1_000).filter(|key| own.add(*key)).count();
    assert_eq!(taken, MAX_OWN);
    let running = std::iter::from_fn(|| own.next(8, now)).count();
    assert_eq!(running, MAX_RUNNING);
    own.remove(&0);
    assert!(own.add(2_000));
}
