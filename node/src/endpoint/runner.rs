//! Runs handlers for calls: access, room, time, and what to do when they panic.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::FutureExt;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::rpc::{Incoming, Service};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{SwarmId, SwarmName},
};

use super::{Arguments, Context, Endpoints, HandlerError, registry::Registered};
use crate::{
    events::NodeEvent,
    node::{Shared, WeakNode, lock},
};

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
}

impl Runner {
    /// The node does not exist yet when its behaviours are made; it is set a moment later.
    pub(crate) fn service(
        endpoints: Endpoints,
        access: impl Access,
        shared: Shared,
    ) -> (Arc<dyn Service>, Arc<OnceLock<WeakNode>>) {
        let node = Arc::new(OnceLock::new());
        let runner = Self { endpoints, access: Box::new(access), shared, node: node.clone() };
        (Arc::new(runner), node)
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
            return call.reply.err(full(endpoint.concurrency));
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
        };
        let args = Arguments { args: call.request.args, kwargs: call.request.kwargs };
        let (shared, reply) = (self.shared.clone(), call.reply);
        tokio::spawn(async move {
            let started = Instant::now();
            let outcome = run(&endpoint, &cx, args).await;
            drop(permit);
            report(&shared, &endpoint, &cx, &outcome, started);
            reply.finish(outcome);
        });
    }
}

fn full(concurrency: usize) -> RpcError {
    let mut error = RpcError::new(ErrorCode::Overloaded, format!("{concurrency} calls of it are running"));
    error.retry_after = Some(RETRY_AFTER);
    error
}

async fn run(endpoint: &Registered, cx: &Context, args: Arguments) -> Result<Bytes, RpcError> {
    // A handler may panic before it returns its future, too.
    let work = async { endpoint.handler.call(cx.clone(), args).await };
    let mut work = std::pin::pin!(AssertUnwindSafe(work).catch_unwind());
    // Most handlers are done at once; only the others need a timer.
    if let Some(outcome) = (&mut work).now_or_never() {
        return conclude(endpoint, outcome);
    }
    tokio::select! {
        outcome = work => conclude(endpoint, outcome),
        () = cx.cancelled() => Err(RpcError::new(ErrorCode::TransportTimeout, "the caller gave up")),
        () = tokio::time::sleep_until(cx.deadline.into()) => {
            Err(RpcError::new(ErrorCode::TransportTimeout, "the handler did not end in time"))
        }
    }
}

fn conclude(
    endpoint: &Registered,
    outcome: Result<Result<Bytes, HandlerError>, Box<dyn Any + Send>>,
) -> Result<Bytes, RpcError> {
    match outcome {
        Ok(outcome) => outcome.map_err(HandlerError::into_rpc),
        Err(_) => {
            tracing::error!(endpoint = &*endpoint.name, "a handler panicked");
            Err(RpcError::new(ErrorCode::InternalError, "the handler panicked"))
        }
    }
}

fn report(shared: &Shared, endpoint: &Registered, cx: &Context, outcome: &Result<Bytes, RpcError>, started: Instant) {
    if shared.events.receiver_count() == 0 || endpoint.name.starts_with('_') {
        return;
    }
    let event = NodeEvent::CallServed {
        from: cx.caller.clone(),
        endpoint: endpoint.name.to_string(),
        ok: outcome.is_ok(),
        error: outcome.as_ref().err().map(|e| e.message.clone()),
        elapsed: started.elapsed(),
    };
    // Nobody watches any more: fine.
    let _ = shared.events.send(event);
}
