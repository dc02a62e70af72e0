use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::SwarmId,
    rpc::Req,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::mux::Inbound;

/// Which of the two protocols carried a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Road {
    /// `/p2pnode/rpc-mux/1`, many calls on one substream.
    Fast,
    /// `/p2pnode/rpc/1`, one substream per call.
    Classic,
}

impl Road {
    /// `fast` or `classic`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Classic => "classic",
        }
    }
}

/// What is called, with what. Bodies are opaque MessagePack.
#[derive(Clone)]
pub struct Request {
    /// In the name of which swarm; without one only public endpoints answer.
    pub swarm: Option<SwarmId>,
    /// Name of the endpoint.
    pub endpoint: String,
    /// MessagePack array of positional arguments, or empty.
    pub args: Bytes,
    /// MessagePack map of keyword arguments, or empty.
    pub kwargs: Bytes,
    /// How long the caller waits, connecting included.
    pub timeout: Duration,
    /// Key under which the callee may recognise a repeated call.
    pub idem: Option<[u8; 16]>,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// How many nodes this call has passed through.
    pub hop: u8,
    /// MessagePack map of the caller's own notes.
    pub meta: Option<Bytes>,
}

impl Request {
    /// A call of `endpoint` without arguments, with 30 s to answer.
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            swarm: None,
            endpoint: endpoint.into(),
            args: Bytes::new(),
            kwargs: Bytes::new(),
            timeout: Duration::from_secs(30),
            idem: None,
            trace: None,
            hop: 0,
            meta: None,
        }
    }

    pub(crate) fn body_len(&self) -> usize {
        self.args.len().saturating_add(self.kwargs.len())
    }

    pub(crate) fn into_req(self, id: u64, left: Duration) -> Req {
        Req {
            id,
            swarm: self.swarm,
            endpoint: self.endpoint,
            args: self.args,
            kwargs: self.kwargs,
            left_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX),
            more: false,
            idem: self.idem,
            trace: self.trace,
            hop: self.hop,
            meta: self.meta,
        }
    }

    pub(crate) fn from_req(req: Req, max_timeout: Duration) -> Self {
        Self {
            swarm: req.swarm,
            endpoint: req.endpoint,
            args: req.args,
            kwargs: req.kwargs,
            timeout: Duration::from_millis(u64::from(req.left_ms)).min(max_timeout),
            idem: req.idem,
            trace: req.trace,
            hop: req.hop,
            meta: req.meta,
        }
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("endpoint", &self.endpoint)
            .field("swarm", &self.swarm)
            .field("args", &self.args.len())
            .field("kwargs", &self.kwargs.len())
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// One call that a peer made of us.
#[derive(Debug)]
pub struct Incoming {
    /// Who calls; proven by the connection.
    pub peer: PeerId,
    /// Where the caller's connection comes from.
    pub remote: Multiaddr,
    /// Which protocol carried it.
    pub road: Road,
    /// What is called.
    pub request: Request,
    /// When the caller stops waiting, on this host's clock.
    pub deadline: Instant,
    /// Fires when the caller gave up or its connection ended. On the classic road a caller cannot say so, and it fires
    /// only with the connection.
    pub cancelled: CancellationToken,
    /// Where the answer goes.
    pub reply: Responder,
}

/// Takes calls. Runs on the connection's task: it must return at once and do the work elsewhere.
pub trait Service: Send + Sync + 'static {
    /// Takes one call.
    fn serve(&self, call: Incoming);
}

impl<F: Fn(Incoming) + Send + Sync + 'static> Service for F {
    fn serve(&self, call: Incoming) {
        self(call);
    }
}

pub(crate) type ClassicReply = Box<dyn FnOnce(Result<Bytes, RpcError>) + Send>;

enum Way {
    Fast(Arc<Inbound>, u64),
    Classic(ClassicReply),
}

/// Where the answer to one call goes. Dropped without an answer, the caller is told `INTERNAL_ERROR`.
pub struct Responder(Option<Way>);

impl Responder {
    pub(crate) fn fast(link: Arc<Inbound>, id: u64) -> Self {
        Self(Some(Way::Fast(link, id)))
    }

    pub(crate) fn classic(send: ClassicReply) -> Self {
        Self(Some(Way::Classic(send)))
    }

    /// Answers with a MessagePack body.
    pub fn ok(self, result: Bytes) {
        self.finish(Ok(result));
    }

    /// Answers with an error.
    pub fn err(self, error: RpcError) {
        self.finish(Err(error));
    }

    /// Answers either way.
    pub fn finish(mut self, outcome: Result<Bytes, RpcError>) {
        self.send(outcome);
    }

    fn send(&mut self, outcome: Result<Bytes, RpcError>) {
        match self.0.take() {
            Some(Way::Fast(link, id)) => link.finish(id, outcome),
            Some(Way::Classic(send)) => send(outcome),
            None => {}
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if self.0.is_some() {
            self.send(Err(RpcError::new(ErrorCode::InternalError, "the handler ended without an answer")));
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

/// Calls as a queue, for programs that would rather read than implement [`Service`].
pub type Calls = mpsc::Receiver<Incoming>;

struct Queue(mpsc::Sender<Incoming>);

impl Service for Queue {
    fn serve(&self, call: Incoming) {
        if let Err(rejected) = self.0.try_send(call) {
            let mut error = RpcError::new(ErrorCode::Overloaded, "the queue of calls is full");
            error.retry_after = Some(Duration::from_millis(100));
            rejected.into_inner().reply.err(error);
        }
    }
}

/// A [`Service`] that queues up to `capacity` calls for whoever reads [`Calls`]; more are refused with `OVERLOADED`.
pub fn channel(capacity: usize) -> (Arc<dyn Service>, Calls) {
    let (sender, receiver) = mpsc::channel(capacity);
    (Arc::new(Queue(sender)), receiver)
}
