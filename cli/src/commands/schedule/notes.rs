//! What is odd about the times of a schedule: clock changes, and a sun that does not rise.

use p2pnode::{
    jiff::{SignedDuration, Timestamp, tz::AmbiguousOffset},
    schedule::Schedule,
};

/// A year, and a day more than the longest one.
const YEAR: SignedDuration = SignedDuration::from_hours(367 * 24);

/// Runs of one event are a day apart, more or less half an hour of drift, half a day at the rim of a polar night.
const GAP: SignedDuration = SignedDuration::from_hours(40);

/// Of a time whose hour comes twice, when the clock is set back.
pub(super) fn clock(rule: &Schedule, at: Timestamp) -> Option<String> {
    if kind(rule) != "cron" {
        return None;
    }
    let zone = rule.time_zone();
    let shown = at.to_zoned(zone.clone()).datetime();
    let AmbiguousOffset::Fold { before, after } = zone.to_ambiguous_timestamp(shown).offset() else { return None };
    let other =
        [before, after].into_iter().filter_map(|offset| offset.to_timestamp(shown).ok()).find(|time| *time != at);
    let other = other?;
    let runs = |time: Timestamp| {
        let just_before = time.checked_sub(SignedDuration::from_secs(1)).ok();
        just_before.and_then(|before| rule.next(before)) == Some(time)
    };
    Some(if runs(other) { "this hour comes twice; runs twice" } else { "this hour comes twice; runs once" }.to_owned())
}

/// Of a schedule by the sun: when, in the year after `from`, there are days without a run.
pub(super) fn sun(rule: &Schedule, from: Timestamp) -> Option<String> {
    if kind(rule) != "solar" {
        return None;
    }
    let end = from.checked_add(YEAR).ok()?;
    let times: Vec<Timestamp> = std::iter::once(from).chain(rule.upcoming(from)).take_while(|at| *at < end).collect();
    let (last, first) = times.iter().zip(times.iter().skip(1)).find(|(a, b)| b.duration_since(**a) > GAP)?;
    let day = |at: &Timestamp, days: i8| {
        let day = at.to_zoned(rule.time_zone().clone()).date();
        let day = if days > 0 { day.tomorrow() } else { day.yesterday() };
        day.map(|day| day.strftime("%-d %b").to_string()).unwrap_or_default()
    };
    let until = day(first, -1);
    // Today is one of the days: how many there were before is of no interest.
    let span = if *last == from { format!("until {until}") } else { format!("from {} to {until}", day(last, 1)) };
    Some(format!("{} {span}, no runs then", what(rule)))
}

fn kind(rule: &Schedule) -> String {
    rule.to_string().split(' ').next().unwrap_or_default().to_owned()
}

/// What the sun does not do.
fn what(rule: &Schedule) -> String {
    let text = rule.to_string();
    let event = text.split(' ').nth(1).unwrap_or_default();
    match event.split(['+', '-']).next().unwrap_or_default() {
        "sunrise" => "the sun does not rise there".to_owned(),
        "sunset" => "the sun does not set there".to_owned(),
        other => format!("there is no {} there", other.replace('_', " ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn rule(text: &str) -> Schedule {
        text.parse().unwrap()
    }

    #[test]
    fn an_hour_that_comes_twice() {
        let once = rule("cron 30 1 * * * Europe/London");
        let times: Vec<Timestamp> = once.upcoming(at("2026-10-24T12:00:00Z")).take(2).collect();
        assert_eq!(clock(&once, times[0]).as_deref(), Some("this hour comes twice; runs once"));
        assert_eq!(clock(&once, times[1]), None);
        let often = rule("cron */30 * * * * Europe/London");
        let times: Vec<Timestamp> = often.upcoming(at("2026-10-25T00:10:00Z")).take(4).collect();
        assert_eq!(times.iter().filter_map(|time| clock(&often, *time)).count(), 3, "{times:?}");
        assert_eq!(clock(&often, times[0]).as_deref(), Some("this hour comes twice; runs twice"));
        assert_eq!(clock(&rule("cron 30 1 * * *"), at("2026-10-25T01:30:00Z")), None);
    }

    #[test]
    fn a_sun_that_does_not_rise_or_set() {
        let from = at("2026-11-20T12:00:00Z");
        let tromso = sun(&rule("solar sunrise 69.65 18.96"), from).unwrap();
        assert!(tromso.starts_with("the sun does not rise there from 2") && tromso.contains(" Nov to 1"), "{tromso}");
        assert!(tromso.ends_with(" Jan, no runs then"), "{tromso}");
        let now = sun(&rule("solar sunrise 69.65 18.96"), at("2026-12-20T12:00:00Z")).unwrap();
        assert!(now.starts_with("the sun does not rise there until 1"), "{now}");
        let summer = sun(&rule("solar sunset 69.65 18.96"), at("2026-03-20T12:00:00Z")).unwrap();
        assert!(summer.starts_with("the sun does not set there from 1"), "{summer}");
        for text in ["solar sunrise 51.5 -0.1", "solar noon 69.65 18.96", "every 2d", "cron @yearly"] {
            assert_eq!(sun(&rule(text), from), None, "{text}");
        }
    }
}
