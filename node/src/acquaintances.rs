//! Members of earlier runs and the routing table: where they were, so that they are found again without anybody's help,
//! and a restart leaves no gap in the DHT.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{discovery::TablePeer, key_of, peer_of};
use p2pnode_wire::{card::Card, ids::PeerKey, sign::Signed};

use crate::{
    node::{Node, lock},
    store::{PeerRow, Store, StoreError},
};

/// Members remembered: as many as a bucket of the routing table has places for, a few times over.
const REMEMBERED: usize = 128;

/// Of the routing table: all of it in a network of a thousand, the nearest in a larger one.
const TABLE: usize = 192;

/// Dialled at start: each tells of the others.
pub(crate) const DIALLED: usize = 8;

/// How often they are written down: at first soon, since a node that is young may be killed as well.
pub(crate) const FIRST_AFTER: Duration = Duration::from_secs(20);
pub(crate) const EVERY: Duration = Duration::from_secs(300);

/// Somebody of an earlier run.
#[derive(Debug, Clone)]
pub(crate) struct Acquaintance {
    pub(crate) peer: PeerId,
    pub(crate) addresses: Vec<Multiaddr>,
    /// It was in the routing table, and had answered.
    pub(crate) in_table: bool,
    /// What a member called itself.
    name: Option<String>,
}

impl Acquaintance {
    fn new(row: &PeerRow) -> Option<Self> {
        let name = match row.card.is_empty() {
            true => None,
            false => Some(Card::read(&Signed::parse(row.card.clone()).ok()?).ok()?.name),
        };
        let addresses = row.addresses.iter().filter_map(|addr| addr.parse().ok()).collect();
        Some(Self { peer: peer_of(&row.peer)?, addresses, in_table: row.in_table, name })
    }

    pub(crate) fn is_member(&self) -> bool {
        self.name.is_some()
    }
}

/// Those of the last run, the last seen first.
pub(crate) async fn load(store: &Store) -> Result<Vec<Acquaintance>, StoreError> {
    let rows = store.read(|tables| tables.peers(REMEMBERED + TABLE)).await?;
    Ok(rows.iter().filter_map(Acquaintance::new).collect())
}

/// Writes down those of this run; of one that met nobody, the earlier ones stay.
pub(crate) async fn keep(store: &Store, node: &Node, table: Vec<TablePeer>) -> Result<(), StoreError> {
    crate::pins::keep(store, node).await?;
    let rows = rows(node, table);
    if rows.is_empty() {
        return Ok(());
    }
    store.write(move |tables| tables.replace_peers(&rows)).await
}

fn rows(node: &Node, table: Vec<TablePeer>) -> Vec<PeerRow> {
    let now = node.now_ms();
    let mut known = lock(&node.inner().shared.peers).remembered();
    known.sort_by_key(|(_, _, seen)| *seen);
    let mut table: BTreeMap<PeerKey, Vec<String>> = table
        .into_iter()
        .filter(|there| there.answered)
        .take(TABLE)
        .filter_map(|there| Some((key_of(&there.peer)?, there.addresses.iter().map(ToString::to_string).collect())))
        .collect();
    let member = |(peer, signed, seen): (PeerId, Bytes, Duration)| {
        let card = Card::read(&Signed::parse(signed.clone()).ok()?).ok()?;
        let seen = u64::try_from(seen.as_millis()).unwrap_or(u64::MAX);
        let (peer, addresses) = (key_of(&peer)?, card.addresses);
        let in_table = table.remove(&peer).is_some();
        Some(PeerRow { peer, addresses, card: signed, seen_ms: now.saturating_sub(seen), in_table })
    };
    let mut rows: Vec<PeerRow> = known.into_iter().take(REMEMBERED).filter_map(member).collect();
    rows.extend(table.into_iter().map(|(peer, addresses)| {
        let card = Bytes::new();
        PeerRow { peer, addresses, card, seen_ms: now, in_table: true }
    }));
    rows
}

/// Who was called so in an earlier run; none if nobody was, or several were.
pub(crate) async fn named(store: &Store, name: &str) -> Result<Option<PeerId>, StoreError> {
    let fitting: Vec<PeerId> =
        load(store).await?.into_iter().filter(|one| one.name.as_deref() == Some(name)).map(|one| one.peer).collect();
    Ok(if let [one] = fitting.as_slice() { Some(*one) } else { None })
}
