//! One request frame, one reply frame.

use std::{io, marker::PhantomData, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use libp2p_request_response::{self as request_response, ProtocolSupport};
use libp2p_swarm::StreamProtocol;

/// Bytes read at once: the buffer grows with what has arrived, never with the length a peer claims.
const STEP: usize = 16 * 1024;

/// The two messages of a protocol and how large they may be.
pub trait Exchange: Send + Sync + 'static {
    type Request: Send;
    type Response: Send;
    const PROTOCOL: &'static str;
    /// From the first byte of the question to the last one of the answer.
    const TIMEOUT: Duration;
    /// Questions under way per connection.
    const STREAMS: usize;
    const MAX_REQUEST: usize;
    const MAX_RESPONSE: usize;

    fn encode_request(request: &Self::Request) -> Vec<u8>;
    fn decode_request(bytes: Bytes) -> Result<Self::Request, String>;
    fn encode_response(response: &Self::Response) -> Vec<u8>;
    fn decode_response(bytes: Bytes) -> Result<Self::Response, String>;
}

pub struct Codec<E>(PhantomData<fn() -> E>);

impl<E> Clone for Codec<E> {
    fn clone(&self) -> Self {
        Self(PhantomData)
    }
}

impl<E> Default for Codec<E> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E: Exchange> Codec<E> {
    /// libp2p's behaviour for this protocol.
    pub fn behaviour() -> request_response::Behaviour<Self> {
        let settings = request_response::Config::default()
            .with_request_timeout(E::TIMEOUT)
            .with_max_concurrent_streams(E::STREAMS);
        request_response::Behaviour::new([(StreamProtocol::new(E::PROTOCOL), ProtocolSupport::Full)], settings)
    }
}

async fn read<T: AsyncRead + Unpin + Send>(io: &mut T, max: usize) -> io::Result<Bytes> {
    let mut length = [0; 4];
    io.read_exact(&mut length).await?;
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > max {
        return Err(invalid(format!("a frame of {length} bytes; the limit is {max}")));
    }
    let mut body = BytesMut::new();
    while body.len() < length {
        let start = body.len();
        body.resize(start + (length - start).min(STEP), 0);
        io.read_exact(body.get_mut(start..).unwrap_or_default()).await?;
    }
    Ok(body.freeze())
}

async fn write<T: AsyncWrite + Unpin + Send>(io: &mut T, body: &[u8], max: usize) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| invalid("a frame over 4 GiB".into()))?;
    if body.len() > max {
        return Err(invalid(format!("a frame of {length} bytes; the limit is {max}")));
    }
    io.write_all(&length.to_be_bytes()).await?;
    io.write_all(body).await?;
    io.flush().await
}

fn invalid(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<E: Exchange> request_response::Codec for Codec<E> {
    type Protocol = StreamProtocol;
    type Request = E::Request;
    type Response = E::Response;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<E::Request>
    where
        T: AsyncRead + Unpin + Send,
    {
        E::decode_request(read(io, E::MAX_REQUEST).await?).map_err(invalid)
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<E::Response>
    where
        T: AsyncRead + Unpin + Send,
    {
        E::decode_response(read(io, E::MAX_RESPONSE).await?).map_err(invalid)
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: E::Request) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let body = E::encode_request(&request);
        drop(request);
        write(io, &body, E::MAX_REQUEST).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: E::Response) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let body = E::encode_response(&response);
        drop(response);
        write(io, &body, E::MAX_RESPONSE).await
    }
}
