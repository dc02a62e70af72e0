//! Records this node keeps for others: bounded, and only what its owner signed.

use std::{borrow::Cow, collections::HashMap, time::Instant};

use bytes::Bytes;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_kad::{
    KBucketDistance, KBucketKey, ProviderRecord, Record, RecordKey,
    store::{Error, RecordStore, Result},
};
use p2pnode_wire::{
    ids::PeerKey,
    limits,
    value::{self, Value},
};
use rand::seq::SliceRandom;

use crate::upkeep::address::neighbourhood;

/// Values kept: 2 MiB at most.
const MAX_VALUES: usize = 512;
/// Of one owner.
const MAX_PER_OWNER: usize = 8;
/// Keys that somebody provides.
const MAX_KEYS: usize = 1_024;
/// Providers of one key: the nearest to the key, as every holder chooses the same.
pub(super) const MAX_PROVIDERS: usize = 20;
/// Of these, from one /24 or IPv6 /48.
const MAX_PER_NETWORK: usize = 2;
/// Of these, from the innermost of 2^6 parts of the room they take: of ids that lie as they fall there are more once in
/// fifty thousand times.
const MAX_CLOSE: usize = 4;
/// See [`MAX_CLOSE`].
const PART: usize = 6;
/// Keys of one provider.
const MAX_PER_PROVIDER: usize = 64;
/// Addresses kept with a provider.
const MAX_ADDRESSES: usize = 4;

/// Why a value is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error(transparent)]
    Invalid(#[from] value::ValueError),
    #[error("it does not belong under this key")]
    Key,
    #[error("a newer one is known")]
    Old,
    #[error("too many of this owner")]
    Owner,
    #[error("too many, and the others are nearer")]
    Full,
}

#[derive(Debug)]
struct Stored {
    record: Record,
    owner: PeerKey,
    seq: u64,
    distance: KBucketDistance,
}

/// The store of the DHT.
#[derive(Debug)]
pub struct Store {
    own: PeerId,
    place: KBucketKey<PeerId>,
    values: HashMap<RecordKey, Stored>,
    providers: HashMap<RecordKey, Vec<ProviderRecord>>,
    per_provider: HashMap<PeerId, usize>,
}

/// Opens a value and checks that it belongs under `key`.
pub(super) fn open(key: &RecordKey, bytes: &[u8]) -> std::result::Result<Value, Refused> {
    if bytes.len() > limits::VALUE_MAX {
        return Err(value::ValueError::TooLarge(bytes.len()).into());
    }
    let (value, _) = Value::open(Bytes::copy_from_slice(bytes))?;
    if value::key(&value.owner, &value.name).as_bytes() != key.as_ref() {
        return Err(Refused::Key);
    }
    Ok(value)
}

impl Store {
    pub(super) fn new(own: PeerId) -> Self {
        Self { own, place: own.into(), values: HashMap::new(), providers: HashMap::new(), per_provider: HashMap::new() }
    }

    /// Keeps a value that somebody sent, if it is good and newer than what is known.
    pub(super) fn offer(&mut self, record: Record, now: Instant) -> std::result::Result<(), Refused> {
        // Before the signature, which costs fifty times more.
        if let Some(known) = self.values.get_mut(&record.key)
            && known.record.value == record.value
        {
            known.record.expires = known.record.expires.max(record.expires);
            return Ok(());
        }
        let value = open(&record.key, &record.value)?;
        self.insert(record, &value, now)
    }

    fn insert(&mut self, record: Record, value: &Value, now: Instant) -> std::result::Result<(), Refused> {
        let known = self.values.get(&record.key);
        if known.is_some_and(|known| known.seq >= value.seq && known.record.value != record.value) {
            return Err(Refused::Old);
        }
        let distance = self.place.distance(&KBucketKey::new(record.key.clone()));
        if known.is_none() {
            self.make_room(&value.owner, distance, now)?;
        }
        let stored = Stored { owner: value.owner, seq: value.seq, distance, record };
        self.values.insert(stored.record.key.clone(), stored);
        Ok(())
    }

    fn make_room(
        &mut self,
        owner: &PeerKey,
        distance: KBucketDistance,
        now: Instant,
    ) -> std::result::Result<(), Refused> {
        let theirs = self.values.values().filter(|stored| stored.owner == *owner).count();
        let ours = crate::peer_of(owner) == Some(self.own);
        if theirs >= MAX_PER_OWNER && !ours {
            return Err(Refused::Owner);
        }
        if self.values.len() < MAX_VALUES {
            return Ok(());
        }
        self.purge(now);
        if self.values.len() < MAX_VALUES {
            return Ok(());
        }
        let own = self.own;
        let others = self.values.iter().filter(|(_, stored)| stored.record.publisher != Some(own));
        let Some((farthest, stored)) = others.max_by_key(|(_, stored)| stored.distance) else {
            return Err(Refused::Full);
        };
        if !ours && stored.distance <= distance {
            return Err(Refused::Full);
        }
        let farthest = farthest.clone();
        self.values.remove(&farthest);
        Ok(())
    }

    /// Removes what has expired.
    pub(super) fn purge(&mut self, now: Instant) {
        self.values.retain(|_, stored| !stored.record.is_expired(now));
        let counts = &mut self.per_provider;
        self.providers.retain(|_, list| {
            list.retain(|record| !record.is_expired(now) || forget(counts, &record.provider));
            !list.is_empty()
        });
    }

    /// How many values and keys are kept.
    pub(super) fn len(&self) -> (usize, usize) {
        (self.values.len(), self.providers.len())
    }

    /// Whether another key fits, if need be in place of the one farthest from us.
    fn make_room_for_key(&mut self, key: &RecordKey) -> bool {
        if self.providers.len() < MAX_KEYS || self.providers.contains_key(key) {
            return true;
        }
        self.purge(Instant::now());
        if self.providers.len() < MAX_KEYS {
            return true;
        }
        let (own, place) = (self.own, &self.place);
        let far = |key: &RecordKey| place.distance(&KBucketKey::new(key.clone()));
        let others = self.providers.iter().filter(|(_, list)| list.iter().all(|record| record.provider != own));
        let Some(farthest) = others.map(|(key, _)| key).max_by_key(|key| far(key)).cloned() else { return false };
        if far(&farthest) <= far(key) {
            return false;
        }
        for record in self.providers.remove(&farthest).unwrap_or_default() {
            forget(&mut self.per_provider, &record.provider);
        }
        true
    }
}

/// One key less of `provider`. Always false, so that it fits into a `retain`.
fn forget(counts: &mut HashMap<PeerId, usize>, provider: &PeerId) -> bool {
    if let Some(count) = counts.get_mut(provider) {
        *count -= 1;
        if *count == 0 {
            counts.remove(provider);
        }
    }
    false
}

fn network(record: &ProviderRecord) -> Option<[u8; 7]> {
    record.addresses.iter().find_map(neighbourhood)
}

impl RecordStore for Store {
    type RecordsIter<'a> = Box<dyn Iterator<Item = Cow<'a, Record>> + 'a>;
    type ProvidedIter<'a> = Box<dyn Iterator<Item = Cow<'a, ProviderRecord>> + 'a>;

    fn get(&self, key: &RecordKey) -> Option<Cow<'_, Record>> {
        self.values.get(key).map(|stored| Cow::Borrowed(&stored.record))
    }

    /// Our own values, and what `offer` has checked already.
    fn put(&mut self, record: Record) -> Result<()> {
        self.offer(record, Instant::now()).map_err(|refused| match refused {
            Refused::Invalid(_) | Refused::Key => Error::ValueTooLarge,
            Refused::Old | Refused::Owner | Refused::Full => Error::MaxRecords,
        })
    }

    fn remove(&mut self, key: &RecordKey) {
        self.values.remove(key);
    }

    fn records(&self) -> Self::RecordsIter<'_> {
        Box::new(self.values.values().map(|stored| Cow::Borrowed(&stored.record)))
    }

    fn add_provider(&mut self, mut record: ProviderRecord) -> Result<()> {
        record.addresses.truncate(MAX_ADDRESSES);
        let own = record.provider == self.own;
        if !own && self.per_provider.get(&record.provider).is_some_and(|count| *count >= MAX_PER_PROVIDER) {
            return Err(Error::MaxProvidedKeys);
        }
        if !self.make_room_for_key(&record.key) {
            return Err(Error::MaxProvidedKeys);
        }
        let list = self.providers.entry(record.key.clone()).or_default();
        if let Some(known) = list.iter_mut().find(|known| known.provider == record.provider) {
            *known = record;
            return Ok(());
        }
        let net = network(&record);
        if !own && net.is_some() && list.iter().filter(|known| network(known) == net).count() >= MAX_PER_NETWORK {
            return Err(Error::MaxProvidedKeys);
        }
        *self.per_provider.entry(record.provider).or_default() += 1;
        list.push(record);
        drop_one(list, self.own, &mut self.per_provider);
        Ok(())
    }

    /// In random order: an answer holds eight of the twenty, and askers put the answers of several holders together.
    fn providers(&self, key: &RecordKey) -> Vec<ProviderRecord> {
        let mut list = self.providers.get(key).cloned().unwrap_or_default();
        list.shuffle(&mut rand::rng());
        list
    }

    fn provided(&self) -> Self::ProvidedIter<'_> {
        let own = self.own;
        Box::new(self.providers.values().flatten().filter(move |r| r.provider == own).map(Cow::Borrowed))
    }

    fn remove_provider(&mut self, key: &RecordKey, provider: &PeerId) {
        let Some(list) = self.providers.get_mut(key) else { return };
        let counts = &mut self.per_provider;
        list.retain(|record| record.provider != *provider || forget(counts, provider));
        if list.is_empty() {
            self.providers.remove(key);
        }
    }
}

fn drop_one(list: &mut Vec<ProviderRecord>, own: PeerId, counts: &mut HashMap<PeerId, usize>) {
    if list.len() <= MAX_PROVIDERS {
        return;
    }
    let distance =
        |record: &ProviderRecord| KBucketKey::new(record.key.clone()).distance(&KBucketKey::from(record.provider));
    let Some(far) = list.iter().map(distance).max() else { return };
    let is_close = |record: &ProviderRecord| distance(record).0 <= far.0 >> PART;
    let crowded = list.iter().filter(|record| is_close(record)).count() > MAX_CLOSE;
    let others = list.iter().enumerate().filter(|(_, record)| record.provider != own);
    // Those whose ids were tried until they lay next to the key would be all there are.
    let goes = if crowded {
        others.min_by_key(|(_, record)| distance(record))
    } else {
        others.max_by_key(|(_, record)| distance(record))
    };
    if let Some((goes, _)) = goes {
        let record = list.swap_remove(goes);
        forget(counts, &record.provider);
    }
}

/// What of a provider's addresses is kept: nothing private told from outside.
pub(super) fn believable(addresses: Vec<Multiaddr>, teller: Option<&Multiaddr>) -> Vec<Multiaddr> {
    let inside = teller.is_some_and(crate::upkeep::is_inside);
    let keep = |addr: &Multiaddr| inside || !crate::upkeep::is_private(addr);
    addresses.into_iter().filter(keep).take(MAX_ADDRESSES).collect()
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
