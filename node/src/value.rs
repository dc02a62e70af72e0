//! Dynamic values: MessagePack inside, JSON for people and programs.
//!
//! JSON can hold less than MessagePack. What it cannot hold becomes:
//!
//! | MessagePack | JSON | and back |
//! |---|---|---|
//! | bytes, texts that are not UTF-8 | `{"$bin": "<base64>"}` | bytes |
//! | extension type | `{"$ext": <type>, "$bin": "<base64>"}` | the same |
//! | key that is no text, such as 7 | its JSON as a text, `"7"` | a text |
//! | NaN, infinity | `null` | nil |
//! | deeper than 64 levels | `null` | nil |
//!
//! A map whose only key is `$bin`, with base64 in it, is therefore taken for bytes on the way back; of two keys that
//! become the same text, the last wins. What begins as JSON comes back as it was, but for that.

use std::borrow::Cow;

use data_encoding::BASE64;
use rmpv::Value;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Number, Value as Json, json};

/// Levels converted. Decoding has stopped at 32 already; values made by hand may be deeper, and a stack is finite.
const DEPTH: usize = 64;

/// Any value as the argument or result of a typed handler, bytes and all; `serde_json::Value` could not hold those.
///
/// ```
/// use p2pnode::{Context, Endpoint, Node, presets, value::Dynamic};
///
/// Node::builder(presets::Loopback)
///     .endpoint(Endpoint::new("echo"), |_: Context, Dynamic(value): Dynamic| async move { Ok(Dynamic(value)) });
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Dynamic(pub Value);

impl JsonSchema for Dynamic {
    fn schema_name() -> Cow<'static, str> {
        "Any".into()
    }

    fn schema_id() -> Cow<'static, str> {
        concat!(module_path!(), "::Dynamic").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        true.into()
    }
}

/// The JSON that stands for a value.
pub fn to_json(value: &Value) -> Json {
    json_of(value, DEPTH)
}

fn json_of(value: &Value, depth: usize) -> Json {
    let Some(depth) = depth.checked_sub(1) else { return Json::Null };
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(b) => Json::Bool(*b),
        Value::Integer(i) => match (i.as_i64(), i.as_u64()) {
            (Some(i), _) => Json::from(i),
            (None, Some(u)) => Json::from(u),
            (None, None) => Json::Null,
        },
        Value::F32(f) => Number::from_f64(f64::from(*f)).map_or(Json::Null, Json::Number),
        Value::F64(f) => Number::from_f64(*f).map_or(Json::Null, Json::Number),
        Value::String(text) => match text.as_str() {
            Some(text) => Json::from(text),
            None => bin(text.as_bytes()),
        },
        Value::Binary(bytes) => bin(bytes),
        Value::Array(values) => Json::Array(values.iter().map(|v| json_of(v, depth)).collect()),
        Value::Map(pairs) => Json::Object(pairs.iter().map(|(k, v)| (key(k, depth), json_of(v, depth))).collect()),
        Value::Ext(kind, bytes) => json!({ "$ext": kind, "$bin": BASE64.encode(bytes) }),
    }
}

fn bin(bytes: &[u8]) -> Json {
    json!({ "$bin": BASE64.encode(bytes) })
}

fn key(key: &Value, depth: usize) -> String {
    match key.as_str() {
        Some(text) => text.to_owned(),
        None => json_of(key, depth).to_string(),
    }
}

/// The value that JSON stands for; `{"$bin": "<base64>"}` is bytes again.
pub fn from_json(json: &Json) -> Value {
    value_of(json, DEPTH)
}

fn value_of(json: &Json, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return Value::Nil };
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => number(n),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(values) => Value::Array(values.iter().map(|v| value_of(v, depth)).collect()),
        Json::Object(map) => bytes_of(map).unwrap_or_else(|| {
            Value::Map(map.iter().map(|(k, v)| (Value::from(k.as_str()), value_of(v, depth))).collect())
        }),
    }
}

fn number(n: &Number) -> Value {
    match (n.as_i64(), n.as_u64()) {
        (Some(i), _) => Value::from(i),
        (None, Some(u)) => Value::from(u),
        (None, None) => Value::from(n.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Bytes or an extension type. Anything that only looks like them stays a map.
fn bytes_of(map: &Map<String, Json>) -> Option<Value> {
    let bytes = || BASE64.decode(map.get("$bin")?.as_str()?.as_bytes()).ok();
    match (map.len(), map.get("$ext")) {
        (1, None) => Some(Value::Binary(bytes()?)),
        (2, Some(kind)) => Some(Value::Ext(i8::try_from(kind.as_i64()?).ok()?, bytes()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use p2pnode_wire::msgpack;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_json_cannot_hold() {
        assert_eq!(to_json(&Value::Binary(vec![1, 2])), json!({"$bin": "AQI="}));
        assert_eq!(from_json(&json!({"$bin": "AQI="})), Value::Binary(vec![1, 2]));
        assert_eq!(to_json(&Value::Ext(-1, vec![1, 2])), json!({"$ext": -1, "$bin": "AQI="}));
        assert_eq!(to_json(&Value::Map(vec![(7.into(), "x".into())])), json!({"7": "x"}));
        assert_eq!(to_json(&Value::Map(vec![(Value::Binary(vec![1]), 1.into())])), json!({"{\"$bin\":\"AQ==\"}": 1}));
        for odd in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(to_json(&Value::F64(odd)), Json::Null);
        }
        assert_eq!(to_json(&Value::from(u64::MAX)), json!(u64::MAX));
        let broken: Value = msgpack::decode(b"\xa2\xff\xfe").expect("a text that is none");
        assert_eq!(to_json(&broken), json!({"$bin": "//4="}));
    }

    #[test]
    fn what_only_looks_like_bytes_stays_a_map() {
        for json in [
            json!({"$bin": "no base64!"}),
            json!({"$bin": 1}),
            json!({"$bin": "AQI=", "more": 1}),
            json!({"$ext": 128, "$bin": "AQI="}),
            json!({"$ext": 1, "$bin": "!"}),
            json!({"$ext": 1}),
        ] {
            assert_eq!(to_json(&from_json(&json)), json);
            assert!(from_json(&json).is_map(), "{json}");
        }
    }

    #[test]
    fn depth_is_bounded_both_ways() {
        let deep = (0..500).fold(Json::Null, |inner, _| json!([inner]));
        let value = (0..500).fold(Value::Nil, |inner, _| Value::Array(vec![inner]));
        assert_eq!(to_json(&value), to_json(&from_json(&deep)));
        assert_eq!(to_json(&value).to_string().matches('[').count(), DEPTH);
    }

    #[test]
    fn dynamic_values_are_invisible_on_the_wire() {
        let value = Value::Array(vec![Value::Binary(vec![1]), Value::Ext(3, vec![4]), Value::Nil]);
        let bytes = msgpack::encode(&Dynamic(value.clone()));
        assert_eq!(bytes, msgpack::encode(&value));
        assert_eq!(msgpack::decode::<Dynamic>(&bytes), Ok(Dynamic(value)));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            ".{0,12}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..5)
                    .prop_map(|m| Json::Object(m.into_iter().collect())),
            ]
        })
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            (-1e300f64..1e300).prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::Binary),
            (any::<i8>(), prop::collection::vec(any::<u8>(), 0..12)).prop_map(|(kind, bytes)| Value::Ext(kind, bytes)),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{1,4}", inner, 0..5)
                    .prop_map(|m| Value::Map(m.into_iter().map(|(k, v)| (k.into(), v)).collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn json_survives_the_way_there_and_back(json in any_json()) {
            prop_assert_eq!(to_json(&from_json(&json)), json);
        }

        #[test]
        fn values_with_plain_keys_survive_the_way_there_and_back(value in any_value()) {
            prop_assert_eq!(from_json(&to_json(&value)), value);
        }
    }
}
