//! Arguments: positional, by keyword, or mixed, into the type a handler takes.

use std::collections::HashMap;

use bytes::Bytes;
use p2pnode_wire::{error::ErrorCode, msgpack};
use rmpv::Value;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use super::{
    HandlerError,
    schema::{Shape, shape_of},
};

/// Why arguments cannot be read or built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArgsError(pub String);

/// Arguments of a call, as MessagePack: an array and a map, each of which may be empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Arguments {
    /// Positional: a MessagePack array, or no bytes.
    pub args: Bytes,
    /// By keyword: a MessagePack map with string keys, or no bytes.
    pub kwargs: Bytes,
}

impl std::fmt::Debug for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
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
        match read(&self.args)? {
            None => Ok(Vec::new()),
            Some(Value::Array(values)) => Ok(values),
            Some(_) => Err(invalid("positional arguments must be an array")),
        }
    }

    /// Keyword arguments as dynamic values.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`: not a map with string keys, one given twice, or over the limits.
    pub fn named(&self) -> Result<Vec<(String, Value)>, HandlerError> {
        let pairs = match read(&self.kwargs)? {
            None => return Ok(Vec::new()),
            Some(Value::Map(pairs)) => pairs,
            Some(_) => return Err(invalid("keyword arguments must be a map")),
        };
        let mut named: Vec<(String, Value)> = Vec::with_capacity(pairs.len());
        for (name, value) in pairs {
            let name = name.as_str().ok_or_else(|| invalid("names of arguments must be texts"))?.to_owned();
            if named.iter().any(|(known, _)| *known == name) {
                return Err(invalid(format!("argument `{name}` is given twice")));
            }
            named.push((name, value));
        }
        Ok(named)
    }

    /// Reads them into the type a handler takes: a struct by position, keyword or both; a tuple by position; any other
    /// type from one argument; `()` from none.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT`, naming the argument.
    pub fn decode<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, HandlerError> {
        self.decode_as(&shape_of::<T>())
    }

    pub(super) fn decode_as<T: DeserializeOwned>(&self, shape: &Shape) -> Result<T, HandlerError> {
        let (positional, named) = (self.positional()?, self.named()?);
        let value = match shape {
            Shape::Nothing => nothing(&positional, &named)?,
            Shape::Struct(fields) => merge(fields, positional, named)?,
            Shape::Tuple(n) => tuple(*n, positional, &named)?,
            Shape::One => one(positional, named)?,
        };
        from_value(&value)
    }
}

fn nothing(positional: &[Value], named: &[(String, Value)]) -> Result<Value, HandlerError> {
    if positional.is_empty() && named.is_empty() {
        return Ok(Value::Nil);
    }
    Err(invalid("it takes no arguments"))
}

/// Positions fill the fields in order; keywords fill the rest. Fields that are left out are the type's to refuse.
fn merge(fields: &[String], positional: Vec<Value>, named: Vec<(String, Value)>) -> Result<Value, HandlerError> {
    if positional.len() > fields.len() {
        return Err(invalid(format!("it takes at most {} arguments, {} were given", fields.len(), positional.len())));
    }
    let mut pairs: Vec<(Value, Value)> = Vec::with_capacity(positional.len().saturating_add(named.len()));
    let given = positional.len();
    for (field, value) in fields.iter().zip(positional) {
        pairs.push((Value::from(field.as_str()), value));
    }
    for (name, value) in named {
        match fields.iter().position(|field| *field == name) {
            None => return Err(unknown(&name, fields)),
            Some(at) if at < given => return Err(invalid(format!("argument `{name}` is given twice"))),
            Some(_) => pairs.push((Value::from(name), value)),
        }
    }
    Ok(Value::Map(pairs))
}

fn unknown(name: &str, fields: &[String]) -> HandlerError {
    let near = crate::target::near(name, fields.iter().map(String::as_str));
    let hint = match near.first() {
        Some(near) => format!("; did you mean `{near}`?"),
        None => format!("; it takes {}", fields.join(", ")),
    };
    invalid(format!("there is no argument `{name}`{hint}"))
}

fn tuple(n: usize, positional: Vec<Value>, named: &[(String, Value)]) -> Result<Value, HandlerError> {
    if !named.is_empty() {
        return Err(invalid("its arguments have no names, only positions"));
    }
    if positional.len() != n {
        return Err(invalid(format!("it takes {n} arguments, {} were given", positional.len())));
    }
    Ok(Value::Array(positional))
}

fn one(mut positional: Vec<Value>, named: Vec<(String, Value)>) -> Result<Value, HandlerError> {
    let total = positional.len().saturating_add(named.len());
    match (positional.pop(), named.into_iter().next()) {
        (Some(value), None) if total == 1 => Ok(value),
        (None, Some((name, value))) if total == 1 && name == "value" => Ok(value),
        (None, Some((name, _))) if total == 1 => Err(unknown(&name, &["value".to_owned()])),
        _ => Err(invalid(format!("it takes one argument, {total} were given"))),
    }
}

/// Through bytes, not through `rmpv`'s own deserializer: that one hands `Option` and enums over differently.
fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, HandlerError> {
    let bytes = msgpack::encode(value);
    msgpack::decode(&bytes).map_err(|error| {
        // Its words are better: "invalid type: string, expected i64" instead of an opcode.
        let said = rmpv::ext::from_value::<T>(value.clone()).err().map(|e| e.to_string());
        invalid(said.unwrap_or_else(|| error.to_string()))
    })
}

fn read(bytes: &Bytes) -> Result<Option<Value>, HandlerError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    msgpack::decode(bytes).map(Some).map_err(|e| invalid(format!("the arguments cannot be read: {e}")))
}

fn invalid(message: impl Into<String>) -> HandlerError {
    HandlerError::code(ErrorCode::InvalidArgument, message)
}

fn encode<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(msgpack::encode(value))
}

/// What can be given as the arguments of a call: `()`, tuples, lists of values, [`Arguments`], and [`kwargs!`](crate::kwargs).
pub trait IntoArgs {
    /// The arguments as MessagePack, or why they cannot be.
    ///
    /// # Errors
    /// In words.
    fn into_args(self) -> Result<Arguments, String>;
}

impl IntoArgs for Arguments {
    fn into_args(self) -> Result<Arguments, String> {
        Ok(self)
    }
}

impl IntoArgs for () {
    fn into_args(self) -> Result<Arguments, String> {
        Ok(Arguments::default())
    }
}

impl IntoArgs for Vec<Value> {
    fn into_args(self) -> Result<Arguments, String> {
        Ok(Arguments::new(self, Vec::new()))
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        impl<$($name: Serialize),+> IntoArgs for ($($name,)+) {
            fn into_args(self) -> Result<Arguments, String> {
                let bytes = msgpack::try_encode(&self)?;
                Ok(Arguments { args: Bytes::from(bytes), kwargs: Bytes::new() })
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

/// Keyword arguments; [`kwargs!`](crate::kwargs) makes them.
#[derive(Debug, Clone, Default)]
pub struct Kwargs(HashMap<String, Result<Value, String>>);

impl Kwargs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; the last of a name wins.
    pub fn with<T: Serialize>(mut self, name: impl Into<String>, value: T) -> Self {
        let value = msgpack::try_encode(&value).and_then(|bytes| msgpack::decode(&bytes).map_err(|e| e.to_string()));
        self.0.insert(name.into(), value);
        self
    }
}

impl IntoArgs for Kwargs {
    fn into_args(self) -> Result<Arguments, String> {
        let named: Result<Vec<_>, String> = self.0.into_iter().map(|(name, value)| Ok((name, value?))).collect();
        Ok(Arguments::new(Vec::new(), named?))
    }
}

/// Keyword arguments: `kwargs! { a: 1, b: "two" }`.
#[macro_export]
macro_rules! kwargs {
    ($($name:ident : $value:expr),* $(,)?) => {
        $crate::Kwargs::new()$(.with(stringify!($name), $value))*
    };
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Zig {
        z: i64,
        a: Option<String>,
        #[serde(default)]
        m: u8,
    }

    fn args(positional: Vec<Value>, named: Vec<(&str, Value)>) -> Arguments {
        Arguments::new(positional, named.into_iter().map(|(n, v)| (n.to_owned(), v)).collect())
    }

    #[test]
    fn positions_follow_the_order_of_the_fields_not_the_alphabet() {
        let all = Zig { z: 1, a: Some("x".into()), m: 2 };
        assert_eq!(args(vec![1.into(), "x".into(), 2.into()], vec![]).decode::<Zig>().expect("fits"), all);
        let mixed = args(vec![1.into()], vec![("m", 2.into()), ("a", "x".into())]);
        assert_eq!(mixed.decode::<Zig>().expect("fits"), all);
        assert_eq!(args(vec![5.into()], vec![]).decode::<Zig>().expect("fits"), Zig { z: 5, a: None, m: 0 });
    }

    #[test]
    fn errors_name_the_argument() {
        let cases = [
            (args(vec![], vec![]), "z"),
            (args(vec![1.into(), Value::Nil, 2.into(), 3.into()], vec![]), "at most 3"),
            (args(vec![1.into()], vec![("z", 2.into())]), "`z` is given twice"),
            (args(vec![], vec![("zz", 2.into())]), "did you mean `z`"),
            (args(vec!["one".into()], vec![]), "invalid type"),
        ];
        for (arguments, part) in cases {
            let error = arguments.decode::<Zig>().expect_err(part);
            assert_eq!(error.code, ErrorCode::InvalidArgument);
            assert!(error.message.contains(part), "{} lacks {part}", error.message);
        }
    }

    #[test]
    fn tuples_single_values_and_nothing() {
        assert_eq!(args(vec![1.into(), 2.into()], vec![]).decode::<(i64, i64)>().expect("fits"), (1, 2));
        assert!(args(vec![1.into()], vec![("b", 2.into())]).decode::<(i64, i64)>().is_err());
        assert_eq!(args(vec!["x".into()], vec![]).decode::<String>().expect("fits"), "x");
        assert_eq!(args(vec![], vec![("value", "x".into())]).decode::<String>().expect("fits"), "x");
        assert!(args(vec![], vec![]).decode::<String>().is_err());
        args(vec![], vec![]).decode::<()>().expect("fits");
        assert!(args(vec![1.into()], vec![]).decode::<()>().is_err());
    }

    #[test]
    fn what_is_given_arrives() {
        let arguments = (1, "two", vec![3u8]).into_args().expect("encodes");
        assert_eq!(arguments.decode::<(i64, String, Vec<u8>)>().expect("fits"), (1, "two".into(), vec![3]));
        let named = kwargs! { z: 7, a: "x" }.into_args().expect("encodes");
        assert_eq!(named.decode::<Zig>().expect("fits"), Zig { z: 7, a: Some("x".into()), m: 0 });
    }

    #[test]
    fn hostile_bytes_are_errors() {
        for bytes in [&b"\xc1"[..], b"\xdd\xff\xff\xff\xff", b"\x91", &[0x91; 100_000]] {
            let arguments = Arguments { args: Bytes::copy_from_slice(bytes), kwargs: Bytes::new() };
            assert!(arguments.decode::<(i64,)>().is_err());
        }
    }
}
