//! JSON for programs: ASCII only, one envelope. How values become JSON is the node's [`p2pnode::value`].

use std::{collections::BTreeMap, io, time::Duration};

use jiff::Timestamp;
use p2pnode::value::to_json;
use serde::Serialize;
use serde_json::{
    Value,
    ser::{CompactFormatter, Formatter, PrettyFormatter},
};

/// One line of pure ASCII.
pub(crate) fn ascii(value: &impl Serialize) -> String {
    write(value, Safe { inner: CompactFormatter, keep: |sign: char| sign.is_ascii() && sign != '\u{7f}' })
}

/// For people: letters of all scripts stay, what could steer a terminal does not. Small values on one line.
pub(crate) fn readable(value: &Value) -> String {
    let keep = |sign: char| !crate::output::steers(sign);
    let line = write(value, Safe { inner: CompactFormatter, keep });
    if line.len() <= 80 { line } else { write(value, Safe { inner: PrettyFormatter::new(), keep }) }
}

fn write(value: &impl Serialize, formatter: impl Formatter) -> String {
    let mut bytes = Vec::with_capacity(128);
    let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
    value.serialize(&mut serializer).expect("a JSON value always serialises into memory");
    String::from_utf8(bytes).expect("serde_json writes UTF-8")
}

/// Any formatter, with some characters written as `\u` escapes.
struct Safe<F, K> {
    inner: F,
    keep: K,
}

impl<F: Formatter, K: Fn(char) -> bool> Formatter for Safe<F, K> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if fragment.chars().all(&self.keep) {
            return writer.write_all(fragment.as_bytes());
        }
        for sign in fragment.chars() {
            if (self.keep)(sign) {
                write!(writer, "{sign}")?;
                continue;
            }
            for unit in sign.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.inner.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.inner.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.inner.end_object_value(writer)
    }
}

/// `{"$bin": "<base64>"}`.
pub(crate) fn bytes(data: &[u8]) -> Value {
    to_json(&rmpv::Value::Binary(data.to_vec()))
}

/// MessagePack bytes as JSON, if they are that.
pub(crate) fn decode(data: &[u8]) -> Option<Value> {
    value_of(data).map(|value| to_json(&value))
}

/// MessagePack bytes as a value, if they are exactly one, not nested too deep.
pub(crate) fn value_of(data: &[u8]) -> Option<rmpv::Value> {
    p2pnode::wire::msgpack::decode(data).ok()
}

/// Milliseconds as a number, to the microsecond.
pub(crate) fn millis(duration: Duration) -> Value {
    let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    if micros % 1_000 == 0 || micros >= 100_000 {
        return Value::from(micros / 1_000);
    }
    #[allow(clippy::cast_precision_loss)] // below 100,000
    let fraction = micros as f64 / 1_000.0;
    Value::from(fraction)
}

/// Now, RFC 3339 in UTC with milliseconds.
pub(crate) fn now() -> String {
    at(Timestamp::now())
}

/// The time that was so long ago.
pub(crate) fn at_age(age: Duration) -> String {
    let age = jiff::SignedDuration::try_from(age).unwrap_or(jiff::SignedDuration::MAX);
    at(Timestamp::now().saturating_sub(age).unwrap_or(Timestamp::MIN))
}

/// A time by milliseconds since 1970; far away, as far as there are dates.
pub(crate) fn timestamp(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// The same, RFC 3339 in UTC with milliseconds.
pub(crate) fn at_ms(ms: u64) -> String {
    at(timestamp(ms))
}

/// How long ago that is; nothing if it is to come.
pub(crate) fn age(ms: u64) -> Duration {
    let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
    Duration::from_millis(now.saturating_sub(ms))
}

fn at(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

/// What is known besides the data: through which node, in which swarm, how long it took.
pub(crate) type Meta = BTreeMap<&'static str, Value>;

/// The answer of a one-shot command.
#[derive(Debug, Serialize)]
pub(crate) struct Answer<'a> {
    v: u8,
    ok: bool,
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Value>,
    meta: Meta,
}

impl<'a> Answer<'a> {
    /// It worked.
    pub(crate) fn data(kind: &'a str, data: Value, meta: Meta) -> Self {
        Self { v: 1, ok: true, kind, data: Some(data), error: None, meta }
    }

    /// It did not.
    pub(crate) fn error(kind: &'a str, error: Value) -> Self {
        Self { v: 1, ok: false, kind, data: None, error: Some(error), meta: Meta::new() }
    }
}

/// One line of a stream.
#[derive(Debug, Serialize)]
pub(crate) struct Line<'a> {
    v: u8,
    kind: &'a str,
    at: String,
    #[serde(flatten)]
    fields: Value,
}

impl<'a> Line<'a> {
    /// A line with the time of now. `fields` is an object.
    pub(crate) fn new(kind: &'a str, fields: Value) -> Self {
        Self { v: 1, kind, at: now(), fields }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn output_is_ascii_and_still_the_same_json() {
        let value = json!({"näme": "日本 \u{1f980} \u{202e}\u{7f}\u{1b}[2J\n", "list": [1, 2.5, null, true, {}]});
        let text = ascii(&value);
        assert!(text.bytes().all(|byte| (0x20..0x7f).contains(&byte)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(text.contains("\\ud83e\\udd80"), "{text}");
    }

    #[test]
    fn people_keep_their_letters_but_no_terminal_codes() {
        let value = json!({"name": "Zoë", "bad": "\u{9b}2J\u{202e}"});
        let text = readable(&value);
        assert!(text.contains("Zoë") && text.contains("\\u009b") && text.contains("\\u202e"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert!(readable(&json!(vec!["a long word"; 20])).contains('\n'));
    }

    #[test]
    fn times_and_durations() {
        assert_eq!(at(Timestamp::from_millisecond(1_795_000_000_123).unwrap()), "2026-11-18T11:06:40.123Z");
        assert_eq!(millis(Duration::from_millis(12)), json!(12));
        assert_eq!(millis(Duration::from_micros(1_234)), json!(1.234));
        assert_eq!(millis(Duration::from_micros(1_234_567)), json!(1234));
    }

    #[test]
    fn lines_carry_version_kind_and_time() {
        let text = ascii(&Line::new("ack", json!({"elapsed_ms": 3})));
        assert!(
            text.starts_with("{\"v\":1,\"kind\":\"ack\",\"at\":\"20") && text.ends_with("Z\",\"elapsed_ms\":3}"),
            "{text}"
        );
    }

    #[test]
    fn the_envelope_of_answers() {
        let meta = Meta::from([("elapsed_ms", json!(12))]);
        let text = ascii(&Answer::data("peers", json!([]), meta));
        assert_eq!(text, r#"{"v":1,"ok":true,"kind":"peers","data":[],"meta":{"elapsed_ms":12}}"#);
        let text = ascii(&Answer::error("ask", json!({"exit": 6})));
        assert_eq!(text, r#"{"v":1,"ok":false,"kind":"ask","error":{"exit":6},"meta":{}}"#);
    }
}
