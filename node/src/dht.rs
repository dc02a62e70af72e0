//! Values, providers and lookups in the Kademlia table that all p2pnodes share.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
pub use p2pnode_behaviours::discovery::{DhtStats, TablePeer};
use p2pnode_behaviours::key_of;
use p2pnode_wire::{limits, value};
use tokio::sync::oneshot;

use crate::{
    command::Command,
    identity::Identity,
    node::Node,
    target::{Target, TargetError},
};

/// A one-command node looks for a value that nobody has so many times more, with pauses.
const NOT_FOUND_AGAIN: u32 = 2;
const NOT_FOUND_PAUSE: Duration = Duration::from_millis(500);

/// For the first peer that takes part in the DHT, and between two looks.
const ACQUAINTED: Duration = Duration::from_secs(3);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Time for one query.
const QUERY: Duration = Duration::from_secs(12);

/// Why the DHT gave no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DhtError {
    /// Nobody to ask: no connected peer takes part in the DHT.
    #[error("no connected peer takes part in the DHT")]
    Alone,
    /// Nobody asked has it.
    #[error("nobody has a value under {key}")]
    NotFound {
        /// The key.
        key: String,
    },
    /// The value is too large.
    #[error("the value has {size} bytes with its signature, the limit is {max}")]
    TooLarge {
        /// Bytes of the record.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Nobody stored it.
    #[error("nobody stored it: {0}")]
    NotStored(String),
    /// The name of the owner is unknown or ambiguous.
    #[error("{0}")]
    Target(#[from] TargetError),
    /// The query did not end in time.
    #[error("the query did not end within {} s", QUERY.as_secs())]
    TimedOut,
    /// The node was started without the DHT.
    #[error("this node runs without the DHT")]
    Off,
    /// The node has stopped.
    #[error("the node is shutting down")]
    Shutdown,
}

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueFound {
    /// The owner, who signed it.
    pub owner: PeerId,
    /// Its name.
    pub name: String,
    /// Which version of it, rising.
    pub seq: u64,
    /// When the owner wrote it, milliseconds since 1970 on the owner's clock.
    pub at_ms: u64,
    /// The value.
    pub body: Bytes,
    /// Who answered; none for one's own.
    pub from: Option<PeerId>,
}

/// Who announced something.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProvidersFound {
    /// Who provides it, in order of finding.
    pub providers: Vec<PeerId>,
    /// Requests the query needed.
    pub requests: u32,
    /// Of these, how many got no answer: whoever was asked cannot be reached, or answered too late.
    pub failures: u32,
}

/// Where a peer is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PeerFound {
    /// Its addresses, if it was found.
    pub addresses: Option<Vec<Multiaddr>>,
    /// Requests the query needed.
    pub requests: u32,
    /// Of these, how many got no answer: whoever was asked cannot be reached, or answered too late.
    pub failures: u32,
}

/// The DHT, as this node sees it.
#[derive(Debug, Clone)]
pub struct Dht {
    node: Node,
}

impl Dht {
    pub(crate) fn new(node: Node) -> Self {
        Self { node }
    }

    /// Writes a value of one's own under `name`, signed, at most 4 KiB in all; returns how many nodes are known to hold
    /// it. The node repeats it as long as it runs.
    ///
    /// # Errors
    /// [`DhtError`].
    pub async fn put(&self, name: &str, body: Bytes) -> Result<usize, DhtError> {
        self.put_as(&self.node.inner().identity, name, body).await
    }

    /// The same in the name of another identity: a command that speaks for a node signs with that node's key, without
    /// being a second node of that key.
    ///
    /// # Errors
    /// [`DhtError`].
    pub async fn put_as(&self, owner: &Identity, name: &str, body: Bytes) -> Result<usize, DhtError> {
        // Milliseconds rise across restarts without a counter on disk.
        let (at_ms, key) = (self.node.now_ms(), owner.peer_key());
        let value = value::Value { v: 1, owner: key, name: name.to_owned(), seq: at_ms, at_ms, body };
        let sealed = value.seal(&owner.signing_key()).into_raw();
        let (size, max) = (sealed.len(), limits::VALUE_MAX);
        if size > max {
            return Err(DhtError::TooLarge { size, max });
        }
        self.query(|done| Command::PutValue { sealed: sealed.clone(), done }).await
    }

    /// The peers in this node's routing table, those of the nearest buckets first; none without the DHT.
    ///
    /// # Errors
    /// [`DhtError::Shutdown`].
    pub async fn table(&self) -> Result<Vec<TablePeer>, DhtError> {
        Ok(self.look().await?.0)
    }

    /// Numbers of the DHT at this node.
    ///
    /// # Errors
    /// [`DhtError::Shutdown`].
    pub async fn stats(&self) -> Result<DhtStats, DhtError> {
        Ok(self.look().await?.1)
    }

    async fn look(&self) -> Result<(Vec<TablePeer>, DhtStats), DhtError> {
        let (done, table) = oneshot::channel();
        self.node.send(Command::Table { done }).await;
        table.await.map_err(|_| DhtError::Shutdown)
    }

    /// Reads `NAME` of this node, or `PEER/NAME` of another, where PEER is a name, id or prefix.
    ///
    /// # Errors
    /// [`DhtError`].
    pub async fn get(&self, name: &str) -> Result<ValueFound, DhtError> {
        let (owner, name) = match name.split_once('/') {
            Some((peer, name)) => {
                let target = Target::from(peer);
                // A whole id needs no node of that id: the value speaks for itself.
                let owner = match target.peer_id() {
                    Some(id) => id,
                    None => crate::resolve::id(&self.node, &target).await?,
                };
                (owner, name)
            }
            None => (self.node.peer_id(), name),
        };
        let owner = key_of(&owner).ok_or_else(|| DhtError::NotFound { key: name.to_owned() })?;
        let key = value::key(&owner, name);
        let mut again = NOT_FOUND_AGAIN;
        loop {
            let outcome = self.query(|done| Command::GetValue { key: key.clone(), done }).await;
            if !matches!(outcome, Err(DhtError::NotFound { .. })) || again == 0 || !self.node.is_ephemeral() {
                return outcome;
            }
            // Who has just come knows one or two nodes, and these may have just come too.
            again -= 1;
            tokio::time::sleep(NOT_FOUND_PAUSE).await;
        }
    }

    /// Who has announced a key, such as `/p2pnode/swarm/<hex>`.
    ///
    /// # Errors
    /// [`DhtError`].
    pub async fn providers(&self, key: &str) -> Result<ProvidersFound, DhtError> {
        self.providers_of(key, usize::MAX).await
    }

    /// The same, but no more than about `enough` are looked for.
    pub(crate) async fn providers_of(&self, key: &str, enough: usize) -> Result<ProvidersFound, DhtError> {
        let key = key.to_owned();
        self.query(|done| Command::Providers { key: key.clone(), enough, done }).await
    }

    /// Where a peer is, as the nodes nearest to its id tell.
    ///
    /// # Errors
    /// [`DhtError`].
    pub async fn lookup(&self, peer: PeerId) -> Result<PeerFound, DhtError> {
        self.query(|done| Command::Lookup { peer, done }).await
    }

    /// A node that has just started knows nobody in the DHT yet: that is waited for.
    async fn query<T>(&self, command: impl Fn(oneshot::Sender<Result<T, DhtError>>) -> Command) -> Result<T, DhtError> {
        let (mut changed, started) = (self.node.changed(), Instant::now());
        loop {
            match self.query_once(&command).await {
                Err(DhtError::Alone) if started.elapsed() < ACQUAINTED => {
                    let _ = tokio::time::timeout(LOOK_AGAIN, changed.changed()).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn query_once<T>(
        &self,
        command: impl Fn(oneshot::Sender<Result<T, DhtError>>) -> Command,
    ) -> Result<T, DhtError> {
        let (done, ended) = oneshot::channel();
        if !self.node.send(command(done)).await {
            return Err(DhtError::Shutdown);
        }
        match tokio::time::timeout(QUERY, ended).await {
            Ok(outcome) => outcome.unwrap_or(Err(DhtError::Shutdown)),
            Err(_) => Err(DhtError::TimedOut),
        }
    }
}
