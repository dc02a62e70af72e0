//! Frames: a 4-byte big-endian length, then so many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::limits;

/// Largest frame of the fast road.
pub const MAX: usize = limits::FRAME_PAYLOAD + limits::FRAME_HEADER;

/// Bytes of the length.
pub const PREFIX: usize = 4;

/// Why a frame is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {length} bytes; the limit is {max}")]
pub struct FrameError {
    /// Bytes claimed or given.
    pub length: usize,
    /// The limit.
    pub max: usize,
}

/// Appends `body` as one frame.
///
/// # Errors
/// The body is larger than `max`.
pub fn encode(body: &[u8], out: &mut BytesMut, max: usize) -> Result<(), FrameError> {
    let too_large = FrameError { length: body.len(), max };
    if body.len() > max {
        return Err(too_large);
    }
    out.put_u32(u32::try_from(body.len()).map_err(|_| too_large)?);
    out.put_slice(body);
    Ok(())
}

/// Takes frames out of a buffer that grows at its end.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    max: usize,
}

impl Decoder {
    /// Refuses frames over `max` bytes, as soon as their length is known.
    pub fn new(max: usize) -> Self {
        Self { max }
    }

    /// The next whole frame, without its length.
    ///
    /// # Errors
    /// The frame is larger than the limit; the stream cannot be used any further.
    pub fn next(&self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let Some(prefix) = buffer.first_chunk::<PREFIX>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        if length > self.max {
            return Err(FrameError { length, max: self.max });
        }
        if buffer.len().saturating_sub(PREFIX) < length {
            return Ok(None);
        }
        buffer.advance(PREFIX);
        Ok(Some(buffer.split_to(length).freeze()))
    }
}
