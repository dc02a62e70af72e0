//! Quantities as people write them: `60s`, `512 B`, `20 Mbit/s`, `5/s`, `5%/10s`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

macro_rules! written {
    ($(#[$doc:meta])* $type:ident($inner:ty), $parse:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $type(pub $inner);

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $parse(&text).map($type).map_err(de::Error::custom)
            }
        }
    };
}

written!(
    /// A time: `60s`, `1h 30m`, `250ms`.
    Span(Duration), span
);
written!(
    /// An amount of bytes: `512 B`, `4 KiB`, `1 MB`.
    Size(usize), size
);
written!(
    /// Bits per second: `20 Mbit/s`.
    Bandwidth(f64), bandwidth
);
written!(
    /// So many each second: `5/s`, `30/m`.
    Rate(f64), rate
);
written!(
    /// A share of all nodes each so often: `5%/10s`.
    Churn(Turnover), churn
);

/// A share of all nodes, each so often.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turnover {
    /// Between 0 and 1.
    pub share: f64,
    /// How often.
    pub every: Duration,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

fn span(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("\"{text}\" is no time such as 60s or 250ms: {error}"))
}

/// A number and the word behind it.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let number = text[..end].parse().ok().filter(|number: &f64| number.is_finite())?;
    Some((number, text[end..].trim()))
}

fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = split(text.trim()).ok_or_else(|| format!("\"{text}\" is no size such as 512 B or 4 KiB"))?;
    let factor = match unit {
        "" | "B" => 1.0,
        "kB" | "KB" => 1e3,
        "MB" => 1e6,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        other => return Err(format!("\"{other}\" is no unit of size: B, kB, MB, KiB, MiB")),
    };
    Ok((number * factor) as usize)
}

fn bandwidth(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is no bandwidth such as 20 Mbit/s");
    let (number, unit) = split(text.trim()).ok_or_else(wrong)?;
    let factor = match unit {
        "bit/s" => 1.0,
        "kbit/s" => 1e3,
        "Mbit/s" => 1e6,
        "Gbit/s" => 1e9,
        _ => return Err(wrong()),
    };
    if number > 0.0 { Ok(number * factor) } else { Err(wrong()) }
}

/// What comes after the slash: `s`, `m`, `10s`.
fn per(text: &str) -> Option<Duration> {
    match text {
        "s" => Some(Duration::from_secs(1)),
        "m" | "min" => Some(Duration::from_secs(60)),
        "h" => Some(Duration::from_secs(3_600)),
        other => humantime::parse_duration(other).ok().filter(|time| !time.is_zero()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    let wrong = || format!("\"{text}\" is no rate such as 5/s or 30/m");
    let (number, unit) = text.split_once('/').ok_or_else(wrong)?;
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    let per = per(unit.trim()).ok_or_else(wrong)?;
    if number > 0.0 && number <= 100_000.0 { Ok(number / per.as_secs_f64()) } else { Err(wrong()) }
}

fn churn(text: &str) -> Result<Turnover, String> {
    let wrong = || format!("\"{text}\" is no turnover such as 5%/10s");
    let (share, unit) = text.split_once('/').ok_or_else(wrong)?;
    let share: f64 = share.trim().strip_suffix('%').ok_or_else(wrong)?.trim().parse().map_err(|_| wrong())?;
    let every = per(unit.trim()).ok_or_else(wrong)?;
    if share > 0.0 && share <= 100.0 { Ok(Turnover { share: share / 100.0, every }) } else { Err(wrong()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_understood() {
        assert_eq!(span("1m 30s"), Ok(Duration::from_secs(90)));
        assert_eq!(size("512 B"), Ok(512));
        assert_eq!(size("4KiB"), Ok(4_096));
        assert_eq!(bandwidth("20 Mbit/s"), Ok(20e6));
        assert_eq!(rate("30/m"), Ok(0.5));
        assert_eq!(churn("5%/10s"), Ok(Turnover { share: 0.05, every: Duration::from_secs(10) }));
        for wrong in ["", "x", "5", "-1/s", "5/0s", "1e9/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
        assert!(size("4 XB").is_err() && bandwidth("20").is_err() && churn("5/10s").is_err() && span("60").is_err());
    }
}
