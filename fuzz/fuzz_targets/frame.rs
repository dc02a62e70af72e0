//! Frames come out the same however the bytes are split; nothing panics.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use p2pnode_wire::frame;

fn frames(chunks: &[&[u8]]) -> (Vec<Bytes>, bool) {
    let decoder = frame::Decoder::new(frame::MAX);
    let (mut buffer, mut found) = (BytesMut::new(), Vec::new());
    for chunk in chunks {
        buffer.extend_from_slice(chunk);
        loop {
            match decoder.next(&mut buffer) {
                Ok(Some(frame)) => found.push(frame),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    (found, false)
}

fuzz_target!(|data: &[u8]| {
    let whole = frames(&[data]);
    let (a, b) = data.split_at(data.len() / 2);
    assert_eq!(whole, frames(&[a, b]));
    let bytes: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(whole, frames(&bytes));
});
