//! The RPC envelope: what each call pays before and after its handler.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};
use criterion::{Criterion, criterion_group, criterion_main};
use p2pnode_benches::{request, unframed};
use p2pnode_wire::{
    msgpack::{self, Bounds},
    rpc::Message,
};

fn codec(c: &mut Criterion) {
    let messages = [
        ("req", request(100)),
        ("res", Message::Res { id: 7, result: Bytes::from(vec![7; 100]), more: false, stream: false }),
    ];
    for (name, message) in messages {
        let mut out = BytesMut::with_capacity(4_096);
        c.bench_function(&format!("codec/{name} 100 B/encode"), |b| {
            b.iter(|| {
                out.clear();
                black_box(&message).encode_into(&mut out);
                black_box(&out);
            });
        });
        let frame = unframed(&message);
        c.bench_function(&format!("codec/{name} 100 B/scan"), |b| {
            b.iter(|| msgpack::scan(black_box(&frame), Bounds::default()));
        });
        c.bench_function(&format!("codec/{name} 100 B/decode"), |b| b.iter(|| Message::decode(black_box(&frame))));
    }
}

criterion_group!(benches, codec);
criterion_main!(benches);
