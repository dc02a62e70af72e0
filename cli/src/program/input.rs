//! What a program reads and what its output means.

use std::collections::BTreeMap;

use p2pnode::{
    Value,
    value::{from_json, to_json},
};
use serde_json::json;

use crate::output::json;

/// The bytes for stdin: a single text or a single bytes argument as it is, anything else as JSON.
///
/// No arguments: nothing. One other value: that value. Several by position: a list. By name: an object. Both:
/// `{"args": […], "kwargs": {…}}`.
pub(crate) fn stdin(positional: &[Value], named: &[(String, Value)]) -> Vec<u8> {
    match (positional, named.is_empty()) {
        ([], true) => return Vec::new(),
        ([Value::String(text)], true) => return text.as_bytes().to_vec(),
        ([Value::Binary(data)], true) => return data.clone(),
        _ => {}
    }
    let mut args: Vec<_> = positional.iter().map(to_json).collect();
    let kwargs = named.iter().map(|(name, value)| (name.clone(), to_json(value))).collect();
    let value = match (args.len(), named.is_empty()) {
        (1, true) => args.remove(0),
        (_, true) => serde_json::Value::Array(args),
        (0, false) => serde_json::Value::Object(kwargs),
        _ => json!({"args": args, "kwargs": serde_json::Value::Object(kwargs)}),
    };
    json::ascii(&value).into_bytes()
}

/// The bytes for stdin of a question: its text as it is, or with context `{"text": …, "context": {…}}`. What a peer sends
/// goes nowhere else, so not into the environment either.
pub(crate) fn question(text: String, context: &BTreeMap<String, Value>) -> Vec<u8> {
    if context.is_empty() {
        return text.into_bytes();
    }
    let context: serde_json::Map<_, _> = context.iter().map(|(key, value)| (key.clone(), to_json(value))).collect();
    json::ascii(&json!({"text": text, "context": context})).into_bytes()
}

/// What was printed, as a value: JSON if it parses, else text without the newline at its end, else bytes.
pub(crate) fn result(stdout: Vec<u8>) -> Value {
    if let Ok(value) = serde_json::from_slice(&stdout) {
        return from_json(&value);
    }
    match String::from_utf8(stdout) {
        Ok(text) => {
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Value::from(text.strip_suffix('\r').unwrap_or(text))
        }
        Err(error) => Value::Binary(error.into_bytes()),
    }
}

/// What was printed, as a list: each line a value of its own.
pub(crate) fn items(stdout: &[u8]) -> Value {
    let lines = stdout.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    Value::Array(lines.map(|line| result(line.to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(entries: &[(&str, i64)]) -> Vec<(String, Value)> {
        entries.iter().map(|(name, value)| ((*name).to_owned(), Value::from(*value))).collect()
    }

    #[test]
    fn one_text_is_raw_anything_else_is_json() {
        let cases = [
            (vec![], vec![], &b""[..]),
            (vec!["--flag $(rm)\n".into()], vec![], b"--flag $(rm)\n"),
            (vec![Value::Binary(vec![0, 255])], vec![], &[0, 255]),
            (vec![3.into()], vec![], b"3"),
            (vec![1.into(), 2.into()], vec![], b"[1,2]"),
            (vec!["a".into(), "b".into()], vec![], br#"["a","b"]"#),
            (vec![], named(&[("a", 1)]), br#"{"a":1}"#),
            (vec![1.into()], named(&[("b", 2)]), br#"{"args":[1],"kwargs":{"b":2}}"#),
        ];
        for (positional, named, expected) in cases {
            assert_eq!(stdin(&positional, &named), expected);
        }
    }

    #[test]
    fn questions_are_text_unless_there_is_context() {
        let mut context = BTreeMap::new();
        assert_eq!(question("what?\n".to_owned(), &context), b"what?\n");
        context.insert("url".to_owned(), Value::from("https://x"));
        let json: serde_json::Value = serde_json::from_slice(&question("what?".to_owned(), &context)).unwrap();
        assert_eq!(json, serde_json::json!({"text": "what?", "context": {"url": "https://x"}}));
    }

    #[test]
    fn output_is_json_or_text_or_bytes() {
        assert_eq!(result(b"3\n".to_vec()), Value::from(3));
        assert_eq!(result(b"{\"a\": [1]}".to_vec()), Value::Map(vec![("a".into(), Value::Array(vec![1.into()]))]));
        assert_eq!(result(b"two lines\nhere\n".to_vec()), Value::from("two lines\nhere"));
        assert_eq!(result(b"dos\r\n".to_vec()), Value::from("dos"));
        assert_eq!(result(Vec::new()), Value::from(""));
        assert_eq!(result(vec![0xff, 0xfe]), Value::Binary(vec![0xff, 0xfe]));
    }
}
