//! Names for those who read the file without a node: events tell of their swarm by its id alone.

use libp2p::PeerId;
use p2pnode_behaviours::key_of;
use p2pnode_wire::{
    ids::{PeerKey, SwarmId, SwarmName},
    msgpack,
};
use serde::{Deserialize, Serialize};

use crate::store::{Store, StoreError};

const NOTE: &str = "names";

/// Swarms that are remembered after the node has left them.
const SWARMS: usize = 256;

/// What this node and its swarms are called.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Names {
    pub(crate) own: Option<PeerKey>,
    pub(crate) name: String,
    /// The last ones first.
    swarms: Vec<(SwarmId, String)>,
}

impl Names {
    /// What a swarm is called.
    pub(crate) fn swarm(&self, id: &SwarmId) -> Option<String> {
        self.swarms.iter().find(|(known, _)| known == id).map(|(_, name)| name.clone())
    }
}

/// Leaves them in a file; in memory nobody could read them.
pub(crate) async fn introduce(
    store: &Store,
    own: &PeerId,
    name: &str,
    swarms: &[(SwarmId, SwarmName)],
) -> Result<(), StoreError> {
    if !store.is_durable() {
        return Ok(());
    }
    let before = read(store).await?;
    let mut all: Vec<(SwarmId, String)> = swarms.iter().map(|(id, name)| (*id, name.to_string())).collect();
    all.extend(before.swarms.iter().filter(|(id, _)| swarms.iter().all(|(now, _)| now != id)).cloned());
    all.truncate(SWARMS);
    let names = Names { own: key_of(own), name: name.to_owned(), swarms: all };
    if names == before {
        return Ok(());
    }
    let bytes = msgpack::encode(&names);
    store.write(move |tables| tables.put_note(NOTE, Some(&bytes))).await
}

/// What was left; nothing if it cannot be read, names are for show.
pub(crate) async fn read(store: &Store) -> Result<Names, StoreError> {
    let left = store.read(|tables| tables.note(NOTE)).await?;
    Ok(left.and_then(|bytes| msgpack::decode(&bytes).ok()).unwrap_or_default())
}
