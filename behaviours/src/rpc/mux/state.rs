//! What frames of the fast road mean, as two pure machines: [`Caller`] for the side that opened the substream,
//! [`Callee`] for the other. They take the time and write frames into a buffer; they do no IO.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    limits, msgpack,
    rpc::{Message, Req, RequestBody},
};
use tokio_util::sync::CancellationToken;

use super::super::{CallError, Config, Request, codec::Budget, codec::Share};

/// The peer broke the protocol in a way that cannot be answered; the substream is closed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Violation(pub(crate) String);

/// A body that leaves in chunks, as far as the receiver's credit goes.
struct Outgoing {
    id: u64,
    body: Bytes,
    next: u32,
    credit: u32,
}

/// Large bodies on their way out; they take turns, so that none starves another or a small call.
#[derive(Default)]
struct Bodies(VecDeque<Outgoing>);

impl Bodies {
    fn add(&mut self, id: u64, body: Bytes) {
        self.0.push_back(Outgoing { id, body, next: 0, credit: limits::INITIAL_CREDIT });
    }

    fn credit(&mut self, id: u64, n: u32) {
        if let Some(body) = self.0.iter_mut().find(|b| b.id == id) {
            body.credit = body.credit.saturating_add(n);
        }
    }

    fn remove(&mut self, id: u64) {
        self.0.retain(|b| b.id != id);
    }

    /// Writes chunks until `out` holds `high` bytes or nothing may leave; `done` hears of each body that has left whole.
    fn pump(&mut self, out: &mut BytesMut, high: usize, mut done: impl FnMut(u64)) {
        let mut blocked = 0;
        while out.len() < high && blocked < self.0.len() {
            let Some(mut turn) = self.0.pop_front() else { return };
            if turn.credit == 0 {
                blocked += 1;
                self.0.push_back(turn);
                continue;
            }
            blocked = 0;
            let chunk = turn.body.split_to(turn.body.len().min(limits::CHUNK));
            Message::Item { id: turn.id, n: turn.next, body: chunk }.encode_into(out);
            if turn.body.is_empty() {
                Message::End { id: turn.id }.encode_into(out);
                done(turn.id);
                continue;
            }
            turn.next = turn.next.saturating_add(1);
            turn.credit -= 1;
            self.0.push_back(turn);
        }
    }
}

/// A body that arrives in chunks.
struct Assembly {
    body: BytesMut,
    next: u32,
    /// Chunks since credit was last given back.
    uncredited: u32,
    max: usize,
    share: Share,
}

impl Assembly {
    fn new(first: &[u8], max: usize, budget: &Budget) -> Result<Self, RpcError> {
        let mut assembly = Self { body: BytesMut::new(), next: 0, uncredited: 0, max, share: budget.share() };
        assembly.append(first)?;
        Ok(assembly)
    }

    fn append(&mut self, chunk: &[u8]) -> Result<(), RpcError> {
        if self.body.len().saturating_add(chunk.len()) > self.max {
            return Err(RpcError::new(ErrorCode::TooLarge, format!("the body is larger than {} bytes", self.max)));
        }
        if !self.share.grow(chunk.len()) {
            return Err(overloaded("too many bodies are being received at once"));
        }
        self.body.extend_from_slice(chunk);
        Ok(())
    }

    /// Takes chunk `n`; answers with credit to give back, if it is time.
    fn item(&mut self, n: u32, chunk: &[u8]) -> Result<Option<u32>, RpcError> {
        if n != self.next {
            let message = format!("chunk {n} where {} was due", self.next);
            return Err(RpcError::new(ErrorCode::InvalidEnvelope, message));
        }
        self.append(chunk)?;
        self.next = self.next.saturating_add(1);
        self.uncredited += 1;
        if self.uncredited < limits::INITIAL_CREDIT / 2 {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.uncredited)))
    }
}

fn overloaded(message: &str) -> RpcError {
    let mut error = RpcError::new(ErrorCode::Overloaded, message);
    error.retry_after = Some(Duration::from_millis(100));
    error
}

struct Pending<T> {
    token: T,
    deadline: Instant,
    /// A result whose first part has come.
    result: Option<Assembly>,
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

    /// Starts a call: writes its request, or the head of it when the body goes in chunks.
    pub(crate) fn start(
        &mut self,
        token: T,
        request: Request,
        deadline: Instant,
        now: Instant,
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
        self.write(request.into_req(id, deadline.saturating_duration_since(now)), out);
        self.calls.insert(id, Pending { token, deadline, result: None });
        self.earliest = Some(self.earliest.map_or(deadline, |e| e.min(deadline)));
        Ok(id)
    }

    fn write(&mut self, mut req: Req, out: &mut BytesMut) {
        if req.args.len().saturating_add(req.kwargs.len()) > limits::FRAME_PAYLOAD {
            let body = RequestBody { args: std::mem::take(&mut req.args), kwargs: std::mem::take(&mut req.kwargs) };
            req.more = true;
            self.bodies.add(req.id, body.encode());
        }
        Message::Req(req).encode_into(out);
    }

    /// Takes one frame from the callee. Answers of calls that have ended meanwhile are ignored.
    pub(crate) fn receive(&mut self, message: Message, out: &mut BytesMut) -> Result<Option<Ended<T>>, Violation> {
        match message {
            Message::Res { id, result, more: false } => Ok(self.end(id, Ok(result))),
            Message::Res { id, result, more: true } => Ok(self.begin_result(id, &result, out)),
            Message::Err { id, error } => Ok(self.end(id, Err(CallError::Remote(error)))),
            Message::Item { id, n, body } => Ok(self.item(id, n, &body, out)),
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

    fn begin_result(&mut self, id: u64, first: &[u8], out: &mut BytesMut) -> Option<Ended<T>> {
        let assembly = Assembly::new(first, self.max_body, &self.budget);
        let pending = self.calls.get_mut(&id)?;
        match assembly {
            Ok(assembly) => {
                pending.result = Some(assembly);
                None
            }
            Err(error) => self.abort(id, error, out),
        }
    }

    fn item(&mut self, id: u64, n: u32, body: &[u8], out: &mut BytesMut) -> Option<Ended<T>> {
        let result = self.calls.get_mut(&id)?.result.as_mut()?;
        match result.item(n, body) {
            Ok(Some(n)) => {
                Message::Credit { id, n }.encode_into(out);
                None
            }
            Ok(None) => None,
            Err(error) => self.abort(id, error, out),
        }
    }

    fn finish_result(&mut self, id: u64) -> Option<Ended<T>> {
        let body = self.calls.get_mut(&id)?.result.take()?.body.freeze();
        self.end(id, Ok(body))
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

enum Active {
    /// The request's body is still arriving.
    Arriving(Box<Req>, Assembly),
    /// A handler has it.
    Running(CancellationToken),
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
    max_calls: usize,
    max_body: usize,
    max_timeout: Duration,
    budget: Budget,
}

impl Callee {
    pub(crate) fn new(config: &Config, budget: Budget) -> Self {
        Self {
            calls: HashMap::new(),
            bodies: Bodies::default(),
            max_calls: config.in_flight_per_peer,
            max_body: config.max_body,
            max_timeout: config.max_timeout,
            budget,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Takes one frame from the caller.
    pub(crate) fn receive(&mut self, message: Message, out: &mut BytesMut) -> Result<Option<Arrived>, Violation> {
        match message {
            Message::Req(req) => self.request(req, out),
            Message::Item { id, n, body } => {
                self.item(id, n, &body, out);
                Ok(None)
            }
            Message::End { id } => Ok(self.finish_request(id, out)),
            Message::Cancel { id } => {
                self.cancel(id);
                Ok(None)
            }
            Message::Credit { id, n } => {
                self.bodies.credit(id, n);
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
                self.calls.insert(req.id, Active::Arriving(Box::new(req), assembly));
            }
            Err(error) => refuse(req.id, error, out),
        }
        Ok(None)
    }

    fn run(&mut self, req: Req) -> Arrived {
        let (id, cancelled) = (req.id, CancellationToken::new());
        self.calls.insert(id, Active::Running(cancelled.clone()));
        Arrived { id, request: Request::from_req(req, self.max_timeout), cancelled }
    }

    fn item(&mut self, id: u64, n: u32, body: &[u8], out: &mut BytesMut) {
        let Some(Active::Arriving(_, assembly)) = self.calls.get_mut(&id) else { return };
        match assembly.item(n, body) {
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
        let Some(Active::Arriving(mut req, assembly)) = self.calls.remove(&id) else { return None };
        match RequestBody::decode(&assembly.body.freeze()) {
            Ok(body) => {
                (req.args, req.kwargs, req.more) = (body.args, body.kwargs, false);
                Some(self.run(*req))
            }
            Err(error) => {
                refuse(id, unreadable(&error), out);
                None
            }
        }
    }

    fn cancel(&mut self, id: u64) {
        self.bodies.remove(id);
        if let Some(Active::Running(token)) = self.calls.remove(&id) {
            token.cancel();
        }
    }

    /// The handler is done. Without effect when the caller has given up meanwhile.
    pub(crate) fn finish(&mut self, id: u64, outcome: Result<Bytes, RpcError>, out: &mut BytesMut) {
        let Some(Active::Running(_)) = self.calls.get(&id) else { return };
        match outcome {
            Ok(result) if result.len() <= limits::FRAME_PAYLOAD => {
                Message::Res { id, result, more: false }.encode_into(out);
            }
            Ok(result) if result.len() <= self.max_body => {
                Message::Res { id, result: Bytes::new(), more: true }.encode_into(out);
                self.bodies.add(id, result);
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

    /// Lets large results move on, up to `high` bytes waiting in `out`.
    pub(crate) fn pump(&mut self, out: &mut BytesMut, high: usize) {
        let calls = &mut self.calls;
        self.bodies.pump(out, high, |id| {
            calls.remove(&id);
        });
    }

    /// The substream is gone: every handler is told.
    pub(crate) fn close(&mut self) {
        self.bodies = Bodies::default();
        for (_, call) in self.calls.drain() {
            if let Active::Running(token) = call {
                token.cancel();
            }
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
