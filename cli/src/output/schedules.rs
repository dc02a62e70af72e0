//! Schedules as people and programs see them.

use std::time::Duration;

use p2pnode::{
    ScheduleInfo,
    jiff::{Timestamp, tz::TimeZone},
    schedule::Schedule,
};
use serde_json::{Value, json};

use super::{
    Out,
    json::millis,
    render::duration,
    style::Role,
    table::{Column, Table},
};

const COLUMNS: [Column; 5] = [
    Column::new("NAME"),
    Column::new("WHEN").flexible(),
    Column::new("NEXT"),
    Column::new("LAST"),
    Column::new("RUNS").right(),
];

/// A schedule for programs.
pub(crate) fn info_json(info: &ScheduleInfo) -> Value {
    let last = info.last.map(|last| {
        json!({
            "started": rfc3339(last.started), "ended": rfc3339(last.ended), "ok": last.ok,
            "elapsed_ms": millis(last.ended.duration_since(last.started).unsigned_abs()),
        })
    });
    json!({
        "name": info.name,
        "when": info.schedule.as_ref().map(ToString::to_string),
        "action": info.action,
        "run_at_start": info.options.run_at_start,
        "overlap": info.options.overlap,
        "catch_up": info.options.catch_up,
        "next": info.next.map(rfc3339),
        "last": last,
        "runs": info.counts.runs,
        "failures": info.counts.failures,
        "skipped": info.counts.skipped,
        "missed": info.counts.missed,
        "running": info.running,
        "paused": info.paused,
        "problem": info.problem,
    })
}

/// The table of `schedule list`.
pub(crate) fn table(all: &[ScheduleInfo], out: &Out, now: Timestamp) -> String {
    let (mut table, zone) = (Table::new(&COLUMNS), out.zone());
    for info in all {
        let when = info.schedule.as_ref().map(ToString::to_string).unwrap_or_default();
        let next = match (&info.problem, info.paused, info.next, &info.schedule) {
            (Some(_), ..) => ("broken".to_owned(), Some(Role::Bad)),
            (_, true, ..) => ("paused".to_owned(), Some(Role::Warn)),
            (_, _, Some(next), Some(rule)) => (moment(next, rule, now, &zone, false), None),
            _ => ("never".to_owned(), Some(Role::Dim)),
        };
        let last = match info.last {
            None => ("never".to_owned(), Some(Role::Dim)),
            Some(last) => {
                let took = duration(last.ended.duration_since(last.started).unsigned_abs());
                let (word, role) = if last.ok { ("ok", Role::Ok) } else { ("failed", Role::Bad) };
                (format!("{word} {took}"), Some(role))
            }
        };
        table.row([(info.name.clone(), Some(Role::Name)), (when, None), next, last, (grouped(info.counts.runs), None)]);
    }
    table.render(Some(out.width), out.style, out.glyphs.cut)
}

/// A time to come: `in 12 s`, `tomorrow 07:30 (in 19 h)`, `Mon 23 Nov 09:00 (in 2 d)`; a sentence leaves the rest out. The zone
/// stands there if it is not the reader's, or `named`.
pub(crate) fn moment(at: Timestamp, rule: &Schedule, now: Timestamp, reader: &TimeZone, sentence: bool) -> String {
    let left = ahead(at.duration_since(now).max(p2pnode::jiff::SignedDuration::ZERO).unsigned_abs());
    if rule.period().is_some() {
        return left;
    }
    let (then, today) = (at.to_zoned(rule.time_zone().clone()), now.to_zoned(rule.time_zone().clone()));
    let is = |day: Option<p2pnode::jiff::civil::Date>| day == Some(then.date());
    let day = match () {
        () if is(Some(today.date())) => "today".to_owned(),
        () if is(today.date().tomorrow().ok()) => "tomorrow".to_owned(),
        () if then.year() == today.year() => then.strftime("%a %-d %b").to_string(),
        () => then.strftime("%a %-d %b %Y").to_string(),
    };
    let elsewhere = sentence || reader.to_offset(at) != rule.time_zone().to_offset(at);
    let zone = if elsewhere { then.strftime(" %Z").to_string() } else { String::new() };
    let left = if sentence { String::new() } else { format!(" ({left})") };
    format!("{day} {}{zone}{left}", then.strftime("%H:%M"))
}

/// A whole time: `Sun 25 Oct 2026 01:30 BST`.
pub(crate) fn full(at: Timestamp, zone: &TimeZone) -> String {
    let zoned = at.to_zoned(zone.clone());
    let seconds = if zoned.second() == 0 { "" } else { ":%S" };
    zoned.strftime(&format!("%a %-d %b %Y %H:%M{seconds} %Z")).to_string()
}

/// For programs: UTC, with milliseconds.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// How long until then, in one unit.
fn ahead(time: Duration) -> String {
    match time.as_secs() {
        0 => "now".to_owned(),
        seconds @ 1..=119 => format!("in {seconds} s"),
        seconds @ 120..=7_199 => format!("in {} m", seconds / 60),
        seconds @ 7_200..=172_799 => format!("in {} h", seconds / 3_600),
        seconds => format!("in {} d", seconds / 86_400),
    }
}

/// `9 204`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|part| std::str::from_utf8(part).ok()).collect();
    parts.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_on_the_page() {
        let now: Timestamp = "2026-11-20T12:30:00Z".parse().unwrap();
        let utc = TimeZone::UTC;
        for (rule, at, text, sentence) in [
            ("every 30s", "2026-11-20T12:30:12Z", "in 12 s", "in 12 s"),
            ("cron 0 9 * * mon-fri", "2026-11-23T09:00:00Z", "Mon 23 Nov 09:00 (in 2 d)", "Mon 23 Nov 09:00 UTC"),
            ("solar sunrise 51.5 -0.1", "2026-11-21T07:30:20Z", "tomorrow 07:30 (in 19 h)", "tomorrow 07:30 UTC"),
            ("cron @yearly", "2027-01-01T00:00:00Z", "Fri 1 Jan 2027 00:00 (in 41 d)", "Fri 1 Jan 2027 00:00 UTC"),
            ("cron 0 21 * * * Asia/Tokyo", "2026-11-20T12:59:59Z", "today 21:59 JST (in 29 m)", "today 21:59 JST"),
        ] {
            let (rule, at) = (rule.parse::<Schedule>().unwrap(), at.parse().unwrap());
            assert_eq!(moment(at, &rule, now, &utc, false), text);
            assert_eq!(moment(at, &rule, now, &utc, true), sentence);
        }
        let london = TimeZone::get("Europe/London").unwrap();
        assert_eq!(full("2026-10-25T00:30:00Z".parse().unwrap(), &london), "Sun 25 Oct 2026 01:30 BST");
        assert_eq!(full("2026-10-26T01:30:05Z".parse().unwrap(), &london), "Mon 26 Oct 2026 01:30:05 GMT");
        assert_eq!(rfc3339(now), "2026-11-20T12:30:00.000Z");
    }

    #[test]
    fn numbers_in_groups() {
        assert_eq!([0, 41, 9_204, 1_234_567].map(grouped), ["0", "41", "9 204", "1 234 567"]);
    }
}
