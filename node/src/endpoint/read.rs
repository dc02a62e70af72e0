//! Reads arguments into a type in one pass over their bytes, without a value in between: bytes and extension types
//! survive, and an error knows which argument it is about.

use std::fmt;

use p2pnode_wire::{limits, msgpack};
use rmp::Marker;
use serde::{
    Deserialize,
    de::{
        self, DeserializeOwned, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor,
        value::{StrDeserializer, UnitDeserializer},
    },
    forward_to_deserialize_any,
};

use super::schema::{Fields, One, Shape, Tuple};

/// Why they do not fit.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Misfit(String);

impl Misfit {
    fn at(name: impl fmt::Display, kind: &str, reason: &rmp_serde::decode::Error) -> Self {
        match reason {
            // "wrong msgpack marker FixStr(3)" helps nobody.
            rmp_serde::decode::Error::TypeMismatch(marker) => {
                Self(format!("argument `{name}` must be {kind}, not {}", word(*marker)))
            }
            other => Self(format!("argument `{name}`: {other}")),
        }
    }

    fn twice(name: &str) -> Self {
        Self(format!("argument `{name}` is given twice"))
    }
}

/// The word that JSON Schema has for such a value.
fn word(marker: Marker) -> &'static str {
    match marker {
        Marker::Null => "null",
        Marker::True | Marker::False => "boolean",
        Marker::F32 | Marker::F64 => "number",
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => "string",
        Marker::Bin8 | Marker::Bin16 | Marker::Bin32 => "bytes",
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => "array",
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => "object",
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::U8 | Marker::U16 | Marker::U32 | Marker::U64 => "integer",
        Marker::I8 | Marker::I16 | Marker::I32 | Marker::I64 => "integer",
        _ => "an extension type",
    }
}

impl de::Error for Misfit {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }

    fn missing_field(name: &'static str) -> Self {
        Self(format!("argument `{name}` is missing"))
    }

    fn duplicate_field(name: &'static str) -> Self {
        Self::twice(name)
    }
}

/// Reads `args` and `kwargs` into `T`, whose shape is `shape`.
pub(super) fn into_type<T: DeserializeOwned>(args: &[u8], kwargs: &[u8], shape: &Shape) -> Result<T, Misfit> {
    let mut given = Given { positional: Values::array(args)?, named: Values::map(kwargs)? };
    match shape {
        Shape::Nothing => given.nothing(),
        Shape::Struct(fields) => T::deserialize(StructArgs { given, fields }),
        Shape::Tuple(tuple) => given.tuple(tuple),
        Shape::One(one) => given.one(one),
    }
}

/// MessagePack values that follow each other.
struct Values<'de> {
    left: usize,
    source: rmp_serde::Deserializer<rmp_serde::decode::ReadRefReader<'de, [u8]>>,
}

impl<'de> Values<'de> {
    fn array(bytes: &'de [u8]) -> Result<Self, Misfit> {
        let not_one = || Misfit("positional arguments must be an array".into());
        Self::open(bytes, |head| rmp::decode::read_array_len(head).map_err(|_| not_one()))
    }

    fn map(bytes: &'de [u8]) -> Result<Self, Misfit> {
        let not_one = || Misfit("keyword arguments must be a map".into());
        Self::open(bytes, |head| rmp::decode::read_map_len(head).map_err(|_| not_one()))
    }

    /// The scan is what makes it safe to trust lengths and nesting below.
    fn open(bytes: &'de [u8], length: impl Fn(&mut &'de [u8]) -> Result<u32, Misfit>) -> Result<Self, Misfit> {
        let (mut rest, mut left) = (bytes, 0);
        if !bytes.is_empty() {
            msgpack::scan(bytes, msgpack::Bounds::default())
                .map_err(|e| Misfit(format!("the arguments cannot be read: {e}")))?;
            left = length(&mut rest)? as usize;
        }
        let mut source = rmp_serde::Deserializer::from_read_ref(rest);
        source.set_max_depth(limits::MAX_DEPTH.saturating_add(2));
        Ok(Self { left, source })
    }

    fn take<S: DeserializeSeed<'de>>(
        &mut self,
        name: impl fmt::Display,
        kind: &str,
        seed: S,
    ) -> Result<S::Value, Misfit> {
        self.left = self.left.saturating_sub(1);
        seed.deserialize(&mut self.source).map_err(|reason| Misfit::at(name, kind, &reason))
    }

    /// The name before the next value; the value counts, the name does not.
    fn name(&mut self) -> Result<&'de str, Misfit> {
        let name = serde::Deserializer::deserialize_any(&mut self.source, Name);
        name.map_err(|_| Misfit("names of arguments must be texts".into()))
    }
}

/// Serde's own `&str` takes bytes for a text, too.
struct Name;

impl<'de> Visitor<'de> for Name {
    type Value = &'de str;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<&'de str, E> {
        Ok(name)
    }
}

struct Given<'de> {
    positional: Values<'de>,
    named: Values<'de>,
}

impl<'de> Given<'de> {
    fn total(&self) -> usize {
        self.positional.left.saturating_add(self.named.left)
    }

    fn nothing<T: Deserialize<'de>>(self) -> Result<T, Misfit> {
        match self.total() {
            0 => T::deserialize(UnitDeserializer::new()),
            n => Err(Misfit(format!("it takes no arguments, {n} {}", were(n)))),
        }
    }

    fn tuple<T: Deserialize<'de>>(self, tuple: &Tuple) -> Result<T, Misfit> {
        if self.named.left > 0 {
            return Err(Misfit("its arguments have no names, only positions".into()));
        }
        let given = self.positional.left;
        let none = given == 0 && tuple.nullable;
        if !none && (given > tuple.kinds.len() || given < tuple.least) {
            return Err(Misfit(format!("it takes {tuple}, {given} {}", were(given))));
        }
        T::deserialize(TupleArgs { positional: self.positional, kinds: &tuple.kinds, next: 0 })
    }

    fn one<T: DeserializeOwned>(&mut self, one: &One) -> Result<T, Misfit> {
        let seed = std::marker::PhantomData::<T>;
        match (self.positional.left, self.named.left) {
            (0, 0) if one.nullable => T::deserialize(UnitDeserializer::new()),
            (1, 0) => self.positional.take("value", &one.kind, seed),
            (0, 1) => match self.named.name()? {
                "value" => self.named.take("value", &one.kind, seed),
                other => Err(Misfit(format!("there is no argument `{}`; it takes `value`", shown(other)))),
            },
            (p, n) => {
                let total = p.saturating_add(n);
                Err(Misfit(format!("it takes one argument, {total} {}", were(total))))
            }
        }
    }
}

fn were(n: usize) -> &'static str {
    if n == 1 { "was given" } else { "were given" }
}

/// A foreign name in an error message: long or odd ones must not fill it.
fn shown(name: &str) -> String {
    name.chars().take(64).flat_map(char::escape_debug).collect()
}

/// A struct, an `Option` of one, or a newtype around one, as serde sees them.
struct StructArgs<'de, 'f> {
    given: Given<'de>,
    fields: &'f Fields,
}

impl<'de> de::Deserializer<'de> for StructArgs<'de, '_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let names = self.fields.names.len();
        let positional = self.given.positional.left;
        if positional > names {
            let most = if names == 1 { "one argument".into() } else { format!("{names} arguments") };
            return Err(Misfit(format!("it takes at most {most}, {positional} {}", were(positional))));
        }
        visitor.visit_map(Pairs { given: self.given, fields: self.fields, positional, next: 0, seen: 0, now: None })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.given.total() == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

/// Fields by position, then fields by keyword.
struct Pairs<'de, 'f> {
    given: Given<'de>,
    fields: &'f Fields,
    /// How many came by position.
    positional: usize,
    /// The next position.
    next: usize,
    /// Keywords seen, one bit for each of the first 128 fields; serde finds the others' doubles.
    seen: u128,
    /// The field whose value is next.
    now: Option<Field<'de>>,
}

#[derive(Clone, Copy)]
enum Field<'de> {
    Position(usize),
    Keyword(usize),
    /// One that a flattened map takes.
    Other(&'de str),
}

impl<'de> Pairs<'de, '_> {
    fn keyword(&mut self, name: &'de str) -> Result<Field<'de>, Misfit> {
        let Some(at) = self.fields.names.iter().position(|field| field == name) else {
            return if self.fields.open { Ok(Field::Other(name)) } else { Err(unknown(name, &self.fields.names)) };
        };
        let bit = u32::try_from(at).ok().and_then(|at| 1u128.checked_shl(at)).unwrap_or(0);
        if at < self.positional || self.seen & bit != 0 {
            return Err(Misfit::twice(name));
        }
        self.seen |= bit;
        Ok(Field::Keyword(at))
    }
}

impl<'de> MapAccess<'de> for Pairs<'de, '_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let name = if self.given.positional.left > 0 {
            let at = self.next;
            self.next = self.next.saturating_add(1);
            self.now = Some(Field::Position(at));
            self.fields.name(at)
        } else if self.given.named.left > 0 {
            let name = self.given.named.name()?;
            self.now = Some(self.keyword(name)?);
            name
        } else {
            return Ok(None);
        };
        let name: StrDeserializer<'_, Misfit> = name.into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        match self.now.take() {
            Some(Field::Position(at)) => self.given.positional.take(self.fields.name(at), self.fields.kind(at), seed),
            Some(Field::Keyword(at)) => self.given.named.take(self.fields.name(at), self.fields.kind(at), seed),
            Some(Field::Other(name)) => self.given.named.take(shown(name), "of another type", seed),
            None => Err(Misfit("a value was read before its name".into())),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.given.total())
    }
}

fn unknown(name: &str, fields: &[String]) -> Misfit {
    let near = crate::target::near(name, fields.iter().map(String::as_str));
    let hint = match (near.first(), fields.is_empty()) {
        (Some(near), _) => format!("; did you mean `{near}`?"),
        (None, true) => "; it takes none".into(),
        (None, false) => format!("; it takes {}", fields.join(", ")),
    };
    Misfit(format!("there is no argument `{}`{hint}", shown(name)))
}

/// A tuple; positions left out at its end are nil, which its shape has allowed.
struct TupleArgs<'de, 'k> {
    positional: Values<'de>,
    kinds: &'k [String],
    next: usize,
}

impl<'de> de::Deserializer<'de> for TupleArgs<'de, '_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_seq(self)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        if self.positional.left == 0 { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de> SeqAccess<'de> for TupleArgs<'de, '_> {
    type Error = Misfit;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Misfit> {
        let name = self.next;
        let Some(kind) = self.kinds.get(name) else { return Ok(None) };
        self.next = self.next.saturating_add(1);
        if self.positional.left == 0 {
            return seed.deserialize(UnitDeserializer::<Misfit>::new()).map(Some);
        }
        self.positional.take(name, kind, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.kinds.len().saturating_sub(self.next))
    }
}
