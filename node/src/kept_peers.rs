//! Lists of peers that the user makes and that last.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::{
    peers::{PeerRef, PeerState},
    store::{Read, Store, StoreError},
    target::{Candidate, Resolution, Target, TargetError},
};

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

    /// Puts a peer on the list, or takes it off. Who that is, by the name on the list if no other is given, and whether that
    /// changed anything.
    pub(crate) async fn change(&self, mut peer: PeerRef, on: bool) -> Result<(PeerRef, bool), StoreError> {
        let List { key, what, most } = self.list;
        let changed = self.store.write_durably(move |tables| {
            let mut peers = read(&*tables, key)?;
            let id = peer.id.to_string();
            let before = peers.remove(&id);
            let changed = before.is_some() != on;
            if let (true, Some(before)) = (peer.name.is_empty(), before) {
                peer.name = before;
            }
            if on {
                peers.insert(id, peer.name.clone());
            }
            if peers.len() > most {
                return Err(StoreError::Full(format!("{most} peers are {what} already")));
            }
            tables.put_note(key, (!peers.is_empty()).then(|| write(&peers)).as_deref())?;
            Ok((peer, changed))
        });
        changed.await
    }

    /// All of them, under the names they had when they were put there.
    pub(crate) async fn all(&self) -> Result<Vec<PeerRef>, StoreError> {
        let key = self.list.key;
        let peers = self.store.read(move |tables| read(tables, key)).await?;
        Ok(peers.into_iter().filter_map(|(id, name)| Some(PeerRef { id: id.parse().ok()?, name })).collect())
    }

    /// Who of the list is meant, if anybody: by id, by a beginning of it, or by name. This node may know nothing else of it.
    pub(crate) async fn meant(&self, target: &Target) -> Result<Option<PeerRef>, PeerListError> {
        let peers = self.all().await?;
        let candidates: Vec<Candidate> = peers.iter().map(candidate).collect();
        // In which swarm it was met is not kept.
        let meant = target.name().map_or_else(|| target.clone(), Target::from);
        match meant.resolve(&candidates) {
            Resolution::Found(ids) => Ok(peers.into_iter().find(|peer| ids.contains(&peer.id))),
            Resolution::Ambiguous(candidates) => {
                Err(TargetError::Ambiguous { target: target.to_string(), candidates }.into())
            }
            Resolution::Unknown { .. } => Ok(None),
        }
    }
}

fn candidate(peer: &PeerRef) -> Candidate {
    Candidate {
        id: peer.id,
        name: peer.name.clone(),
        role: String::new(),
        swarms: Vec::new(),
        capabilities: Vec::new(),
        rtt: None,
        state: PeerState::Offline,
    }
}

/// As lists are kept, and as 0.1.0 kept them: without names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kept {
    Named(BTreeMap<String, String>),
    Ids(Vec<String>),
}

/// Names by ids. What is kept that is no list is an empty one.
fn read(tables: &(impl Read + ?Sized), key: &str) -> Result<BTreeMap<String, String>, StoreError> {
    let kept = tables.note(key)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    Ok(match kept {
        Some(Kept::Named(peers)) => peers,
        Some(Kept::Ids(ids)) => ids.into_iter().map(|id| (id, String::new())).collect(),
        None => BTreeMap::new(),
    })
}

fn write(peers: &BTreeMap<String, String>) -> Vec<u8> {
    serde_json::to_vec(peers).unwrap_or_default()
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
    use libp2p::PeerId;

    use super::*;
    use crate::store::Options;

    const LIST: List = List { key: "muted", what: "muted", most: 3 };

    fn called(name: &str) -> PeerRef {
        PeerRef { id: PeerId::random(), name: name.to_owned() }
    }

    #[tokio::test]
    async fn whoever_is_on_a_list_is_meant_by_name_and_by_the_beginning_of_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let list = KeptPeers::new(Store::open(&folder.path().join("node.db"), &Options::default()).unwrap(), LIST);
        let (moss, fern) = (called("moss"), called("fern"));
        for peer in [&moss, &fern] {
            assert_eq!(list.change(peer.clone(), true).await.unwrap(), (peer.clone(), true));
        }
        let meant = async |text: &str| list.meant(&Target::from(text)).await;
        assert_eq!(meant("moss").await.unwrap(), Some(moss.clone()));
        assert_eq!(meant("moss@garden").await.unwrap(), Some(moss.clone()));
        assert_eq!(meant(&fern.id.to_string()).await.unwrap(), Some(fern.clone()));
        assert_eq!(meant(&fern.id.to_string()[..20]).await.unwrap(), Some(fern));
        assert_eq!(meant("clover").await.unwrap(), None);
        let nameless = PeerRef { id: moss.id, name: String::new() };
        assert_eq!(list.change(nameless.clone(), true).await.unwrap(), (moss.clone(), false), "called as before");
        let other = called("moss");
        list.change(other.clone(), true).await.unwrap();
        let both = meant("moss").await;
        assert!(matches!(both, Err(PeerListError::Target(TargetError::Ambiguous { .. }))), "{both:?}");
        assert!(matches!(list.change(called("many"), true).await, Err(StoreError::Full(_))));
        assert_eq!(list.change(nameless, false).await.unwrap(), (moss, true));
        assert_eq!(meant("moss").await.unwrap(), Some(other));
    }

    #[tokio::test]
    async fn a_list_of_0_1_0_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("node.db"), &Options::default()).unwrap();
        let (list, peer) = (KeptPeers::new(store.clone(), LIST), called(""));
        let old = serde_json::to_vec(&[peer.id.to_string()]).unwrap();
        store.write_durably(move |tables| tables.put_note(LIST.key, Some(&old))).await.unwrap();
        assert_eq!(list.all().await.unwrap(), std::slice::from_ref(&peer));
        assert_eq!(list.change(peer.clone(), false).await.unwrap(), (peer, true));
    }
}
