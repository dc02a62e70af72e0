//! Peers whose events and messages start nothing at this node.

use libp2p::PeerId;

use crate::{
    kept_peers::{KeptPeers, List},
    node::Node,
    store::{Store, StoreError},
    target::{Target, TargetError},
};

/// More are not an ear that is spared, but a swarm to leave.
const LIST: List = List { key: "muted", what: "muted", most: 10_000 };

/// The peers that a node has muted. They are members as before, and what they say is kept; programs that were hooked to
/// events are not run for them.
#[derive(Debug, Clone)]
pub struct Mutes {
    node: Node,
    list: KeptPeers,
}

impl Mutes {
    pub(crate) fn new(node: Node, store: Store) -> Self {
        Self { node, list: KeptPeers::new(store, LIST) }
    }

    /// Mutes a peer, known or not, until it is unmuted. Who that is, and whether it was not muted before.
    ///
    /// # Errors
    /// [`PeerListError`].
    pub async fn add(&self, target: impl Into<Target>) -> Result<(PeerId, bool), PeerListError> {
        let peer = self.node.recipient(&target.into()).await?;
        Ok((peer, self.list.change(peer, true).await?))
    }

    /// Hears a peer again. Who that is, and whether it was muted.
    ///
    /// # Errors
    /// [`PeerListError`].
    pub async fn remove(&self, target: impl Into<Target>) -> Result<(PeerId, bool), PeerListError> {
        let peer = self.node.recipient(&target.into()).await?;
        Ok((peer, self.list.change(peer, false).await?))
    }

    /// All of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<PeerId>, StoreError> {
        self.list.all().await
    }

    /// Those that a store holds, for a node that does not run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept(store: &Store) -> Result<Vec<PeerId>, StoreError> {
        KeptPeers::new(store.clone(), LIST).all().await
    }
}

/// Why a peer was not put on a list, or taken off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerListError {
    /// Who is meant is not known.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// This node itself is meant.
    #[error("this is the node itself")]
    Own,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::presets;

    #[tokio::test]
    async fn who_is_muted_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let peer = PeerId::random();
        for before in [false, true] {
            let store = Store::open(&folder.path().join("node.db"), &crate::store::Options::default()).unwrap();
            let node = Node::builder(presets::Loopback).local(false).store(store).start().await.unwrap();
            let mutes = node.mutes().unwrap();
            assert_eq!(mutes.list().await.unwrap().contains(&peer), before);
            assert_eq!(mutes.add(peer).await.unwrap(), (peer, !before));
            assert_eq!(mutes.add(peer).await.unwrap(), (peer, false));
            if before {
                assert_eq!(mutes.remove(peer).await.unwrap(), (peer, true));
                assert_eq!(mutes.list().await.unwrap(), []);
            }
            node.shutdown().await;
        }
    }
}
