//! What the DHT looks like from here, for people.

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

use super::behaviour::Behaviour;

/// A peer in the routing table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablePeer {
    /// Who.
    pub peer: PeerId,
    /// The number of its bucket: how many bits its distance from this node has, less one; 0 to 255. In a network of N nodes
    /// half of them are in bucket 255, a quarter in 254, and so on.
    pub bucket: u32,
    /// Where it can be dialled.
    pub addresses: Vec<Multiaddr>,
    /// It has answered this node; others are only heard of.
    pub answered: bool,
}

/// Numbers of the DHT at this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DhtStats {
    /// It answers others; a client only asks.
    pub server: bool,
    /// Peers in the routing table.
    pub peers: usize,
    /// Of these, who was only heard of.
    pub heard_of: usize,
    /// Buckets that hold somebody.
    pub buckets: usize,
    /// Values kept, own ones included; at most 512.
    pub values: usize,
    /// Keys whose providers are kept; at most 1,024.
    pub keys: usize,
    /// Keys and values of this node, announced every 20 minutes; at most 64.
    pub own: usize,
    /// Lookups under way.
    pub queries: usize,
}

impl Behaviour {
    pub(crate) fn routing_table(&mut self) -> Vec<TablePeer> {
        let (hearsay, mut peers) = (&self.hearsay, Vec::new());
        for bucket in self.net.kad.kbuckets() {
            let number = bucket.range().0.ilog2().unwrap_or_default();
            peers.extend(bucket.iter().map(|there| TablePeer {
                peer: *there.node.key.preimage(),
                bucket: number,
                addresses: there.node.value.iter().cloned().collect(),
                answered: !hearsay.contains(there.node.key.preimage()),
            }));
        }
        peers
    }

    pub(crate) fn stats(&mut self) -> DhtStats {
        let table = self.routing_table();
        let buckets: std::collections::BTreeSet<u32> = table.iter().map(|there| there.bucket).collect();
        let (values, keys) = self.net.kad.store_mut().len();
        DhtStats {
            server: self.enabled && !self.client,
            peers: table.len(),
            heard_of: table.iter().filter(|there| !there.answered).count(),
            buckets: buckets.len(),
            values,
            keys,
            own: self.announce.len(),
            queries: self.queries.len(),
        }
    }
}
