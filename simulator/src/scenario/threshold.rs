//! What must hold: `>= 0.995`.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

use super::units::Span;

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Expr {
    less: bool,
    equal: bool,
    value: f64,
}

impl Expr {
    /// Whether it holds for `value`.
    pub fn holds(self, value: f64) -> bool {
        let strictly = if self.less { value < self.value } else { value > self.value };
        strictly || self.equal && value == self.value
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.less { "<" } else { ">" };
        write!(f, "{sign}{} {}", if self.equal { "=" } else { "" }, self.value)
    }
}

impl std::str::FromStr for Expr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no comparison such as `>= 0.995` or `< 400`");
        let text = text.trim();
        let less = text.starts_with('<');
        let rest = text.strip_prefix(['<', '>']).ok_or_else(wrong)?;
        let (equal, rest) = rest.strip_prefix('=').map_or((false, rest), |rest| (true, rest));
        let value: f64 = rest.trim().parse().map_err(|_| wrong())?;
        if value.is_finite() { Ok(Self { less, equal, value }) } else { Err(wrong()) }
    }
}

/// A comparison, and when it is looked at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Threshold {
    /// What must hold.
    pub expr: Expr,
    /// The run ends as soon as it does not.
    pub abort_on_fail: bool,
    /// Not looked at before, after the warm-up.
    pub after: Duration,
}

impl From<Expr> for Threshold {
    fn from(expr: Expr) -> Self {
        Self { expr, abort_on_fail: false, after: Duration::ZERO }
    }
}

impl<'de> Deserialize<'de> for Threshold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            expr: String,
            #[serde(default)]
            abort_on_fail: bool,
            #[serde(default)]
            after: Option<Span>,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Short(String),
            Table(Table),
        }
        let table = match Written::deserialize(deserializer)? {
            Written::Short(expr) => Table { expr, abort_on_fail: false, after: None },
            Written::Table(table) => table,
        };
        let expr = table.expr.parse().map_err(de::Error::custom)?;
        let after = table.after.map_or(Duration::ZERO, |span| span.0);
        Ok(Self { expr, abort_on_fail: table.abort_on_fail, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparisons() {
        let holds = |expr: &str, value| expr.parse::<Expr>().expect("an expression").holds(value);
        assert!(holds(">= 0.995", 0.995) && holds("<400", 399.9) && !holds("> 1", 1.0) && !holds("<= 2", 2.1));
        assert!(!holds(">= 0", f64::NAN), "what was not measured does not hold");
        for wrong in ["", "5", "== 5", ">= x", "> inf"] {
            assert!(wrong.parse::<Expr>().is_err(), "{wrong}");
        }
        assert_eq!(">=0.5".parse::<Expr>().expect("an expression").to_string(), ">= 0.5");
    }
}
