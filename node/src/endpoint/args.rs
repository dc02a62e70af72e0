//! Arguments as they travel, and how they become the type a handler takes.

use std::{collections::HashSet, fmt};

use bytes::Bytes;
use p2pnode_wire::{error::ErrorCode, msgpack};
use rmpv::Value;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;

use super::{
    HandlerError, read,
    schema::{Shape, shape_of},
};

/// Why arguments cannot be read or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArgsError(pub String);

/// Arguments of a call, as MessagePack: an array and a map, each of which may be empty.
///
/// What they are is decided where they are read: [`Arguments::decode`] for a type, [`Arguments::positional`] and
/// [`Arguments::named`] for dynamic values. Both refuse what nests deeper than 32 levels or holds more than 4,096
/// elements in one collection.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Positional: a MessagePack array, or no bytes.
    pub args: Bytes,
    /// By keyword: a MessagePack map with string keys, or no bytes.
    pub kwargs: Bytes,
}

impl fmt::Debug for Arguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Arguments({} + {} bytes)", self.args.len(), self.kwargs.len())
    }
}

impl Arguments {
    /// Arguments of dynamic values.
    pub fn new(positional: Vec<Value>, named: Vec<(String, Value)>) -> Self {
        let args = if positional.is_empty() { Bytes::new() } else { encode(&Value::Array(positional)) };
        let pairs: Vec<_> = named.into_iter().map(|(name, value)| (Value::from(name), value)).collect();
        let kwargs = if pairs.is_empty() { Bytes::new() } else { encode(&Value::Map(pairs)) };
        Self { args, kwargs }
    }

    /// Positional arguments as dynamic values.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: not an array, or over the limits.
    pub fn positional(&self) -> Result<Vec<Value>, HandlerError> {
        match dynamic(&self.args)? {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(invalid("positional arguments must be an array")),
        }
    }

    /// Keyword arguments as dynamic values, in the caller's order.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: not a map with string keys, one given twice, or over the limits.
    pub fn named(&self) -> Result<Vec<(String, Value)>, HandlerError> {
        let pairs = match dynamic(&self.kwargs)? {
            None => return Ok(Vec::new()),
            Some(Value::Map(pairs)) => pairs,
            Some(_) => return Err(invalid("keyword arguments must be a map")),
        };
        let mut named: Vec<(String, Value)> = Vec::with_capacity(pairs.len());
        let mut seen = HashSet::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = name.as_str().ok_or_else(|| invalid("names of arguments must be texts"))?.to_owned();
            if !seen.insert(name.clone()) {
                return Err(invalid(format!("argument `{name}` is given twice")));
            }
            named.push((name, value));
        }
        Ok(named)
    }

    /// Reads them into the type a handler takes:
    ///
    /// | type | takes |
    /// |---|---|
    /// | struct with named fields | positions in the order of the fields, keywords, or first the one and then the other |
    /// | tuple | positions only |
    /// | `()` | nothing |
    /// | anything else | one argument, by position or as `value` |
    ///
    /// Arguments that the type does not need (an `Option`, a field with `#[serde(default)]`, an `Option` at the end of
    /// a tuple) may be left out. Keywords are the names in the JSON Schema, so serde's `rename` counts and its `alias`
    /// does not. Bytes arrive in `serde_bytes` fields.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the argument: too many, unknown, missing, given twice, of another type, or over the
    /// limits.
    pub fn decode<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, HandlerError> {
        self.decode_as(&shape_of::<T>())
    }

    /// The same where the shape of `T` is known already: it is drawn once, when a handler is registered.
    pub(super) fn decode_as<T: DeserializeOwned>(&self, shape: &Shape) -> Result<T, HandlerError> {
        read::into_type(&self.args, &self.kwargs, shape).map_err(|error| invalid(error.to_string()))
    }
}

fn dynamic(bytes: &Bytes) -> Result<Option<Value>, HandlerError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    msgpack::decode(bytes).map(Some).map_err(|e| invalid(format!("the arguments cannot be read: {e}")))
}

fn invalid(message: impl Into<String>) -> HandlerError {
    HandlerError::code(ErrorCode::InvalidArgument, message)
}

fn encode(value: &Value) -> Bytes {
    Bytes::from(msgpack::encode(value))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    use super::{
        super::{IntoArgs, Kwargs},
        *,
    };

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Zig {
        z: i64,
        a: Option<String>,
        #[serde(default)]
        m: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
    struct Blob {
        #[serde(with = "serde_bytes")]
        #[schemars(with = "Vec<u8>")]
        data: Vec<u8>,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Rest {
        first: i64,
        #[serde(flatten)]
        rest: BTreeMap<String, i64>,
    }

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Empty {}

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Wrapped(Zig);

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    #[serde(rename_all = "kebab-case")]
    struct Renamed {
        dry_run: bool,
    }

    fn args(positional: Vec<Value>, named: Vec<(&str, Value)>) -> Arguments {
        Arguments::new(positional, named.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
    }

    fn refused<T: DeserializeOwned + JsonSchema + fmt::Debug>(arguments: &Arguments) -> String {
        let error = arguments.decode::<T>().expect_err("refused");
        assert_eq!(error.code, ErrorCode::InvalidArgument);
        error.message
    }

    #[test]
    fn positions_follow_the_order_of_the_fields_not_the_alphabet() {
        let all = Zig { z: 1, a: Some("x".into()), m: 2 };
        assert_eq!(args(vec![1.into(), "x".into(), 2.into()], vec![]).decode::<Zig>().expect("fits"), all);
        let mixed = args(vec![1.into()], vec![("m", 2.into()), ("a", "x".into())]);
        assert_eq!(mixed.decode::<Zig>().expect("fits"), all);
        assert_eq!(mixed.decode::<Option<Zig>>().expect("fits").as_ref(), Some(&all));
        assert_eq!(mixed.decode::<Wrapped>().expect("fits"), Wrapped(all));
        assert_eq!(args(vec![5.into()], vec![]).decode::<Zig>().expect("fits"), Zig { z: 5, a: None, m: 0 });
        assert_eq!(args(vec![], vec![]).decode::<Option<Zig>>().expect("fits"), None);
    }

    #[test]
    fn errors_name_the_argument() {
        let cases = [
            (args(vec![], vec![]), "argument `z` is missing"),
            (args(vec![1.into(), Value::Nil, 2.into(), 3.into()], vec![]), "at most 3 arguments, 4 were given"),
            (args(vec![1.into()], vec![("z", 2.into())]), "`z` is given twice"),
            (args(vec![], vec![("z", 2.into()), ("z", 2.into())]), "`z` is given twice"),
            (args(vec![], vec![("zz", 2.into())]), "did you mean `z`"),
            (args(vec![], vec![("other", 2.into())]), "it takes z, a, m"),
            (args(vec!["one".into()], vec![]), "argument `z` must be integer, not string"),
            (args(vec![1.into()], vec![("m", 300.into())]), "argument `m`: invalid value: integer `300`"),
            (args(vec![1.into(), Value::Nil, Value::Nil], vec![]), "argument `m`: invalid type"),
        ];
        for (arguments, part) in cases {
            let message = refused::<Zig>(&arguments);
            assert!(message.contains(part), "{message} lacks {part}");
        }
    }

    #[test]
    fn tuples_single_values_and_nothing() {
        assert_eq!(args(vec![1.into(), 2.into()], vec![]).decode::<(i64, i64)>().expect("fits"), (1, 2));
        assert_eq!(refused::<(i64, i64)>(&args(vec![1.into()], vec![])), "it takes 2 arguments, 1 was given");
        assert!(refused::<(i64, i64)>(&args(vec![1.into(), "b".into()], vec![])).contains("argument `1`"));
        assert!(args(vec![1.into()], vec![("b", 2.into())]).decode::<(i64, i64)>().is_err());
        type Short = (i64, Option<i64>);
        assert_eq!(args(vec![1.into()], vec![]).decode::<Short>().expect("fits"), (1, None));
        assert_eq!(args(vec![], vec![]).decode::<Option<(i64, i64)>>().expect("fits"), None);
        assert_eq!(args(vec![1.into(), 2.into()], vec![]).decode::<Option<(i64, i64)>>().expect("fits"), Some((1, 2)));
        assert_eq!(args(vec!["x".into()], vec![]).decode::<String>().expect("fits"), "x");
        assert_eq!(args(vec![], vec![("value", "x".into())]).decode::<String>().expect("fits"), "x");
        assert_eq!(refused::<String>(&args(vec![], vec![])), "it takes one argument, 0 were given");
        assert_eq!(
            refused::<String>(&args(vec![], vec![("text", "x".into())])),
            "there is no argument `text`; it takes `value`"
        );
        assert!(refused::<i64>(&args(vec!["x".into()], vec![])).starts_with("argument `value`"));
        assert_eq!(args(vec![], vec![]).decode::<Option<i64>>().expect("fits"), None);
        assert_eq!(args(vec![3.into()], vec![]).decode::<Option<i64>>().expect("fits"), Some(3));
        args(vec![], vec![]).decode::<()>().expect("fits");
        args(vec![], vec![]).decode::<Empty>().expect("fits");
        assert_eq!(refused::<()>(&args(vec![1.into()], vec![])), "it takes no arguments, 1 was given");
        assert!(refused::<Empty>(&args(vec![], vec![("x", 1.into())])).contains("it takes none"));
        assert_eq!(args(vec![vec![Value::from(1)].into()], vec![]).decode::<Vec<u8>>().expect("fits"), [1]);
    }

    #[test]
    fn flattened_maps_take_other_keywords_and_renamed_fields_their_new_name() {
        let rest = args(vec![1.into()], vec![("b", 2.into())]).decode::<Rest>().expect("fits");
        assert_eq!((rest.first, rest.rest.get("b")), (1, Some(&2)));
        assert!(args(vec![], vec![("dry-run", true.into())]).decode::<Renamed>().expect("fits").dry_run);
        assert!(refused::<Renamed>(&args(vec![], vec![("dry_run", true.into())])).contains("did you mean `dry-run`"));
    }

    #[test]
    fn what_is_given_arrives() {
        let arguments = (1, "two", vec![3u8]).into_args().expect("encodes");
        assert_eq!(arguments.decode::<(i64, String, Vec<u8>)>().expect("fits"), (1, "two".into(), vec![3]));
        let named = crate::kwargs! { z: 7, a: "x" }.into_args().expect("encodes");
        assert_eq!(named.decode::<Zig>().expect("fits"), Zig { z: 7, a: Some("x".into()), m: 0 });
        let mixed = crate::args! { 7, "x"; m: 1 }.into_args().expect("encodes");
        assert_eq!(mixed.decode::<Zig>().expect("fits"), Zig { z: 7, a: Some("x".into()), m: 1 });
        let values = [Value::from(1), Value::from(2)];
        assert_eq!(values.as_slice().into_args().expect("encodes").decode::<(i64, i64)>().expect("fits"), (1, 2));
        assert_eq!(().into_args(), Ok(Arguments::default()));
        assert_eq!(Kwargs::new().into_args(), Ok(Arguments::default()));
        assert_eq!(Vec::new().into_args(), Ok(Arguments::default()));
        let twice = Kwargs::new().with("b", 1).with("a", 2).with("b", 3).into_args().expect("encodes");
        assert_eq!(twice.named().expect("a map"), [("b".into(), 3.into()), ("a".into(), 2.into())]);
    }

    #[test]
    fn what_cannot_be_encoded_is_an_error_that_names_it() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("no words"))
            }
        }
        let error = crate::kwargs! { a: 1, b: Broken }.into_args().expect_err("broken");
        assert!(error.contains("`b`") && error.contains("no words"), "{error}");
        assert!((1, Broken).into_args().is_err());
    }

    #[test]
    fn bytes_and_extensions_survive() {
        let blob = Blob { data: vec![0, 159, 146, 150] };
        let by_position = (serde_bytes::Bytes::new(&blob.data),).into_args().expect("encodes");
        assert_eq!(by_position.decode::<Blob>().expect("fits"), blob);
        let by_keyword = crate::kwargs! { data: serde_bytes::Bytes::new(&blob.data) }.into_args().expect("encodes");
        assert_eq!(by_keyword.decode::<Blob>().expect("fits"), blob);
        let odd = vec![Value::Binary(vec![1]), Value::Ext(7, vec![2, 3]), Value::Map(vec![(1.into(), Value::Nil)])];
        let arguments = args(odd.clone(), vec![]);
        assert_eq!(arguments.positional().expect("an array"), odd);
        let shape =
            Shape::Tuple(super::super::schema::Tuple { least: 3, kinds: vec![String::new(); 3], nullable: false });
        assert_eq!(arguments.decode_as::<Vec<Value>>(&shape).expect("fits"), odd);
    }

    #[test]
    fn hostile_bytes_are_errors() {
        let bombs: [&[u8]; 8] =
            [b"\xc1", b"\xdd\xff\xff\xff\xff", b"\x91", &[0x91; 100_000], b"\x90\x90", b"\x80", b"\x01", b"\xdf\x00"];
        for bytes in bombs {
            let bytes = Bytes::copy_from_slice(bytes);
            let positional = Arguments { args: bytes.clone(), kwargs: Bytes::new() };
            assert!(positional.decode::<(i64,)>().is_err());
            assert!(positional.decode::<Zig>().is_err() && positional.decode::<i64>().is_err());
        }
        for bytes in [&b"\x81\x01\x01"[..], b"\x91\x01", b"\x81\xa1z", b"\x82\xa1z\x01\xa1z\x01", b"\x81\xc4\x01z\x01"]
        {
            let named = Arguments { args: Bytes::new(), kwargs: Bytes::copy_from_slice(bytes) };
            assert!(named.decode::<Zig>().is_err() && named.decode::<i64>().is_err() && named.named().is_err());
        }
    }

    #[test]
    fn a_long_foreign_name_does_not_fill_the_error() {
        let name = "x".repeat(10_000);
        assert!(refused::<Zig>(&args(vec![], vec![(&name, 1.into())])).len() < 200);
    }

    fn zig() -> impl Strategy<Value = Zig> {
        (any::<i64>(), any::<Option<String>>(), any::<u8>()).prop_map(|(z, a, m)| Zig { z, a, m })
    }

    proptest! {
        /// Wherever the caller stops counting positions and starts naming, in whatever order, the same arrives.
        #[test]
        fn positions_and_keywords_are_two_spellings(zig in zig(), split in 0usize..=3, turn in 0usize..3) {
            let a = zig.a.clone().map_or(Value::Nil, Value::from);
            let mut named = vec![("z", Value::from(zig.z)), ("a", a), ("m", Value::from(zig.m))];
            let rest = named.split_off(split);
            let positional = named.into_iter().map(|(_, value)| value).collect();
            let mut rest = rest;
            let turn = if rest.is_empty() { 0 } else { turn % rest.len() };
            rest.rotate_left(turn);
            prop_assert_eq!(args(positional, rest).decode::<Zig>().map_err(|e| e.message), Ok(zig));
        }

        #[test]
        fn no_bytes_make_it_panic(args in prop::collection::vec(any::<u8>(), 0..64),
                                  kwargs in prop::collection::vec(any::<u8>(), 0..64)) {
            let arguments = Arguments { args: args.into(), kwargs: kwargs.into() };
            let _ = arguments.decode::<Zig>();
            let _ = arguments.decode::<(i64, Option<String>)>();
            let _ = arguments.decode::<Rest>();
            let _ = arguments.decode::<Option<String>>();
            let _ = arguments.decode::<()>();
            let _ = (arguments.positional(), arguments.named());
        }
    }
}
