//! Bytes of the classic road: one request frame, one reply frame, then the substream ends.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, future::Either};
use futures_timer::Delay;
use libp2p_request_response as request_response;
use libp2p_swarm::StreamProtocol;
use p2pnode_wire::{
    error::RpcError,
    limits,
    rpc::{Message, Req},
};

use super::Config;

/// The answer to one call on the classic road.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    /// The id the request carried.
    pub id: u64,
    /// MessagePack body, or the error.
    pub outcome: Result<Bytes, RpcError>,
    /// The body is the array of all items of a stream. Only for callers that named a window.
    pub stream: bool,
}

/// Bytes being received from all peers together. Cheap to clone; clones share one count.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    used: Arc<AtomicUsize>,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { used: Arc::default(), max }
    }

    /// A share that grows with [`Share::grow`] and is given back on drop.
    pub(crate) fn share(&self) -> Share {
        Share { budget: self.clone(), held: 0 }
    }
}

/// What one unfinished body holds of a [`Budget`].
#[derive(Debug)]
pub(crate) struct Share {
    budget: Budget,
    held: usize,
}

impl Share {
    /// Gives `n` bytes back.
    pub(crate) fn shrink(&mut self, n: usize) {
        let n = n.min(self.held);
        self.held -= n;
        self.budget.used.fetch_sub(n, Ordering::Relaxed);
    }

    /// Takes `n` more bytes; false, and nothing taken, when the budget is spent.
    pub(crate) fn grow(&mut self, n: usize) -> bool {
        let before = self.budget.used.fetch_add(n, Ordering::Relaxed);
        if before.saturating_add(n) > self.budget.max {
            self.budget.used.fetch_sub(n, Ordering::Relaxed);
            return false;
        }
        self.held = self.held.saturating_add(n);
        true
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.held, Ordering::Relaxed);
    }
}

/// Request-response codec of `/p2pnode/rpc/1`, for any libp2p program:
///
/// ```
/// use libp2p_request_response::{Behaviour, Config, ProtocolSupport};
/// use libp2p_swarm::StreamProtocol;
/// use p2pnode_behaviours::rpc::Codec;
///
/// let protocol = StreamProtocol::new("/p2pnode/rpc/1");
/// let rpc: Behaviour<Codec> = Behaviour::with_codec(Codec::default(), [(protocol, ProtocolSupport::Full)], Config::default());
/// ```
#[derive(Debug, Clone)]
pub struct Codec {
    max_frame: usize,
    read_timeout: Duration,
    budget: Budget,
}

impl Default for Codec {
    fn default() -> Self {
        Self::new(&Config::default())
    }
}

impl Codec {
    /// A codec with the body limit, read timeout and inbound budget of `config`. Clones share the budget.
    pub fn new(config: &Config) -> Self {
        Self::with_budget(config, Budget::new(config.inbound_budget))
    }

    pub(crate) fn with_budget(config: &Config, budget: Budget) -> Self {
        Self {
            max_frame: config.max_body.saturating_add(limits::FRAME_HEADER),
            read_timeout: config.read_timeout,
            budget,
        }
    }

    async fn read_message<T: AsyncRead + Unpin + Send>(&self, io: &mut T) -> io::Result<Message> {
        let mut length = [0; 4];
        io.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.max_frame {
            return Err(invalid(format!("a frame of {length} bytes; the limit is {}", self.max_frame)));
        }
        let frame = self.read_body(io, length).await?;
        Message::decode(&frame).map_err(|e| invalid(e.to_string()))
    }

    /// Grows with what has arrived, never with what was claimed.
    async fn read_body<T: AsyncRead + Unpin + Send>(&self, io: &mut T, length: usize) -> io::Result<Bytes> {
        let mut share = self.budget.share();
        let mut body = BytesMut::new();
        while body.len() < length {
            let step = (length - body.len()).min(limits::CHUNK);
            if !share.grow(step) {
                return Err(io::Error::other("too many bodies are being received at once"));
            }
            let start = body.len();
            body.resize(start + step, 0);
            io.read_exact(body.get_mut(start..).unwrap_or_default()).await?;
        }
        Ok(body.freeze())
    }
}

fn invalid(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.into())
}

async fn write_message<T: AsyncWrite + Unpin + Send>(io: &mut T, message: &Message) -> io::Result<()> {
    let mut frame = BytesMut::new();
    message.encode_into(&mut frame);
    io.write_all(&frame).await?;
    io.flush().await
}

impl request_response::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Req;
    type Response = Reply;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Req>
    where
        T: AsyncRead + Unpin + Send,
    {
        let timeout = Delay::new(self.read_timeout);
        let read = std::pin::pin!(self.read_message(io));
        match futures::future::select(read, timeout).await {
            Either::Left((Ok(Message::Req(req)), _)) if !req.more => Ok(req),
            Either::Left((Ok(_), _)) => Err(invalid("not a whole request")),
            Either::Left((Err(error), _)) => Err(error),
            Either::Right(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the request did not arrive in time")),
        }
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Reply>
    where
        T: AsyncRead + Unpin + Send,
    {
        match self.read_message(io).await? {
            Message::Res { id, result, more: false, stream } => Ok(Reply { id, outcome: Ok(result), stream }),
            Message::Err { id, error } => Ok(Reply { id, outcome: Err(error), stream: false }),
            _ => Err(invalid("not a reply")),
        }
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Req) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_message(io, &Message::Req(request)).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, reply: Reply) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        let id = reply.id;
        let message = match reply.outcome {
            Ok(result) => Message::Res { id, result, more: false, stream: reply.stream },
            Err(error) => Message::Err { id, error },
        };
        write_message(io, &message).await
    }
}
