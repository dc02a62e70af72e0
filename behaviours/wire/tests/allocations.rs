//! Decoding hostile input of up to 1 MiB may not take more than 8 MiB.
#![allow(unsafe_code, reason = "a counting allocator, in this test only")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use p2pnode_wire::{card::Card, event::Event, hello::HelloReply, mail::Mail, msgpack, rpc::Message, value::Value};

struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn decode_all(bytes: &Bytes) {
    let _ = Message::decode(bytes);
    let _ = HelloReply::decode(bytes);
    let _ = msgpack::decode::<rmpv::Value>(bytes);
    let _ = Card::open(bytes.clone(), 0);
    let _ = Mail::open(bytes.clone());
    let _ = Event::open(bytes.clone());
    let _ = Value::open(bytes.clone());
}

/// One test, so that no other allocates meanwhile.
#[test]
fn hostile_input_stays_small() {
    const MIB: usize = 1024 * 1024;
    let signature = vec![0; 64];
    let mut inputs: Vec<(&str, Vec<u8>)> = vec![
        ("nested arrays", vec![0x91; MIB]),
        ("one-byte elements", [&[0xdd, 0x00, 0x0f, 0xff, 0xfb][..], &vec![0x01; MIB - 5]].concat()),
        ("empty maps", [&[0xdc, 0x0f, 0xff][..], &vec![0x80; MIB - 3]].concat()),
        ("a claimed list", b"\xdd\xff\xff\xff\xff".to_vec()),
        ("a claimed map", b"\xdf\xff\xff\xff\xff".to_vec()),
        ("claimed bytes", b"\xc6\xff\xff\xff\xff".to_vec()),
        ("a claimed text", b"\xdb\xff\xff\xff\xff".to_vec()),
        ("bytes", [&[0xc6, 0x00, 0x0f, 0xff, 0xfb][..], &vec![0xff; MIB - 5]].concat()),
    ];
    let full: Vec<u8> =
        [0xdc, 0x0f, 0xff].into_iter().chain(std::iter::repeat_n([0xa2, 97, 97], 4_095).flatten()).collect();
    inputs.push(("as many values as are allowed", full));
    for (what, input) in inputs {
        for bytes in [input.clone(), [signature.clone(), input].concat()] {
            let bytes = Bytes::from(bytes);
            let before = NOW.load(Ordering::Relaxed);
            PEAK.store(before, Ordering::Relaxed);
            decode_all(&bytes);
            let used = PEAK.load(Ordering::Relaxed).saturating_sub(before);
            assert!(used <= 8 * MIB, "{what}: {used} bytes");
        }
    }
}
