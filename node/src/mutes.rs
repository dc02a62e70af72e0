//! Peers whose events and messages start nothing at this node.

use std::collections::BTreeSet;

use libp2p::PeerId;

use crate::{
    node::Node,
    store::{Read, Store, StoreError},
    target::{Target, TargetError},
};

/// Under which it is kept.
const KEY: &str = "muted";

/// More are not an ear that is spared, but a swarm to leave.
const MOST: usize = 10_000;

/// The peers that a node has muted. They are members as before, and what they say is kept; programs that were hooked to
/// events are not run for them.
#[derive(Debug, Clone)]
pub struct Mutes {
    node: Node,
    store: Store,
}

impl Mutes {
    pub(crate) fn new(node: Node, store: Store) -> Self {
        Self { node, store }
    }

    /// Mutes a peer, known or not, until it is unmuted. Who that is, and whether it was not muted before.
    ///
    /// # Errors
    /// [`MuteError`].
    pub async fn add(&self, target: impl Into<Target>) -> Result<(PeerId, bool), MuteError> {
        let peer = self.node.recipient(&target.into()).await?;
        self.change(peer, true).await
    }

    /// Hears a peer again. Who that is, and whether it was muted.
    ///
    /// # Errors
    /// [`MuteError`].
    pub async fn remove(&self, target: impl Into<Target>) -> Result<(PeerId, bool), MuteError> {
        let peer = self.node.recipient(&target.into()).await?;
        self.change(peer, false).await
    }

    async fn change(&self, peer: PeerId, mute: bool) -> Result<(PeerId, bool), MuteError> {
        let changed = self.store.write_durably(move |tables| {
            let mut muted = read(&*tables)?;
            let changed = if mute { muted.insert(peer.to_string()) } else { muted.remove(&peer.to_string()) };
            if muted.len() > MOST {
                return Err(StoreError::Full(format!("{MOST} peers are muted already")));
            }
            tables.put_note(KEY, (!muted.is_empty()).then(|| write(&muted)).as_deref())?;
            Ok(changed)
        });
        Ok((peer, changed.await?))
    }

    /// All of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn list(&self) -> Result<Vec<PeerId>, StoreError> {
        Self::kept(&self.store).await
    }

    /// Those that a store holds, for a node that does not run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn kept(store: &Store) -> Result<Vec<PeerId>, StoreError> {
        let muted = store.read(|tables| read(tables)).await?;
        Ok(muted.iter().filter_map(|peer| peer.parse().ok()).collect())
    }
}

/// What is kept that is no list mutes nobody.
fn read(tables: &(impl Read + ?Sized)) -> Result<BTreeSet<String>, StoreError> {
    let kept = tables.note(KEY)?;
    Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

fn write(muted: &BTreeSet<String>) -> Vec<u8> {
    serde_json::to_vec(muted).unwrap_or_default()
}

/// Why a peer was not muted, or unmuted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MuteError {
    /// Who is meant is not known.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// It cannot be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
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
