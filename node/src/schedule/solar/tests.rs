use super::*;

fn solar(event: Event, latitude: f64, longitude: f64) -> Solar {
    Solar::new(event, latitude, longitude).expect("a place")
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

fn seconds_between(a: Timestamp, b: Timestamp) -> i64 {
    a.duration_since(b).as_secs().abs()
}

#[test]
fn london_at_midsummer() {
    // SPA: 03:43:02.
    let next = solar(Event::Sunrise, 51.5, -0.1).next(at("2026-06-21T00:00:00Z")).expect("each day");
    assert!(seconds_between(next, at("2026-06-21T03:43:02Z")) <= 2, "{next}");
}

#[test]
fn after_the_polar_night_the_sun_comes_back_on_the_right_day() {
    let tromso = solar(Event::Sunrise, 69.65, 18.96);
    let last = tromso.next(at("2026-11-26T12:00:00Z")).expect("the last one");
    assert!(last < at("2026-11-28T12:00:00Z"), "{last}");
    // SPA: 15 January; the `sunrise` crate alone finds the 16th.
    let first = tromso.next(at("2026-11-28T12:00:00Z")).expect("the next year");
    assert_eq!(first.to_string().get(..10), Some("2027-01-15"));
    // Civil twilight and noon come all the same. SPA: 08:31:15.
    let dawn = solar(Event::CivilTwilightBegin, 69.65, 18.96).next(at("2026-12-21T00:00:00Z")).expect("each day");
    assert!(seconds_between(dawn, at("2026-12-21T08:31:15Z")) <= 5, "{dawn}");
    let noon = solar(Event::SolarNoon, 69.65, 18.96).next(at("2026-12-21T00:00:00Z")).expect("each day");
    assert_eq!(noon.to_string().get(..13), Some("2026-12-21T10"));
}

#[test]
fn no_day_is_lost_or_doubled() {
    for (latitude, longitude) in
        [(1.87, -157.4), (0.0, 180.0), (0.0, -180.0), (51.5, -0.1), (-36.85, 174.76), (48.0, 179.9)]
    {
        for event in Event::ALL.into_iter().filter(|event| latitude < 49.0 || *event == Event::Sunrise) {
            let (place, mut last) = (solar(event, latitude, longitude), at("2026-01-01T00:00:00Z"));
            for n in 0..800 {
                let next = place.next(last).expect("each day");
                let hours = next.duration_since(last).as_secs_f64() / 3_600.0;
                assert!(n == 0 || (23.8..24.2).contains(&hours), "{event} {latitude} {longitude}: {last} {next}");
                last = next;
            }
        }
    }
}

#[test]
fn at_the_poles_there_is_one_sunrise_a_year() {
    for latitude in [90.0, -90.0, 89.99, 89.5] {
        for event in Event::ALL.into_iter().filter(|event| *event != Event::SolarNoon) {
            let pole = solar(event, latitude, 0.0);
            let first = pole.next(at("2026-01-01T00:00:00Z")).unwrap_or_else(|| panic!("{event} at {latitude}"));
            assert!(first < at("2027-01-05T00:00:00Z"), "{event} at {latitude}: {first}");
        }
    }
    let sunrise = solar(Event::Sunrise, 90.0, 0.0).next(at("2026-01-01T00:00:00Z")).expect("in March");
    assert_eq!(sunrise.to_string().get(..7), Some("2026-03"));
}

#[test]
fn an_offset_moves_the_event_and_the_search() {
    let sunset = solar(Event::Sunset, 51.5, -0.1);
    let earlier = sunset.with_offset(SignedDuration::from_mins(-30)).expect("half an hour");
    let after = at("2026-06-21T18:00:00Z");
    let (plain, moved) = (sunset.next(after).expect("today"), earlier.next(after).expect("today"));
    assert_eq!(plain.duration_since(moved), SignedDuration::from_mins(30));
    // Between the two, the next one is tomorrow's.
    let between = plain - SignedDuration::from_mins(10);
    assert_eq!(sunset.next(between), Some(plain));
    assert!(earlier.next(between).expect("tomorrow") > plain);
    assert!(sunset.with_offset(SignedDuration::from_hours(13)).is_err());
}

#[test]
fn the_ends_of_time_give_nothing_and_do_not_panic() {
    for after in [Timestamp::MAX, Timestamp::MIN, Timestamp::UNIX_EPOCH] {
        let _ = solar(Event::Sunrise, 51.5, -0.1).next(after);
    }
    assert!(Solar::new(Event::Sunrise, 90.1, 0.0).is_err() && Solar::new(Event::Sunrise, f64::NAN, 0.0).is_err());
}
