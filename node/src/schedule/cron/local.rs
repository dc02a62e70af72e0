//! From wall-clock time to instants, around clock changes.
//!
//! The `cron` crate is asked about wall-clock time dressed as UTC, so its own handling of zones never runs.

use cron::Schedule as Calendar;
use jiff::{
    Timestamp, ToSpan,
    civil::DateTime,
    tz::{AmbiguousOffset, Offset, TimeZone},
};

/// Candidates of a fixed time that are looked at: one may lie in the first half of a repeated hour and be over, so
/// may its neighbour at the other side of midnight.
const MAX_CANDIDATES: usize = 4;

/// Stretches between clock changes that are walked. Some zones have four in a year; a leap day is at most eight years off.
const MAX_STRETCHES: usize = 64;

/// The next run of a job with one time of day. In a repeated hour it runs the first time only; if its time is left out,
/// it runs at the first instant after the gap.
pub(super) fn next_fixed(calendar: &Calendar, after: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
    let wall = tz.to_datetime(after);
    let candidates = calendar.after_owned(dressed(wall)?).take(MAX_CANDIDATES);
    candidates.filter_map(|candidate| first_instant(undressed(&candidate)?, tz)).find(|at| *at > after)
}

fn first_instant(wall: DateTime, tz: &TimeZone) -> Option<Timestamp> {
    match tz.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(wall).ok(),
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(wall).ok(),
        // By the later clock, a time in the gap is an instant shortly before the change.
        AmbiguousOffset::Gap { after, .. } => {
            let shortly_before = after.to_timestamp(wall).ok()?;
            tz.following(shortly_before).next().map(|change| change.timestamp())
        }
    }
}

/// The next run of all other jobs: whenever the clock on the wall shows a time that fits. One stretch of time after the
/// other in which the clock is not changed, as it may show the same times twice.
pub(super) fn next_flowing(calendar: &Calendar, after: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
    let mut offset = tz.to_offset(after);
    let mut wall = offset.to_datetime(after);
    let mut changes = tz.following(after);
    for _ in 0..MAX_STRETCHES {
        let change = changes.next();
        let candidate = undressed(&calendar.after_owned(dressed(wall)?).next()?)?;
        let at = offset.to_timestamp(candidate).ok()?;
        let Some(change) = change.filter(|change| change.timestamp() <= at) else { return Some(at) };
        offset = change.offset();
        // The first instant of the new stretch counts.
        wall = offset.to_datetime(change.timestamp()).checked_sub(1.second()).ok()?;
    }
    None
}

/// Fractions of a second are cut off, towards the past.
fn dressed(wall: DateTime) -> Option<chrono::DateTime<chrono::Utc>> {
    let at = Offset::UTC.to_timestamp(wall).ok()?;
    let seconds = at.as_second() - i64::from(at.subsec_nanosecond() < 0);
    chrono::DateTime::from_timestamp(seconds, 0)
}

fn undressed(wall: &chrono::DateTime<chrono::Utc>) -> Option<DateTime> {
    let at = Timestamp::from_second(wall.timestamp()).ok()?;
    Some(Offset::UTC.to_datetime(at))
}
