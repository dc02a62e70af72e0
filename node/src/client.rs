//! Calling one address without being a member of anything.

use std::time::Duration;

use libp2p::PeerId;
use p2pnode_wire::card::EndpointInfo;
use serde::de::DeserializeOwned;

use crate::{
    BootstrapAddr,
    call::{Call, CallError},
    endpoint::IntoArgs,
    node::Node,
    presets,
    start::StartError,
};

/// Time for the connection.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to one node, given by its address: no discovery, no membership unless [`Client::swarm`] names one.
#[derive(Debug, Clone)]
pub struct Client {
    node: Node,
    peer: PeerId,
    addr: BootstrapAddr,
}

/// Why a client could not connect.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address is not one.
    #[error("{0}")]
    Address(#[from] crate::AddrError),
    /// The client's own node could not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Nobody answered there.
    #[error("{addr} cannot be reached: {reason}")]
    Unreachable {
        /// The address.
        addr: String,
        /// Why, for each way that was tried.
        reason: String,
    },
}

impl Client {
    /// Connects to `host:port`, `ip:port`, `[v6]:port` or a multiaddr; the default port is 9999. Without a swarm only
    /// endpoints declared public answer, and the reserved ones do not.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(addr: &str) -> Result<Self, ConnectError> {
        Self::connect_in(addr, None).await
    }

    /// The same as a member of an open swarm.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn swarm(self, name: &str) -> Result<Self, ConnectError> {
        let addr = self.addr.to_string();
        self.close().await;
        Self::connect_in(&addr, Some(name)).await
    }

    async fn connect_in(addr: &str, swarm: Option<&str>) -> Result<Self, ConnectError> {
        let addr: BootstrapAddr = addr.parse()?;
        let mut builder = Node::builder(presets::Command).mdns(false).local(false);
        if let Some(name) = swarm {
            builder = builder.swarm(name);
        }
        let node = builder.start().await?;
        match node.connect_any(&addr, CONNECT).await {
            Ok(peer) => Ok(Self { node, peer, addr }),
            Err(reason) => Err(ConnectError::Unreachable { addr: addr.to_string(), reason }),
        }
    }

    /// Calls an endpoint: `let three: i64 = client.call("sum", kwargs! { a: 1, b: 2 }).await?`.
    pub fn call<R: DeserializeOwned>(&self, endpoint: impl Into<String>, args: impl IntoArgs) -> Call<R> {
        self.node.call(self.peer, endpoint, args)
    }

    /// Whom this client is connected to.
    pub fn peer_id(&self) -> PeerId {
        self.peer
    }

    /// What the peer publishes.
    ///
    /// # Errors
    /// As for [`Node::call`].
    pub async fn methods(&self) -> Result<Vec<EndpointInfo>, CallError> {
        self.node.methods(self.peer).await
    }

    /// Ends the connection.
    pub async fn close(self) {
        self.node.shutdown().await;
    }
}
