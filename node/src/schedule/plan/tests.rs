use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};

use super::super::{cron, every};
use super::*;

pub(super) fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

pub(super) fn secs(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub(super) fn rng() -> StdRng {
    StdRng::seed_from_u64(7)
}

pub(super) fn minutely() -> Schedule {
    every(Duration::from_secs(60)).build().expect("a minute")
}

pub(super) fn daily() -> Schedule {
    cron("0 9 * * *").build().expect("nine o'clock")
}

pub(super) fn start() -> Timestamp {
    at("2026-11-21T10:00:00Z")
}

pub(super) const QUIET: Options =
    Options { run_at_start: Some(false), overlap: Overlap::Allow, catch_up: CatchUp::None };

pub(super) fn caught_up(catch_up: CatchUp) -> Options {
    Options { catch_up, ..QUIET }
}

/// Asks at `now`, and ends all runs at once.
pub(super) fn run(plan: &mut Plan, now: Timestamp) -> Vec<(Timestamp, Cause)> {
    let mut all = Vec::new();
    loop {
        let runs = plan.due(now, &mut rng());
        if runs.is_empty() {
            return all;
        }
        for run in runs {
            all.push((run.due, run.cause));
            assert!(plan.finished(run.id, true, now) && !plan.finished(run.id, true, now));
        }
    }
}

#[test]
fn every_runs_at_start_and_others_do_not() {
    let mut plan = Plan::new(minutely(), Options::default(), start(), &mut rng());
    assert_eq!(plan.wake_at(), Some(start()));
    assert_eq!(run(&mut plan, start()), [(start(), Cause::Start)]);
    assert_eq!(plan.wake_at(), Some(start() + secs(60)));
    let mut plan = Plan::new(daily(), Options::default(), start(), &mut rng());
    assert_eq!(run(&mut plan, start()), []);
    assert_eq!(plan.wake_at(), Some(at("2026-11-22T09:00:00Z")));
    let options = Options { run_at_start: Some(true), ..Options::default() };
    assert_eq!(run(&mut Plan::new(daily(), options, start(), &mut rng()), start()), [(start(), Cause::Start)]);
}

#[test]
fn late_wake_ups_do_not_add_up() {
    let mut plan = Plan::new(minutely(), QUIET, start(), &mut rng());
    for n in 1..100 {
        let due = start() + secs(60 * n);
        assert_eq!(plan.wake_at(), Some(due));
        assert_eq!(run(&mut plan, due + secs(n % 50)), [(due, Cause::Due)]);
    }
    assert_eq!(plan.counts(), Counts { runs: 99, ..Counts::default() });
}

#[test]
fn overlapping_runs_are_allowed_skipped_or_queued() {
    let with = |overlap| Plan::new(minutely(), Options { overlap, ..QUIET }, start(), &mut rng());
    let tick = |plan: &mut Plan, n: i64| plan.due(start() + secs(60 * n), &mut rng());

    let mut plan = with(Overlap::Allow);
    assert_eq!((1..=70).map(|n| tick(&mut plan, n).len()).sum::<usize>(), MAX_RUNNING);
    assert_eq!(plan.counts(), Counts { runs: 64, skipped: 6, ..Counts::default() });
    assert!(plan.trigger(start()).is_none());

    let mut plan = with(Overlap::Skip);
    let first = tick(&mut plan, 1)[0];
    assert_eq!((tick(&mut plan, 2), tick(&mut plan, 3)), (vec![], vec![]));
    assert!(plan.finished(first.id, true, start() + secs(200)));
    assert_eq!(plan.wake_at(), Some(start() + secs(240)));
    assert_eq!(tick(&mut plan, 4).len(), 1);
    assert_eq!(plan.counts(), Counts { runs: 2, skipped: 2, ..Counts::default() });

    let mut plan = with(Overlap::Queue);
    let first = tick(&mut plan, 1)[0];
    assert!((2..=20).all(|n| tick(&mut plan, n).is_empty()));
    assert_eq!(plan.counts(), Counts { runs: 1, skipped: 3, ..Counts::default() });
    assert!(plan.finished(first.id, true, start() + secs(1_230)));
    assert!(plan.wake_at() <= Some(start() + secs(1_230)), "its turn has come");
    let next = plan.due(start() + secs(1_230), &mut rng());
    assert_eq!(next.iter().map(|run| run.due).collect::<Vec<_>>(), [start() + secs(120)]);
    assert_eq!(plan.due(start() + secs(1_231), &mut rng()), [], "one after the other");
}

#[test]
fn failures_are_counted_and_stop_nothing() {
    let mut plan = Plan::new(minutely(), QUIET, start(), &mut rng());
    for n in 1..=3 {
        let now = start() + secs(60 * n);
        let run = plan.due(now, &mut rng())[0];
        assert!(plan.finished(run.id, false, now + secs(5)));
        assert_eq!(plan.last_run(), Some(LastRun { started: now, ended: now + secs(5), ok: false }));
    }
    assert_eq!(plan.counts(), Counts { runs: 3, failures: 3, ..Counts::default() });
    assert!(plan.wake_at().is_some());
}

#[test]
fn a_jitter_is_drawn_once_per_run_and_moves_no_later_run() {
    let schedule: Schedule = "every 1m jitter 20s".parse().expect("valid");
    let (mut rng, mut seen) = (rng(), std::collections::HashSet::new());
    let mut plan = Plan::new(schedule, QUIET, start(), &mut rng);
    for n in 1..=50 {
        let (due, at) = (start() + secs(60 * n), plan.wake_at().expect("there is a next"));
        let jitter = at.duration_since(due);
        assert!((secs(0)..=secs(20)).contains(&jitter), "{jitter}");
        seen.insert(jitter);
        assert_eq!(plan.due(at - SignedDuration::from_nanos(1), &mut rng), []);
        assert_eq!(plan.wake_at(), Some(at), "asking does not draw again");
        let runs = plan.due(at, &mut rng);
        assert_eq!(runs.iter().map(|run| run.due).collect::<Vec<_>>(), [due]);
    }
    assert!(seen.len() > 40);
}

#[test]
fn a_pause_owes_nothing() {
    let mut plan = Plan::new(minutely(), caught_up(CatchUp::All), start(), &mut rng());
    plan.pause();
    assert_eq!((plan.wake_at(), run(&mut plan, start() + secs(600))), (None, vec![]));
    plan.resume(start() + secs(630), &mut rng());
    assert_eq!(run(&mut plan, start() + secs(640)), []);
    assert_eq!(plan.wake_at(), Some(start() + secs(690)));
    assert_eq!(plan.counts(), Counts::default());
}

#[test]
fn somebody_may_ask_for_a_run() {
    let mut plan = Plan::new(daily(), QUIET, start(), &mut rng());
    let run = plan.trigger(start()).expect("nothing runs");
    assert_eq!((run.due, run.cause, plan.running()), (start(), Cause::Manual, 1));
    assert_eq!(plan.next_due(), Some(at("2026-11-22T09:00:00Z")));
}

/// A node that was down from `start` to `now`, with the runs there are then.
fn restarted(schedule: &Schedule, options: Options, now: Timestamp) -> (Plan, Vec<(Timestamp, Cause)>) {
    let plan = Plan::new(schedule.clone(), options, start(), &mut rng());
    let text = serde_json::to_string(&plan.saved()).expect("plain data");
    let saved = serde_json::from_str(&text).expect("its own text");
    let mut plan = Plan::restore(schedule.clone(), options, saved, now, &mut rng());
    let runs = run(&mut plan, now);
    (plan, runs)
}

#[test]
fn missed_runs_are_left_out_merged_or_made_up_for() {
    let now = at("2026-11-24T10:00:00Z");
    let days = ["2026-11-22T09:00:00Z", "2026-11-23T09:00:00Z", "2026-11-24T09:00:00Z"].map(at);
    for (catch_up, expected, missed) in [
        (CatchUp::None, vec![], 3),
        (CatchUp::One, vec![(days[2], Cause::CatchUp)], 2),
        (CatchUp::All, days.map(|day| (day, Cause::CatchUp)).to_vec(), 0),
    ] {
        let (plan, runs) = restarted(&daily(), caught_up(catch_up), now);
        assert_eq!(runs, expected);
        assert_eq!(plan.counts(), Counts { runs: runs.len() as u64, missed, ..Counts::default() });
        assert_eq!(plan.wake_at(), Some(at("2026-11-25T09:00:00Z")));
    }
}

#[test]
fn after_a_stall_all_are_made_up_for_in_order_and_one_at_a_time() {
    let mut plan = Plan::new(minutely(), caught_up(CatchUp::All), start(), &mut rng());
    let now = start() + secs(305);
    let first = plan.due(now, &mut rng());
    assert_eq!(first.iter().map(|run| run.due).collect::<Vec<_>>(), [start() + secs(60)]);
    assert_eq!(plan.due(now, &mut rng()), []);
    assert!(plan.finished(first[0].id, true, now));
    let rest: Vec<_> = (2..=5).map(|n| (start() + secs(60 * n), Cause::CatchUp)).collect();
    assert_eq!(run(&mut plan, now), rest);
}

#[test]
fn a_short_restart_misses_nothing() {
    let (_, runs) = restarted(&daily(), QUIET, at("2026-11-22T09:00:30Z"));
    assert_eq!(runs, [(at("2026-11-22T09:00:00Z"), Cause::Due)]);
    let (_, runs) = restarted(&daily(), QUIET, at("2026-11-22T08:59:30Z"));
    assert_eq!(runs, []);
}

#[test]
fn every_keeps_its_rhythm_over_a_restart() {
    let (plan, runs) = restarted(&minutely(), QUIET, start() + secs(6_030));
    assert_eq!(runs, [(start() + secs(6_000), Cause::Due)], "30 s late is on time");
    assert_eq!((plan.wake_at(), plan.counts().missed), (Some(start() + secs(6_060)), 99));
}

#[test]
fn the_run_at_start_stands_for_a_missed_one() {
    let now = start() + secs(305);
    for (catch_up, count) in [(CatchUp::None, 1), (CatchUp::One, 1), (CatchUp::All, 6)] {
        let (plan, runs) = restarted(&minutely(), Options { catch_up, ..Options::default() }, now);
        assert_eq!((runs.len(), runs.last()), (count, Some(&(now, Cause::Start))), "{catch_up:?}");
        assert_eq!(plan.wake_at(), Some(now + secs(60)));
    }
}

#[test]
fn another_schedule_starts_afresh_with_the_old_account() {
    let mut plan = Plan::new(minutely(), QUIET, start(), &mut rng());
    assert_eq!(run(&mut plan, start() + secs(60)).len(), 1);
    let now = start() + secs(86_400);
    let mut plan = Plan::restore(daily(), caught_up(CatchUp::All), plan.saved(), now, &mut rng());
    assert_eq!((run(&mut plan, now), plan.counts().runs), (vec![], 1));
}

#[test]
fn a_damaged_account_does_not_stop_the_schedule() {
    for damaged in [
        Saved { schedule: daily().to_string(), seen: start(), next: Some(Timestamp::MAX), ..Saved::default() },
        Saved { schedule: daily().to_string(), seen: Timestamp::MAX, next: None, ..Saved::default() },
        Saved { schedule: daily().to_string(), seen: Timestamp::MIN, next: Some(Timestamp::MIN), ..Saved::default() },
    ] {
        let mut plan = Plan::restore(daily(), caught_up(CatchUp::All), damaged, start(), &mut rng());
        assert!(run(&mut plan, start()).len() <= pace::MAX_LATE);
        assert_eq!(plan.next_due(), Some(at("2026-11-22T09:00:00Z")));
    }
}
