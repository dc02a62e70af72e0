//! Messages of gossipsub as they pass, to count copies and hops: length-delimited protobuf, `RPC { publish = 2: Message {
//! data = 2 } }` (gossipsub specification).

/// A frame this side would not send: no gossip, then.
const MAX: usize = 4 * 1024 * 1024;

const PUBLISH: u64 = 2;
const DATA: u64 = 2;

/// Reads frames out of a stream.
#[derive(Default)]
pub(super) struct Frames {
    buffer: Vec<u8>,
    lost: bool,
}

impl Frames {
    /// The messages in the frames that are whole now, each by the first bytes of its data, which are a signature.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<u64> {
        let mut ids = Vec::new();
        if self.lost {
            return ids;
        }
        self.buffer.extend_from_slice(bytes);
        let mut at = 0;
        while let Some((len, size)) = varint(&self.buffer[at..]) {
            let len = usize::try_from(len).unwrap_or(usize::MAX);
            if len > MAX {
                self.lost = true;
                return ids;
            }
            let Some(frame) = self.buffer.get(at + size..at + size + len) else { break };
            fields(frame, PUBLISH, |message| fields(message, DATA, |data| ids.extend(id(data))));
            at += size + len;
        }
        self.buffer.drain(..at);
        ids
    }
}

fn id(data: &[u8]) -> Option<u64> {
    data.first_chunk().map(|first| u64::from_be_bytes(*first))
}

fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

/// All length-delimited fields of that number.
fn fields(mut bytes: &[u8], wanted: u64, mut found: impl FnMut(&[u8])) {
    while let Some((tag, size)) = varint(bytes) {
        bytes = &bytes[size..];
        let len = match tag & 7 {
            0 => varint(bytes).map(|(_, size)| size),
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
        if tag >> 3 == wanted && tag & 7 == 2 {
            found(value);
        }
        bytes = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `RPC { publish: [Message { data, topic = 4 }] }`
    fn frame(data: &[u8]) -> Vec<u8> {
        let mut message = vec![0x12, u8::try_from(data.len()).expect("short")];
        message.extend_from_slice(data);
        message.extend_from_slice(&[0x22, 1, b't']);
        let mut rpc = vec![0x12, u8::try_from(message.len()).expect("short")];
        rpc.extend(message);
        let mut framed = vec![u8::try_from(rpc.len()).expect("short")];
        framed.extend(rpc);
        framed
    }

    #[test]
    fn messages_are_found_however_the_bytes_are_cut() {
        let mut bytes = frame(b"\0\0\0\0\0\0\0\x07 and more");
        // A frame without a message between them: a subscription.
        bytes.extend_from_slice(&[4, 0x0a, 2, 8, 1]);
        bytes.extend(frame(b"\0\0\0\0\0\0\0\x09"));
        for cut in 0..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            let mut frames = Frames::default();
            let mut ids = frames.feed(first);
            ids.extend(frames.feed(second));
            assert_eq!(ids, [7, 9], "cut at {cut}");
        }
        assert!(Frames::default().feed(&[0xff; 64]).is_empty());
    }
}
