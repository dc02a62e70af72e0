//! Peers with which this node has nothing to do.

use libp2p::PeerId;

use crate::{
    command::Command,
    kept_peers::{KeptPeers, List, PeerListError},
    node::Node,
    peers::PeerRef,
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
    pub async fn add(&self, target: impl Into<Target>) -> Result<(PeerRef, bool), PeerListError> {
        let peer = self.node.addressee(&target.into()).await?;
        if peer.id == self.node.peer_id() {
            return Err(PeerListError::Own);
        }
        self.change(peer, true).await
    }

    /// Lets a peer be again: by its id, a beginning of it, or the name under which it is on the list. Who that is, and
    /// whether it was blocked.
    ///
    /// # Errors
    /// [`PeerListError`].
    pub async fn remove(&self, target: impl Into<Target>) -> Result<(PeerRef, bool), PeerListError> {
        let target = target.into();
        let peer = match self.list.meant(&target).await? {
            Some(peer) => peer,
            None => self.node.addressee(&target).await?,
        };
        self.change(peer, false).await
    }

    async fn change(&self, peer: PeerRef, block: bool) -> Result<(PeerRef, bool), PeerListError> {
        let id = peer.id;
        let changed = self.list.change(peer, block).await?;
        self.node.send(Command::Block { peer: id, block }).await;
        Ok(changed)
    }

    /// All of them, under the names they had when they were blocked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<PeerRef>, StoreError> {
        self.list.all().await
    }

    /// Those that a store holds, for a node that is about to run.
    pub(crate) async fn kept(store: &Store) -> Result<Vec<PeerId>, StoreError> {
        let kept = KeptPeers::new(store.clone(), LIST).all().await?;
        Ok(kept.into_iter().map(|peer| peer.id).collect())
    }
}
