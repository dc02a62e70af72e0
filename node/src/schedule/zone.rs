//! Time zones in texts: IANA names, and fixed offsets such as `+05:30`.

use jiff::tz::{Offset, TimeZone};

use super::words::{Bad, Word, nearest};

/// Reads a zone. Names are matched without regard to case.
pub(super) fn zone(word: Word<'_>) -> Result<TimeZone, Bad> {
    if let Some(offset) = fixed(word.text) {
        return Ok(offset.to_time_zone());
    }
    TimeZone::get(word.text).map_err(|_| unknown(word))
}

fn unknown(word: Word<'_>) -> Bad {
    let bad = word.bad(format!("`{}` is no time zone: Europe/London, UTC, +05:30", word.text));
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
    // `London` alone is what people type first.
    let city = |name: &&String| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(word.text));
    let meant = names.iter().find(city).map(String::as_str);
    bad.did_you_mean(meant.or_else(|| nearest(word.text, names.iter().map(String::as_str))))
}

/// Whether `text` can be meant as a zone and as nothing else that stands in a schedule.
pub(super) fn is_zone_like(text: &str) -> bool {
    fixed(text).is_some()
        || text.starts_with(|c: char| c.is_ascii_alphabetic()) && (text.contains('/') || TimeZone::get(text).is_ok())
}

/// The text that [`zone`] reads as `tz`. None for zones without a name, such as rules given in POSIX form.
pub(super) fn name(tz: &TimeZone) -> Option<String> {
    if let Some(name) = tz.iana_name() {
        return Some(name.to_owned());
    }
    let seconds = tz.to_fixed_offset().ok()?.seconds();
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    (seconds % 60 == 0).then(|| format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60))
}

/// `+05:30`.
fn fixed(text: &str) -> Option<Offset> {
    let sign = match text.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let is_number = |digits: &str| digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = |digits: &str| is_number(digits).then(|| digits.parse::<u8>().ok()).flatten();
    let (hours, minutes) = (i32::from(number(hours)?), i32::from(number(minutes)?));
    let fits = hours <= 23 && minutes <= 59;
    fits.then(|| Offset::from_seconds(sign * (hours * 3_600 + minutes * 60)).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for text in ["Europe/London", "UTC", "+05:30", "-03:00", "Pacific/Kiritimati", "Etc/GMT+5"] {
            let tz = zone(Word::new(text)).expect(text);
            assert_eq!(name(&tz).as_deref(), Some(text));
            assert!(is_zone_like(text), "{text}");
        }
        for wrong in ["London", "Europe/Lodnon", "+5:30", "+99:00", "+05:3x", "+05:+3", "mon", ""] {
            assert!(zone(Word::new(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn slips_are_noticed() {
        let hint = |text: &str| format!("{:?}", zone(Word::new(text)).expect_err(text));
        assert!(hint("Europe/Lodnon").contains("did you mean `Europe/London`?"));
        assert!(hint("london").contains("did you mean `Europe/London`?"));
    }
}
