//! What tests of nodes on this host have in common.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::time::Duration;

use p2pnode::{Builder, CallError, Node, Paths, Value, presets};

/// Far more than anything here takes.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The pace of looking whether a condition holds: what handlers and tasks of a node do tells nobody.
const OFTEN: Duration = Duration::from_millis(10);

/// A host of its own: its nodes see each other and no others.
pub(crate) struct Host(pub(crate) tempfile::TempDir);

impl Host {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn builder(&self, name: &str) -> Builder {
        Node::builder(presets::Loopback)
            .paths(Paths::in_folder(self.0.path()).expect("paths"))
            .swarm("garden")
            .name(name)
    }
}

/// A node that serves and one that calls it, on a host of their own.
pub(crate) struct Pair {
    pub(crate) server: Node,
    pub(crate) caller: Node,
    _host: Host,
}

impl Pair {
    pub(crate) async fn start(serve: impl FnOnce(Builder) -> Builder) -> Self {
        let host = Host::new();
        let server = serve(host.builder("server")).start().await.expect("started");
        let caller = host.builder("caller").start().await.expect("started");
        Self { server, caller, _host: host }
    }

    /// Calls an endpoint without arguments.
    pub(crate) async fn call(&self, endpoint: &str) -> Result<Value, CallError> {
        self.caller.call("server", endpoint, ()).timeout(LIMIT).await
    }

    pub(crate) async fn shutdown(self) {
        self.server.shutdown().await;
        self.caller.shutdown().await;
    }
}

/// Waits until each sees all others.
pub(crate) async fn acquainted(nodes: &[&Node]) {
    for node in nodes {
        let others = nodes.len() - 1;
        assert!(node.wait_until(LIMIT, |peers| peers.len() >= others).await, "{} sees {:?}", node.name(), node.peers());
    }
}

/// Waits until a condition holds.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + LIMIT;
    while !condition().await {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(OFTEN).await;
    }
}
