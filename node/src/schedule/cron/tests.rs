use super::*;

fn cron(expression: &str) -> Cron {
    Cron::parse(&words(expression), expression.len()).expect(expression)
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).expect(name)
}

fn at(text: &str) -> Timestamp {
    text.parse().expect(text)
}

/// The runs after `from`, on the wall clock of `name`, with its offset.
fn runs(expression: &str, name: &str, from: &str, count: usize) -> Vec<String> {
    let (cron, tz) = (cron(expression), zone(name));
    let all = std::iter::successors(Some(at(from)), |last| cron.next(*last, &tz)).skip(1).take(count);
    all.map(|at| at.to_zoned(tz.clone()).strftime("%m-%d %H:%M:%S %:z").to_string()).collect()
}

#[test]
fn weekdays_are_numbered_as_in_crontab() {
    // 21 November 2026 is a Saturday.
    for (expression, expected) in [
        ("0 9 * * mon-fri", ["11-23 09:00:00 +00:00", "11-24 09:00:00 +00:00"]),
        ("0 9 * * 1", ["11-23 09:00:00 +00:00", "11-30 09:00:00 +00:00"]),
        ("0 9 * * 0", ["11-22 09:00:00 +00:00", "11-29 09:00:00 +00:00"]),
        ("0 9 * * 7", ["11-22 09:00:00 +00:00", "11-29 09:00:00 +00:00"]),
        ("30 0 9 * * sat", ["11-21 09:00:30 +00:00", "11-28 09:00:30 +00:00"]),
        ("@weekly", ["11-22 00:00:00 +00:00", "11-29 00:00:00 +00:00"]),
        ("@Midnight", ["11-22 00:00:00 +00:00", "11-23 00:00:00 +00:00"]),
        ("@hourly", ["11-21 01:00:00 +00:00", "11-21 02:00:00 +00:00"]),
    ] {
        assert_eq!(runs(expression, "UTC", "2026-11-21T00:00:00Z", 2), expected, "{expression}");
    }
}

#[test]
fn either_day_is_enough_if_both_are_restricted() {
    let expected = ["11-23 09:00:00 +00:00", "11-30 09:00:00 +00:00", "12-01 09:00:00 +00:00"];
    assert_eq!(runs("0 9 1 * mon", "UTC", "2026-11-21T00:00:00Z", 3), expected);
    // A date that never comes leaves the weekday.
    let expected = ["02-01 09:00:00 +00:00", "02-08 09:00:00 +00:00"];
    assert_eq!(runs("0 9 31 2 mon", "UTC", "2026-11-21T00:00:00Z", 2), expected);
}

#[test]
fn a_time_that_is_left_out_runs_right_after_the_gap() {
    let expected = ["03-28 01:30:00 +00:00", "03-29 02:00:00 +01:00", "03-30 01:30:00 +01:00"];
    assert_eq!(runs("30 1 * * *", "Europe/London", "2026-03-28T00:00:00Z", 3), expected);
    // Others have nothing to make up.
    let expected = ["03-29 00:30:00 +00:00", "03-29 02:00:00 +01:00", "03-29 02:30:00 +01:00"];
    assert_eq!(runs("*/30 * * * *", "Europe/London", "2026-03-29T00:00:00Z", 3), expected);
}

#[test]
fn a_repeated_hour_runs_fixed_times_once_and_others_twice() {
    let expected = ["10-25 01:30:00 +01:00", "10-26 01:30:00 +00:00", "10-27 01:30:00 +00:00"];
    assert_eq!(runs("30 1 * * *", "Europe/London", "2026-10-24T12:00:00Z", 3), expected);
    assert_eq!(runs("30 1 * * *", "Europe/London", "2026-10-25T01:10:00Z", 1), ["10-26 01:30:00 +00:00"]);
    let expected = [
        "10-25 01:00:00 +01:00",
        "10-25 01:30:00 +01:00",
        "10-25 01:00:00 +00:00",
        "10-25 01:30:00 +00:00",
        "10-25 02:00:00 +00:00",
    ];
    assert_eq!(runs("*/30 * * * *", "Europe/London", "2026-10-24T23:59:00Z", 5), expected);
}

#[test]
fn lord_howe_moves_its_clock_by_half_an_hour() {
    // 4 October 2026, 02:00 becomes 02:30; 5 April 2026, 02:00 becomes 01:30.
    let expected = ["10-04 02:30:00 +11:00", "10-05 02:15:00 +11:00"];
    assert_eq!(runs("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:30:00Z", 2), expected);
    let expected = ["04-05 01:45:00 +11:00", "04-06 01:45:00 +10:30"];
    assert_eq!(runs("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T13:30:00Z", 2), expected);
    let expected = ["04-05 01:45:00 +11:00", "04-05 01:30:00 +10:30", "04-05 01:45:00 +10:30", "04-05 02:00:00 +10:30"];
    assert_eq!(runs("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30:00Z", 4), expected);
}

#[test]
fn kiritimati_is_fourteen_hours_ahead() {
    let expected = ["01-01 00:00:00 +14:00", "02-01 00:00:00 +14:00"];
    assert_eq!(runs("@monthly", "Pacific/Kiritimati", "2026-12-31T09:59:59Z", 2), expected);
}

#[test]
fn a_fold_over_midnight_runs_the_evening_once() {
    // Until 2018, São Paulo went from 24:00 back to 23:00.
    let expected = ["02-17 23:30:00 -02:00", "02-18 23:30:00 -03:00"];
    assert_eq!(runs("30 23 * * *", "America/Sao_Paulo", "2018-02-17T12:00:00Z", 2), expected);
    // And in spring from 00:00 to 01:00.
    let expected = ["11-04 01:00:00 -02:00", "11-05 00:30:00 -02:00"];
    assert_eq!(runs("30 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2), expected);
}

#[test]
fn leap_days_come_however_far_off() {
    let tz = zone("Europe/London");
    let leap = cron("0 12 29 2 *");
    assert_eq!(leap.next(at("2026-11-21T00:00:00Z"), &tz), Some(at("2028-02-29T12:00:00Z")));
    assert_eq!(leap.next(at("2096-03-01T00:00:00Z"), &tz), None, "2100 has none, and the crate ends there");
    let flowing = cron("*/30 12 29 2 *");
    assert_eq!(flowing.next(at("2028-03-01T00:00:00Z"), &tz), Some(at("2032-02-29T12:00:00Z")));
}

#[test]
fn times_before_1970_are_as_good_as_any() {
    let first = Some(at("1970-01-01T09:00:00Z"));
    for after in [Timestamp::MIN, at("-000400-01-01T00:00:00Z"), at("1969-12-31T23:59:59Z"), at("1900-03-01T00:00:00Z")]
    {
        assert_eq!(cron("0 9 * * *").next(after, &TimeZone::UTC), first, "{after}");
        assert_eq!(cron("0 9,10 * * *").next(after, &TimeZone::UTC), first, "{after}");
    }
    assert_eq!(cron("0 9 * * *").next(Timestamp::MAX, &zone("Europe/London")), None);
}

#[test]
fn fractions_of_a_second_neither_repeat_nor_skip() {
    let (each, tz) = (cron("* * * * * *"), TimeZone::UTC);
    assert_eq!(each.next(at("2026-11-21T10:00:00.5Z"), &tz), Some(at("2026-11-21T10:00:01Z")));
    assert_eq!(each.next(at("2026-11-21T09:59:59.999999999Z"), &tz), Some(at("2026-11-21T10:00:00Z")));
    assert_eq!(each.next(at("2026-11-21T10:00:00Z"), &tz), Some(at("2026-11-21T10:00:01Z")));
}
