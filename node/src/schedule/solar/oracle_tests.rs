//! Against SPA, by way of the crate `solar-positioning`.

use chrono::{DateTime, Utc};
use solar_positioning::{Horizon, Location, SolarEvents, delta_t};

use super::{
    event::{Crossing, Event},
    *,
};

const DAY: i64 = 86_400;

struct Stop {
    name: &'static str,
    latitude: f64,
    longitude: f64,
}

const STOPS: [Stop; 10] = [
    Stop { name: "Quito", latitude: -0.18, longitude: -78.47 },
    Stop { name: "Kiritimati", latitude: 1.87, longitude: -157.4 },
    Stop { name: "Auckland", latitude: -36.85, longitude: 174.76 },
    Stop { name: "London", latitude: 51.5, longitude: -0.1 },
    Stop { name: "Ushuaia", latitude: -54.8, longitude: -68.3 },
    Stop { name: "Oslo", latitude: 60.0, longitude: 10.75 },
    Stop { name: "Reykjavik", latitude: 64.15, longitude: -21.94 },
    Stop { name: "Arctic Circle", latitude: 66.56, longitude: 25.8 },
    Stop { name: "Tromsø", latitude: 69.65, longitude: 18.96 },
    Stop { name: "70° south", latitude: -70.0, longitude: 30.0 },
];

/// Seconds that are allowed: people below 60° get half a minute, above a minute.
fn allowed(latitude: f64) -> i64 {
    if latitude.abs() <= 60.0 { 30 } else { 60 }
}

fn utc(at: Timestamp) -> DateTime<Utc> {
    DateTime::from_timestamp(at.as_second(), 0).expect("in range")
}

/// What SPA finds after `after`, within `days`.
fn by_spa(event: Event, stop: &Stop, after: Timestamp, days: i64) -> Option<Timestamp> {
    let (start, spa) = (utc(after), SolarEvents::new());
    let end = start + chrono::Duration::seconds(days * DAY);
    let place = Location { latitude: stop.latitude, longitude: stop.longitude };
    let delta_t = delta_t::estimate_from_date_like(&start).expect("a year of our time");
    let horizon = |altitude: f64| match altitude {
        a if a > -1.0 => Horizon::SunriseSunset,
        a => Horizon::Custom(a),
    };
    let found = match event.crossing() {
        Crossing::Meridian => spa.next_transit(&start, &end, stop.longitude, delta_t),
        Crossing::Rising(altitude) => spa.next_rise(&start, &end, place, delta_t, horizon(altitude)),
        Crossing::Setting(altitude) => spa.next_set(&start, &end, place, delta_t, horizon(altitude)),
    };
    let found = found.expect("valid arguments")?;
    Timestamp::from_millisecond(found.timestamp_millis()).ok()
}

/// Largest difference in seconds over a year of every `stride`th day, and how many events were compared.
fn compare(event: Event, stop: &Stop, start: Timestamp, stride: i64) -> (i64, usize) {
    let ours = Solar::new(event, stop.latitude, stop.longitude).expect("a place");
    let (mut worst, mut compared) = (0, 0);
    for day in (0..366).step_by(usize::try_from(stride).expect("small")) {
        let after = start + SignedDuration::from_secs(day * DAY);
        // Each at the other's time: a difference of seconds must not become one of a day.
        let next = ours.next(after).expect("there is one each year");
        let before = next - SignedDuration::from_secs(allowed(stop.latitude) + 1);
        let spa = by_spa(event, stop, before.min(after), (next.duration_since(after).as_secs() / DAY) + 2);
        // Rounded up: both are.
        let error = spa.map_or(DAY, |spa| spa.duration_since(next).abs().as_secs() + 1);
        assert!(error <= allowed(stop.latitude), "{} {event} after {after}: {next}, SPA {spa:?}", stop.name);
        (worst, compared) = (worst.max(error), compared + 1);
    }
    (worst, compared)
}

fn agree(year: i16, stride: i64) {
    let start = jiff::civil::date(year, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).expect("in range").timestamp();
    for stop in &STOPS {
        let results = Event::ALL.map(|event| compare(event, stop, start, stride));
        let compared: usize = results.iter().map(|(_, compared)| compared).sum();
        let worst = results.map(|(worst, _)| worst.to_string()).join(" ");
        println!(
            "{year} {:14} {:6.2}°: worst of nine events, in s: {worst} ({compared} compared)",
            stop.name, stop.latitude
        );
    }
}

#[test]
fn agrees_with_spa() {
    agree(2026, 37);
}

#[test]
#[ignore = "most of a minute in debug; runs in .ci/long"]
fn agrees_with_spa_on_every_day() {
    agree(2026, 1);
    agree(2050, 1);
}

#[test]
fn the_sun_stands_where_spa_says() {
    let (spa, mut worst) = (solar_positioning::SolarPositions::new(), 0.0_f64);
    for year in [1980, 2000, 2026, 2050, 2099] {
        for hours in (0..8_760).step_by(50) {
            let start = jiff::civil::date(year, 1, 1).to_zoned(jiff::tz::TimeZone::UTC).expect("in range").timestamp();
            let at = start + SignedDuration::from_hours(hours);
            let days = at.as_second() as f64 / 86_400.0 - 10_957.5;
            let delta_t = delta_t::estimate_from_date_like(&utc(at)).expect("a year of our time");
            let place = Location { latitude: 51.5, longitude: 0.0 };
            let theirs = spa.at(&utc(at), place, 0.0, delta_t, None).expect("valid arguments");
            let ours = super::sun::position(days).altitude(place.latitude, place.longitude);
            worst = worst.max((theirs.elevation_angle() - ours).abs());
        }
    }
    println!("worst difference in altitude, in degrees: {worst:.5}");
    assert!(worst < 0.01);
}
