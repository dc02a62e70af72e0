//! Clocks that jump.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{
    tests::{QUIET, at, caught_up, daily, minutely, rng, run, secs, start},
    *,
};

const YEAR: i64 = 365 * 86_400;

fn plan(text: &str, catch_up: CatchUp) -> Plan {
    Plan::new(text.parse().expect(text), caught_up(catch_up), start(), &mut rng())
}

const KINDS: [&str; 6] = [
    "every 15m",
    "every 1s",
    "cron 0 9 * * *",
    "cron * * * * * *",
    "solar sunrise 51.5 -0.1",
    "solar sunrise 69.65 18.96",
];

#[test]
fn a_year_ahead_gives_at_most_one_catch_up_run() {
    for text in KINDS {
        let started = Instant::now();
        let mut plan = plan(text, CatchUp::One);
        let runs = run(&mut plan, start() + secs(YEAR));
        assert_eq!(runs.len(), 1, "{text}");
        assert!(plan.counts().missed >= 99 || text.contains("solar"), "{text}");
        assert!(plan.wake_at() > Some(start() + secs(YEAR)), "{text}");
        assert!(started.elapsed() < Duration::from_secs(2), "{text}");
    }
}

#[test]
fn a_year_ahead_is_bounded_even_if_all_is_made_up_for() {
    for text in KINDS {
        let mut plan = plan(text, CatchUp::All);
        let runs = run(&mut plan, start() + secs(YEAR));
        assert!(runs.len() <= pace::MAX_LATE, "{text}: {}", runs.len());
        assert!(runs.is_sorted_by_key(|(due, _)| *due), "{text}");
        assert!(plan.wake_at() > Some(start() + secs(YEAR)), "{text}");
    }
    let mut plan = plan("every 15m", CatchUp::All);
    let now = start() + secs(YEAR + 1);
    assert_eq!(run(&mut plan, now).len(), pace::MAX_LATE);
    assert_eq!(plan.counts().missed, YEAR as u64 / 900 - 100, "all are accounted for");
    assert_eq!(plan.wake_at(), Some(start() + secs(YEAR + 900)), "in the old rhythm");
}

#[test]
fn every_keeps_its_rhythm_when_the_clock_is_set_back() {
    let mut plan = Plan::new(minutely(), QUIET, start(), &mut rng());
    assert_eq!(run(&mut plan, start() + secs(60)).len(), 1);
    let back = start() + secs(80 - YEAR);
    assert_eq!(run(&mut plan, start() + secs(80)), []);
    assert_eq!(run(&mut plan, back), [], "nothing is run again");
    assert_eq!(plan.wake_at(), Some(back + secs(40)), "nor does it wait for a year");
    assert_eq!(run(&mut plan, back + secs(40)).len(), 1);
}

#[test]
fn a_daily_job_is_not_repeated_when_the_clock_is_set_back() {
    let mut plan = Plan::new(daily(), QUIET, start(), &mut rng());
    let nine = at("2026-11-22T09:00:00Z");
    assert_eq!(run(&mut plan, nine), [(nine, Cause::Due)]);
    assert_eq!(run(&mut plan, nine - secs(3_600)), []);
    assert_eq!(run(&mut plan, nine), []);
    assert_eq!(plan.wake_at(), Some(at("2026-11-23T09:00:00Z")));
    // A day further back: this morning has not been run by this clock.
    let mut other = Plan::new(daily(), QUIET, start(), &mut rng());
    assert_eq!(run(&mut other, nine).len(), 1);
    assert_eq!(run(&mut other, at("2026-11-20T12:00:00Z")), []);
    assert_eq!(other.wake_at(), Some(at("2026-11-21T09:00:00Z")));
}

#[test]
fn a_clock_that_was_a_year_ahead_and_is_put_right_stops_nothing() {
    let mut plan = plan("cron 0 * * * *", CatchUp::One);
    assert_eq!(run(&mut plan, start() + secs(YEAR + 1_800)).len(), 1);
    assert_eq!(run(&mut plan, start() + secs(1_800)), []);
    assert_eq!(plan.wake_at(), Some(start() + secs(3_600)));
    assert_eq!(run(&mut plan, start() + secs(3_600)), [(start() + secs(3_600), Cause::Due)]);
}

#[test]
fn what_was_jumped_over_and_not_run_is_run_when_the_clock_is_put_right() {
    for (catch_up, made_up) in [(CatchUp::None, 0), (CatchUp::One, 1)] {
        let mut plan = plan("cron 0 * * * *", catch_up);
        assert_eq!(run(&mut plan, start() + secs(5 * 3_600 + 600)).len(), made_up);
        assert_eq!(run(&mut plan, start() + secs(600)), []);
        for n in 1..=4 {
            let due = start() + secs(n * 3_600);
            assert_eq!(run(&mut plan, due), [(due, Cause::Due)]);
        }
    }
}

#[test]
fn a_clock_set_back_while_the_node_was_down_is_noticed() {
    for text in KINDS {
        let mut plan = plan(text, CatchUp::One);
        let _ = run(&mut plan, start() + secs(2 * 86_400));
        let (schedule, saved, now) = (plan.schedule().clone(), plan.saved(), start() - secs(YEAR));
        let mut plan = Plan::restore(schedule, QUIET, saved, now, &mut rng());
        let next = plan.wake_at().expect(text);
        assert_eq!(run(&mut plan, now), [], "{text}");
        assert!(next > now && next <= now + secs(60 * 86_400), "{text}: {next}");
    }
}

#[test]
fn clocks_that_are_kept_in_step_are_no_jump() {
    let mut plan = plan("cron 0 9 * * *", CatchUp::None);
    let nine = at("2026-11-22T09:00:00Z");
    for ms in [0, -900, 300, -500, -999] {
        let runs = run(&mut plan, nine + SignedDuration::from_millis(ms));
        assert_eq!(runs.len(), usize::from(ms == 0));
    }
}

#[derive(Debug, Clone)]
enum Step {
    Sleep(i64),
    Jump(i64),
    Restart(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let near = -7_200..7_200_i64;
    let far = -YEAR..YEAR;
    prop_oneof![
        6 => (0..7_200_i64).prop_map(Step::Sleep),
        2 => near.prop_map(Step::Jump),
        1 => far.prop_map(Step::Jump),
        1 => (0..400_000_i64).prop_map(Step::Restart),
    ]
}

proptest! {
    /// Whatever the clock does: nothing is run before its time, the latest times are not run twice, there is always a
    /// next time not far off, and the account adds up.
    #[test]
    fn whatever_the_clock_does(
        steps in proptest::collection::vec(step(), 1..40),
        text in proptest::sample::select(vec!["every 15m", "cron */20 * * * *", "cron 0 9 * * * Europe/London", "solar sunset 51.5 -0.1"]),
        catch_up in proptest::sample::select(vec![CatchUp::None, CatchUp::One, CatchUp::All]),
    ) {
        let (mut now, mut plan) = (start(), plan(text, catch_up));
        let mut recent: Vec<Timestamp> = Vec::new();
        let mut runs_so_far = 0;
        for step in steps {
            match step {
                Step::Sleep(n) | Step::Jump(n) => now += secs(n),
                Step::Restart(n) => {
                    now += secs(n);
                    plan = Plan::restore(plan.schedule().clone(), caught_up(catch_up), plan.saved(), now, &mut rng());
                }
            }
            let runs = run(&mut plan, now);
            let most = if catch_up == CatchUp::All { 100 } else { 1 };
            prop_assert!(runs.len() <= most);
            for (due, _) in &runs {
                prop_assert!(*due <= now);
                let again = plan.schedule().period().is_none() && recent.iter().rev().take(8).any(|ran| ran == due);
                prop_assert!(!again, "{} was run twice", due);
                recent.push(*due);
            }
            runs_so_far += runs.len() as u64;
            prop_assert_eq!(plan.counts().runs, runs_so_far);
            let next = plan.wake_at().expect("it never stops");
            prop_assert!(next > now && next <= now + secs(10 * 86_400), "{} after {}", next, now);
        }
    }
}
