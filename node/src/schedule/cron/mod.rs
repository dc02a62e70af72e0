//! Cron expressions: five fields, six with seconds in front, or a nickname.
//!
//! Semantics are those of Vixie's cron, as crontab(5) tells them: Sunday is 0 and 7, and if both the day of the month and
//! the weekday are restricted (are not `*`), either is enough. The `cron` crate walks the calendar; it is asked only about
//! wall-clock time (see [`local`]), because its own handling of clock changes skips runs, repeats them, or goes back in
//! time.

mod field;
mod local;

use std::str::FromStr;

use jiff::{Timestamp, tz::TimeZone};

use self::field::{Field, Unit};
use super::{
    words::{Bad, Word, nearest, words},
    zone,
};

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Fields of an expression with seconds. There is none for the year.
const MOST_FIELDS: usize = Unit::ALL.len();

/// Days of the longest month of each name: a leap day comes.
const LONGEST: [u8; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// A cron expression. Equal if written equally, white space and case aside.
#[derive(Debug, Clone)]
pub(super) struct Cron {
    /// Words joined by single spaces, in lower case.
    text: String,
    /// Two if either of two day fields is enough.
    calendars: Vec<::cron::Schedule>,
    /// Runs at one time of the day.
    is_fixed: bool,
    /// Runs at more than one second of a minute.
    has_seconds: bool,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Cron {
    pub(super) fn parse(expression: &[Word<'_>], after: usize) -> Result<Self, Bad> {
        let text = expression.iter().map(|word| word.text.to_ascii_lowercase()).collect::<Vec<_>>().join(" ");
        match expression {
            [name] if name.text.starts_with('@') => {
                let fields = nickname(*name)?;
                Ok(Self { text, ..Self::from_fields(&words(fields), after)? })
            }
            _ => Ok(Self { text, ..Self::from_fields(expression, after)? }),
        }
    }

    fn from_fields(expression: &[Word<'_>], after: usize) -> Result<Self, Bad> {
        let units = match expression.len() {
            5 => Unit::ALL.get(1..).unwrap_or_default(),
            6 => &Unit::ALL[..],
            _ => return Err(wrong_count(expression, after)),
        };
        let fields = expression.iter().zip(units).map(|(word, unit)| Field::parse(*word, *unit));
        let fields: Vec<Field> = fields.collect::<Result<_, _>>()?;
        let [second, minute, hour, day, month, weekday] = match *fields.as_slice() {
            [minute, hour, day, month, weekday] => [Field::zero(Unit::Second), minute, hour, day, month, weekday],
            [second, minute, hour, day, month, weekday] => [second, minute, hour, day, month, weekday],
            _ => return Err(wrong_count(expression, after)),
        };
        if weekday.is_star && !ever_comes(day, month) {
            return Err(never_comes(expression));
        }
        let calendars = calendars([second, minute, hour, day, month, weekday]);
        let is_fixed = [second, minute, hour].into_iter().all(Field::is_fixed);
        Ok(Self { text: String::new(), calendars, is_fixed, has_seconds: second.values().count() > 1 })
    }

    /// The first run after `after`. None after the year 2100, where the `cron` crate ends.
    pub(super) fn next(&self, after: Timestamp, tz: &TimeZone) -> Option<Timestamp> {
        // The `cron` crate begins with 1970, and takes years before the first for very late ones.
        let after = after.max(Timestamp::UNIX_EPOCH);
        let next = |calendar| {
            if self.is_fixed {
                local::next_fixed(calendar, after, tz)
            } else {
                local::next_flowing(calendar, after, tz)
            }
        };
        self.calendars.iter().filter_map(next).min()
    }

    /// Runs more than once within a minute.
    pub(super) fn has_seconds(&self) -> bool {
        self.has_seconds
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// How many of `words` are the expression. What follows is a time zone.
pub(super) fn expression_len(words: &[Word<'_>]) -> usize {
    if words.first().is_some_and(|word| word.text.starts_with('@')) {
        return 1;
    }
    // A seventh field is one too many, not a zone.
    let is_field = |word: &Word<'_>| word.text.starts_with(|c: char| c.is_ascii_digit() || c == '*');
    let most = if words.get(MOST_FIELDS).is_some_and(is_field) { words.len() } else { words.len().min(MOST_FIELDS) };
    words.iter().position(|word| is_zone(*word)).unwrap_or(most).min(most)
}

fn is_zone(word: Word<'_>) -> bool {
    !field::starts_like_name(word.text) && zone::is_zone_like(word.text)
}

fn nickname(name: Word<'_>) -> Result<&'static str, Bad> {
    if name.text.eq_ignore_ascii_case("@reboot") {
        return Err(name
            .bad("`@reboot` is no time")
            .hint("any schedule runs at start as well if `run_at_start` is set"));
    }
    let found = NICKNAMES.iter().find(|(nickname, _)| nickname.eq_ignore_ascii_case(name.text));
    found.map(|(_, fields)| *fields).ok_or_else(|| {
        let names = NICKNAMES.map(|(nickname, _)| nickname);
        name.bad(format!("`{}` is none of {}", name.text, names.join(" "))).did_you_mean(nearest(name.text, names))
    })
}

fn wrong_count(expression: &[Word<'_>], after: usize) -> Bad {
    const FIELDS: &str = "minute hour day month weekday, or with seconds in front";
    if let Some(extra) = expression.get(MOST_FIELDS) {
        return extra.bad("too many fields: 5 or 6 are needed, none for the year").hint(FIELDS);
    }
    let end = expression.last().map_or(after, |word| word.end());
    Bad::missing(end, format!("{} fields, 5 or 6 are needed", expression.len())).hint(FIELDS)
}

fn ever_comes(day: Field, month: Field) -> bool {
    let longest = |month: u8| LONGEST.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or_default();
    let last = month.values().map(longest).max().unwrap_or_default();
    day.values().any(|day| day <= last)
}

fn never_comes(expression: &[Word<'_>]) -> Bad {
    let [.., day, month, _] = expression else { return Bad::missing(0, "never comes") };
    let reason = format!("no month of `{}` has a day `{}`: it would never run", month.text, day.text);
    Bad::spanning(day.at, month.end(), reason)
}

fn calendars([second, minute, hour, day, month, weekday]: [Field; 6]) -> Vec<::cron::Schedule> {
    let of = |day: Field, weekday: Field| {
        let text = [second, minute, hour, day, month, weekday].map(Field::for_crate).join(" ");
        ::cron::Schedule::from_str(&text).expect("lists of values that were checked")
    };
    if day.is_star || weekday.is_star {
        return vec![of(day, weekday)];
    }
    vec![of(day, Field::star(Unit::Weekday)), of(Field::star(Unit::Day), weekday)]
}

#[cfg(test)]
mod oracle_tests;
#[cfg(test)]
mod tests;
