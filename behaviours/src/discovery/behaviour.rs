use std::time::Instant;

use bytes::Bytes;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::NetworkBehaviour;

#[cfg(doc)]
use super::FULL;
use super::{Config, DhtStats, Event, PutError, QueryToken, TablePeer, bootstrap, dht, mdns};
use crate::upkeep::AddressRules;

/// Finds peers and what they announce.
#[derive(NetworkBehaviour, Debug)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude", to_swarm = "Event")]
pub struct Behaviour {
    bootstrap: bootstrap::Behaviour,
    mdns: mdns::Behaviour,
    dht: dht::Behaviour,
}

impl Behaviour {
    /// A behaviour of the node `own`. With [`Config::mdns`] it must be made inside a tokio runtime.
    pub fn new(config: Config, own: PeerId, rules: AddressRules) -> Self {
        Self {
            mdns: mdns::Behaviour::new(&config, own, rules),
            dht: dht::Behaviour::new(&config, own),
            bootstrap: bootstrap::Behaviour::new(config.bootstrap),
        }
    }

    /// Dials `addr`, with or without a peer id, until it answers, and again when it is lost. False when there are 64.
    pub fn bootstrap(&mut self, addr: Multiaddr) -> bool {
        self.bootstrap.add(addr)
    }

    /// Addresses given for bootstrap, and whether their peer is connected.
    pub fn bootstrap_addresses(&self) -> impl Iterator<Item = (&Multiaddr, bool)> {
        self.bootstrap.addresses()
    }

    /// How many members of our swarms are online: alone, bootstrap tries harder.
    pub fn members(&mut self, count: usize) {
        self.bootstrap.members(count);
    }

    /// A member was lost, `left` are online. When a third is lost within half a minute, it looks around more often for a
    /// while: half of the network may have gone with them.
    pub fn member_lost(&mut self, left: usize) {
        self.dht.member_lost(left);
    }

    /// `peer` does not speak our protocols: it leaves the routing table, and mDNS does not show it for 10 minutes.
    pub fn forget(&mut self, peer: PeerId, now: Instant) {
        self.mdns.forget(peer, now);
        self.dht.remove(&peer);
    }

    /// Whether multicast DNS runs.
    pub fn mdns_running(&self) -> bool {
        self.mdns.is_running()
    }

    /// Why multicast DNS does not run although it should.
    pub fn mdns_error(&self) -> Option<&str> {
        self.mdns.error()
    }

    /// Takes `peer` into the routing table, once identify has shown that it speaks [`KAD`](crate::wire::protocol::KAD).
    /// False if its network, which is that of its connection too, has enough peers there, if ids next to its own have, or if
    /// its bucket is full.
    pub fn add(&mut self, peer: PeerId, addr: Multiaddr) -> bool {
        self.dht.add(peer, addr)
    }

    /// Whether [`hear_of`](Self::hear_of) would take `peer`, if its first address is good.
    pub fn lacks(&mut self, peer: &PeerId) -> bool {
        self.dht.lacks(peer)
    }

    /// Takes into the routing table a peer that only others have told of, if it was not known and there is room: half of
    /// each bucket stays for those that have answered. One that does not answer, or [takes no part](Self::heard_in_vain),
    /// leaves, and is not taken again for half an hour.
    pub fn hear_of(&mut self, peer: PeerId, addrs: impl IntoIterator<Item = Multiaddr>) -> bool {
        self.dht.hear_of(peer, addrs)
    }

    /// `peer` answers, but takes no part in the DHT: if it was only heard of, it leaves the routing table.
    pub fn heard_in_vain(&mut self, peer: &PeerId) {
        self.dht.heard_in_vain(peer);
    }

    /// Peers in the routing table.
    pub fn table(&self) -> usize {
        self.dht.peers()
    }

    /// Answers in the DHT no more, or again: without a reachable address a node only asks.
    pub fn set_client(&mut self, client: bool) {
        self.dht.set_client(client);
    }

    /// Announces that we have `key`, now and every 20 minutes. False when there are 64 keys and values already.
    pub fn provide(&mut self, key: &str) -> bool {
        self.dht.provide(key)
    }

    /// The same for a key that only leads into a swarm, for which any few providers serve: where eight members it
    /// [has met](Self::met) are nearer to the key than this node, or two holders tell of as many as they tell, all of
    /// them nearer, it says nothing, and looks again when an announcement would be due. Who has met eight members waits
    /// half a minute before. False when there are 64 keys and values already.
    pub fn provide_entrance(&mut self, key: &str) -> bool {
        self.dht.provide_entrance(key)
    }

    /// The same for what many may announce, such as a capability: under keys that begin with `base`, in shards as
    /// [`key::shard`](crate::wire::key::shard) numbers them. It announces itself in its shard of the first level; where
    /// [`FULL`] are, in that of the next level too. False when there are 64 keys and values already.
    pub fn provide_spread(&mut self, base: &str) -> bool {
        self.dht.provide_spread(base)
    }

    /// No longer announces what was spread under `base`.
    pub fn stop_spreading(&mut self, base: &str) {
        self.dht.stop_spreading(base);
    }

    /// `peer` has shown that it is in the swarm into which `key` leads.
    pub fn met(&mut self, key: &str, peer: PeerId) {
        self.dht.met(key, peer);
    }

    /// `peer` is offline, or has left.
    pub fn lost(&mut self, peer: &PeerId) {
        self.dht.lost(peer);
    }

    /// No longer announces `key`; what others keep runs out within the hour.
    pub fn stop_providing(&mut self, key: &str) {
        self.dht.stop_providing(key);
    }

    /// Who announces `key`. Ends by itself, when `enough` are found, or by [`Self::finish`].
    pub fn providers(&mut self, key: &str, enough: usize) -> QueryToken {
        self.dht.providers(key, enough)
    }

    /// Where `peer` is.
    pub fn lookup(&mut self, peer: PeerId) -> QueryToken {
        self.dht.lookup(peer)
    }

    /// The peers in the routing table, nearest buckets first.
    pub fn routing_table(&mut self) -> Vec<TablePeer> {
        self.dht.routing_table()
    }

    /// Numbers of the DHT at this node.
    pub fn dht_stats(&mut self) -> DhtStats {
        self.dht.stats()
    }

    /// Publishes a value signed by this node (the raw bytes of [`Signed`](crate::wire::sign::Signed)), now and every 20
    /// minutes.
    pub fn put_value(&mut self, raw: Bytes) -> Result<QueryToken, PutError> {
        self.dht.put_value(raw)
    }

    /// The same for a value that another key has signed, such as that of a node whose command this is.
    ///
    /// # Errors
    /// [`PutError`].
    pub fn carry_value(&mut self, raw: Bytes) -> Result<QueryToken, PutError> {
        self.dht.carry_value(raw)
    }

    /// The value under `key`: the newest of the first three good ones, or of fewer if there are no more.
    pub fn get_value(&mut self, key: &str) -> QueryToken {
        self.dht.get_value(key)
    }

    /// Ends a lookup early.
    pub fn finish(&mut self, token: QueryToken) {
        self.dht.finish(token);
    }
}
