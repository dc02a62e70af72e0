use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::SwarmId,
    limits, msgpack,
    rpc::Req,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::mux::{Gone, Inbound};

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
    /// The caller takes the result item by item, if it is a stream, and so many bytes of it may be on their way.
    /// [`Client::stream`](super::Client::stream) sets it.
    pub window: Option<u32>,
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
            window: None,
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
            window: self.window,
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
            window: req.window,
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

/// Takes the outcome, and whether it is the array of all items of a stream.
pub(crate) type ClassicReply = Box<dyn FnOnce(Result<Bytes, RpcError>, bool) + Send>;

enum Way {
    Fast(Arc<Inbound>, u64),
    Classic(ClassicReply),
}

impl Way {
    fn finish(self, outcome: Result<Bytes, RpcError>, stream: bool) {
        match self {
            Self::Fast(link, id) => link.finish(id, outcome),
            Self::Classic(send) => send(outcome, stream),
        }
    }
}

fn unanswered() -> RpcError {
    RpcError::new(ErrorCode::InternalError, "the handler ended without an answer")
}

/// Where the answer to one call goes. Dropped without an answer, the caller is told `INTERNAL_ERROR`.
pub struct Responder {
    way: Option<Way>,
    /// The caller takes items as they come.
    stream: bool,
}

impl Responder {
    pub(crate) fn fast(link: Arc<Inbound>, id: u64, stream: bool) -> Self {
        Self { way: Some(Way::Fast(link, id)), stream }
    }

    pub(crate) fn classic(send: ClassicReply, stream: bool) -> Self {
        Self { way: Some(Way::Classic(send)), stream }
    }

    /// One that hands the answer to `send`, for calls that came over neither road.
    pub fn to(send: impl FnOnce(Result<Bytes, RpcError>) + Send + 'static) -> Self {
        Self::classic(Box::new(|outcome, _| send(outcome)), false)
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
        if let Some(way) = self.way.take() {
            way.finish(outcome, false);
        }
    }

    /// Answers item by item. A caller that cannot take them so gets an array of all at the end: as many as an array may
    /// have (4,096), and `max` bytes of them.
    pub fn items(mut self, max: usize) -> ItemSender {
        ItemSender(match self.way.take() {
            Some(Way::Fast(link, id)) if self.stream => {
                link.begin_items(id);
                Sending::Items(link, id)
            }
            Some(way) => {
                Sending::Whole(Box::new(Collected { way, stream: self.stream, max, count: 0, items: BytesMut::new() }))
            }
            None => Sending::Over,
        })
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            way.finish(Err(unanswered()), false);
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

/// Items for a caller that wants them all in one.
struct Collected {
    way: Way,
    stream: bool,
    max: usize,
    count: u32,
    items: BytesMut,
}

impl Collected {
    fn add(&mut self, item: &[u8]) -> Result<(), RpcError> {
        let full = usize::try_from(self.count).is_ok_and(|count| count >= limits::MAX_COLLECTION);
        if full || self.items.len().saturating_add(item.len()) > self.max {
            let message =
                format!("more than {} items, or {} bytes: take them as a stream", limits::MAX_COLLECTION, self.max);
            return Err(RpcError::new(ErrorCode::TooLarge, message));
        }
        self.count = self.count.saturating_add(1);
        self.items.extend_from_slice(item);
        Ok(())
    }

    fn finish(self, outcome: Result<(), RpcError>) {
        let outcome = outcome.map(|()| msgpack::array(self.count, &self.items));
        self.way.finish(outcome, self.stream);
    }
}

enum Sending {
    Items(Arc<Inbound>, u64),
    Whole(Box<Collected>),
    Over,
}

/// Sends the items of one result. Dropped before [`finish`](Self::finish), the caller is told `INTERNAL_ERROR`.
pub struct ItemSender(Sending);

/// The caller wants no more items: it has cancelled, its connection is gone, or they are more than it can take in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the caller takes no more items")]
pub struct NotTaken;

impl ItemSender {
    /// Sends one, as MessagePack; waits while the caller has enough to read.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub async fn send(&mut self, item: Bytes) -> Result<(), NotTaken> {
        let mut left = Some(item);
        std::future::poll_fn(|cx| self.poll_send(&mut left, cx)).await
    }

    /// [`send`](Self::send) for futures written by hand: what has not left is in `item`, and must be given again.
    ///
    /// # Errors
    /// [`NotTaken`].
    pub fn poll_send(&mut self, item: &mut Option<Bytes>, cx: &mut Context<'_>) -> Poll<Result<(), NotTaken>> {
        let refused = match &mut self.0 {
            Sending::Items(link, id) => return link.poll_item(*id, item, cx).map_err(|Gone| NotTaken),
            Sending::Whole(all) => match all.add(&item.take().unwrap_or_default()) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(refused) => refused,
            },
            Sending::Over => return Poll::Ready(Err(NotTaken)),
        };
        self.end(Err(refused));
        Poll::Ready(Err(NotTaken))
    }

    /// All have been sent, or no more will be.
    pub fn finish(mut self, outcome: Result<(), RpcError>) {
        self.end(outcome);
    }

    fn end(&mut self, outcome: Result<(), RpcError>) {
        match std::mem::replace(&mut self.0, Sending::Over) {
            Sending::Items(link, id) => link.finish_items(id, outcome),
            Sending::Whole(all) => all.finish(outcome),
            Sending::Over => {}
        }
    }
}

impl Drop for ItemSender {
    fn drop(&mut self) {
        self.end(Err(unanswered()));
    }
}

impl fmt::Debug for ItemSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ItemSender")
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
