//! Messages of Kademlia (libp2p Kademlia specification) as attackers write them, and how they pass on a substream.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p::{Multiaddr, PeerId, StreamProtocol};
use libp2p_request_response as request_response;

use crate::net::{Field, fields};

pub(super) const PUT_VALUE: u64 = 0;
pub(super) const GET_VALUE: u64 = 1;
const ADD_PROVIDER: u64 = 2;
pub(super) const GET_PROVIDERS: u64 = 3;
pub(super) const FIND_NODE: u64 = 4;

/// The largest message that is read: as much as libp2p-kad takes.
const MAX: usize = 16 * 1024;

/// A peer as others tell of it.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) addr: Multiaddr,
}

/// Kind and key of a message.
pub(super) fn read(message: &[u8]) -> (u64, Vec<u8>) {
    // Protobuf leaves out what is zero.
    let (mut kind, mut key) = (0, Vec::new());
    fields(message, |number, field| match (number, field) {
        (1, Field::Number(value)) => kind = value,
        (2, Field::Bytes(bytes)) => key = bytes.to_vec(),
        _ => {}
    });
    (kind, key)
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn number(out: &mut Vec<u8>, field: u64, value: u64) {
    varint(out, field << 3);
    varint(out, value);
}

fn bytes(out: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(out, field << 3 | 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

fn peer(out: &mut Vec<u8>, field: u64, told: &Peer) {
    let mut inner = Vec::new();
    bytes(&mut inner, 1, &told.id.to_bytes());
    bytes(&mut inner, 2, &told.addr.to_vec());
    number(&mut inner, 3, 1);
    bytes(out, field, &inner);
}

/// The answer to a question of that kind: who is closer, who provides.
pub(super) fn answer(kind: u64, key: &[u8], closer: &[Peer], providers: &[Peer], value: Option<&[u8]>) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, kind);
    bytes(&mut out, 2, key);
    value.into_iter().for_each(|value| record(&mut out, key, value, None));
    closer.iter().for_each(|one| peer(&mut out, 8, one));
    providers.iter().for_each(|one| peer(&mut out, 9, one));
    out
}

fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8], ttl_s: Option<u64>) {
    let mut inner = Vec::new();
    bytes(&mut inner, 1, key);
    bytes(&mut inner, 2, value);
    ttl_s.into_iter().for_each(|ttl| number(&mut inner, 777, ttl));
    bytes(out, 3, &inner);
}

/// Asks for `value` to be kept under `key`, for so many seconds.
pub(crate) fn put_value(key: &[u8], value: &[u8], ttl_s: Option<u64>) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, PUT_VALUE);
    bytes(&mut out, 2, key);
    record(&mut out, key, value, ttl_s);
    out
}

/// Says that `provider` provides `key`. There is no answer.
pub(crate) fn add_provider(key: &[u8], provider: &Peer) -> Vec<u8> {
    let mut out = Vec::new();
    number(&mut out, 1, ADD_PROVIDER);
    bytes(&mut out, 2, key);
    peer(&mut out, 9, provider);
    out
}

/// One message each way per substream.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Codec;

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        frame(io).await
    }

    async fn read_response<T: AsyncRead + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
    ) -> io::Result<Vec<u8>> {
        match frame(io).await {
            // Nobody answers to ADD_PROVIDER.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Vec::new()),
            other => other,
        }
    }

    async fn write_request<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &message).await
    }

    async fn write_response<T: AsyncWrite + Unpin + Send>(
        &mut self,
        _: &StreamProtocol,
        io: &mut T,
        message: Vec<u8>,
    ) -> io::Result<()> {
        write(io, &message).await
    }
}

async fn frame<T: AsyncRead + Unpin + Send>(io: &mut T) -> io::Result<Vec<u8>> {
    let (mut len, mut shift) = (0_usize, 0);
    loop {
        let mut byte = [0];
        io.read_exact(&mut byte).await?;
        len |= usize::from(byte[0] & 0x7f) << shift;
        shift += 7;
        if byte[0] & 0x80 == 0 {
            break;
        }
        if shift > 21 {
            return Err(io::ErrorKind::InvalidData.into());
        }
    }
    if len > MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; len];
    io.read_exact(&mut message).await?;
    Ok(message)
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, message: &[u8]) -> io::Result<()> {
    let mut out = Vec::with_capacity(message.len() + 3);
    varint(&mut out, message.len() as u64);
    out.extend_from_slice(message);
    io.write_all(&out).await?;
    io.flush().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let told = Peer { id: PeerId::random(), addr: "/ip4/46.0.0.1/tcp/4001".parse().expect("an address") };
        let said = answer(GET_PROVIDERS, b"key", std::slice::from_ref(&told), &[], None);
        assert_eq!(read(&said), (GET_PROVIDERS, b"key".to_vec()));
        assert_eq!(read(&put_value(b"other", &[7; 300], Some(1))), (PUT_VALUE, b"other".to_vec()));
        assert_eq!(read(&add_provider(b"key", &told)), (ADD_PROVIDER, b"key".to_vec()));
        let (mut pipe, sent) = (Vec::new(), vec![9; 300]);
        futures::executor::block_on(write(&mut pipe, &sent)).expect("written");
        assert_eq!(futures::executor::block_on(frame(&mut pipe.as_slice())).expect("read"), sent);
    }
}
