//! Runs handlers for calls: access, room, time, and what to do when they panic.

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, OnceLock, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::rpc::{Incoming, Responder, Service};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{EventId, SwarmId, SwarmName},
    limits, msgpack,
    talk::Message,
};
use rmpv::Value;
use tokio::sync::{broadcast, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Arguments, Context, Endpoints, HandlerError, Outlet, Run, context::Called, registry::Registered};
use crate::{
    ask::Word,
    events::{NodeEvent, Told},
    node::{Node, Shared, WeakNode, lock},
    peers::PeerRef,
    talk::{Heard, Talk},
};

/// A broadcast may be worked on for so long; its author may be gone before.
const BROADCAST: Duration = Duration::from_secs(600);

/// What a caller is told to wait when an endpoint has no room.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// Who is let in.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// The swarm in whose name the call came, if it is one of ours.
    pub(crate) swarm: Option<SwarmName>,
}

/// Who is not.
#[derive(Debug, Clone)]
pub(crate) enum Refused {
    /// As if there were no such endpoint.
    Absent,
    /// The caller may know why.
    Told(RpcError),
}

/// Who may call what.
pub(crate) trait Access: Send + Sync + 'static {
    fn check(
        &self,
        peer: &PeerId,
        remote: &Multiaddr,
        swarm: Option<&SwarmId>,
        public: bool,
    ) -> Result<Admission, Refused>;
}

/// Takes calls on the connections' tasks and runs each on a task of its own.
pub(crate) struct Runner {
    endpoints: Endpoints,
    access: Box<dyn Access>,
    shared: Shared,
    node: Arc<OnceLock<WeakNode>>,
    /// Broadcasts that are being worked on, and whose they are.
    broadcasts: Arc<Mutex<HashMap<EventId, (PeerId, CancellationToken)>>>,
}

impl Runner {
    /// The node does not exist yet when its behaviours are made; it is set a moment later.
    pub(crate) fn new(
        endpoints: Endpoints,
        access: impl Access,
        shared: Shared,
    ) -> (Arc<Self>, Arc<OnceLock<WeakNode>>) {
        let node = Arc::new(OnceLock::new());
        let access = Box::new(access);
        let runner = Self { endpoints, access, shared, node: node.clone(), broadcasts: Arc::default() };
        (Arc::new(runner), node)
    }

    /// Runs the endpoint that a member calls by a broadcast, if this node serves it and the member is let in.
    pub(crate) fn hear(&self, node: &Node, heard: &Heard, message: Message) {
        // By whatever name it is called: an alias of a reserved one is as reserved.
        let Some(endpoint) = self.endpoints.get(&message.endpoint).filter(|e| !e.name.starts_with('_')) else { return };
        let cancelled = CancellationToken::new();
        lock(&self.broadcasts).insert(heard.id, (heard.author, cancelled.clone()));
        let called = Arc::new(Called::new(Talk::new(node, heard, &message)));
        let cx = Context {
            caller: node.author_of(heard),
            remote: node.remote_of(&heard.author).unwrap_or_else(Multiaddr::empty),
            swarm: node.swarm_name(&heard.event.swarm),
            endpoint: endpoint.name.clone(),
            deadline: Instant::now() + BROADCAST,
            trace: heard.event.trace.clone(),
            hop: 0,
            node: node.downgrade(),
            cancelled: cancelled.clone(),
            talk: Some(called.clone()),
        };
        let (watch, broadcasts) = (self.watch(&cx), self.broadcasts.clone());
        let (node, id, from) = (node.clone(), heard.id, (heard.author, heard.source));
        tokio::spawn(async move {
            if endpoint.public || crate::talk::reach(&node, from, &message, &cancelled).await {
                let outcome = match endpoint.slots.clone().try_acquire_owned() {
                    Ok(_permit) => {
                        let args = Arguments { args: message.args, kwargs: message.kwargs.unwrap_or_default() };
                        said(&endpoint.run, cx, args).await
                    }
                    Err(_) => Err(full(endpoint.concurrency)),
                };
                if let Some(watch) = watch {
                    watch.end(outcome.as_ref().err());
                }
                answer(&called, outcome, &cancelled).await;
            }
            lock(&broadcasts).remove(&id);
        });
    }

    /// Who broadcast wants no more answers.
    pub(crate) fn withdrawn(&self, by: PeerId, message: EventId) {
        if let Some((_, cancelled)) = lock(&self.broadcasts).get(&message).filter(|(author, _)| *author == by) {
            cancelled.cancel();
        }
    }

    /// The endpoint and who is let in, or the error. An absent endpoint and a refused one give the same bytes.
    fn admit(&self, call: &Incoming) -> Result<(Arc<Registered>, Admission), RpcError> {
        let absent = || RpcError::new(ErrorCode::EndpointNotFound, "no such endpoint");
        let found = self.endpoints.get(&call.request.endpoint);
        let public = found.as_ref().is_some_and(|e| e.public);
        match self.access.check(&call.peer, &call.remote, call.request.swarm.as_ref(), public) {
            Ok(admission) => Ok((found.ok_or_else(absent)?, admission)),
            Err(Refused::Absent) => Err(absent()),
            Err(Refused::Told(error)) => Err(error),
        }
    }
}

impl Runner {
    /// None if nobody looks, which costs nothing; the node's own endpoints are not worth a look.
    fn watch(&self, cx: &Context) -> Option<Watch> {
        let events = &self.shared.events;
        if events.receiver_count() == 0 || cx.endpoint.starts_with('_') {
            return None;
        }
        let (from, endpoint) = (cx.caller.clone(), cx.endpoint.clone());
        Some(Watch { from, endpoint, started: Instant::now(), events: events.clone() })
    }
}

impl Service for Runner {
    fn serve(&self, call: Incoming) {
        let (endpoint, admission) = match self.admit(&call) {
            Ok(admitted) => admitted,
            Err(error) => return call.reply.err(error),
        };
        let Some(node) = self.node.get() else {
            return call.reply.err(RpcError::new(ErrorCode::AgentUnavailable, "the node is starting"));
        };
        let Ok(permit) = endpoint.slots.clone().try_acquire_owned() else {
            return call.reply.err(full(endpoint.concurrency).into());
        };
        let cx = Context {
            caller: lock(&self.shared.peers).reference(call.peer),
            remote: call.remote,
            swarm: admission.swarm.map(|name| name.to_string()),
            endpoint: endpoint.name.clone(),
            deadline: call.deadline,
            trace: call.request.trace,
            hop: call.request.hop,
            node: node.clone(),
            cancelled: call.cancelled,
            talk: None,
        };
        let args = Arguments { args: call.request.args, kwargs: call.request.kwargs };
        let (watch, reply) = (self.watch(&cx), call.reply);
        tokio::spawn(async move {
            // Before the answer: who has it may call again at once.
            let done = |error: Option<&HandlerError>| {
                drop(permit);
                if let Some(watch) = watch {
                    watch.end(error);
                }
            };
            match &endpoint.run {
                Run::Once(handler) => {
                    let outcome = run(cx, |cx| handler.call(cx, args)).await;
                    done(outcome.as_ref().err());
                    reply.finish(outcome.map_err(RpcError::from));
                }
                Run::Stream(handler) => {
                    let (theirs, ours) = Outlet::pair(reply.items(limits::MAX_BODY));
                    let outcome = run(cx, |cx| handler.stream(cx, args, theirs)).await;
                    done(outcome.as_ref().err());
                    ours.finish(outcome.map_err(RpcError::from));
                }
            }
        });
    }
}

/// The last word on a broadcast, unless it was said, or is none.
async fn answer(called: &Called, outcome: Result<Bytes, HandlerError>, cancelled: &CancellationToken) {
    let word = match outcome {
        _ if cancelled.is_cancelled() => return,
        Ok(_) if called.replied.load(Ordering::Acquire) => return,
        Ok(result) => match msgpack::decode::<Value>(&result) {
            Ok(Value::Nil) => return,
            Ok(value) => Word::Reply(value),
            Err(error) => Word::Failed(RpcError::new(ErrorCode::InternalError, format!("its result: {error}"))),
        },
        Err(error) if error.is_decline() => return,
        Err(error) => Word::Failed(error.into()),
    };
    if let Err(error) = called.talk.say(&word).await {
        tracing::debug!(%error, "an answer to a broadcast is lost");
    }
}

fn full(concurrency: usize) -> HandlerError {
    let mut error = HandlerError::code(ErrorCode::Overloaded, format!("{concurrency} calls of it are running"));
    error.retry_after = Some(RETRY_AFTER);
    error
}

/// A result to be said in one: of a stream the array of its items.
async fn said(how: &Run, cx: Context, args: Arguments) -> Result<Bytes, HandlerError> {
    let handler = match how {
        Run::Once(handler) => return run(cx, |cx| handler.call(cx, args)).await,
        Run::Stream(handler) => handler,
    };
    let (done, all) = oneshot::channel();
    let reply = Responder::to(move |outcome| drop(done.send(outcome)));
    let (theirs, ours) = Outlet::pair(reply.items(limits::EVENT_MAX));
    let outcome = run(cx, |cx| handler.stream(cx, args, theirs)).await;
    ours.finish(outcome.map_err(RpcError::from));
    match all.await {
        Ok(outcome) => outcome.map_err(HandlerError::from_rpc),
        Err(_) => Err(HandlerError::code(ErrorCode::InternalError, "the items were lost")),
    }
}

async fn run<T, F>(cx: Context, handler: impl FnOnce(Context) -> F) -> Result<T, HandlerError>
where
    F: Future<Output = Result<T, HandlerError>>,
{
    let (deadline, cancelled, name) = (cx.deadline, cx.cancelled.clone(), cx.endpoint.clone());
    if deadline <= Instant::now() {
        return Err(late());
    }
    // A handler may panic before it returns its future, too.
    let work = AssertUnwindSafe(async { handler(cx).await }).catch_unwind();
    tokio::select! {
        // Most handlers are done at once, and need neither a timer nor a waker.
        biased;
        outcome = work => match outcome {
            Ok(outcome) => outcome,
            Err(_) => {
                tracing::error!(endpoint = &*name, "a handler panicked");
                Err(HandlerError::code(ErrorCode::InternalError, "the handler panicked"))
            }
        },
        () = cancelled.cancelled() => Err(HandlerError::code(ErrorCode::TransportTimeout, "the caller gave up")),
        () = tokio::time::sleep_until(deadline.into()) => Err(late()),
    }
}

fn late() -> HandlerError {
    HandlerError::code(ErrorCode::TransportTimeout, "the handler did not end in time")
}

/// A call that somebody watches.
struct Watch {
    from: PeerRef,
    endpoint: Arc<str>,
    started: Instant,
    events: broadcast::Sender<Told>,
}

impl Watch {
    fn end(self, error: Option<&HandlerError>) {
        let event = NodeEvent::CallServed {
            from: self.from,
            endpoint: self.endpoint.to_string(),
            ok: error.is_none(),
            error: error.map(|e| e.message.clone()),
            elapsed: self.started.elapsed(),
        };
        // Nobody watches any more: fine.
        let _ = self.events.send(event.into());
    }
}
