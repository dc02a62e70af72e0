//! Schedules as text.

use std::{fmt, str::FromStr};

use jiff::{SignedDuration, tz::TimeZone};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    Event, Schedule, ScheduleError,
    cron::{self, Cron},
    duration::{Written, duration},
    rule::{Kind, MAX_TEXT},
    solar::Solar,
    words::{Bad, Word, nearest, words},
    zone,
};

/// Stands before the jitter.
const JITTER: &str = "jitter";
const KINDS: [&str; 3] = ["every", "cron", "solar"];

impl Schedule {
    /// Reads a schedule; `default` is the time zone if the text names none.
    ///
    /// ```text
    /// every TIME [ZONE] [jitter TIME]
    /// cron FIELDS [ZONE] [jitter TIME]
    /// solar EVENT[+TIME|-TIME] LATITUDE LONGITUDE [ZONE] [+TIME|-TIME] [jitter TIME]
    /// ```
    /// A time is written `90s`, `1h 30m`, `1h30m`; after a sign without spaces. Fields are five, six with seconds in front,
    /// or a nickname such as `@daily`. A place may be written `51.5,-0.1`. [`Event`] tells the events' names.
    ///
    /// # Errors
    /// [`ScheduleError::Text`] says what is wrong, and where; [`ScheduleError::TooLong`] above [`MAX_TEXT`] bytes.
    pub fn parse(text: &str, default: &TimeZone) -> Result<Self, ScheduleError> {
        text.parse().map(|schedule: Self| schedule.or_tz(default))
    }
}

impl FromStr for Schedule {
    type Err = ScheduleError;

    fn from_str(text: &str) -> Result<Self, ScheduleError> {
        checked("schedule", text)?;
        let words = words(text);
        let kind = words.first().map_or("", |word| word.text).to_ascii_lowercase();
        let what = KINDS.into_iter().find(|known| *known == kind).unwrap_or("schedule");
        schedule(&words, text.len()).map_err(|bad| bad.in_text(what, text))
    }
}

/// Everything after this may take bytes for letters, and print what it was given.
pub(super) fn checked(what: &'static str, text: &str) -> Result<(), ScheduleError> {
    if text.len() > MAX_TEXT {
        return Err(ScheduleError::TooLong { bytes: text.len() });
    }
    let is_strange = |c: &(usize, char)| !c.1.is_ascii_graphic() && !matches!(c.1, ' ' | '\t');
    let Some((at, strange)) = text.char_indices().find(is_strange) else { return Ok(()) };
    let reason = format!("schedules are written in plain letters, `{}` is none", strange.escape_default());
    // What is shown of it is escaped, and longer.
    let escaped_len = |end: usize| text.get(..end).map_or(0, |before| before.escape_default().count());
    let bad = Bad::spanning(escaped_len(at), escaped_len(at + strange.len_utf8()), reason);
    Err(bad.in_text(what, &text.escape_default().to_string()))
}

fn schedule(words: &[Word<'_>], after: usize) -> Result<Schedule, Bad> {
    let Some((kind, rest)) = words.split_first() else {
        return Err(Bad::missing(0, "empty: write `every 15m`, `cron 0 9 * * mon-fri` or `solar sunrise 51.5 -0.1`"));
    };
    let (rest, jitter) = match rest.iter().position(|word| word.text.eq_ignore_ascii_case(JITTER)) {
        Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
        None => (rest, None),
    };
    let rule = match kind.text.to_ascii_lowercase().as_str() {
        "every" => every(rest, kind.end())?,
        "cron" => with_zone(Kind::Cron, rest, kind.end())?,
        "solar" => solar(rest, kind.end())?,
        _ => return Err(no_kind(*kind)),
    };
    let Some(jitter) = jitter else { return Ok(rule) };
    let longest = duration(jitter, after)?;
    let all = |error: ScheduleError| Bad::spanning(jitter.first().map_or(after, |word| word.at), after, error.reason());
    rule.with_jitter(longest).map_err(all)
}

fn no_kind(word: Word<'_>) -> Bad {
    let bad = word.bad(format!("`{}` is none of every, cron, solar", word.text));
    // The commonest slip is to leave the word out.
    let is_cron = word.text.starts_with(['*', '@']) || word.text.parse::<u8>().is_ok();
    let is_event = word.text.parse::<Event>().is_ok();
    if is_cron {
        bad.hint("cron expressions begin with `cron`")
    } else if is_event {
        bad.hint("events of the sun begin with `solar`")
    } else {
        bad.did_you_mean(nearest(word.text, KINDS))
    }
}

fn every(words: &[Word<'_>], after: usize) -> Result<Schedule, Bad> {
    let (words, tz) = match words.split_last() {
        Some((last, time)) if !time.is_empty() && zone::is_zone_like(last.text) => (time, Some(zone::zone(*last)?)),
        _ => (words, None),
    };
    let period = duration(words, after)?;
    let (start, end) = (words.first().map_or(after, |word| word.at), words.last().map_or(after, |word| word.end()));
    let wrong = |error: ScheduleError| Bad::spanning(start, end, error.reason());
    Ok(Schedule { tz, ..Schedule::every(period).map_err(wrong)? })
}

fn with_zone(kind: fn(Cron) -> Kind, words: &[Word<'_>], after: usize) -> Result<Schedule, Bad> {
    let (fields, rest) = words.split_at(cron::expression_len(words).min(words.len()));
    let cron = Cron::parse(fields, after)?;
    let tz = match rest {
        [] => None,
        [name] => Some(zone::zone(*name)?),
        [_, extra, ..] => return Err(extra.bad(format!("`{}` follows the time zone", extra.text))),
    };
    Ok(Schedule { tz, ..Schedule::of(kind(cron)) })
}

/// Whether the word is an offset such as `-30m`, which no coordinate and no zone looks like.
fn is_offset(word: &Word<'_>) -> bool {
    word.text.starts_with(['+', '-']) && word.text.ends_with(|c: char| c.is_ascii_alphabetic())
}

fn is_coordinate(word: &Word<'_>) -> bool {
    word.text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.')) && !is_offset(word)
}

fn solar(words: &[Word<'_>], after: usize) -> Result<Schedule, Bad> {
    let names = words.iter().take_while(|word| !is_coordinate(word) && !is_offset(word)).count();
    let (event, rest) = words.split_at(names);
    let (event, glued) = event_and_offset(event, after)?;
    let mut coordinates = Vec::new();
    let (mut offset, mut tz) = (glued, None);
    for word in rest.iter().flat_map(|word| word.split(|c| c == ',')).filter(|word| !word.text.is_empty()) {
        if is_offset(&word) && offset.is_none() {
            offset = Some((word, signed(word)?));
        } else if is_coordinate(&word) && coordinates.len() < 2 {
            coordinates.push(coordinate(word)?);
        } else if coordinates.len() == 2 && tz.is_none() {
            tz = Some(zone::zone(word)?);
        } else {
            return Err(word.bad(format!("`{}` is too much here: EVENT LATITUDE LONGITUDE [ZONE] [OFFSET]", word.text)));
        }
    }
    let end = rest.last().or(words.last()).map_or(after, |word| word.end());
    let &[latitude, longitude] = coordinates.as_slice() else {
        return Err(Bad::missing(end, "a place is missing: latitude and longitude in degrees, such as 51.5 -0.1"));
    };
    place(event, latitude, longitude, offset).map(|solar| Schedule { tz, ..Schedule::of(Kind::Solar(solar)) })
}

type Number<'a> = (Word<'a>, f64);

fn place(
    event: Event,
    (latitude_word, latitude): Number<'_>,
    (longitude_word, longitude): Number<'_>,
    offset: Option<(Word<'_>, SignedDuration)>,
) -> Result<Solar, Bad> {
    let word = if latitude.abs() > 90.0 { latitude_word } else { longitude_word };
    let solar = Solar::new(event, latitude, longitude).map_err(|reason| word.bad(reason))?;
    match offset {
        Some((word, offset)) => solar.with_offset(offset).map_err(|reason| word.bad(reason)),
        None => Ok(solar),
    }
}

type Offset<'a> = Option<(Word<'a>, SignedDuration)>;

/// `solar noon`, `civil_dawn`, `sunset-30m`.
fn event_and_offset<'a>(words: &[Word<'a>], after: usize) -> Result<(Event, Offset<'a>), Bad> {
    let Some((last, before)) = words.split_last() else {
        return Err(Bad::missing(after, format!("an event is missing: {}", Event::names())));
    };
    let digit = last.text.find(|c: char| c.is_ascii_digit());
    let sign =
        digit.and_then(|at| at.checked_sub(1)).filter(|at| last.text.get(*at..=*at).is_some_and(|c| "+-".contains(c)));
    let (name, glued) = match sign {
        Some(at) => (last.part(0, at), Some(last.part(at, last.text.len()))),
        None => (*last, None),
    };
    let all = before.iter().chain([&name]).map(|word| word.text).collect::<Vec<_>>().join("_");
    let start = before.first().map_or(name.at, |word| word.at);
    let event = all.parse().map_err(|()| {
        let bad = Bad::spanning(start, name.end(), format!("`{all}` is no event of the sun: {}", Event::names()));
        bad.did_you_mean(nearest(&all, Event::all_names()))
    })?;
    Ok((event, glued.map(|word| signed(word).map(|offset| (word, offset))).transpose()?))
}

/// `-30m`.
fn signed(word: Word<'_>) -> Result<SignedDuration, Bad> {
    let (sign, time) = word.split_at(1);
    let time =
        SignedDuration::try_from(duration(&[time], word.end())?).map_err(|_| word.bad("longer than ten years"))?;
    Ok(if sign.text == "-" { -time } else { time })
}

fn coordinate(word: Word<'_>) -> Result<Number<'_>, Bad> {
    let number = word.text.parse().map_err(|_| word.bad(format!("`{}` is no number of degrees", word.text)))?;
    Ok((word, number))
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Every(period) => write!(f, "every {}", Written { time: *period, between: " " }),
            Kind::Cron(cron) => write!(f, "cron {}", cron.text()),
            Kind::Solar(solar) => write!(f, "solar {solar}"),
        }?;
        if let Some(name) = self.tz.as_ref().and_then(zone::name) {
            write!(f, " {name}")?;
        }
        if self.jitter.is_zero() {
            return Ok(());
        }
        write!(f, " {JITTER} {}", Written { time: self.jitter, between: " " })
    }
}

impl TryFrom<&str> for Schedule {
    type Error = ScheduleError;

    fn try_from(text: &str) -> Result<Self, ScheduleError> {
        text.parse()
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
