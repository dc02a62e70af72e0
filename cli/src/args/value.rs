//! Parsers of single values: durations, counts, `key=value` pairs.

use std::time::Duration;

/// `10s`, `1m 30s`, `250ms`, `30d`, or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    // A day is 24 hours here; the crate leaves that to calendars.
    if let Some((days, rest)) = text.split_once('d')
        && let Ok(days) = days.trim().parse::<u32>()
    {
        let rest = if rest.trim().is_empty() { Duration::ZERO } else { duration(rest)? };
        return Ok(Duration::from_secs(u64::from(days) * 86_400) + rest);
    }
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => text.parse::<jiff::SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok()),
    };
    parsed.ok_or_else(|| format!("`{text}` is no duration; write 500ms, 10s, 2m or 1h30m"))
}

/// `512`, `10kB`, `64 MiB`: bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is no size; write 500kB, 10MB or 64MiB");
    let trimmed = text.trim();
    let digits = trimmed.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "kib" => 1 << 10,
        "m" | "mb" => 1_000_000,
        "mib" => 1 << 20,
        "g" | "gb" => 1_000_000_000,
        "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    number.checked_mul(factor).ok_or_else(wrong)
}

/// A number of things, at least one.
pub(crate) fn count(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is no number from 1 upwards")),
        Ok(number) => Ok(number),
    }
}

/// `key=value`; the value may be empty, the key not.
pub(crate) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not NAME=VALUE")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("1m 30s", 90_000),
            ("1h", 3_600_000),
            ("2", 2_000),
            ("1d", 86_400_000),
            ("1d 1s", 86_401_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for text in ["", "soon", "-3s", "-1", "nan", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_with_and_without_units() {
        for (text, size) in [("0", 0), ("512", 512), ("10kB", 10_000), ("64 MiB", 64 << 20), ("1g", 1_000_000_000)] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        for text in ["", "MB", "-1", "1.5MB", "3 cm", "99999999999999999999", "18446744073709551615kB"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }

    #[test]
    fn counts_start_at_one() {
        assert_eq!(count("3"), Ok(3));
        assert!(count("0").is_err());
        assert!(count("-1").is_err());
    }

    #[test]
    fn pairs_split_at_the_first_equals_sign() {
        assert_eq!(pair("url=https://x/?a=b"), Ok(("url".to_owned(), "https://x/?a=b".to_owned())));
        assert_eq!(pair("empty="), Ok(("empty".to_owned(), String::new())));
        assert!(pair("=x").is_err());
        assert!(pair("plain").is_err());
    }
}
