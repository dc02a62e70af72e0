//! One solar day at one place: from midnight to midnight by the sun, with the noon between.
//!
//! Days are numbered from 1 January 2000. The day is the sun's, not the calendar's: on Kiritimati, 14 hours ahead of
//! Greenwich and far in the west, they differ.

use chrono::{Days, NaiveDate};
use jiff::Timestamp;
use sunrise::{Coordinates, SolarDay};

use super::{
    event::{Crossing, Event},
    sun::position,
};

/// Seconds of Unix time at noon of 1 January 2000, where days are counted from.
const EPOCH: f64 = 946_728_000.0;
const SECONDS: f64 = 86_400.0;

/// Steps of the search for a crossing, and how near is near enough, in days: a millisecond.
const CROSSING_STEPS: usize = 60;
const NEAR: f64 = 1e-8;
/// Half the distance, in days, that slopes are taken over: a second.
const APART: f64 = 1e-5;

/// A place on earth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Place(Coordinates);

impl Place {
    /// Degrees, north and east positive. None if out of range.
    pub(super) fn new(latitude: f64, longitude: f64) -> Option<Self> {
        Coordinates::new(latitude, longitude).map(Self)
    }

    pub(super) fn latitude(self) -> f64 {
        self.0.lat()
    }

    pub(super) fn longitude(self) -> f64 {
        self.0.lon()
    }

    /// The number of the solar day that `at` is in, or of a neighbour.
    // The range of a timestamp is some millions of days.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub(super) fn day_of(self, at: Timestamp) -> i64 {
        ((at.as_second() as f64 - EPOCH) / SECONDS + self.longitude() / 360.0).round() as i64
    }

    /// When `event` comes on that day, rounded to seconds. None in a polar day or night; near the poles there may be two.
    pub(super) fn times(self, event: Event, day: i64) -> Vec<Timestamp> {
        let found = match event.crossing() {
            Crossing::Meridian => vec![self.noon(day)],
            Crossing::Rising(altitude) => self.crossings(event, day, altitude, 1.0),
            Crossing::Setting(altitude) => self.crossings(event, day, altitude, -1.0),
        };
        found.into_iter().filter_map(timestamp).collect()
    }

    fn altitude(self, at: f64) -> f64 {
        position(at).altitude(self.latitude(), self.longitude())
    }

    /// When the sun is in the meridian.
    fn noon(self, day: i64) -> f64 {
        // The equation of time moves by half a minute a day at most: the second difference is below a second, and the rest
        // below a millisecond.
        let correct = |at: f64, _| at - position(at).hour_angle(self.longitude()) / 360.0;
        (0..2).fold(mean_noon(day, self.longitude()), correct)
    }

    /// Passages upwards (`sign` 1) or downwards (-1) through `target`, from midnight to noon and from noon to midnight.
    ///
    /// The sun stands highest and lowest a little beside noon and midnight, since its declination changes: by 0.0001° at
    /// 70° of latitude, by 0.04° at most. That decides about a first or last sunrise of seconds, not about a lost one:
    /// each half of a day begins where the one before has ended.
    fn crossings(self, event: Event, day: i64, target: f64, sign: f64) -> Vec<f64> {
        let above = |at: f64| sign * (self.altitude(at) - target);
        let [before, noon, after] = [day - 1, day, day + 1].map(|day| self.noon(day));
        let turns = [f64::midpoint(before, noon), noon, f64::midpoint(noon, after)].map(|at| (at, above(at)));
        let halves = turns.iter().zip(turns.iter().skip(1));
        let passing = halves.filter(|((_, start), (_, end))| *start < 0.0 && *end >= 0.0);
        passing.map(|((start, _), (end, _))| crossing(above, *start, *end, self.estimate(event, day))).collect()
    }

    /// What the `sunrise` crate says.
    fn estimate(self, event: Event, day: i64) -> Option<f64> {
        let epoch = NaiveDate::from_ymd_opt(2000, 1, 1)?;
        let days = Days::new(day.unsigned_abs());
        let date = if day < 0 { epoch.checked_sub_days(days) } else { epoch.checked_add_days(days) }?;
        let time = SolarDay::new(self.0, date).event_time(event.in_crate()?)?;
        // Exact up to the year 285 million.
        #[allow(clippy::cast_precision_loss)]
        Some((time.timestamp() as f64 - EPOCH) / SECONDS)
    }
}

#[allow(clippy::cast_precision_loss)]
fn mean_noon(day: i64, longitude: f64) -> f64 {
    day as f64 - longitude / 360.0
}

/// Where `above`, negative at `start` and not at `end`, passes zero. Newton's method from the estimate; where it leads
/// astray, as it does when the sun only grazes the horizon, halves.
fn crossing(above: impl Fn(f64) -> f64, start: f64, end: f64, estimate: Option<f64>) -> f64 {
    let (mut low, mut high) = (start, end);
    let inside = |at: &f64| start < *at && *at < end;
    let mut at = estimate.filter(inside).unwrap_or(f64::midpoint(start, end));
    let mut last_step = end - start;
    for _ in 0..CROSSING_STEPS {
        let value = above(at);
        if value < 0.0 {
            low = at;
        } else {
            high = at;
        }
        let newton = at - value / slope(&above, at);
        let is_good = low < newton && newton < high && (newton - at).abs() < last_step / 2.0;
        let next = if is_good { newton } else { f64::midpoint(low, high) };
        last_step = (next - at).abs();
        at = next;
        if last_step < NEAR {
            break;
        }
    }
    at
}

/// Per day.
fn slope(f: impl Fn(f64) -> f64, at: f64) -> f64 {
    (f(at + APART) - f(at - APART)) / (2.0 * APART)
}

/// Rounded to seconds.
#[allow(clippy::cast_possible_truncation)]
fn timestamp(days: f64) -> Option<Timestamp> {
    Timestamp::from_second((days * SECONDS + EPOCH).round() as i64).ok()
}
