//! Lists of peers that the user makes and that last.

use std::collections::BTreeSet;

use libp2p::PeerId;

use crate::store::{Read, Store, StoreError};

/// A list in the store.
#[derive(Debug, Clone)]
pub(crate) struct KeptPeers {
    store: Store,
    list: List,
}

/// Which one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List {
    /// Under which it is kept.
    pub(crate) key: &'static str,
    /// What its peers are, for the error.
    pub(crate) what: &'static str,
    pub(crate) most: usize,
}

impl KeptPeers {
    pub(crate) fn new(store: Store, list: List) -> Self {
        Self { store, list }
    }

    /// Puts a peer on the list, or takes it off. Whether that changed anything.
    pub(crate) async fn change(&self, peer: PeerId, on: bool) -> Result<bool, StoreError> {
        let List { key, what, most } = self.list;
        let changed = self.store.write_durably(move |tables| {
            let mut peers = read(&*tables, key)?;
            let changed = if on { peers.insert(peer.to_string()) } else { peers.remove(&peer.to_string()) };
            if peers.len() > most {
                return Err(StoreError::Full(format!("{most} peers are {what} already")));
            }
            tables.put_note(key, (!peers.is_empty()).then(|| write(&peers)).as_deref())?;
            Ok(changed)
        });
        changed.await
    }

    /// All of them.
    pub(crate) async fn all(&self) -> Result<Vec<PeerId>, StoreError> {
        let key = self.list.key;
        let peers = self.store.read(move |tables| read(tables, key)).await?;
        Ok(peers.iter().filter_map(|peer| peer.parse().ok()).collect())
    }
}

/// What is kept that is no list is an empty one.
fn read(tables: &(impl Read + ?Sized), key: &str) -> Result<BTreeSet<String>, StoreError> {
    let kept = tables.note(key)?;
    Ok(kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default())
}

fn write(peers: &BTreeSet<String>) -> Vec<u8> {
    serde_json::to_vec(peers).unwrap_or_default()
}
