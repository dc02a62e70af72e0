//! MessagePack with bounds: a pre-scan of the opcodes, then serde.

use bytes::{BufMut, Bytes, BytesMut};
use rmp::Marker;
use serde::{Deserialize, Serialize};

use crate::limits;

/// Why bytes are no acceptable message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The input ends inside a value, or a length claims more than there is.
    #[error("the message is cut off")]
    Truncated,
    /// Bytes follow the value.
    #[error("{0} bytes follow the message")]
    Trailing(usize),
    /// Nested deeper than the limit.
    #[error("nested deeper than {0} levels")]
    TooDeep(usize),
    /// A collection has more elements, or the message more values, than the limit.
    #[error("more than {0} elements")]
    TooMany(usize),
    /// The byte 0xc1, which MessagePack never uses.
    #[error("an invalid opcode")]
    Invalid,
    /// Well formed, but not what was expected.
    #[error("{0}")]
    Unexpected(String),
}

/// What a message may hold.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Levels of nesting.
    pub depth: usize,
    /// Elements of one collection; a map's pair counts as one.
    pub collection: usize,
    /// Values in all.
    pub values: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { depth: limits::MAX_DEPTH, collection: limits::MAX_COLLECTION, values: limits::MAX_VALUES }
    }
}

/// Checks that `bytes` is exactly one value within `bounds`, without allocating or recursing.
///
/// # Errors
/// [`DecodeError`].
pub fn scan(bytes: &[u8], bounds: Bounds) -> Result<(), DecodeError> {
    let rest = walk(bytes, bounds)?;
    if rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(rest.len())) }
}

/// Bytes of the first value in `bytes`.
pub(crate) fn measure(bytes: &[u8]) -> Result<usize, DecodeError> {
    walk(bytes, Bounds::default()).map(|rest| bytes.len().saturating_sub(rest.len()))
}

/// Walks over one value; answers with what follows it.
fn walk(bytes: &[u8], bounds: Bounds) -> Result<&[u8], DecodeError> {
    let mut rest = bytes;
    // Values still due at each level.
    let mut due = [0usize; limits::MAX_DEPTH + 1];
    let mut depth = 0usize;
    let mut values = 0usize;
    loop {
        values = values.saturating_add(1);
        if values > bounds.values {
            return Err(DecodeError::TooMany(bounds.values));
        }
        let children = head(&mut rest, bounds.collection)?;
        if children > 0 {
            depth = depth.saturating_add(1);
            if depth > bounds.depth.min(limits::MAX_DEPTH) {
                return Err(DecodeError::TooDeep(bounds.depth));
            }
            if let Some(slot) = due.get_mut(depth) {
                *slot = children;
            }
            continue;
        }
        while depth > 0 {
            let Some(slot) = due.get_mut(depth) else { break };
            *slot = slot.saturating_sub(1);
            if *slot > 0 {
                break;
            }
            depth = depth.saturating_sub(1);
        }
        if depth == 0 {
            return Ok(rest);
        }
    }
}

/// Consumes one value's head and its scalar body; answers how many child values follow.
fn head(rest: &mut &[u8], collection: usize) -> Result<usize, DecodeError> {
    let marker = Marker::from_u8(take(rest, 1)?.first().copied().unwrap_or_default());
    let skip = match marker {
        Marker::FixPos(_) | Marker::FixNeg(_) | Marker::Null | Marker::True | Marker::False => 0,
        Marker::U8 | Marker::I8 => 1,
        Marker::U16 | Marker::I16 => 2,
        Marker::U32 | Marker::I32 | Marker::F32 => 4,
        Marker::U64 | Marker::I64 | Marker::F64 => 8,
        Marker::FixStr(n) => usize::from(n),
        Marker::Str8 | Marker::Bin8 => length(rest, 1)?,
        Marker::Str16 | Marker::Bin16 => length(rest, 2)?,
        Marker::Str32 | Marker::Bin32 => length(rest, 4)?,
        Marker::FixExt1 => 2,
        Marker::FixExt2 => 3,
        Marker::FixExt4 => 5,
        Marker::FixExt8 => 9,
        Marker::FixExt16 => 17,
        Marker::Ext8 => length(rest, 1)?.saturating_add(1),
        Marker::Ext16 => length(rest, 2)?.saturating_add(1),
        Marker::Ext32 => length(rest, 4)?.saturating_add(1),
        Marker::FixArray(n) => return bounded(usize::from(n), 1, collection),
        Marker::Array16 => return bounded(length(rest, 2)?, 1, collection),
        Marker::Array32 => return bounded(length(rest, 4)?, 1, collection),
        Marker::FixMap(n) => return bounded(usize::from(n), 2, collection),
        Marker::Map16 => return bounded(length(rest, 2)?, 2, collection),
        Marker::Map32 => return bounded(length(rest, 4)?, 2, collection),
        Marker::Reserved => return Err(DecodeError::Invalid),
    };
    take(rest, skip)?;
    Ok(0)
}

fn bounded(elements: usize, values_each: usize, collection: usize) -> Result<usize, DecodeError> {
    if elements > collection {
        return Err(DecodeError::TooMany(collection));
    }
    Ok(elements.saturating_mul(values_each))
}

fn length(rest: &mut &[u8], width: usize) -> Result<usize, DecodeError> {
    let bytes = take(rest, width)?;
    Ok(bytes.iter().fold(0usize, |sum, byte| sum.wrapping_shl(8) | usize::from(*byte)))
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], DecodeError> {
    let (head, tail) = rest.split_at_checked(n).ok_or(DecodeError::Truncated)?;
    *rest = tail;
    Ok(head)
}

/// Decodes exactly one value within the default [`Bounds`].
///
/// # Errors
/// [`DecodeError`].
pub fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    scan(bytes, Bounds::default())?;
    let mut deserializer = rmp_serde::Deserializer::from_read_ref(bytes);
    deserializer.set_max_depth(limits::MAX_DEPTH.saturating_add(2));
    T::deserialize(&mut deserializer).map_err(|e| DecodeError::Unexpected(e.to_string()))
}

/// The array of `count` values, each of which `items` has encoded, one after the other.
pub fn array(count: u32, items: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(items.len().saturating_add(5));
    // Writing into a buffer that grows cannot fail.
    let _ = rmp::encode::write_array_len(&mut (&mut out).writer(), count);
    out.extend_from_slice(items);
    out.freeze()
}

/// The values of an array, as slices of `bytes`.
///
/// # Errors
/// [`DecodeError`], also where it is something else than an array.
pub fn elements(bytes: &Bytes) -> Result<Vec<Bytes>, DecodeError> {
    scan(bytes, Bounds::default())?;
    let mut rest: &[u8] = bytes;
    let count = rmp::decode::read_array_len(&mut rest).map_err(|_| DecodeError::Unexpected("not an array".into()))?;
    let mut elements = Vec::new();
    for _ in 0..count {
        let (element, tail) = rest.split_at_checked(measure(rest)?).ok_or(DecodeError::Truncated)?;
        elements.push(bytes.slice_ref(element));
        rest = tail;
    }
    Ok(elements)
}

/// Encodes a value, structs as maps with string keys. Types that serde cannot express in MessagePack give an empty
/// vector; none of the wire's own do.
pub fn encode<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    rmp_serde::to_vec_named(value).unwrap_or_default()
}

/// Encodes a value of somebody else's type, structs as maps with string keys.
///
/// # Errors
/// The type cannot be expressed in MessagePack, in words.
pub fn try_encode<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(value).map_err(|e| e.to_string())
}
