//! Schedules by the sun: nine events, anywhere on earth, polar days and nights included.
//!
//! The `sunrise` crate gives the first estimate. Whether there is an event at all is seen from the sun's altitude itself,
//! at midnight and noon ([`day`]), since the crate takes the declination once per day and is up to half an hour, and near
//! the polar night a day, off. Times are those of SPA, the reference algorithm, within 10 s up to 60° of latitude and
//! 32 s up to 70° (`oracle_tests`, on each day of 2026 and 2050), at sea level with the usual refraction. Weather and
//! hills move a real sunrise by minutes.

mod day;
mod event;
mod sun;

use std::{fmt, time::Duration};

use jiff::{SignedDuration, Timestamp};

use self::day::Place;
pub use self::event::Event;
use super::duration::Written;

/// Days that are searched, from the day before: a polar night has at most 366 of them, whatever the offset.
const SEARCHED: i64 = 370;

/// An offset that is longer belongs to another event.
const LONGEST_OFFSET: Duration = Duration::from_secs(12 * 3_600);

/// An event of the sun at a place, and how much later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Solar {
    event: Event,
    place: Place,
    offset: SignedDuration,
}

impl Solar {
    pub(super) fn new(event: Event, latitude: f64, longitude: f64) -> Result<Self, String> {
        let place = Place::new(latitude, longitude)
            .ok_or("latitudes go from -90 to 90 degrees, longitudes from -180 to 180")?;
        Ok(Self { event, place, offset: SignedDuration::ZERO })
    }

    /// Parts of milliseconds are cut off.
    pub(super) fn with_offset(self, offset: SignedDuration) -> Result<Self, String> {
        if offset.unsigned_abs() > LONGEST_OFFSET {
            return Err("an offset has at most 12 hours".to_owned());
        }
        let ms = i64::try_from(offset.as_millis()).unwrap_or_default();
        Ok(Self { offset: SignedDuration::from_millis(ms), ..self })
    }

    /// The first time after `after`, in whole seconds plus the offset.
    pub(super) fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.checked_sub(self.offset).ok()?;
        let first = self.place.day_of(after) - 1;
        let events = (first..=first + SEARCHED).flat_map(|day| self.place.times(self.event, day));
        let next = events.into_iter().find(|at| *at > after)?;
        next.checked_add(self.offset).ok()
    }
}

impl fmt::Display for Solar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.event)?;
        if !self.offset.is_zero() {
            let sign = if self.offset.is_negative() { '-' } else { '+' };
            write!(f, "{sign}{}", Written { time: self.offset.unsigned_abs(), between: "" })?;
        }
        write!(f, " {} {}", self.place.latitude(), self.place.longitude())
    }
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
