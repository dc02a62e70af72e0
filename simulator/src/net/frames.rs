//! Length-delimited protobuf as it passes.

/// A frame no protocol here would send: it is another one, then.
const MAX: usize = 4 * 1024 * 1024;

/// Cuts a stream into frames.
#[derive(Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    lost: bool,
}

impl Frames {
    /// Hands over each frame that is whole now.
    pub(super) fn feed(&mut self, bytes: &[u8], mut frame: impl FnMut(&[u8])) {
        if self.lost {
            return;
        }
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((len, size)) = varint(&self.buffer[at..]) {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > MAX {
                self.lost = true;
                return;
            }
            let Some(whole) = self.buffer.get(at + size..at + size + len) else { break };
            frame(whole);
            at += size + len;
        }
        self.buffer.drain(..at);
    }
}

pub(super) fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// A field of a protobuf message.
pub(crate) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// All numbers and length-delimited fields.
pub(crate) fn fields<'a>(mut bytes: &'a [u8], mut found: impl FnMut(u64, Field<'a>)) {
    while let Some((tag, size)) = varint(bytes) {
        bytes = &bytes[size..];
        let len = match tag & 7 {
            0 => varint(bytes).map(|(value, size)| {
                found(tag >> 3, Field::Number(value));
                size
            }),
            1 => Some(8),
            2 => {
                let Some((len, size)) = varint(bytes) else { return };
                bytes = &bytes[size..];
                usize::try_from(len).ok()
            }
            5 => Some(4),
            _ => None,
        };
        let Some((value, rest)) = len.and_then(|len| bytes.split_at_checked(len)) else { return };
        if tag & 7 == 2 {
            found(tag >> 3, Field::Bytes(value));
        }
        bytes = rest;
    }
}
