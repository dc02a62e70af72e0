use std::time::{Duration, Instant};

use jiff::Timestamp;
use proptest::prelude::*;

use super::super::{cron, every, solar};
use super::*;

fn read(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> ScheduleError {
    text.parse::<Schedule>().expect_err(text)
}

/// What the caret is below.
fn marked(text: &str) -> (&str, String, String) {
    let error = refused(text);
    let span = error.span().expect("a text");
    (&text[span], error.reason(), error.hint().unwrap_or_default().to_owned())
}

#[test]
fn what_is_written_says_itself_again() {
    for (text, said) in [
        ("every 15m", "every 15m"),
        ("every 1h 30m", "every 1h 30m"),
        ("EVERY 90 minutes", "every 1h 30m"),
        ("every day", "every 1d"),
        ("every 200ms", "every 200ms"),
        ("every 1h Europe/London jitter 5m", "every 1h Europe/London jitter 5m"),
        ("cron 0 9 * * mon-fri", "cron 0 9 * * mon-fri"),
        ("cron  0 9 * * MON-FRI   europe/london", "cron 0 9 * * mon-fri Europe/London"),
        ("cron 30 0 9 * * mon-fri UTC", "cron 30 0 9 * * mon-fri UTC"),
        ("cron 0 0 1 jan/3 mon/2 GMT", "cron 0 0 1 jan/3 mon/2 GMT"),
        ("cron @daily +05:30", "cron @daily +05:30"),
        ("cron 0 9 * * mon jitter 2m", "cron 0 9 * * mon jitter 2m"),
        ("solar sunrise 69.65 18.96", "solar sunrise 69.65 18.96"),
        ("solar sunset-30m 51.5 -0.1", "solar sunset-30m 51.5 -0.1"),
        ("solar sunset 51.5,-0.1 Europe/London -30m", "solar sunset-30m 51.5 -0.1 Europe/London"),
        ("solar civil-dawn+1h30m 51.5, -0.1", "solar civil_twilight_begin+1h30m 51.5 -0.1"),
        ("solar Solar Noon 0 0", "solar solar_noon 0 0"),
        (
            "solar dusk -45 170.5 Pacific/Auckland jitter 1m",
            "solar civil_twilight_end -45 170.5 Pacific/Auckland jitter 1m",
        ),
    ] {
        let schedule = read(text);
        assert_eq!(schedule.to_string(), said);
        assert_eq!(read(said), schedule, "{text}");
        let json = serde_json::to_string(&schedule).expect("a string");
        assert_eq!(serde_json::from_str::<Schedule>(&json).expect("its own text"), schedule);
    }
}

#[test]
fn a_zone_is_the_callers_unless_it_is_named() {
    let london = TimeZone::get("Europe/London").expect("London");
    let july: Timestamp = "2026-07-01T00:00:00Z".parse().expect("valid");
    let nine = |text| Schedule::parse(text, &london).expect(text).next(july).expect("a time").to_string();
    assert_eq!(nine("cron 0 9 * * *"), "2026-07-01T08:00:00Z");
    assert_eq!(nine("cron 0 9 * * * UTC"), "2026-07-01T09:00:00Z");
    let given = Schedule::parse("cron 0 9 * * *", &london).expect("valid");
    assert_eq!(given.to_string(), "cron 0 9 * * * Europe/London");
}

#[test]
fn made_and_written_schedules_are_the_same() {
    let place = solar(Event::Sunset, 51.5, -0.1).tz("Europe/London").offset(SignedDuration::from_mins(-30));
    let sunset = place.jitter(Duration::from_secs(60)).build().expect("valid");
    assert_eq!(sunset, read("solar sunset-30m 51.5 -0.1 Europe/London jitter 1m"));
    assert_eq!(every(Duration::from_secs(5_400)).build().expect("valid"), read("every 1h 30m"));
    assert_eq!(
        cron("0 9 * * mon-fri").tz("Europe/London").build().expect("valid"),
        read("cron 0 9 * * mon-fri Europe/London")
    );
    assert_eq!(
        Schedule::try_from(Duration::from_secs(30)).expect("valid"),
        Schedule::try_from("every 30s").expect("valid")
    );
    for wrong in [
        every(Duration::ZERO),
        every(Duration::from_secs(400 * 86_400)),
        every(Duration::MAX),
        every(Duration::from_secs(60)).jitter(Duration::from_secs(61)),
        every(Duration::from_secs(60)).offset(SignedDuration::from_secs(1)),
        cron("0 9 * * mon-fry"),
        cron("0 9 * * mon").tz("Europe/Lodnon"),
        solar(Event::Sunrise, 91.0, 0.0),
        solar(Event::Sunrise, 0.0, 0.0).offset(SignedDuration::MIN),
    ] {
        assert!(wrong.build().is_err());
    }
}

#[test]
fn errors_point_at_what_is_wrong() {
    const DAYS: &str = "`fry` is no day. Days: sun mon tue wed thu fri sat, or 0-7";
    let expected = ("mon-fry", DAYS.to_owned(), "did you mean `mon-fri`?".to_owned());
    assert_eq!(marked("cron 0 9 * * mon-fry"), expected);
    assert_eq!(cron("0 9 * * mon-fry").build().expect_err("no day").span(), Some(8..15));
    for (text, part, reason, hint) in [
        ("cron 0 9 * * 1,fry,3", "fry", "no day", "`fri`"),
        ("cron 0 25 * * *", "25", "no hour. 0-23", ""),
        ("cron 0 9 31 4,6 *", "31 4,6", "has a day `31`", ""),
        ("cron 0 9 30 feb *", "30 feb", "never run", ""),
        ("cron 0 9 L * *", "L", "not supported", ""),
        ("cron 0 22-2 * * *", "22-2", "runs backwards", "`22-23,0-2`"),
        ("cron 0 9 * * fri-mon", "fri-mon", "runs backwards", "`5-6,0-1`"),
        ("cron 0 9 * jna *", "jna", "no month", "`jan`"),
        ("cron 0 9 * *", "", "4 fields, 5 or 6", "minute hour"),
        ("cron 0 9 * * * * * 2027", "*", "too many fields", "minute hour"),
        ("cron 0 0 9 * * mon 2027", "2027", "too many fields", "minute hour"),
        ("cron 0 9 * * mon UTC now", "now", "follows the time zone", ""),
        ("cron */0 9 * * *", "*/0", "no step", ""),
        ("cron 0 9 * * mno", "mno", "no day", "`mon`"),
        ("cron 0 9 * * mon Europe/Lodnon", "Europe/Lodnon", "no time zone", "`Europe/London`"),
        ("cron @dialy", "@dialy", "none of", "`@daily`"),
        ("cron @reboot", "@reboot", "no time", "run_at_start"),
        ("cron 0 9 * * Europe/London", "", "4 fields, 5 or 6", "minute hour"),
        ("every 15x", "x", "no unit", ""),
        ("every 15 mintues", "mintues", "no unit", "`minutes`"),
        ("every 15", "15", "no unit", "`15s`"),
        ("every", "", "a number and a unit", ""),
        ("every 0s", "0s", "longer than zero", ""),
        ("every 400d", "400d", "366 days", ""),
        ("every 1m jitter 2m", "2m", "at most the period", ""),
        ("solar sunrize 51 0", "sunrize", "no event", "`sunrise`"),
        ("solar sunrise 91 0", "91", "latitudes go", ""),
        ("solar sunrise 51 181", "181", "latitudes go", ""),
        ("solar sunrise", "", "a place is missing", ""),
        ("solar sunset-30x 51 0", "x", "no unit", ""),
        ("solar sunset+13h 51 0", "+13h", "12 hours", ""),
        ("solar sunrise 51 0 Europe/London now", "now", "too much", ""),
        ("evry 15m", "evry", "none of", "`every`"),
        ("0 9 * * *", "0", "none of", "begin with `cron`"),
        ("sunrise 51 0", "sunrise", "none of", "begin with `solar`"),
        ("", "", "empty", ""),
    ] {
        let (there, why, meant) = marked(text);
        assert_eq!(there, part, "{text}: {why}");
        assert!(why.contains(reason), "{text}: {why}");
        assert!(meant.contains(hint) && meant.is_empty() == hint.is_empty(), "{text}: {meant}");
    }
}

#[test]
fn long_and_strange_texts_are_refused() {
    assert_eq!(refused(&format!("cron 0 9 * * {}", "1,".repeat(60))), ScheduleError::TooLong { bytes: 133 });
    for strange in ["every 15m\u{1b}[2J", "every １５m", "cron 0 9 * *\n*"] {
        let text = refused(strange).to_string();
        let error = refused(strange);
        let (ScheduleError::Text { text: shown, .. }, Some(span)) = (&error, error.span()) else { panic!("{error:?}") };
        assert!(shown[span].starts_with('\\'), "{shown}");
        assert!(text.is_ascii() && !text.contains(|c: char| c.is_ascii_control()), "{text}");
    }
}

#[test]
fn a_thousand_impossible_expressions_cost_next_to_nothing() {
    let now: Timestamp = "2026-11-21T00:00:00Z".parse().expect("valid");
    let started = Instant::now();
    for n in 0..1_000 {
        let (minute, hour) = (n % 60, n % 24);
        let dates = ["30 2", "31 4,6,9,11", "31 2", "30-31 feb", "29 2"];
        let text = format!("cron {minute} {hour} {} *", dates[n % 5]);
        // The next leap day is in 2028: it may be written here, and is not taken from a peer.
        let refused = text.parse().and_then(|schedule: Schedule| schedule.first_run_for_peer(now));
        assert!(refused.is_err(), "{text}");
    }
    println!("1,000 impossible expressions: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(1));
}

#[test]
fn a_thousand_wrong_zones_cost_little() {
    let started = Instant::now();
    for n in 0..1_000 {
        assert!(format!("cron 0 9 * * * Eurpoe/Lo{n}ndon{}", "x".repeat(n % 90)).parse::<Schedule>().is_err());
    }
    println!("1,000 wrong zones: {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn peers_ask_for_a_minute_at_least() {
    let now: Timestamp = "2026-11-21T00:00:00Z".parse().expect("valid");
    for (text, taken) in [
        ("every 60s", true),
        ("every 59s", false),
        ("cron * * * * *", true),
        ("cron 30 * * * * *", true),
        ("cron */30 * * * * *", false),
        ("solar sunrise 69.65 18.96", true),
        ("cron 0 0 29 2 *", false),
    ] {
        assert_eq!(read(text).first_run_for_peer(now).is_ok(), taken, "{text}");
    }
    assert!(read("every 1s").first_run(now).is_ok());
}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,140}") {
        let _ = text.parse::<Schedule>();
    }

    /// Nearly right ones go deeper.
    #[test]
    fn no_nearly_right_text_panics(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "every", "cron", "solar", "*", "*/5", "0", "9", "1-5", "mon-fri", "fry", "@daily", "jitter", "5m", "-30m", "+05:30",
            "sunrise", "sunset-1h", "51.5", "-0.1", "51.5,-0.1", "Europe/London", "UTC", "1h30m", "-", "/", ",", "0-", "-5", "+",
            "sunset-", "L", "mon#2", "@", "1e400", "-inf", "5-5/200",
        ]), 0..9),
    ) {
        let text = words.join(" ");
        match text.parse::<Schedule>() {
            Ok(schedule) => {
                prop_assert_eq!(&schedule.to_string().parse::<Schedule>().expect("its own text"), &schedule);
                let _ = schedule.next(Timestamp::UNIX_EPOCH);
            }
            Err(error) => prop_assert!(error.span().is_none_or(|span| text.get(span).is_some()), "{:?}", error),
        }
    }

    #[test]
    fn made_schedules_are_read_back(
        ms in 1..366_u64 * 86_400_000,
        latitude in -90.0..=90.0_f64,
        longitude in -180.0..=180.0_f64,
        event in proptest::sample::select(Event::ALL.to_vec()),
        offset in -43_200_000..=43_200_000_i64,
        zone in proptest::sample::select(vec!["UTC", "Europe/London", "+05:30", "Pacific/Kiritimati"]),
    ) {
        let made = [
            every(Duration::from_millis(ms)).jitter(Duration::from_millis(ms / 1_000)),
            solar(event, latitude, longitude).offset(SignedDuration::from_millis(offset)).tz(zone),
        ];
        for builder in made {
            let schedule = builder.build().expect("in range");
            prop_assert_eq!(read(&schedule.to_string()), schedule);
        }
    }
}
