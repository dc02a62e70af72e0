//! Schedules made in Rust.

use std::time::Duration;

use jiff::{SignedDuration, tz::TimeZone};

use super::{
    Event, Schedule, ScheduleError,
    cron::Cron,
    rule::Kind,
    solar::Solar,
    text::checked,
    words::{Word, words},
    zone,
};

/// A schedule in the making. What is wrong with it comes out at [`build`](Self::build), or where a schedule is taken.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct ScheduleBuilder {
    schedule: Result<Schedule, ScheduleError>,
}

/// Every so often, measured from start to start: `every(Duration::from_secs(30))`. From 1 ms to 366 days.
pub fn every(period: Duration) -> ScheduleBuilder {
    ScheduleBuilder { schedule: Schedule::every(period) }
}

/// At the times of a cron expression of five fields, or six with seconds in front: `cron("0 9 * * mon-fri")`.
pub fn cron(expression: &str) -> ScheduleBuilder {
    let parsed = checked("cron", expression).and_then(|()| {
        let cron = Cron::parse(&words(expression), expression.len());
        cron.map_err(|bad| bad.in_text("cron", expression))
    });
    ScheduleBuilder { schedule: parsed.map(|cron| Schedule::of(Kind::Cron(cron))) }
}

/// Each day at a position of the sun: `solar(Event::Sunrise, 69.65, 18.96)`. Degrees, north and east positive.
pub fn solar(event: Event, latitude: f64, longitude: f64) -> ScheduleBuilder {
    let schedule = Solar::new(event, latitude, longitude).map(|solar| Schedule::of(Kind::Solar(solar)));
    ScheduleBuilder { schedule: schedule.map_err(|reason| ScheduleError::value("place", reason)) }
}

impl ScheduleBuilder {
    /// The time zone of the wall clock, by its IANA name or as `+05:30`. UTC by default.
    pub fn tz(self, name: &str) -> Self {
        self.and_then(|schedule| {
            checked("time zone", name)?;
            let tz = zone::zone(Word::new(name)).map_err(|bad| bad.in_text("time zone", name))?;
            Ok(Schedule { tz: Some(tz), ..schedule })
        })
    }

    /// The same, for a zone that is at hand.
    pub fn time_zone(self, tz: TimeZone) -> Self {
        self.and_then(|schedule| Ok(Schedule { tz: Some(tz), ..schedule }))
    }

    /// For `solar`: so much later than the event, or earlier if negative. At most twelve hours.
    pub fn offset(self, offset: SignedDuration) -> Self {
        self.and_then(|schedule| match &schedule.kind {
            Kind::Solar(solar) => {
                let solar = solar.with_offset(offset).map_err(|reason| ScheduleError::value("offset", reason))?;
                Ok(Schedule { kind: Kind::Solar(solar), ..schedule })
            }
            Kind::Every(_) | Kind::Cron(_) => Err(ScheduleError::value("offset", "only `solar` has an offset")),
        })
    }

    /// Each run comes up to so much later. At most the period, and at most a day. Zero by default.
    pub fn jitter(self, longest: Duration) -> Self {
        self.and_then(|schedule| schedule.with_jitter(longest))
    }

    /// The schedule.
    ///
    /// # Errors
    /// The first thing that was wrong.
    pub fn build(self) -> Result<Schedule, ScheduleError> {
        self.schedule
    }

    fn and_then(self, step: impl FnOnce(Schedule) -> Result<Schedule, ScheduleError>) -> Self {
        Self { schedule: self.schedule.and_then(step) }
    }
}

impl TryFrom<ScheduleBuilder> for Schedule {
    type Error = ScheduleError;

    fn try_from(builder: ScheduleBuilder) -> Result<Self, ScheduleError> {
        builder.build()
    }
}

impl TryFrom<Duration> for Schedule {
    type Error = ScheduleError;

    fn try_from(period: Duration) -> Result<Self, ScheduleError> {
        Self::every(period)
    }
}
