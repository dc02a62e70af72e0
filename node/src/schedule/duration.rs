//! Lengths of time as people write them: `15m`, `1h 30m`, `1h30m`, `90 seconds`, `0.5s`.
//!
//! Our own reader, since jiff's knows neither days (they are 24 hours here) nor where the wrong part is.

use std::{fmt, time::Duration};

use super::words::{Bad, Word, nearest};

/// Longest unit first: [`Written`] takes them in this order. Length in milliseconds, the sign we write, other names.
const UNITS: [(u32, &str, &[&str]); 6] = [
    (604_800_000, "w", &["week", "weeks"]),
    (86_400_000, "d", &["day", "days"]),
    (3_600_000, "h", &["hr", "hrs", "hour", "hours"]),
    (60_000, "m", &["min", "mins", "minute", "minutes"]),
    (1_000, "s", &["sec", "secs", "second", "seconds"]),
    (1, "ms", &["msec", "millisecond", "milliseconds"]),
];

/// The longest that can be written: ten years. Every use has a tighter bound of its own.
const LONGEST_MS: f64 = 10.0 * 366.0 * 86_400_000.0;

const EXAMPLES: &str = "a time is a number and a unit, such as 30s, 15m, 1h 30m, 2d";

fn unit(word: Word<'_>) -> Result<u32, Bad> {
    let is = |name: &&str| name.eq_ignore_ascii_case(word.text);
    let found = UNITS.iter().find(|(_, sign, names)| is(sign) || names.iter().any(is));
    found.map(|(ms, ..)| *ms).ok_or_else(|| {
        let names = UNITS.iter().flat_map(|(_, sign, names)| names.iter().chain([sign])).copied();
        let bad = word.bad(format!("`{}` is no unit of time: ms, s, m, h, d, w", word.text));
        bad.did_you_mean(nearest(word.text, names))
    })
}

fn is_numeric(c: char) -> bool {
    c.is_ascii_digit() || c == '.'
}

/// Splits `1h30m` into `1`, `h`, `30`, `m`.
fn pieces<'a>(words: &[Word<'a>]) -> Result<Vec<Word<'a>>, Bad> {
    let mut pieces = Vec::new();
    for word in words {
        let mut rest = *word;
        while let Some(first) = rest.text.chars().next() {
            let same: fn(char) -> bool = match first {
                c if is_numeric(c) => is_numeric,
                c if c.is_ascii_alphabetic() => |c| c.is_ascii_alphabetic(),
                _ => return Err(word.bad(format!("`{}` is no time: {EXAMPLES}", word.text))),
            };
            let (piece, after) = rest.split_at(rest.text.find(|c| !same(c)).unwrap_or(rest.text.len()));
            pieces.push(piece);
            rest = after;
        }
    }
    Ok(pieces)
}

/// Reads all of `words` as one length of time, in whole milliseconds. `after` is where they are missed if there are none.
pub(super) fn duration(words: &[Word<'_>], after: usize) -> Result<Duration, Bad> {
    let pieces = pieces(words)?;
    let mut ms = 0.0;
    for pair in pieces.chunks(2) {
        ms += match pair {
            [number, sign] => f64::from(unit(*sign)?) * amount(*number)?,
            // `every hour`.
            [sign] if pieces.len() == 1 && !sign.text.starts_with(is_numeric) => f64::from(unit(*sign)?),
            [number] => return Err(without_unit(*number)),
            _ => 0.0,
        };
    }
    match (pieces.first(), pieces.last()) {
        (Some(first), Some(last)) if ms > LONGEST_MS => {
            Err(Bad::spanning(first.at, last.end(), "longer than ten years"))
        }
        // Not negative and not too long: seen above.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (Some(_), Some(_)) => Ok(Duration::from_millis(ms.round() as u64)),
        _ => Err(Bad::missing(after, EXAMPLES)),
    }
}

fn amount(word: Word<'_>) -> Result<f64, Bad> {
    let number = word.text.starts_with(is_numeric).then(|| word.text.parse().ok()).flatten();
    number.ok_or_else(|| word.bad(format!("`{}` is no number: {EXAMPLES}", word.text)))
}

fn without_unit(number: Word<'_>) -> Bad {
    let bad = number.bad(format!("`{}` has no unit: {EXAMPLES}", number.text));
    if number.text.starts_with(is_numeric) { bad.did_you_mean(Some(format!("{}s", number.text))) } else { bad }
}

/// Writes a length of time in whole milliseconds so that [`duration`] reads the same: `1h 30m`.
pub(super) struct Written {
    pub(super) time: Duration,
    /// Between the units: a space, or nothing.
    pub(super) between: &'static str,
}

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.time.as_millis();
        if rest == 0 {
            return f.write_str("0s");
        }
        let mut between = "";
        // Nobody says `2w 1d`.
        for (ms, sign, _) in UNITS.iter().filter(|(_, sign, _)| *sign != "w") {
            let (whole, left) = (rest / u128::from(*ms), rest % u128::from(*ms));
            if whole > 0 {
                write!(f, "{between}{whole}{sign}")?;
                between = self.between;
            }
            rest = left;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::words;
    use super::*;

    fn read(text: &str) -> Result<Duration, Bad> {
        duration(&words(text), text.len())
    }

    #[test]
    fn what_people_write_is_understood() {
        for (text, ms) in [
            ("15m", 900_000),
            ("1h 30m", 5_400_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("90 seconds", 90_000),
            ("2 Days", 172_800_000),
            ("hour", 3_600_000),
            ("200ms", 200),
            ("0.2s", 200),
            ("1w", 604_800_000),
        ] {
            assert_eq!(read(text).expect(text), Duration::from_millis(ms), "{text}");
        }
        for wrong in
            ["", "15", "m15", "15x", "1h 30", "1..5h", "-5m", "1h m", "h m", "1e9s", "99999999999999999999h", "."]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn written_times_are_read_back(ms in 0..10_u64 * 366 * 86_400_000, between in prop_oneof![Just(" "), Just("")]) {
            let time = Duration::from_millis(ms);
            let text = Written { time, between }.to_string();
            prop_assert_eq!(read(&text).expect("its own text"), time, "{}", text);
        }
    }
}
