//! Whatever is accepted as a frame of presence can be said again and means the same; nothing panics.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use p2pnode_wire::{
    presence::{Frame, Word},
    sign::Signed,
};

fn read(raw: Bytes) {
    if let Ok(signed) = Signed::parse(raw)
        && let Ok(word) = Word::read(&signed)
    {
        let _ = word.verify(&signed);
    }
}

fuzz_target!(|data: &[u8]| {
    read(Bytes::copy_from_slice(data));
    if let Ok(frame) = Frame::decode(data) {
        assert_eq!(Frame::decode(&frame.encode()).as_ref(), Ok(&frame));
        if let Frame::Words(words) = frame {
            words.into_iter().for_each(read);
        }
    }
});
