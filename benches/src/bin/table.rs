//! The table of all figures that the benches have left in `target/figures`, in Markdown.
//!
//! `table` prints it; `table --write` puts it between the marks of `benches/README.md`. It fails if a bench has left
//! nothing.
#![forbid(unsafe_code)]

use std::{fs, path::Path};

use anyhow::{Context, bail, ensure};
use p2pnode_benches::{
    figures::{self, Figures, Row, Target, short},
    told,
};

/// All that leave figures; `compare` needs other systems and may be absent.
const BENCHES: [&str; 9] = ["rpc", "gossip", "ask", "routing", "presence", "growth", "memory", "start", "durable"];
const OPTIONAL: &str = "compare";

const BEGIN: &str = "<!-- figures: written by `benches/run` -->";
const END: &str = "<!-- end of figures -->";

/// The figures of a bench, if it has left any.
fn read(folder: &Path, bench: &str) -> anyhow::Result<Option<Figures>> {
    let path = folder.join(format!("{bench}.json"));
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read(&path)?;
    Ok(Some(serde_json::from_slice(&text).with_context(|| path.display().to_string())?))
}

/// `P2` before `P10`.
fn number(row: &Row) -> u32 {
    row.number.trim_start_matches('P').parse().unwrap_or(u32::MAX)
}

fn table(all: &[Figures]) -> String {
    let mut rows: Vec<(&Row, &Figures)> = all.iter().flat_map(|of| of.rows.iter().map(move |row| (row, of))).collect();
    rows.sort_by_key(|(row, _)| number(row));
    let mut out = String::from("| | what | measured | target | | bench |\n|---|---|---|---|---|---|\n");
    for (row, of) in rows {
        let value = format!("{} {}", short(row.value), row.unit);
        let verdict = match row.target {
            Target::None => "",
            target if target.met(row.value) => "met",
            _ => "**missed**",
        };
        let quick = if of.quick { ", quick" } else { "" };
        out += &format!(
            "| {} | {} | {} | {} | {verdict} | `{}`{quick} |\n",
            row.number,
            row.what,
            value.trim(),
            row.target,
            of.bench
        );
    }
    for of in all {
        out += &format!(
            "\n<details><summary><code>{}</code></summary>\n\n```text\n{}\n```\n</details>\n",
            of.bench,
            of.details.join("\n")
        );
    }
    out
}

/// The text with what is between the marks replaced.
fn replaced(text: &str, table: &str) -> anyhow::Result<String> {
    let (before, rest) = text.split_once(BEGIN).with_context(|| format!("no line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("no line {END}"))?;
    Ok(format!("{before}{BEGIN}\n{table}{END}{after}"))
}

fn main() -> anyhow::Result<()> {
    let folder = figures::folder();
    let mut all = Vec::new();
    let mut absent = Vec::new();
    for bench in BENCHES.into_iter().chain([OPTIONAL]) {
        match read(&folder, bench)? {
            Some(figures) => all.push(figures),
            None if bench == OPTIONAL => {}
            None => absent.push(bench),
        }
    }
    ensure!(!all.is_empty(), "no figures in {}: benches/run", folder.display());
    let table = table(&all);
    figures::tell(&table)?;
    if !absent.is_empty() {
        bail!("no figures of {}: cargo bench -p p2pnode-benches --bench NAME, or benches/run", absent.join(", "));
    }
    if told("--write") {
        let quick: Vec<&str> = all.iter().filter(|of| of.quick).map(|of| of.bench.as_str()).collect();
        ensure!(quick.is_empty(), "measured with --quick, too little to be quoted: {}", quick.join(", "));
        let path = figures::root().join("benches/README.md");
        fs::write(&path, replaced(&fs::read_to_string(&path)?, &table)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: &str, value: f64) -> Row {
        Row { number: number.into(), what: "a ÷ b".into(), value, unit: "ms".into(), target: Target::AtMost(2.0) }
    }

    #[test]
    fn rows_are_in_order_and_tell_what_is_missed() {
        let mut of = Figures::new("rpc", true);
        of.rows = vec![row("P10", 2.5), row("P2", 1.25)];
        let text = table(&[of]);
        let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
        let expected = [
            "| P2 | a ÷ b | 1.25 ms | ≤ 2 | met | `rpc`, quick |",
            "| P10 | a ÷ b | 2.5 ms | ≤ 2 | **missed** | `rpc`, quick |",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn only_what_is_between_the_marks_is_replaced() {
        let text = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&text, "new\n").expect("marks");
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&new, "new\n").expect("marks"), new);
        assert!(replaced("no marks", "new\n").is_err());
    }

    #[test]
    fn the_page_has_the_marks() {
        let page = fs::read_to_string(figures::root().join("benches/README.md")).expect("a page");
        replaced(&page, "").expect("marks");
    }
}
