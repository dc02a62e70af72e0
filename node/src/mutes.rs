//! Peers whose events and messages start nothing at this node.

use crate::{
    kept_peers::{KeptPeers, List, PeerListError},
    node::Node,
    peers::PeerRef,
    store::{Store, StoreError},
    target::Target,
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
    pub async fn add(&self, target: impl Into<Target>) -> Result<(PeerRef, bool), PeerListError> {
        let peer = self.node.addressee(&target.into()).await?;
        Ok(self.list.change(peer, true).await?)
    }

    /// Hears a peer again: by its id, a beginning of it, or the name under which it is on the list. Who that is, and whether
    /// it was muted.
    ///
    /// # Errors
    /// [`PeerListError`].
    pub async fn remove(&self, target: impl Into<Target>) -> Result<(PeerRef, bool), PeerListError> {
        let target = target.into();
        let peer = match self.list.meant(&target).await? {
            Some(peer) => peer,
            None => self.node.addressee(&target).await?,
        };
        Ok(self.list.change(peer, false).await?)
    }

    /// All of them, under the names they had when they were muted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<PeerRef>, StoreError> {
        self.list.all().await
    }

    /// Those that a store holds, for a node that does not run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept(store: &Store) -> Result<Vec<PeerRef>, StoreError> {
        KeptPeers::new(store.clone(), LIST).all().await
    }
}

#[cfg(test)]
mod tests {
    use libp2p::PeerId;

    use super::*;
    use crate::presets;

    #[tokio::test]
    async fn who_is_muted_lasts() {
        let folder = tempfile::tempdir().unwrap();
        let peer = PeerRef { id: PeerId::random(), name: String::new() };
        for before in [false, true] {
            let store = Store::open(&folder.path().join("node.db"), &crate::store::Options::default()).unwrap();
            let node = Node::builder(presets::Loopback).local(false).store(store).start().await.unwrap();
            let mutes = node.mutes().unwrap();
            assert_eq!(mutes.list().await.unwrap().contains(&peer), before);
            assert_eq!(mutes.add(peer.id).await.unwrap(), (peer.clone(), !before));
            assert_eq!(mutes.add(peer.id).await.unwrap(), (peer.clone(), false));
            if before {
                assert_eq!(mutes.remove(peer.id).await.unwrap(), (peer.clone(), true));
                assert_eq!(mutes.list().await.unwrap(), []);
            }
            node.shutdown().await;
        }
    }
}
