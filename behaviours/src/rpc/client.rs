use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::future::{Either, select};
use futures_timer::Delay;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use p2pnode_wire::{
    msgpack,
    rpc::{Req, TEXT_MAX},
};
use tokio::sync::{mpsc, oneshot};

use super::{
    CallError, Config, Items, Request, Road,
    codec::Budget,
    mux::{Counters, Inbox, Link, Links, NotStarted, Route},
};

/// Times a call looks for a new link when the one it found has just closed.
const MAX_LINK_TRIES: usize = 3;

pub(crate) enum Command {
    Open { peer: PeerId, reply: oneshot::Sender<Result<Route, CallError>> },
    Classic { peer: PeerId, req: Box<Req>, deadline: Instant, reply: oneshot::Sender<Result<Whole, CallError>> },
}

/// A result that came in one.
pub(crate) struct Whole {
    pub(crate) result: Bytes,
    /// It is the array of all items of a stream.
    pub(crate) stream: bool,
}

/// Calls of a node so far, by road.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Calls made over `/p2pnode/rpc-mux/1`.
    pub fast_calls: u64,
    /// Calls made over `/p2pnode/rpc/1`.
    pub classic_calls: u64,
    /// Calls answered over `/p2pnode/rpc-mux/1`.
    pub fast_served: u64,
    /// Calls answered over `/p2pnode/rpc/1`.
    pub classic_served: u64,
}

/// An answered call.
#[derive(Clone)]
pub struct Answer {
    /// MessagePack body.
    pub result: Bytes,
    /// Which protocol carried the call.
    pub road: Road,
    link: Option<Arc<Link>>,
}

impl Answer {
    /// The remote end of the connection; only the fast road knows it.
    pub fn remote(&self) -> Option<&Multiaddr> {
        self.link.as_ref().map(|link| &link.remote)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("result", &self.result.len()).field("road", &self.road).finish()
    }
}

/// Makes calls. Clones share everything; works as long as its behaviour's Swarm is polled.
#[derive(Clone)]
pub struct Client {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) links: Links,
    pub(crate) counters: Arc<Counters>,
    pub(crate) config: Arc<Config>,
    pub(crate) budget: Budget,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rpc::Client")
    }
}

impl Client {
    /// Calls an endpoint of `peer`: connects if need be, takes the fast road if the peer speaks it.
    /// Dropping the future cancels the call at the peer.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::may_have_run`] tells whether repeating could run it twice.
    pub async fn call(&self, peer: PeerId, mut request: Request) -> Result<Answer, CallError> {
        let mut span = self.admit(&request)?;
        for attempt in 0..MAX_LINK_TRIES {
            match self.route(peer, &mut span, attempt).await? {
                Route::Classic => return self.classic(peer, request, span).await.map(|(answer, _)| answer),
                Route::Fast(link) => match Ongoing::start(link, request, span) {
                    // Closed between lookup and use; nothing was sent.
                    Err(NotStarted::Closed(unsent)) => request = *unsent,
                    Err(NotStarted::Refused(error)) => return Err(error),
                    Ok(ongoing) => return self.fast(ongoing).await,
                },
            }
        }
        Err(closed())
    }

    /// Calls an endpoint of `peer` and takes the result item by item; ready when the peer has begun to answer. What is no
    /// stream is one item. A peer that speaks only the classic road sends all items in one, at the end.
    ///
    /// # Errors
    /// [`CallError`], if it is told before the first item; else it is the last item.
    pub async fn stream(&self, peer: PeerId, mut request: Request) -> Result<Items, CallError> {
        let mut span = self.admit(&request)?;
        request.window = Some(self.config.window);
        for attempt in 0..MAX_LINK_TRIES {
            match self.route(peer, &mut span, attempt).await? {
                Route::Classic => return self.classic_items(peer, request, span).await,
                Route::Fast(link) => {
                    let inbox = Inbox::new(self.config.window, self.config.max_body, &self.budget);
                    match link.start_items(&inbox, request, span) {
                        Err(NotStarted::Closed(unsent)) => request = *unsent,
                        Err(NotStarted::Refused(error)) => return Err(error),
                        Ok(id) => {
                            self.counters.fast_calls.fetch_add(1, Ordering::Relaxed);
                            let mut items = Items::coming(link, id, inbox);
                            return items.begun().await.map(|()| items);
                        }
                    }
                }
            }
        }
        Err(closed())
    }

    async fn classic_items(&self, peer: PeerId, request: Request, span: Span) -> Result<Items, CallError> {
        let (answer, stream) = self.classic(peer, request, span).await?;
        if !stream {
            return Ok(Items::all([answer.result]));
        }
        msgpack::elements(&answer.result).map(Items::all).map_err(|error| CallError::Malformed(error.to_string()))
    }

    /// Whether it can be sent at all, and how long it has time.
    fn admit(&self, request: &Request) -> Result<Span, CallError> {
        let size = request.body_len();
        if size > self.config.max_body {
            return Err(CallError::TooLarge { size, max: self.config.max_body });
        }
        // The other end would close the substream for it, and all other calls with it.
        let words = [Some(request.endpoint.len()), request.trace.as_ref().map(String::len)];
        if let Some(size) = words.into_iter().flatten().find(|size| *size > TEXT_MAX) {
            return Err(CallError::TooLarge { size, max: TEXT_MAX });
        }
        let now = Instant::now();
        Ok(Span { now, deadline: now + request.timeout.min(self.config.max_timeout) })
    }

    /// Calls made and served so far.
    pub fn stats(&self) -> Stats {
        let counters = &self.counters;
        Stats {
            fast_calls: counters.fast_calls.load(Ordering::Relaxed),
            classic_calls: counters.classic_calls.load(Ordering::Relaxed),
            fast_served: counters.fast_served.load(Ordering::Relaxed),
            classic_served: counters.classic_served.load(Ordering::Relaxed),
        }
    }

    async fn route(&self, peer: PeerId, span: &mut Span, attempt: usize) -> Result<Route, CallError> {
        // Whether it is closed is seen when the call is put on it; only then the next attempt has to ask.
        if self.config.fast
            && let Some(link) = self.links.get(&peer)
            && (attempt == 0 || !link.is_closed())
        {
            return Ok(Route::Fast(link));
        }
        let (reply, answer) = oneshot::channel();
        let opening = async {
            self.commands.send(Command::Open { peer, reply }).await.map_err(|_| CallError::Shutdown)?;
            answer.await.unwrap_or(Err(CallError::Shutdown))
        };
        let left = span.left().min(self.config.open_timeout);
        let route = within(left, opening).await.unwrap_or(Err(CallError::TimedOut { sent: false }));
        span.now = Instant::now();
        route
    }

    async fn fast(&self, mut ongoing: Ongoing) -> Result<Answer, CallError> {
        self.counters.fast_calls.fetch_add(1, Ordering::Relaxed);
        let outcome = (&mut ongoing.answer).await;
        let link = ongoing.link.take();
        let result = outcome.unwrap_or(Err(CallError::Shutdown))?;
        Ok(Answer { result, road: Road::Fast, link })
    }

    /// The answer, and whether it is the array of all items of a stream.
    async fn classic(&self, peer: PeerId, request: Request, span: Span) -> Result<(Answer, bool), CallError> {
        self.counters.classic_calls.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        let deadline = span.deadline;
        // One request per substream: the id only has to be echoed.
        let req = Box::new(request.into_req(1, span.left()));
        let command = Command::Classic { peer, req, deadline, reply };
        self.commands.send(command).await.map_err(|_| CallError::Shutdown)?;
        let Whole { result, stream } = answer.await.unwrap_or(Err(CallError::Shutdown))?;
        Ok((Answer { result, road: Road::Classic, link: None }, stream))
    }
}

fn closed() -> CallError {
    CallError::Unreachable { reason: "the connection closed again and again".into() }
}

async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Option<T> {
    match select(std::pin::pin!(work), Delay::new(time)).await {
        Either::Left((output, _)) => Some(output),
        Either::Right(_) => None,
    }
}

/// The time a call has. The clock is read again only after waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) now: Instant,
    pub(crate) deadline: Instant,
}

impl Span {
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(self.now)
    }
}

/// A call on the wire; dropped before its end, it is cancelled.
struct Ongoing {
    /// None at the end.
    link: Option<Arc<Link>>,
    id: u64,
    answer: oneshot::Receiver<Result<Bytes, CallError>>,
}

impl Ongoing {
    fn start(link: Arc<Link>, request: Request, span: Span) -> Result<Self, NotStarted> {
        let (id, answer) = link.start(request, span)?;
        Ok(Self { link: Some(link), id, answer })
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        if let Some(link) = &self.link {
            link.cancel(self.id);
        }
    }
}
