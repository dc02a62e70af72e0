//! What a bench has found: told to who runs it, and kept for the table of all (`cargo run -p p2pnode-benches --bin table`).

use std::{fmt, fs, io, path::PathBuf};

use serde::{Deserialize, Serialize};

/// What a figure is held against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Told for comparison only.
    None,
}

impl Target {
    /// Whether a figure reaches it. What is not a number reaches nothing.
    pub fn met(self, value: f64) -> bool {
        match self {
            Self::AtMost(most) => value <= most,
            Self::AtLeast(least) => value >= least,
            Self::None => true,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {}", short(*most)),
            Self::AtLeast(least) => write!(f, "≥ {}", short(*least)),
            Self::None => Ok(()),
        }
    }
}

/// A number with as many digits as are worth reading.
pub fn short(value: f64) -> String {
    let digits = match value.abs() {
        large if large >= 100.0 => 0,
        middle if middle >= 10.0 => 1,
        _ => 2,
    };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// `P1` to `P18`.
    pub number: String,
    /// What was measured, and against what.
    pub what: String,
    /// In `unit`.
    pub value: f64,
    /// `ms`, `µs`, `MiB`; empty for ratios.
    pub unit: String,
    /// What it is held against.
    pub target: Target,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = format!("{} {}", short(self.value), self.unit);
        let verdict = match self.target {
            Target::None => "",
            target if target.met(self.value) => "met",
            _ => "missed",
        };
        write!(
            f,
            "{:<4} {:<58} {:>10}   {:<8} {verdict}",
            self.number,
            self.what,
            value.trim(),
            self.target.to_string()
        )
    }
}

/// What one bench has found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Its name: `cargo bench -p p2pnode-benches --bench NAME`.
    pub bench: String,
    /// Few and short rounds were measured: enough to see that it runs, too few to be quoted.
    pub quick: bool,
    /// Parts of the bench that alone are wanted; all, if none are named.
    #[serde(skip)]
    parts: Vec<String>,
    /// What it has told besides, line by line.
    pub details: Vec<String>,
    /// What is held against targets.
    pub rows: Vec<Row>,
}

impl Figures {
    /// None so far. Words of the command line that are no options name the parts that are wanted.
    pub fn new(bench: &str, quick: bool) -> Self {
        let parts = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
        Self { bench: bench.to_owned(), quick, parts, details: Vec::new(), rows: Vec::new() }
    }

    /// Whether a part is to be measured.
    pub fn wanted(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }

    /// Tells a line at once, and keeps it.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn say(&mut self, line: impl Into<String>) -> io::Result<()> {
        let line = line.into();
        tell(&line)?;
        self.details.push(line);
        Ok(())
    }

    /// Tells a figure at once, and keeps it.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn row(&mut self, number: &str, what: &str, (value, unit): (f64, &str), target: Target) -> io::Result<()> {
        let row = Row { number: number.to_owned(), what: what.to_owned(), value, unit: unit.to_owned(), target };
        tell(&row.to_string())?;
        self.rows.push(row);
        Ok(())
    }

    /// Keeps all for the table, unless only parts were wanted.
    ///
    /// # Errors
    /// The folder of built things cannot be written to.
    pub fn keep(&self) -> io::Result<()> {
        if !self.parts.is_empty() {
            return Ok(());
        }
        let folder = folder();
        fs::create_dir_all(&folder)?;
        fs::write(folder.join(format!("{}.json", self.bench)), serde_json::to_vec_pretty(self)?)
    }
}

/// Where figures are kept: `figures` beside what is built.
pub fn folder() -> PathBuf {
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    built.join("figures")
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Writes a line and sends it off: who reads it may be a program.
///
/// # Errors
/// Standard output is closed.
pub fn tell(line: &str) -> io::Result<()> {
    use io::Write;
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_met_or_not() {
        assert!(Target::AtMost(2.0).met(1.97) && !Target::AtMost(2.0).met(2.01));
        assert!(Target::AtLeast(8.0).met(8.0) && !Target::AtLeast(8.0).met(f64::NAN));
        assert!(!Target::AtMost(1.0).met(f64::NAN));
    }

    #[test]
    fn numbers_are_as_long_as_they_are_worth() {
        let texts = [0.0345, 1.0, 1.97, 12.34, 625_901.4].map(short);
        assert_eq!(texts, ["0.03", "1", "1.97", "12.3", "625901"]);
    }

    #[test]
    fn a_row_is_one_line() {
        let row = Row {
            number: "P1".into(),
            what: "p50 ÷ TCP".into(),
            value: 2.5,
            unit: String::new(),
            target: Target::AtMost(2.0),
        };
        assert!(row.to_string().starts_with("P1   p50 ÷ TCP  "), "{row}");
        assert!(row.to_string().ends_with("2.5   ≤ 2      missed"), "{row}");
    }
}
