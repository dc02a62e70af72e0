//! Whatever is accepted as an envelope can be said again and means the same; nothing panics.
#![no_main]

use bytes::{Bytes, BytesMut};
use libfuzzer_sys::fuzz_target;
use p2pnode_wire::{
    frame, msgpack,
    rpc::{Message, RequestBody},
};

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let _ = msgpack::scan(data, msgpack::Bounds::default());
    if let Ok(body) = RequestBody::decode(&bytes) {
        let again = RequestBody::decode(&body.encode()).expect("its own bytes");
        assert!(again == body);
    }
    if let Ok(message) = Message::decode(&bytes) {
        let mut out = BytesMut::new();
        message.encode_into(&mut out);
        let frame = frame::Decoder::new(usize::MAX).next(&mut out).expect("no limit").expect("whole");
        assert_eq!(Message::decode(&frame), Ok(message));
    }
});
