//! Members of earlier runs: where they were, so that they are found again without anybody's help.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{key_of, peer_of};
use p2pnode_wire::{card::Card, sign::Signed};

use crate::{
    node::{Node, lock},
    store::{PeerRow, Store, StoreError},
};

/// Remembered: as many as a bucket of the routing table has places for, a few times over.
const REMEMBERED: usize = 128;

/// Dialled at start: each tells of the others.
pub(crate) const DIALLED: usize = 8;

/// How often they are written down: at first soon, since a node that is young may be killed as well.
pub(crate) const FIRST_AFTER: Duration = Duration::from_secs(20);
pub(crate) const EVERY: Duration = Duration::from_secs(300);

/// A member of an earlier run.
#[derive(Debug, Clone)]
pub(crate) struct Acquaintance {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    name: String,
}

impl Acquaintance {
    fn new(row: &PeerRow) -> Option<Self> {
        let card = Card::read(&Signed::parse(row.card.clone()).ok()?).ok()?;
        let addresses = row.addresses.iter().filter_map(|addr| addr.parse().ok()).collect();
        Some(Self { peer: peer_of(&row.peer)?, addresses, name: card.name })
    }
}

/// Those of the last run, the last seen first.
pub(crate) async fn load(store: &Store) -> Result<Vec<Acquaintance>, StoreError> {
    let rows = store.read(|tables| tables.peers(REMEMBERED)).await?;
    Ok(rows.iter().filter_map(Acquaintance::new).collect())
}

/// Writes down those of this run; of one that met nobody, the earlier ones stay.
pub(crate) async fn keep(store: &Store, node: &Node) -> Result<(), StoreError> {
    let rows = rows(node);
    if rows.is_empty() {
        return Ok(());
    }
    store.write(move |tables| tables.replace_peers(&rows)).await
}

fn rows(node: &Node) -> Vec<PeerRow> {
    let now = node.now_ms();
    let mut known = lock(&node.inner().shared.peers).remembered();
    known.sort_by_key(|(_, _, seen)| *seen);
    let row = |(peer, signed, seen): (PeerId, bytes::Bytes, Duration)| {
        let card = Card::read(&Signed::parse(signed.clone()).ok()?).ok()?;
        let seen = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        let (peer, addresses) = (key_of(&peer)?, card.addresses);
        Some(PeerRow { peer, addresses, card: signed, seen_ms: now.saturating_sub(seen), in_table: false })
    };
    known.into_iter().take(REMEMBERED).filter_map(row).collect()
}

/// Who was called so in an earlier run; none if nobody was, or several were.
pub(crate) async fn named(store: &Store, name: &str) -> Result<Option<PeerId>, StoreError> {
    let fitting: Vec<PeerId> =
        load(store).await?.into_iter().filter(|one| one.name == name).map(|one| one.peer).collect();
    Ok(if let [one] = fitting.as_slice() { Some(*one) } else { None })
}
