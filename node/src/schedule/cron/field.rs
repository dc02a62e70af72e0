//! One field of a cron expression: what is written, and the values it stands for.
//!
//! The `cron` crate reads fields too, but counts weekdays from Sunday = 1, and its messages name the wrong field. It gets
//! only lists of values, from [`Field::for_crate`].

use super::super::words::{Bad, Word, nearest};

/// Which field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Sunday is 0, and 7.
const WEEKDAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/// How much of a name must be written, and what is shown of it.
const ABBREVIATED: usize = 3;

impl Unit {
    /// Fields of an expression with seconds, in order.
    pub(super) const ALL: [Self; 6] = [Self::Second, Self::Minute, Self::Hour, Self::Day, Self::Month, Self::Weekday];

    fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day of the month",
            Self::Month => "month",
            Self::Weekday => "day",
        }
    }

    fn range(self) -> (u8, u8) {
        match self {
            Self::Second | Self::Minute => (0, 59),
            Self::Hour => (0, 23),
            Self::Day => (1, 31),
            Self::Month => (1, 12),
            Self::Weekday => (0, 7),
        }
    }

    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &MONTHS,
            Self::Weekday => &WEEKDAYS,
            Self::Second | Self::Minute | Self::Hour | Self::Day => &[],
        }
    }

    fn named(self, text: &str) -> Option<u8> {
        let text = text.to_ascii_lowercase();
        let long_enough = text.len() >= ABBREVIATED;
        let at = self.names().iter().position(|name| long_enough && name.starts_with(&text))?;
        let first = usize::from(self == Self::Month);
        u8::try_from(at + first).ok()
    }

    /// What may stand here, for people.
    fn allowed(self) -> String {
        let (low, high) = self.range();
        let names: Vec<&str> = self.names().iter().filter_map(|name| name.get(..ABBREVIATED)).collect();
        match self {
            Self::Weekday => format!("Days: {}, or {low}-{high}", names.join(" ")),
            Self::Month => format!("Months: {}, or {low}-{high}", names.join(" ")),
            Self::Second | Self::Minute | Self::Hour | Self::Day => format!("{low}-{high}"),
        }
    }
}

/// A field as it was understood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    unit: Unit,
    /// Bit n is the value n; Sunday is bit 0.
    values: u64,
    /// Exactly `*` (or `?` for days): does not restrict the day.
    pub(super) is_star: bool,
    /// Made of values alone, without `*` and steps.
    is_plain: bool,
}

impl Field {
    pub(super) fn star(unit: Unit) -> Self {
        let (low, high) = unit.range();
        Self { unit, values: bits(unit, low, high, 1), is_star: true, is_plain: false }
    }

    /// The value 0, as if it were written.
    pub(super) fn zero(unit: Unit) -> Self {
        Self { unit, values: 1, is_star: false, is_plain: true }
    }

    pub(super) fn parse(word: Word<'_>, unit: Unit) -> Result<Self, Bad> {
        let any = matches!(unit, Unit::Day | Unit::Weekday) && word.text == "?";
        if any || word.text == "*" {
            return Ok(Self::star(unit));
        }
        let mut items = word.split(|c| c == ',').map(|item| item_values(item, unit));
        let values = items.try_fold(0, |all, item| item.map(|values| all | values))?;
        let has_step = |item: Word<'_>| item.split_once('/').is_some_and(|(_, step)| number(step.text) != Some(1));
        let is_plain = !word.text.contains('*') && !word.split(|c| c == ',').any(has_step);
        Ok(Self { unit, values, is_star: false, is_plain })
    }

    pub(super) fn values(self) -> impl Iterator<Item = u8> {
        (0..64).filter(move |n| self.values >> n & 1 == 1)
    }

    /// One value, written as one: what makes an hour and a minute a fixed time.
    pub(super) fn is_fixed(self) -> bool {
        self.is_plain && self.values.is_power_of_two()
    }

    /// The same for the `cron` crate: `*`, or a list of values; weekdays by name, since it numbers them otherwise.
    pub(super) fn for_crate(self) -> String {
        if self.is_star {
            return "*".to_owned();
        }
        let name = |n: u8| match self.unit {
            Unit::Weekday => WEEKDAYS.get(usize::from(n)).map_or_else(String::new, |name| (*name).to_owned()),
            _ => n.to_string(),
        };
        self.values().map(name).collect::<Vec<_>>().join(",")
    }
}

fn bits(unit: Unit, low: u8, high: u8, step: u8) -> u64 {
    let place = |n: u8| if unit == Unit::Weekday { n % 7 } else { n };
    (low..=high).step_by(usize::from(step)).fold(0, |all, n| all | 1 << place(n))
}

/// `*`, `5`, `1-5`, `mon-fri`, each perhaps with `/2`.
fn item_values(item: Word<'_>, unit: Unit) -> Result<u64, Bad> {
    if item.text.is_empty() {
        return Err(item.bad(format!("a {} is missing between the commas", unit.name())));
    }
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(parse_step(step, item)?)),
        None => (item, None),
    };
    let (low, high) = match base.split_once('-') {
        _ if base.text == "*" => unit.range(),
        Some((low, high)) => range(item, (low, high), unit)?,
        None => {
            let value = value(base, item, unit)?;
            // `5/15` is `5-59/15`, as in the crates and in croniter; Vixie's cron refuses it.
            (value, if step.is_some() { unit.range().1 } else { value })
        }
    };
    Ok(bits(unit, low, high, step.unwrap_or(1)))
}

/// Digits alone: Rust takes `+5` as well.
fn number(text: &str) -> Option<u8> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn parse_step(step: Word<'_>, item: Word<'_>) -> Result<u8, Bad> {
    let wrong = || step.bad(format!("`{}` is no step: a number from 1", step.text)).within(item);
    number(step.text).filter(|n| *n > 0).ok_or_else(wrong)
}

fn range(item: Word<'_>, (first, last): (Word<'_>, Word<'_>), unit: Unit) -> Result<(u8, u8), Bad> {
    let (low, mut high) = (value(first, item, unit)?, value(last, item, unit)?);
    // A week may end with Sunday: `fri-sun`.
    if unit == Unit::Weekday && high == 0 && low > 0 {
        high = 7;
    }
    if low <= high {
        return Ok((low, high));
    }
    let (start, end) = unit.range();
    let end = end - u8::from(unit == Unit::Weekday);
    let bad = item.bad(format!("`{}` runs backwards", item.text));
    Err(bad.hint(format!("a range that wraps is two: `{low}-{end},{start}-{high}`")))
}

fn value(word: Word<'_>, item: Word<'_>, unit: Unit) -> Result<u8, Bad> {
    let (low, high) = unit.range();
    let in_range = number(word.text).filter(|n| (low..=high).contains(n));
    in_range
        .or_else(|| unit.named(word.text))
        .ok_or_else(|| no_value(word, unit).within(item).did_you_mean(repaired(word, item, unit)))
}

fn no_value(word: Word<'_>, unit: Unit) -> Bad {
    let is_extension = matches!(unit, Unit::Day | Unit::Weekday) && word.text.contains(['L', 'W', 'l', 'w', '#']);
    let looks_numeric = word.text.starts_with(|c: char| c.is_ascii_digit()) || word.text.eq_ignore_ascii_case("l");
    if word.text.is_empty() {
        word.bad(format!("a {} is missing", unit.name()))
    } else if is_extension && looks_numeric {
        word.bad(format!("`{}`: L, W and # are not supported", word.text))
    } else {
        word.bad(format!("`{}` is no {}. {}", word.text, unit.name(), unit.allowed()))
    }
}

/// The item with the wrong name replaced by the nearest right one.
fn repaired(word: Word<'_>, item: Word<'_>, unit: Unit) -> Option<String> {
    let short = unit.names().iter().filter_map(|name| name.get(..ABBREVIATED));
    let meant = nearest(word.text, short).or_else(|| nearest(word.text, unit.names().iter().copied()))?;
    let (before, after) = (item.text.get(..word.at - item.at)?, item.text.get(word.end() - item.at..)?);
    Some(format!("{before}{meant}{after}"))
}

/// Whether `text` begins with the name of a day or month: then it is no time zone.
pub(super) fn starts_like_name(text: &str) -> bool {
    let end = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
    let is_named = |name: &str| [Unit::Month, Unit::Weekday].iter().any(|unit| unit.named(name).is_some());
    text.get(..end).is_some_and(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(text: &str, unit: Unit) -> Vec<u8> {
        Field::parse(Word::new(text), unit).map(|field| field.values().collect()).expect(text)
    }

    #[test]
    fn items_are_expanded() {
        assert_eq!(values("*/20", Unit::Minute), [0, 20, 40]);
        assert_eq!(values("5/20", Unit::Minute), [5, 25, 45]);
        assert_eq!(values("1-9/4,30,7", Unit::Minute), [1, 5, 7, 9, 30]);
        assert_eq!(values("mon-fri", Unit::Weekday), [1, 2, 3, 4, 5]);
        assert_eq!(values("MON,Thursday", Unit::Weekday), [1, 4]);
        assert_eq!(values("fri-sun", Unit::Weekday), [0, 5, 6]);
        assert_eq!(values("sun-tue", Unit::Weekday), [0, 1, 2]);
        assert_eq!(values("0,7", Unit::Weekday), [0]);
        assert_eq!(values("5-7", Unit::Weekday), [0, 5, 6]);
        assert_eq!(values("0-0", Unit::Weekday), [0]);
        assert_eq!(values("*/2", Unit::Weekday), [0, 2, 4, 6]);
        assert_eq!(values("jan,sept-nov", Unit::Month), [1, 9, 10, 11]);
        assert_eq!(values("*/70", Unit::Minute), [0]);
    }

    #[test]
    fn only_single_plain_values_are_fixed() {
        let fixed = |text| Field::parse(Word::new(text), Unit::Hour).expect(text).is_fixed();
        assert!(fixed("1") && fixed("1-1") && fixed("1-1/1"));
        assert!(!fixed("1,2") && !fixed("*/40") && !fixed("1-1/2") && !fixed("*"));
    }

    #[test]
    fn the_crate_gets_weekdays_by_name() {
        let of = |text| Field::parse(Word::new(text), Unit::Weekday).expect(text).for_crate();
        assert_eq!(of("5-7"), "sunday,friday,saturday");
        assert_eq!(of("?"), "*");
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in
            ["", ",", "1,", "60", "-1", "5-1", "1-", "*/0", "*/x", "1/2/3", "*-5", "L", "5L", "1#2", "15W", "mon", "+1"]
        {
            assert!(Field::parse(Word::new(wrong), Unit::Minute).is_err(), "{wrong}");
        }
        for wrong in ["8", "mo", "monn", "fri-mon", "1#2", "5L", "?/2"] {
            assert!(Field::parse(Word::new(wrong), Unit::Weekday).is_err(), "{wrong}");
        }
    }
}
