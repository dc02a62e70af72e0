use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::Multiaddr;
use tokio_util::sync::CancellationToken;

use crate::{
    node::{Node, WeakNode},
    peers::PeerRef,
};

/// What comes with a call.
#[derive(Clone)]
pub struct Context {
    /// Who calls; proven by the connection. The name is a label.
    pub caller: PeerRef,
    /// Where the call comes from.
    pub remote: Multiaddr,
    /// In the name of which swarm; none for a call of a public endpoint.
    pub swarm: Option<String>,
    /// The endpoint that was called.
    pub endpoint: Arc<str>,
    /// When the caller stops waiting.
    pub deadline: Instant,
    /// W3C `traceparent`.
    pub trace: Option<String>,
    /// Nodes the call has passed through.
    pub hop: u8,
    pub(super) node: WeakNode,
    pub(super) cancelled: CancellationToken,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("caller", &self.caller)
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl Context {
    /// Whether the caller no longer waits.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Waits until the caller no longer waits. The handler's future is dropped then.
    pub async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Time until the caller stops waiting.
    pub fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The node that was called, to call others from a handler; none while it stops.
    pub fn node(&self) -> Option<Node> {
        self.node.upgrade()
    }
}
