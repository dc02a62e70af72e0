//! Parsers of single values: durations, counts, `key=value` pairs.

use std::time::Duration;

/// `10s`, `1m 30s`, `250ms`, or a plain number of seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let parsed = match text.parse::<f64>() {
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => text.parse::<jiff::SignedDuration>().ok().and_then(|signed| Duration::try_from(signed).ok()),
    };
    parsed.ok_or_else(|| format!("`{text}` is no duration; write 500ms, 10s, 2m or 1h30m"))
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
        for (text, millis) in [("500ms", 500), ("10s", 10_000), ("1m 30s", 90_000), ("1h", 3_600_000), ("2", 2_000)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("0"), Ok(Duration::ZERO));
        for text in ["", "soon", "-3s", "-1", "nan", "1e300"] {
            assert!(duration(text).is_err(), "{text}");
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
