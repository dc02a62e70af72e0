//! Dynamic values: MessagePack inside, JSON for people and programs.
//!
//! JSON can hold neither bytes nor maps with other keys than texts: bytes become `{"$bin": "<base64>"}` and back,
//! integer keys become texts, and NaN and the infinities, which JSON has no word for, become `null`.

use data_encoding::BASE64;
use rmpv::Value;
use serde_json::{Map, Number, Value as Json, json};

/// Levels converted; what lies deeper becomes `null`. Decoding has stopped at 32 already.
const DEPTH: usize = 64;

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
        Value::Map(pairs) => Json::Object(pairs.iter().map(|(k, v)| (key(k), json_of(v, depth))).collect()),
        Value::Ext(kind, bytes) => json!({ "$ext": kind, "$bin": BASE64.encode(bytes) }),
    }
}

fn bin(bytes: &[u8]) -> Json {
    json!({ "$bin": BASE64.encode(bytes) })
}

fn key(key: &Value) -> String {
    match key {
        Value::String(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => to_json(other).to_string(),
    }
}

/// The value that JSON stands for; `{"$bin": "<base64>"}` is bytes again.
pub fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(b) => Value::from(*b),
        Json::Number(n) => number(n),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(values) => Value::Array(values.iter().map(from_json).collect()),
        Json::Object(map) => bytes_of(map)
            .unwrap_or_else(|| Value::Map(map.iter().map(|(k, v)| (Value::from(k.as_str()), from_json(v))).collect())),
    }
}

fn number(n: &Number) -> Value {
    match (n.as_i64(), n.as_u64()) {
        (Some(i), _) => Value::from(i),
        (None, Some(u)) => Value::from(u),
        (None, None) => Value::from(n.as_f64().unwrap_or(f64::NAN)),
    }
}

fn bytes_of(map: &Map<String, Json>) -> Option<Value> {
    let text = map.get("$bin")?.as_str().filter(|_| map.len() == 1)?;
    Some(Value::Binary(BASE64.decode(text.as_bytes()).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_json_cannot_hold() {
        assert_eq!(to_json(&Value::Binary(vec![1, 2])), json!({"$bin": "AQI="}));
        assert_eq!(from_json(&json!({"$bin": "AQI="})), Value::Binary(vec![1, 2]));
        assert_eq!(to_json(&Value::Map(vec![(7.into(), "x".into())])), json!({"7": "x"}));
        assert_eq!(to_json(&Value::F64(f64::NAN)), Json::Null);
        assert_eq!(to_json(&Value::from(u64::MAX)), json!(u64::MAX));
        assert_eq!(from_json(&json!({"$bin": "no base64!"})), from_json(&json!({"$bin": "no base64!"})));
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<u64>().prop_map(Json::from),
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

    proptest! {
        #[test]
        fn json_survives_the_way_there_and_back(json in any_json()) {
            prop_assert_eq!(to_json(&from_json(&json)), json);
        }
    }
}
