//! What the benches share.
#![forbid(unsafe_code)]

pub mod echo;

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    frame,
    ids::SwarmId,
    rpc::{Message, Req},
};

/// A call of `echo` with `size` bytes of arguments, as a member of a swarm makes it.
pub fn request(size: usize) -> Message {
    Message::Req(Req {
        id: 7,
        swarm: Some(SwarmId([7; 32])),
        endpoint: "echo".into(),
        args: Bytes::from(vec![7; size]),
        left_ms: 30_000,
        ..Req::default()
    })
}

/// The frame of a message without its length, as a receiver decodes it.
pub fn unframed(message: &Message) -> Bytes {
    let mut out = BytesMut::new();
    message.encode_into(&mut out);
    out.split_off(frame::PREFIX).freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_what_travels() {
        let message = request(100);
        assert_eq!(Message::decode(&unframed(&message)), Ok(message));
    }
}
