//! `docs/limits.md` says what the code does: it is made from it, here.

use std::{fmt::Write, fs, path::Path};

use p2pnode::{Limits, wire};
use serde_json::Value;

const INTRODUCTION: &str = "\
<!-- Made from the code by `UPDATE_PAGES=1 cargo test -p p2pnode --test limits_page`; do not edit. -->

# Limits

Everything a node holds, takes and does has an end. A library user sets these numbers with `Builder::limits`; a
behaviour used alone takes its own part as its `Config`.
";

const WIRE: &str = "
## Numbers of the protocol

Peers rely on these, so no setting changes them. Sizes are bytes.
";

/// The object that a property stands for, if it is one of ours.
fn section<'a>(root: &'a Value, property: &'a Value) -> Option<&'a Value> {
    let reference = property.get("$ref").or_else(|| property.pointer("/allOf/0/$ref"))?.as_str()?;
    let object = root.pointer(reference.strip_prefix('#')?)?;
    let fields = object.get("properties")?.as_object()?;
    (!fields.contains_key("nanos")).then_some(object)
}

/// Doc comments as one line, without links, and without their sentence about the default: the next column has it.
fn text(property: &Value) -> String {
    let doc = property.get("description").and_then(Value::as_str).unwrap_or_default();
    let mut line = doc.split_whitespace().collect::<Vec<_>>().join(" ").replace("[`", "`").replace('|', "\\|");
    while let Some((before, after)) = line.split_once("`](") {
        let rest = after.split_once(')').map(|(_, rest)| rest).unwrap_or_default();
        line = format!("{before}`{rest}");
    }
    let line = line.replace("`]", "`");
    match line.rsplit_once(" Default ") {
        Some((words, default)) if !default.contains(':') && !default.trim_end_matches('.').contains(". ") => {
            words.into()
        }
        _ => line,
    }
}

fn number(value: &Value) -> String {
    let n = value.as_f64().unwrap_or_default();
    if n >= 1_048_576.0 {
        return format!("{} Mi", n / 1_048_576.0);
    }
    if n.fract() != 0.0 {
        return n.to_string();
    }
    let digits = n.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn shown(value: &Value) -> String {
    match value {
        Value::Object(span) if span.contains_key("nanos") => {
            let millis = span["secs"].as_u64().unwrap_or_default() * 1_000
                + span["nanos"].as_u64().unwrap_or_default() / 1_000_000;
            match millis {
                n if n % 60_000 == 0 => format!("{} min", n / 60_000),
                n if n % 1_000 == 0 => format!("{} s", n / 1_000),
                n => format!("{n} ms"),
            }
        }
        Value::Object(parts) => {
            parts.iter().map(|(name, value)| format!("{name} {}", shown(value))).collect::<Vec<_>>().join(", ")
        }
        Value::Number(_) => number(value),
        other => other.to_string(),
    }
}

fn table(page: &mut String, title: &str, about: &str, root: &Value, object: &Value, defaults: &Value) {
    let properties = object["properties"].as_object().expect("an object");
    let mut later = Vec::new();
    let _ = write!(page, "\n## {title}\n\n{about}\n\n| setting | default | what it bounds |\n|---|---|---|\n");
    for (name, property) in properties {
        let default = &defaults[name];
        match section(root, property) {
            Some(object) if name != "own" && !name.starts_with("per_") => later.push((name, property, object, default)),
            _ => {
                let _ = writeln!(page, "| `{name}` | {} | {} |", shown(default), text(property));
            }
        }
    }
    for (name, property, object, default) in later {
        let path = if title.starts_with('`') {
            format!("{}.{name}`", title.trim_end_matches('`'))
        } else {
            format!("`{name}`")
        };
        table(page, &path, &text(property), root, object, default);
    }
}

fn page() -> String {
    let root = Value::from(schemars::schema_for!(Limits));
    let defaults = serde_json::to_value(Limits::default()).expect("numbers");
    let mut page = INTRODUCTION.to_owned();
    table(&mut page, "Node", "`p2pnode::Limits`.", &root, &root, &defaults);
    page.push_str(WIRE);
    page.push_str("\n| constant | value | what it bounds |\n|---|---|---|\n");
    for bound in wire::limits::ALL {
        let _ = writeln!(page, "| `{}` | {} | {} |", bound.name, number(&bound.value.into()), bound.doc.trim());
    }
    page
}

#[test]
fn the_page_says_what_the_code_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/limits.md");
    let made = page();
    if std::env::var_os("UPDATE_PAGES").is_some() {
        fs::write(&path, &made).expect("written");
    }
    let found = fs::read_to_string(&path).expect("docs/limits.md");
    assert!(found == made, "docs/limits.md is old: UPDATE_PAGES=1 cargo test -p p2pnode --test limits_page");
}

#[test]
fn every_number_has_its_words() {
    for line in page().lines().filter(|line| line.starts_with("| `")) {
        let words = line.rsplit("| ").next().unwrap_or_default();
        assert!(words.len() > 5, "nothing is said about {line}");
    }
}
