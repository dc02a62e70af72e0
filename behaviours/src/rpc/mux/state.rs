//! What frames of the fast road mean, as two pure machines: [`Caller`] for the side that opened the substream,
//! [`Callee`] for the other. They take the time and write frames into a buffer; they do no IO.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use foldhash::{HashMap, HashMapExt};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    limits, msgpack,
    rpc::{Message, Req, RequestBody, item_cost},
};
use tokio_util::sync::CancellationToken;

use super::{
    super::{CallError, Config, Request, client::Span, codec::Budget},
    bodies::{Assembly, Bodies, overloaded},
    inbox::Inbox,
};

/// The peer broke the protocol in a way that cannot be answered; the substream is closed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);

/// A result of which something has come, but not the end.
enum Arriving {
    Nothing,
    /// Its parts are put together.
    Whole(Box<Assembly>),
    /// Its items go to their reader.
    Items,
}

struct Pending<T> {
    token: T,
    deadline: Instant,
    /// Where items go, if the caller takes them one by one.
    inbox: Option<Arc<Inbox>>,
    result: Arriving,
}

/// Calls this node has made over one substream. `T` is what the owner gets back when a call ends.
pub(crate) struct Caller<T> {
    calls: HashMap<u64, Pending<T>>,
    bodies: Bodies,
    next_id: u64,
    /// Not later than the earliest deadline of all calls.
    earliest: Option<Instant>,
    max_calls: usize,
    max_body: usize,
    budget: Budget,
}

pub(crate) type Ended<T> = (T, Result<Bytes, CallError>);

impl<T> Caller<T> {
    pub(crate) fn new(config: &Config, budget: Budget) -> Self {
        Self {
            calls: HashMap::new(),
            bodies: Bodies::default(),
            next_id: 1,
            earliest: None,
            max_calls: config.in_flight_per_peer,
            max_body: config.max_body,
            budget,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// When [`Caller::expire`] must run next.
    pub(crate) fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// Starts a call: writes its request, or the head of it when the body goes in chunks. With an `inbox` the request
    /// has a window, and a streamed result goes there; everything else ends with the token, as without.
    pub(crate) fn start(
        &mut self,
        (token, inbox): (T, Option<Arc<Inbox>>),
        request: Request,
        span: Span,
        out: &mut BytesMut,
    ) -> Result<u64, (T, CallError)> {
        if self.calls.len() >= self.max_calls {
            return Err((token, CallError::Busy { limit: self.max_calls }));
        }
        let size = request.body_len();
        if size > self.max_body {
            return Err((token, CallError::TooLarge { size, max: self.max_body }));
        }
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let deadline = span.deadline;
        self.write(request.into_req(id, span.left()), out);
        self.calls.insert(id, Pending { token, deadline, inbox, result: Arriving::Nothing });
        self.earliest = Some(self.earliest.map_or(deadline, |e| e.min(deadline)));
        Ok(id)
    }

    fn write(&mut self, mut req: Req, out: &mut BytesMut) {
        let size = req.args.len().saturating_add(req.kwargs.len());
        if size <= limits::FRAME_PAYLOAD {
            return self.bodies.frame(req.id, size, Message::Req(req), out);
        }
        let body = RequestBody { args: std::mem::take(&mut req.args), kwargs: std::mem::take(&mut req.kwargs) };
        req.more = true;
        self.bodies.chunks(req.id, body.encode());
        Message::Req(req).encode_into(out);
    }

    /// Takes one frame from the callee. Answers of calls that have ended meanwhile are ignored.
    pub(crate) fn receive(&mut self, message: Message, out: &mut BytesMut) -> Result<Option<Ended<T>>, Violation> {
        match message {
            Message::Res { id, stream: true, .. } => Ok(self.begin_items(id, out)),
            Message::Res { id, result, more: false, .. } => Ok(self.end(id, Ok(result))),
            Message::Res { id, result, more: true, .. } => Ok(self.begin_result(id, &result, out)),
            Message::Err { id, error } => Ok(self.end(id, Err(CallError::Remote(error)))),
            Message::Item { id, n, body, more } => Ok(self.item(id, n, body, more, out)),
            Message::End { id } => Ok(self.finish_result(id)),
            Message::Credit { id, n } => {
                self.bodies.credit(id, n);
                Ok(None)
            }
            Message::Req(_) | Message::Cancel { .. } => {
                Err(Violation("a request on a substream that this side opened".into()))
            }
        }
    }

    fn begin_items(&mut self, id: u64, out: &mut BytesMut) -> Option<Ended<T>> {
        let pending = self.calls.get_mut(&id)?;
        match &pending.inbox {
            Some(inbox) => {
                inbox.begin();
                pending.result = Arriving::Items;
                None
            }
            None => self.abort(id, RpcError::new(ErrorCode::InvalidEnvelope, "a stream that was not asked for"), out),
        }
    }

    fn begin_result(&mut self, id: u64, first: &[u8], out: &mut BytesMut) -> Option<Ended<T>> {
        let assembly = Assembly::new(first, self.max_body, &self.budget);
        let pending = self.calls.get_mut(&id)?;
        match assembly {
            Ok(assembly) => {
                pending.result = Arriving::Whole(Box::new(assembly));
                None
            }
            Err(error) => self.abort(id, error, out),
        }
    }

    fn item(&mut self, id: u64, n: u32, body: Bytes, more: bool, out: &mut BytesMut) -> Option<Ended<T>> {
        let pending = self.calls.get_mut(&id)?;
        let taken = match (&mut pending.result, &pending.inbox) {
            (Arriving::Whole(assembly), _) => assembly.item(n, &body),
            (Arriving::Items, Some(inbox)) => inbox.frame(n, body, more),
            _ => return None,
        };
        match taken {
            Ok(Some(n)) => {
                Message::Credit { id, n }.encode_into(out);
                None
            }
            Ok(None) => None,
            Err(error) => self.abort(id, error, out),
        }
    }

    fn finish_result(&mut self, id: u64) -> Option<Ended<T>> {
        let pending = self.calls.get_mut(&id)?;
        match std::mem::replace(&mut pending.result, Arriving::Nothing) {
            Arriving::Nothing => None,
            Arriving::Whole(assembly) => self.end(id, Ok(assembly.body.freeze())),
            Arriving::Items => {
                let inbox = self.calls.remove(&id)?.inbox?;
                inbox.end(Ok(()));
                None
            }
        }
    }

    /// The reader has taken items: the peer may send more.
    pub(crate) fn give(&mut self, id: u64, n: u32, out: &mut BytesMut) -> bool {
        let under_way = self.calls.contains_key(&id);
        if under_way {
            Message::Credit { id, n }.encode_into(out);
        }
        under_way
    }

    fn end(&mut self, id: u64, outcome: Result<Bytes, CallError>) -> Option<Ended<T>> {
        self.bodies.remove(id);
        self.calls.remove(&id).map(|pending| (pending.token, outcome))
    }

    fn abort(&mut self, id: u64, error: RpcError, out: &mut BytesMut) -> Option<Ended<T>> {
        Message::Cancel { id }.encode_into(out);
        self.end(id, Err(CallError::Malformed(error.message)))
    }

    /// The caller no longer wants the answer.
    pub(crate) fn cancel(&mut self, id: u64, out: &mut BytesMut) -> Option<T> {
        let pending = self.calls.remove(&id)?;
        self.bodies.remove(id);
        Message::Cancel { id }.encode_into(out);
        Some(pending.token)
    }

    /// Ends calls whose time is over and tells the callee.
    pub(crate) fn expire(&mut self, now: Instant, out: &mut BytesMut) -> Vec<T> {
        let late: Vec<u64> = self.calls.iter().filter(|(_, p)| p.deadline <= now).map(|(id, _)| *id).collect();
        let ended = late.into_iter().filter_map(|id| self.cancel(id, out)).collect();
        self.earliest = self.calls.values().map(|p| p.deadline).min();
        ended
    }

    /// Lets large bodies move on, up to `high` bytes waiting in `out`.
    pub(crate) fn pump(&mut self, out: &mut BytesMut, high: usize) {
        self.bodies.pump(out, high, |_| {});
    }

    /// The substream is gone: every call ends.
    pub(crate) fn close(&mut self) -> Vec<T> {
        self.bodies = Bodies::default();
        self.earliest = None;
        self.calls.drain().map(|(_, pending)| pending.token).collect()
    }
}

/// A result that leaves item by item.
struct Flow {
    cancelled: CancellationToken,
    /// What the reader still takes; the last frame may have cost more.
    credit: i64,
    next: u32,
    /// The handler waits for credit or room.
    sender: Option<Waker>,
}

impl Flow {
    fn wake(&mut self) {
        if let Some(sender) = self.sender.take() {
            sender.wake();
        }
    }
}

/// The caller wants no more items, or is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

enum Active {
    /// The request's body is still arriving.
    Arriving(Box<(Req, Assembly)>),
    /// A handler has it, whose caller may take items as they come.
    Running { cancelled: CancellationToken, window: Option<u32> },
    /// The handler sends items.
    Items(Flow),
    /// The result is leaving in chunks.
    Leaving,
}

/// A request that has arrived whole.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) id: u64,
    pub(crate) request: Request,
    pub(crate) cancelled: CancellationToken,
}

/// Calls that a peer has made of this node over one substream.
pub(crate) struct Callee {
    calls: HashMap<u64, Active>,
    bodies: Bodies,
    /// Somebody waits for room in the buffer.
    crowded: bool,
    max_calls: usize,
    max_body: usize,
    max_timeout: Duration,
    unread: usize,
    results: usize,
    budget: Budget,
}

impl Callee {
    pub(crate) fn new(config: &Config, budget: Budget) -> Self {
        Self {
            calls: HashMap::new(),
            bodies: Bodies::default(),
            crowded: false,
            max_calls: config.in_flight_per_peer,
            max_body: config.max_body,
            max_timeout: config.max_timeout,
            unread: config.unread_per_peer,
            results: config.results_per_peer,
            budget,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// The caller does not read its answers: no more of its calls may be read either.
    pub(crate) fn unread(&self, out: &BytesMut) -> bool {
        out.len().saturating_add(self.bodies.waiting().0) > self.unread
    }

    /// Takes one frame from the caller.
    pub(crate) fn receive(&mut self, message: Message, out: &mut BytesMut) -> Result<Option<Arrived>, Violation> {
        match message {
            Message::Req(req) => self.request(req, out),
            Message::Item { id, n, body, .. } => {
                self.item(id, n, &body, out);
                Ok(None)
            }
            Message::End { id } => Ok(self.finish_request(id, out)),
            Message::Cancel { id } => {
                self.cancel(id);
                Ok(None)
            }
            Message::Credit { id, n } => {
                self.credit(id, n);
                Ok(None)
            }
            Message::Res { .. } | Message::Err { .. } => {
                Err(Violation("an answer on a substream that the peer opened".into()))
            }
        }
    }

    fn request(&mut self, req: Req, out: &mut BytesMut) -> Result<Option<Arrived>, Violation> {
        if self.calls.contains_key(&req.id) {
            return Err(Violation(format!("call id {} is used twice", req.id)));
        }
        if self.calls.len() >= self.max_calls {
            refuse(req.id, overloaded(&format!("{} calls are under way", self.max_calls)), out);
            return Ok(None);
        }
        if !req.more {
            return Ok(Some(self.run(req)));
        }
        match Assembly::new(&[], self.max_body.saturating_add(limits::FRAME_HEADER), &self.budget) {
            Ok(assembly) => {
                self.calls.insert(req.id, Active::Arriving(Box::new((req, assembly))));
            }
            Err(error) => refuse(req.id, error, out),
        }
        Ok(None)
    }

    fn run(&mut self, req: Req) -> Arrived {
        let (id, window, cancelled) = (req.id, req.window, CancellationToken::new());
        self.calls.insert(id, Active::Running { cancelled: cancelled.clone(), window });
        Arrived { id, request: Request::from_req(req, self.max_timeout), cancelled }
    }

    fn item(&mut self, id: u64, n: u32, body: &[u8], out: &mut BytesMut) {
        let Some(Active::Arriving(arriving)) = self.calls.get_mut(&id) else { return };
        match arriving.1.item(n, body) {
            Ok(Some(n)) => Message::Credit { id, n }.encode_into(out),
            Ok(None) => {}
            Err(error) => {
                self.calls.remove(&id);
                refuse(id, error, out);
            }
        }
    }

    fn finish_request(&mut self, id: u64, out: &mut BytesMut) -> Option<Arrived> {
        let Some(Active::Arriving(..)) = self.calls.get(&id) else { return None };
        let Some(Active::Arriving(arriving)) = self.calls.remove(&id) else { return None };
        let (mut req, assembly) = *arriving;
        match RequestBody::decode(&assembly.body.freeze()) {
            Ok(body) => {
                (req.args, req.kwargs, req.more) = (body.args, body.kwargs, false);
                Some(self.run(req))
            }
            Err(error) => {
                refuse(id, unreadable(&error), out);
                None
            }
        }
    }

    fn cancel(&mut self, id: u64) {
        self.bodies.remove(id);
        if let Some(call) = self.calls.remove(&id) {
            call.cancel();
        }
    }

    fn credit(&mut self, id: u64, n: u32) {
        match self.calls.get_mut(&id) {
            Some(Active::Items(flow)) => {
                flow.credit = flow.credit.saturating_add(n.into());
                flow.wake();
            }
            _ => self.bodies.credit(id, n),
        }
    }

    /// The handler is about to send items, to a caller that takes them as they come.
    pub(crate) fn begin_items(&mut self, id: u64, out: &mut BytesMut) {
        let Some(active) = self.calls.get_mut(&id) else { return };
        let Active::Running { cancelled, window: Some(window) } = active else { return };
        Message::Res { id, result: Bytes::new(), more: true, stream: true }.encode_into(out);
        let credit = (*window).into();
        *active = Active::Items(Flow { cancelled: cancelled.clone(), credit, next: 0, sender: None });
    }

    /// Sends an item in as many frames as it takes; ready when the last has left, with nothing left in `item`. Waits for
    /// credit, and for room while `out` holds `high` bytes.
    pub(crate) fn poll_item(
        &mut self,
        id: u64,
        item: &mut Option<Bytes>,
        out: &mut BytesMut,
        high: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Gone>> {
        let Some(Active::Items(flow)) = self.calls.get_mut(&id) else { return Poll::Ready(Err(Gone)) };
        while let Some(body) = item {
            if flow.credit <= 0 || out.len() >= high {
                self.crowded |= out.len() >= high;
                flow.sender = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let part = body.split_to(body.len().min(limits::CHUNK));
            let more = !body.is_empty();
            flow.credit = flow.credit.saturating_sub(item_cost(&part).into());
            Message::Item { id, n: flow.next, body: part, more }.encode_into(out);
            flow.next = flow.next.wrapping_add(1);
            if !more {
                *item = None;
            }
        }
        Poll::Ready(Ok(()))
    }

    /// All items have been sent, or the handler has failed.
    pub(crate) fn finish_items(&mut self, id: u64, outcome: Result<(), RpcError>, out: &mut BytesMut) {
        let Some(Active::Items(_)) = self.calls.get(&id) else { return };
        self.calls.remove(&id);
        match outcome {
            Ok(()) => Message::End { id }.encode_into(out),
            Err(error) => refuse(id, error, out),
        }
    }

    /// The handler is done. Without effect when the caller has given up meanwhile.
    pub(crate) fn finish(&mut self, id: u64, outcome: Result<Bytes, RpcError>, out: &mut BytesMut) {
        let Some(Active::Running { .. }) = self.calls.get(&id) else { return };
        match outcome {
            Ok(result) if result.len() <= limits::FRAME_PAYLOAD => {
                let size = result.len();
                self.bodies.frame(id, size, Message::Res { id, result, more: false, stream: false }, out);
            }
            Ok(result) if self.bodies.waiting().1.saturating_add(result.len()) > self.results => {
                refuse(id, overloaded("too many large results are on their way to the caller"), out);
            }
            Ok(result) if result.len() <= self.max_body => {
                Message::Res { id, result: Bytes::new(), more: true, stream: false }.encode_into(out);
                self.bodies.chunks(id, result);
                self.calls.insert(id, Active::Leaving);
                return;
            }
            Ok(result) => {
                let message = format!("the result has {} bytes, the limit is {}", result.len(), self.max_body);
                refuse(id, RpcError::new(ErrorCode::TooLarge, message), out);
            }
            Err(error) => refuse(id, error, out),
        }
        self.calls.remove(&id);
    }

    /// Lets large results move on, up to `high` bytes waiting in `out`, which is about to leave.
    pub(crate) fn pump(&mut self, out: &mut BytesMut, high: usize) {
        if std::mem::take(&mut self.crowded) {
            for call in self.calls.values_mut() {
                if let Active::Items(flow) = call {
                    flow.wake();
                }
            }
        }
        let calls = &mut self.calls;
        self.bodies.pump(out, high, |id| {
            calls.remove(&id);
        });
    }

    /// The substream is gone: every handler is told.
    pub(crate) fn close(&mut self) {
        self.bodies = Bodies::default();
        for (_, call) in self.calls.drain() {
            call.cancel();
        }
    }
}

impl Active {
    /// Tells the handler.
    fn cancel(self) {
        match self {
            Self::Running { cancelled, .. } => cancelled.cancel(),
            Self::Items(mut flow) => {
                flow.cancelled.cancel();
                flow.wake();
            }
            Self::Arriving(..) | Self::Leaving => {}
        }
    }
}

fn refuse(id: u64, error: RpcError, out: &mut BytesMut) {
    Message::Err { id, error }.encode_into(out);
}

fn unreadable(error: &msgpack::DecodeError) -> RpcError {
    RpcError::new(ErrorCode::InvalidEnvelope, format!("the request's body cannot be read: {error}"))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
