//! Values as people give them and as they travel over the control socket: words are read by who typed them, so that a
//! node never opens a file for a client.

use std::{convert::Infallible, str::FromStr};

use p2pnode::{
    Value,
    value::{from_json, to_json},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error as _};

/// A value on its way from a word to what it stands for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Given {
    /// A word of the command line, not read yet: it may name a file or stdin.
    Word(String),
    /// What it stands for.
    Value(Value),
}

impl FromStr for Given {
    type Err = Infallible;

    fn from_str(word: &str) -> Result<Self, Infallible> {
        Ok(Self::Word(word.to_owned()))
    }
}

/// Fails where JSON would change the value: such a request needs a node in the same process.
impl Serialize for Given {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self::Value(value) = self else { return Err(S::Error::custom("a word that was not read")) };
        let json = to_json(value);
        match from_json(&json) == *value {
            true => json.serialize(serializer),
            false => Err(S::Error::custom("a value that JSON cannot hold")),
        }
    }
}

/// JSON is the value itself, `{"$bin": "<base64>"}` being bytes: a text that begins with `@` is that text.
impl<'de> Deserialize<'de> for Given {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(deserializer).map(|json| Self::Value(from_json(&json)))
    }
}

/// `NAME=VALUE`.
pub(crate) fn pair(text: &str) -> Result<(String, Given), String> {
    super::value::pair(text).map(|(name, word)| (name, Given::Word(word)))
}

/// Values by name: an object.
pub(crate) mod named {
    use std::collections::BTreeMap;

    use super::{Deserialize, Deserializer, Given, Serializer};

    pub(crate) fn serialize<S: Serializer>(pairs: &[(String, Given)], serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::Error as _;
        let map: BTreeMap<&str, &Given> = pairs.iter().map(|(name, value)| (name.as_str(), value)).collect();
        match map.len() == pairs.len() {
            true => serializer.collect_map(map),
            false => Err(S::Error::custom("a name that is given twice")),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, Given)>, D::Error> {
        BTreeMap::<String, Given>::deserialize(deserializer).map(|map| map.into_iter().collect())
    }
}

/// Durations as on the command line: `"500ms"`, or a number of seconds.
pub(crate) mod span {
    use std::time::Duration;

    use super::{Deserialize, Deserializer, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(f64),
        Text(String),
    }

    pub(crate) fn text(span: Duration) -> String {
        match span.subsec_nanos() % 1_000_000 {
            0 => format!("{}ms", span.as_millis()),
            _ => format!("{}us", span.as_micros()),
        }
    }

    pub(crate) fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&text(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = match Written::deserialize(deserializer)? {
            Written::Seconds(seconds) => seconds.to_string(),
            Written::Text(text) => text,
        };
        crate::args::value::duration(&text).map_err(super::wrong)
    }

    /// The same where it may be left out.
    pub(crate) mod maybe {
        use super::{Deserialize, Deserializer, Duration, Serializer};

        #[derive(Deserialize)]
        struct Some_(#[serde(with = "super")] Duration);

        pub(crate) fn serialize<S: Serializer>(span: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
            match span {
                Some(span) => super::serialize(span, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
            Option::<Some_>::deserialize(deserializer).map(|span| span.map(|Some_(span)| span))
        }
    }
}

/// A number of things, at least one, as on the command line.
pub(crate) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    super::value::count(&number.to_string()).map_err(wrong)
}

/// The same where it may be left out.
pub(crate) fn maybe_count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let number = Option::<u32>::deserialize(deserializer)?;
    number.map(|number| super::value::count(&number.to_string()).map_err(wrong)).transpose()
}

fn wrong<E: serde::de::Error>(message: String) -> E {
    E::custom(message)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Options {
        #[serde(with = "named")]
        named: Vec<(String, Given)>,
        #[serde(with = "span::maybe")]
        wait: Option<Duration>,
    }

    #[test]
    fn values_travel_as_they_are_or_not_at_all() {
        let bytes = Given::Value(Value::Binary(vec![0, 255]));
        assert_eq!(serde_json::to_value(&bytes).unwrap(), json!({"$bin": "AP8="}));
        assert_eq!(serde_json::from_value::<Given>(json!({"$bin": "AP8="})).unwrap(), bytes);
        assert_eq!(serde_json::from_value::<Given>(json!("@file")).unwrap(), Given::Value("@file".into()));
        assert!(serde_json::to_value(Given::Word("@file".into())).is_err(), "nobody but the client reads files");
        assert!(serde_json::to_value(Given::Value(Value::Map(vec![(7.into(), 1.into())]))).is_err());
        assert!(serde_json::to_value(Given::Value(Value::F64(f64::NAN))).is_err());
    }

    #[test]
    fn names_and_spans() {
        let named = vec![("a".to_owned(), Given::Value(1.into())), ("b".to_owned(), Given::Value("x".into()))];
        let options = Options { named, wait: Some(Duration::from_millis(1_500)) };
        let json = json!({"named": {"a": 1, "b": "x"}, "wait": "1500ms"});
        assert_eq!(serde_json::to_value(&options).unwrap(), json);
        assert_eq!(serde_json::from_value::<Options>(json).unwrap(), options);
        for (wait, expected) in
            [(json!(2), Some(2_000)), (json!(0.25), Some(250)), (json!("1m"), Some(60_000)), (json!(null), None)]
        {
            let read: Options = serde_json::from_value(json!({"named": {}, "wait": wait})).unwrap();
            assert_eq!(read.wait, expected.map(Duration::from_millis));
        }
        let error = serde_json::from_value::<Options>(json!({"named": {}, "wait": "soon"})).unwrap_err();
        assert!(error.to_string().contains("`soon` is no duration"), "{error}");
        let twice = Options { named: vec![("a".to_owned(), Given::Value(1.into())); 2], wait: None };
        assert!(serde_json::to_value(&twice).is_err());
        assert_eq!(span::text(Duration::from_micros(1_234)), "1234us");
    }
}
