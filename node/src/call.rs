//! Calling an endpoint of a peer.

use std::{
    fmt,
    future::{Future, IntoFuture},
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures::{Stream, StreamExt};
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{
    nat::Mapping,
    rpc::{self, Road},
};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::SwarmId,
    msgpack,
};
use rand::RngExt;
use serde::de::DeserializeOwned;

use crate::{
    endpoint::Arguments,
    node::{Node, lock},
    path::Path,
    peers::PeerRef,
    resolve,
    target::{Target, TargetError},
};

/// Default time for a call, finding the peer included.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Default time for a stream once its peer is known: as much as a peer grants.
const STREAM_TIMEOUT: Duration = Duration::from_secs(600);

/// Repeats of a call that may be repeated: 100 ms, doubling, ±20 %.
const MAX_RETRIES: u32 = 4;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Which peer to take when several fit, as with `cap:NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pick {
    /// The one with the shortest round trip.
    #[default]
    Rtt,
    /// Any.
    Random,
}

/// Why a call has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// No such peer, or several.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The peer has no such endpoint, or this caller may not know of it.
    #[error("{peer} has no endpoint \"{endpoint}\"", peer = show(.peer))]
    NoEndpoint {
        /// Who was called.
        peer: PeerRef,
        /// What was called.
        endpoint: String,
        /// Published endpoints with similar names.
        near: Vec<String>,
    },
    /// The call failed on the way, or the peer answered with an error.
    #[error("{peer}: {source}", peer = show(.peer))]
    Rpc {
        /// Who was called.
        peer: PeerRef,
        /// What happened.
        source: rpc::CallError,
    },
    /// The result is not of the type that was asked for.
    #[error("{peer} answered with something else than was asked for: {reason}", peer = show(.peer))]
    Result {
        /// Who was called.
        peer: PeerRef,
        /// What does not fit.
        reason: String,
    },
    /// The arguments cannot be encoded.
    #[error("the arguments cannot be encoded: {0}")]
    Arguments(String),
    /// The node has stopped.
    #[error("the node is shutting down")]
    Shutdown,
}

fn show(peer: &PeerRef) -> String {
    if peer.name.is_empty() { peer.id.to_string() } else { peer.name.clone() }
}

impl CallError {
    /// The row of the error table.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Target(error) => error.code(),
            Self::NoEndpoint { .. } => ErrorCode::EndpointNotFound,
            Self::Rpc { source, .. } => source.code(),
            Self::Result { .. } => ErrorCode::InvalidEnvelope,
            Self::Arguments(_) => ErrorCode::InvalidArgument,
            Self::Shutdown => ErrorCode::AgentUnavailable,
        }
    }

    /// Whether the same call may succeed a little later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Rpc { source: rpc::CallError::Remote(error), .. } => error.retryable,
            other => other.code().retryable(),
        }
    }

    /// Whether the handler may have run.
    pub fn may_have_run(&self) -> bool {
        match self {
            Self::Rpc { source, .. } => source.may_have_run(),
            Self::Result { .. } => true,
            Self::Target(_) | Self::NoEndpoint { .. } | Self::Arguments(_) | Self::Shutdown => false,
        }
    }

    /// The error a remote handler answered with.
    pub fn remote(&self) -> Option<&RpcError> {
        match self {
            Self::Rpc { source: rpc::CallError::Remote(error), .. } => Some(error),
            _ => None,
        }
    }
}

/// A result with what is known about the way it took.
#[derive(Debug, Clone)]
pub struct CallReply<R> {
    /// The result.
    pub value: R,
    /// Who answered.
    pub peer: PeerRef,
    /// From the moment the peer was known to the result.
    pub elapsed: Duration,
    /// The connection it came over.
    pub path: Option<Path>,
    /// `Fast` or `Classic`.
    pub road: Road,
}

/// An answered ping.
#[derive(Debug, Clone)]
pub struct Pong {
    /// Who answered.
    pub peer: PeerRef,
    /// Round trip, handler included.
    pub rtt: Duration,
    /// The connection it came over.
    pub path: Option<Path>,
    /// Why there was no direct one when it was tried last, if it came over a relay.
    pub not_direct: Option<String>,
}

/// A call about to be made: set what differs, then `.await`. Dropped while it runs, it is cancelled at the peer.
#[must_use = "a call is made when it is awaited"]
pub struct Call<R> {
    node: Node,
    target: Target,
    endpoint: String,
    args: Result<Arguments, String>,
    timeout: Option<Duration>,
    pick: Pick,
    idempotent: bool,
    result: PhantomData<fn() -> R>,
}

impl<R: DeserializeOwned> Call<R> {
    pub(crate) fn new(node: Node, target: Target, endpoint: String, args: Result<Arguments, String>) -> Self {
        Self {
            node,
            target,
            endpoint,
            args,
            timeout: None,
            pick: Pick::default(),
            idempotent: false,
            result: PhantomData,
        }
    }

    /// Time for all of it: finding the peer, connecting, the handler. Default 30 s, at most 10 minutes; for a
    /// [`stream`](Self::stream) 30 s to find the peer, then 10 minutes.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.timeout = Some(time);
        self
    }

    /// Which peer to take when several fit.
    pub fn pick(mut self, pick: Pick) -> Self {
        self.pick = pick;
        self
    }

    /// Running it twice does no harm: after a lost connection it is repeated, under the same key.
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// Makes the call and tells who answered, how fast, and over which connection.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn details(self) -> Result<CallReply<R>, CallError> {
        let node = self.node.clone();
        let client = &node.inner().rpc;
        let time = self.timeout.unwrap_or(DEFAULT_TIMEOUT);
        let (answer, peer, started) = self.perform(time, |peer, request| client.call(peer, request)).await?;
        let value = msgpack::decode(&answer.result)
            .map_err(|e| CallError::Result { peer: peer.clone(), reason: e.to_string() })?;
        let elapsed = started.elapsed();
        let path = way(&node, &peer, answer.remote());
        Ok(CallReply { value, peer, elapsed, path, road: answer.road })
    }

    /// Makes the call and takes its result item by item, each an `R`; ready when the peer has begun to answer. The peer
    /// sends no more than 256 KiB ahead of the reader. A result that is no stream is one item.
    ///
    /// # Errors
    /// [`CallError`], if it is told before the first item; else it is the last item.
    pub async fn stream(self) -> Result<Items<R>, CallError> {
        let node = self.node.clone();
        let client = &node.inner().rpc;
        let time = self.timeout.unwrap_or(STREAM_TIMEOUT);
        let (items, peer, _) = self.perform(time, |peer, request| client.stream(peer, request)).await?;
        let path = way(&node, &peer, items.remote());
        Ok(Items { road: items.road(), items: Some(items), peer, path, result: PhantomData })
    }

    /// Finds the peer and makes the call, in one of the ways of the client; with the time at which the peer was known.
    async fn perform<T, F>(
        self,
        time: Duration,
        attempt: impl Fn(PeerId, rpc::Request) -> F,
    ) -> Result<(T, PeerRef, Instant), CallError>
    where
        F: Future<Output = Result<T, rpc::CallError>>,
    {
        let args = self.args.map_err(CallError::Arguments)?;
        let (now, to_find) = (Instant::now(), self.timeout.unwrap_or(DEFAULT_TIMEOUT));
        let deadline = now + time;
        let peer = resolve::peer(&self.node, &self.target, self.pick, now + to_find).await?;
        let started = Instant::now();
        let mut request = rpc::Request::new(self.endpoint.clone());
        request.swarm = resolve::common_swarm(&self.node, &peer, &self.target);
        (request.args, request.kwargs) = (args.args, args.kwargs);
        request.idem = self.idempotent.then(|| rand::rng().random());
        let outcome = repeated(request, deadline, self.idempotent, |request| attempt(peer, request)).await;
        let reference = self.node.reference(peer);
        match outcome {
            Ok(done) => Ok((done, reference, started)),
            Err(error) => Err(explain(&self.node, reference, self.endpoint, error)),
        }
    }
}

/// The connection that an answer came over.
fn way(node: &Node, peer: &PeerRef, remote: Option<&Multiaddr>) -> Option<Path> {
    match remote {
        Some(remote) => Some(lock(&node.inner().shared.peers).path_over(&peer.id, remote)),
        None => node.known(&peer.id).and_then(|known| known.path),
    }
}

/// The items of a result, in their order. An error is the last of them; dropped before the end, the call is cancelled at
/// the peer.
pub struct Items<R> {
    /// None after the end.
    items: Option<rpc::Items>,
    road: Road,
    peer: PeerRef,
    path: Option<Path>,
    result: PhantomData<fn() -> R>,
}

impl<R> fmt::Debug for Items<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Items").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl<R> Items<R> {
    /// Who answers.
    pub fn peer(&self) -> &PeerRef {
        &self.peer
    }

    /// The connection they come over.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_ref()
    }

    /// `Fast`, or `Classic`: then all come at once, at the end.
    pub fn road(&self) -> Road {
        self.road
    }
}

impl<R: DeserializeOwned> Stream for Items<R> {
    type Item = Result<R, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(items) = this.items.as_mut() else { return Poll::Ready(None) };
        let peer = &this.peer;
        let item = match std::task::ready!(items.poll_next_unpin(cx)) {
            None => None,
            Some(Err(source)) => Some(Err(CallError::Rpc { peer: peer.clone(), source })),
            Some(Ok(bytes)) => Some(match msgpack::decode(&bytes) {
                Ok(item) => Ok(item),
                Err(e) => Err(CallError::Result { peer: peer.clone(), reason: e.to_string() }),
            }),
        };
        if !matches!(item, Some(Ok(_))) {
            this.items = None;
        }
        Poll::Ready(item)
    }
}

impl<R: DeserializeOwned + Send + 'static> IntoFuture for Call<R> {
    type Output = Result<R, CallError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.details().await.map(|reply| reply.value) })
    }
}

/// A call, repeated where that is harmless: nothing was sent and the error says "later", or it is idempotent.
async fn repeated<T, F>(
    request: rpc::Request,
    deadline: Instant,
    idempotent: bool,
    attempt: impl Fn(rpc::Request) -> F,
) -> Result<T, rpc::CallError>
where
    F: Future<Output = Result<T, rpc::CallError>>,
{
    let mut wait = RETRY_FIRST;
    let once = |mut request: rpc::Request| {
        request.timeout = deadline.saturating_duration_since(Instant::now());
        attempt(request)
    };
    for _ in 0..MAX_RETRIES {
        let error = match once(request.clone()).await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let pause = pause(&error, wait);
        let harmless = if error.may_have_run() { idempotent } else { retryable(&error) };
        if !harmless || Instant::now() + pause >= deadline {
            return Err(error);
        }
        tokio::time::sleep(pause).await;
        wait = (wait * 2).min(RETRY_MAX);
    }
    once(request).await
}

fn retryable(error: &rpc::CallError) -> bool {
    match error {
        // The peer had no room for it: it has not run.
        rpc::CallError::Remote(error) => error.code == ErrorCode::Overloaded,
        rpc::CallError::Busy { .. } => true,
        _ => false,
    }
}

fn pause(error: &rpc::CallError, wait: Duration) -> Duration {
    let asked = match error {
        rpc::CallError::Remote(error) => error.retry_after,
        _ => None,
    };
    asked.unwrap_or(wait).mul_f64(rand::rng().random_range(0.8..1.2)).min(RETRY_MAX)
}

/// Finds near names where the endpoint is not there. They are this caller's own view: the peer tells nobody what it
/// does not publish.
fn explain(node: &Node, peer: PeerRef, endpoint: String, error: rpc::CallError) -> CallError {
    let missing = matches!(&error, rpc::CallError::Remote(e) if e.code == ErrorCode::EndpointNotFound);
    if !missing {
        return CallError::Rpc { peer, source: error };
    }
    let published = node.known(&peer.id).map(|p| p.endpoints).unwrap_or_default();
    let names = published.iter().map(|e| e.name.as_str());
    let near = crate::target::near(&endpoint, names);
    CallError::NoEndpoint { peer, endpoint, near }
}

pub(crate) async fn ping(node: &Node, target: Target) -> Result<Pong, CallError> {
    let reply: CallReply<String> = node.call(target, "_node.ping", ()).details().await?;
    lock(&node.inner().shared.peers).rtt(&reply.peer.id, reply.elapsed, Instant::now());
    let relayed = reply.path.as_ref().is_some_and(|path| path.kind == "relay");
    let not_direct = relayed.then(|| why_relayed(node, &reply.peer.id));
    Ok(Pong { peer: reply.peer, rtt: reply.elapsed, path: reply.path, not_direct })
}

/// Why there is no direct connection, as far as this node knows: what the peer's router does, it does not see.
fn why_relayed(node: &Node, peer: &PeerId) -> String {
    let tried = lock(&node.inner().shared.peers).why_relayed(peer);
    let tried = tried.unwrap_or_else(|| "a direct connection is being tried".to_owned());
    let reach = node.reach();
    let symmetric = [reach.tcp, reach.udp].into_iter().flatten().all(|mapping| mapping == Mapping::Differs);
    if symmetric && (reach.tcp.is_some() || reach.udp.is_some()) {
        return format!("{tried}; the router here gives each connection another port");
    }
    tried
}

/// The swarm in whose name a call goes out: one that both are in.
pub(crate) fn in_common(ours: &[SwarmId], theirs: &[SwarmId]) -> Option<SwarmId> {
    ours.iter().find(|id| theirs.contains(id)).or_else(|| ours.first()).copied()
}
