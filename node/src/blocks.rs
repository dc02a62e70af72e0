//! Peers with which this node has nothing to do.

use libp2p::PeerId;

use crate::{
    command::Command,
    kept_peers::{KeptPeers, List},
    mutes::PeerListError,
    node::Node,
    store::{Store, StoreError},
    target::Target,
};

/// Each is looked for in a set at every connection and event. More are not a neighbour that is avoided, but a swarm to
/// leave.
const LIST: List = List { key: "blocked", what: "blocked", most: 10_000 };

/// The peers that a node has blocked: they are not connected with, are in no list of this node, and what they say, by
/// whomever it comes, is neither told nor kept here. Others do as they like.
#[derive(Debug, Clone)]
pub struct Blocks {
    node: Node,
    list: KeptPeers,
}

impl Blocks {
    pub(crate) fn new(node: Node, store: Store) -> Self {
        Self { node, list: KeptPeers::new(store, LIST) }
    }

    /// Blocks a peer, known or not, until it is unblocked. Who that is, and whether it was not blocked before.
    ///
    /// # Errors
    /// [`PeerListError`].
    pub async fn add(&self, target: impl Into<Target>) -> Result<(PeerId, bool), PeerListError> {
        let peer = self.node.recipient(&target.into()).await?;
        if peer == self.node.peer_id() {
            return Err(PeerListError::Own);
        }
        self.change(peer, true).await
    }

    /// Lets a peer be again: by its id, or the beginning of it if it is on the list. Who that is, and whether it was
    /// blocked.
    ///
    /// # Errors
    /// [`PeerListError`].
    pub async fn remove(&self, target: impl Into<Target>) -> Result<(PeerId, bool), PeerListError> {
        let target = target.into();
        let blocked = self.list.all().await?;
        let text = target.to_string();
        let mut fitting = blocked.iter().filter(|peer| text.len() >= 6 && peer.to_string().starts_with(&text));
        let peer = match (target.peer_id(), fitting.next(), fitting.next()) {
            (Some(peer), ..) | (None, Some(&peer), None) => peer,
            _ => self.node.recipient(&target).await?,
        };
        self.change(peer, false).await
    }

    async fn change(&self, peer: PeerId, block: bool) -> Result<(PeerId, bool), PeerListError> {
        let changed = self.list.change(peer, block).await?;
        self.node.send(Command::Block { peer, block }).await;
        Ok((peer, changed))
    }

    /// All of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<PeerId>, StoreError> {
        self.list.all().await
    }

    /// Those that a store holds, for a node that is about to run.
    pub(crate) async fn kept(store: &Store) -> Result<Vec<PeerId>, StoreError> {
        KeptPeers::new(store.clone(), LIST).all().await
    }
}
