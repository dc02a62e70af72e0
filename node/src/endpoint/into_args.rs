//! What a caller may give as arguments.

use bytes::Bytes;
use p2pnode_wire::msgpack;
use rmpv::Value;
use serde::Serialize;

use super::Arguments;

/// What can be given as the arguments of a call: `()`, a text, tuples of up to eight, lists of values, [`Arguments`],
/// [`kwargs!`](crate::kwargs) and [`args!`](crate::args).
///
/// ```
/// use p2pnode::{IntoArgs, args, kwargs};
///
/// let by_position = (1, 2).into_args()?;
/// let by_keyword = kwargs! { a: 1, b: 2 }.into_args()?;
/// let mixed = args! { 1; b: 2 }.into_args()?;
/// # assert_eq!(mixed.positional().map(|p| p.len()).ok(), Some(1));
/// # assert!(by_position.kwargs.is_empty() && by_keyword.args.is_empty());
/// # Ok::<(), String>(())
/// ```
pub trait IntoArgs {
    /// The arguments as MessagePack, or why they cannot be.
    ///
    /// # Errors
    /// In words: a type that MessagePack cannot express.
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

impl IntoArgs for &str {
    fn into_args(self) -> Result<Arguments, String> {
        (self,).into_args()
    }
}

impl IntoArgs for String {
    fn into_args(self) -> Result<Arguments, String> {
        (self,).into_args()
    }
}

impl IntoArgs for Vec<Value> {
    fn into_args(self) -> Result<Arguments, String> {
        self.as_slice().into_args()
    }
}

impl IntoArgs for &[Value] {
    fn into_args(self) -> Result<Arguments, String> {
        let args = if self.is_empty() { Bytes::new() } else { encode(self)?.into() };
        Ok(Arguments { args, kwargs: Bytes::new() })
    }
}

macro_rules! tuples {
    ($(($($name:ident)+))*) => {$(
        impl<$($name: Serialize),+> IntoArgs for ($($name,)+) {
            fn into_args(self) -> Result<Arguments, String> {
                Ok(Arguments { args: encode(&self)?.into(), kwargs: Bytes::new() })
            }
        }
    )*};
}

tuples! { (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H) }

fn encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    msgpack::try_encode(value)
}

/// Keyword arguments, with positional ones before them if need be; [`kwargs!`](crate::kwargs) and
/// [`args!`](crate::args) make them.
#[derive(Clone, Default)]
#[must_use = "arguments are given to a call"]
pub struct Kwargs {
    positional: Option<Result<Arguments, String>>,
    /// In the order they were given. Encoded at once, so that any mix of types fits; an error waits for `into_args`.
    named: Vec<(String, Result<Vec<u8>, String>)>,
}

impl std::fmt::Debug for Kwargs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = |encoded: &Result<Vec<u8>, String>| encoded.as_ref().map_or(0, Vec::len);
        f.debug_map().entries(self.named.iter().map(|(name, encoded)| (name, length(encoded)))).finish()
    }
}

impl Kwargs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; the last of a name wins.
    pub fn with<T: Serialize>(mut self, name: impl Into<String>, value: T) -> Self {
        let (name, encoded) = (name.into(), encode(&value));
        match self.named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = encoded,
            None => self.named.push((name, encoded)),
        }
        self
    }

    /// Puts positional arguments before them. Keywords that come with those are dropped.
    pub fn after(mut self, positional: impl IntoArgs) -> Self {
        self.positional = Some(positional.into_args());
        self
    }

    fn encode_named(self) -> Result<Bytes, String> {
        if self.named.is_empty() {
            return Ok(Bytes::new());
        }
        let count = u32::try_from(self.named.len()).map_err(|_| "too many arguments".to_owned())?;
        let mut bytes = Vec::new();
        rmp::encode::write_map_len(&mut bytes, count).map_err(|e| e.to_string())?;
        for (name, encoded) in self.named {
            let encoded = encoded.map_err(|e| format!("argument `{name}`: {e}"))?;
            rmp::encode::write_str(&mut bytes, &name).map_err(|e| e.to_string())?;
            bytes.extend_from_slice(&encoded);
        }
        Ok(bytes.into())
    }
}

impl IntoArgs for Kwargs {
    fn into_args(mut self) -> Result<Arguments, String> {
        let positional = self.positional.take().transpose()?.unwrap_or_default();
        Ok(Arguments { args: positional.args, kwargs: self.encode_named()? })
    }
}

/// Keyword arguments: `kwargs! { a: 1, b: "two" }`.
#[macro_export]
macro_rules! kwargs {
    ($($name:ident : $value:expr),* $(,)?) => {
        $crate::Kwargs::new()$(.with(stringify!($name), $value))*
    };
}

/// Positional arguments, then keyword arguments: `args! { 1, "two"; verbose: true }`. At most eight positional ones.
#[macro_export]
macro_rules! args {
    ($($positional:expr),* $(,)?; $($name:ident : $value:expr),* $(,)?) => {
        $crate::kwargs! { $($name : $value),* }.after(($($positional,)*))
    };
}
