//! Messages of gossipsub as they pass, to count copies and hops: `RPC { publish = 2: Message { data = 2 } }` (gossipsub
//! specification).

use super::frames::{Field, fields};

const PUBLISH: u64 = 2;
const DATA: u64 = 2;

/// The messages in a frame, each by the first bytes of its data, which are a signature.
pub(super) fn messages(frame: &[u8]) -> Vec<u64> {
    let mut ids = Vec::new();
    fields(frame, |number, field| {
        if let (PUBLISH, Field::Bytes(message)) = (number, field) {
            fields(message, |number, field| {
                if let (DATA, Field::Bytes(data)) = (number, field) {
                    ids.extend(data.first_chunk().map(|first| u64::from_be_bytes(*first)));
                }
            });
        }
    });
    ids
}

#[cfg(test)]
mod tests {
    use super::{super::frames::Frames, *};

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
            let (mut frames, mut ids) = (Frames::default(), Vec::new());
            for part in [first, second] {
                frames.feed(part, |frame| ids.extend(messages(frame)));
            }
            assert_eq!(ids, [7, 9], "cut at {cut}");
        }
        Frames::default().feed(&[0xff; 64], |_| panic!("no frame"));
    }
}
