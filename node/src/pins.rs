//! Who bears which name: the first that was seen with it, until it is long gone.
//!
//! Names are labels that anybody may take. Whoever calls `calculator` means the node that it has known by that name; when
//! another one calls itself so while the first is away, that is said, and nothing is sent to it.

use std::collections::{BTreeMap, BTreeSet};

use libp2p::PeerId;
use p2pnode_behaviours::{key_of, peer_of};
use p2pnode_wire::{
    ids::{PeerKey, SwarmId},
    msgpack,
};
use serde::{Deserialize, Serialize};

use crate::{
    node::{Node, lock},
    store::{Read, Store, StoreError},
};

/// What the keys of the store begin with; swarm and name follow.
const KEY: &str = "name/";

/// Names held: those of a large swarm. Whoever was seen longest ago goes first.
const MOST: usize = 4_096;

/// Others who were seen with a name that is held, each told once.
const RIVALS: usize = 256;

const HOUR_MS: u64 = 3_600_000;
const DAY_MS: u64 = 24 * HOUR_MS;

/// A name is held for so long after its bearer was seen last, or as long as it was known by it, whichever is longer, …
const HOLD_MIN_MS: u64 = DAY_MS;
/// … but not longer than this.
const HOLD_MAX_MS: u64 = 30 * DAY_MS;

/// Whoever says goodbye having been known for less leaves its name to others: programs that are being written are started
/// again and again, each time with a new key.
const SETTLED_MS: u64 = HOUR_MS;

type Place = (SwarmId, String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Pin {
    peer: PeerKey,
    first_ms: u64,
    last_ms: u64,
}

impl Pin {
    fn holds(&self, now_ms: u64) -> bool {
        let known = self.last_ms.saturating_sub(self.first_ms);
        now_ms <= self.last_ms.saturating_add(known.clamp(HOLD_MIN_MS, HOLD_MAX_MS))
    }
}

/// A name and who bears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinnedName {
    /// The swarm it was seen in, by name.
    pub swarm: String,
    /// The name.
    pub name: String,
    /// Who bears it.
    pub peer: PeerId,
    /// When it was first seen with it, milliseconds since 1970 on this node's clock.
    pub first_ms: u64,
    /// When it was last seen with it.
    pub last_ms: u64,
}

/// Whether whoever was seen with a name bears it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sight {
    Bears,
    /// Somebody else does, and this is the first time that it is seen.
    Rival(PeerId),
    /// The same, but that was said.
    Known,
}

/// The names that are held.
#[derive(Debug, Default)]
pub(crate) struct Pins {
    held: BTreeMap<Place, Pin>,
    /// What is not on the disk as it is here.
    changed: BTreeSet<Place>,
    rivals: BTreeSet<(Place, PeerId)>,
}

impl Pins {
    /// `peer` shows itself in `swarm` by that name.
    pub(crate) fn see(&mut self, swarm: SwarmId, name: &str, peer: &PeerId, now_ms: u64) -> Sight {
        let Some(key) = key_of(peer).filter(|_| !name.is_empty()) else { return Sight::Bears };
        let place = (swarm, name.to_owned());
        match self.held.get_mut(&place) {
            Some(pin) if pin.peer == key => {
                let before = pin.last_ms;
                pin.last_ms = before.max(now_ms);
                // To the hour is enough for the disk.
                if before / HOUR_MS < now_ms / HOUR_MS {
                    self.changed.insert(place);
                }
            }
            Some(pin) if pin.holds(now_ms) => {
                let new = self.rivals.len() < RIVALS && self.rivals.insert((place, *peer));
                let bearer = peer_of(&pin.peer).filter(|_| new);
                return bearer.map_or(Sight::Known, Sight::Rival);
            }
            _ => {
                self.make_room();
                // It has but one name.
                let former: Vec<Place> = self.of(&key).filter(|place| place.0 == swarm).cloned().collect();
                former.iter().for_each(|place| self.remove(place));
                self.held.insert(place.clone(), Pin { peer: key, first_ms: now_ms, last_ms: now_ms });
                self.changed.insert(place);
            }
        }
        Sight::Bears
    }

    /// It has said goodbye.
    pub(crate) fn left(&mut self, peer: &PeerId) {
        let Some(key) = key_of(peer) else { return };
        let young = |place: &&Place| {
            self.held.get(*place).is_some_and(|pin| pin.last_ms.saturating_sub(pin.first_ms) < SETTLED_MS)
        };
        let places: Vec<Place> = self.of(&key).filter(young).cloned().collect();
        places.into_iter().for_each(|place| self.remove(&place));
    }

    /// Who bears the name, there or away.
    pub(crate) fn bearer(&self, swarm: SwarmId, name: &str, now_ms: u64) -> Option<PeerId> {
        let pin = self.held.get(&(swarm, name.to_owned())).filter(|pin| pin.holds(now_ms))?;
        peer_of(&pin.peer)
    }

    /// Whoever comes next bears it. How many bore it.
    fn forget(&mut self, name: &str) -> usize {
        let places: Vec<Place> = self.held.keys().filter(|place| place.1 == name).cloned().collect();
        places.iter().for_each(|place| self.remove(place));
        self.rivals.retain(|((_, held), _)| held != name);
        places.len()
    }

    fn of<'a>(&'a self, key: &'a PeerKey) -> impl Iterator<Item = &'a Place> {
        self.held.iter().filter(move |(_, pin)| pin.peer == *key).map(|(place, _)| place)
    }

    fn remove(&mut self, place: &Place) {
        self.held.remove(place);
        self.changed.insert(place.clone());
    }

    fn make_room(&mut self) {
        if self.held.len() < MOST {
            return;
        }
        let oldest = self.held.iter().min_by_key(|(place, pin)| (pin.last_ms, *place)).map(|(place, _)| place.clone());
        oldest.into_iter().for_each(|place| self.remove(&place));
    }

    /// What is to be written since the last time: keys of the store, and what belongs under them.
    pub(crate) fn take_changes(&mut self) -> Vec<(String, Option<Vec<u8>>)> {
        let row = |place: Place| (key(&place), self.held.get(&place).map(msgpack::encode));
        std::mem::take(&mut self.changed).into_iter().map(row).collect()
    }

    fn put(&mut self, key: &str, bytes: &[u8]) {
        let place = key.strip_prefix(KEY).and_then(|rest| rest.split_once('/'));
        let place = place.and_then(|(swarm, name)| Some((swarm.parse().ok()?, name.to_owned())));
        if let (Some(place), Ok(pin)) = (place, msgpack::decode(bytes)) {
            self.held.insert(place, pin);
        }
    }
}

fn key((swarm, name): &Place) -> String {
    format!("{KEY}{swarm}/{name}")
}

fn read(tables: &(impl Read + ?Sized)) -> Result<Pins, StoreError> {
    let mut pins = Pins::default();
    for (key, bytes) in tables.notes(KEY)? {
        pins.put(&key, &bytes);
    }
    Ok(pins)
}

/// Those of earlier runs.
pub(crate) async fn load(store: &Store) -> Result<Pins, StoreError> {
    store.read(|tables| read(tables)).await
}

/// Writes down what has changed.
pub(crate) async fn keep(store: &Store, node: &Node) -> Result<(), StoreError> {
    let changes = lock(&node.inner().shared.pins).take_changes();
    if changes.is_empty() {
        return Ok(());
    }
    let write =
        store.write(move |tables| changes.iter().try_for_each(|(key, value)| tables.put_note(key, value.as_deref())));
    write.await
}

impl Node {
    /// Names and who bears them, by swarm and name: the first that was seen with each, there or away.
    pub fn names(&self) -> Vec<PinnedName> {
        let now = self.now_ms();
        let pins = lock(&self.inner().shared.pins);
        let held = pins.held.iter().filter(|(_, pin)| pin.holds(now));
        let show = |((swarm, name), pin): (&Place, &Pin)| {
            let swarm = self.swarm_name(swarm)?;
            let (peer, first_ms, last_ms) = (peer_of(&pin.peer)?, pin.first_ms, pin.last_ms);
            Some(PinnedName { swarm, name: name.clone(), peer, first_ms, last_ms })
        };
        held.filter_map(show).collect()
    }

    /// Lets whoever comes next bear a name. In how many swarms somebody bore it.
    ///
    /// # Errors
    /// [`StoreError`]: it is forgotten until the next start.
    pub async fn forget_name(&self, name: &str) -> Result<usize, StoreError> {
        let forgotten = lock(&self.inner().shared.pins).forget(name);
        if let Some(store) = &self.inner().store {
            keep(store, self).await?;
        }
        Ok(forgotten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> PeerId {
        libp2p::identity::Keypair::generate_ed25519().public().to_peer_id()
    }

    fn garden() -> SwarmId {
        SwarmId::open(&"garden".parse().expect("a name"))
    }

    #[test]
    fn the_first_bears_it_and_a_rival_is_told_once() {
        let (mut pins, first, second) = (Pins::default(), peer(), peer());
        assert_eq!(pins.see(garden(), "calc", &first, 1), Sight::Bears);
        assert_eq!(pins.see(garden(), "calc", &second, 2), Sight::Rival(first));
        assert_eq!(pins.see(garden(), "calc", &second, 3), Sight::Known);
        assert_eq!(pins.see(SwarmId([1; 32]), "calc", &second, 3), Sight::Bears, "in another swarm");
        assert_eq!(pins.bearer(garden(), "calc", 3), Some(first));
    }

    #[test]
    fn it_is_held_for_a_day_or_as_long_as_it_was_known() {
        let (mut pins, first, second) = (Pins::default(), peer(), peer());
        pins.see(garden(), "calc", &first, 0);
        assert_eq!(pins.bearer(garden(), "calc", DAY_MS), Some(first));
        assert_eq!(pins.bearer(garden(), "calc", DAY_MS + 1), None);
        pins.see(garden(), "calc", &first, 10 * DAY_MS);
        assert_eq!(pins.bearer(garden(), "calc", 20 * DAY_MS), Some(first));
        pins.see(garden(), "calc", &first, 100 * DAY_MS);
        assert_eq!(pins.see(garden(), "calc", &second, 130 * DAY_MS + 1), Sight::Bears, "a month at most");
    }

    #[test]
    fn who_leaves_soon_and_who_takes_another_name_lets_it_go() {
        let (mut pins, first, second) = (Pins::default(), peer(), peer());
        pins.see(garden(), "calc", &first, 0);
        pins.left(&first);
        assert_eq!(pins.see(garden(), "calc", &second, 5), Sight::Bears);
        pins.see(garden(), "calc", &second, SETTLED_MS + 5);
        pins.left(&second);
        assert_eq!(pins.bearer(garden(), "calc", SETTLED_MS + 6), Some(second), "it was known for an hour");
        pins.see(garden(), "sum", &second, SETTLED_MS + 7);
        assert_eq!(pins.bearer(garden(), "calc", SETTLED_MS + 7), None, "it is called otherwise now");
    }

    #[test]
    fn it_is_bounded_and_what_changed_is_written() {
        let (mut pins, bearer) = (Pins::default(), peer());
        for number in 0..=MOST as u64 {
            pins.see(garden(), &number.to_string(), &peer(), number);
        }
        assert_eq!((pins.held.len(), pins.bearer(garden(), "0", 1)), (MOST, None));
        pins.take_changes();
        pins.see(garden(), "calc", &bearer, 5);
        let mut read = Pins::default();
        for (key, value) in pins.take_changes() {
            value.into_iter().for_each(|value| read.put(&key, &value));
        }
        assert_eq!(read.bearer(garden(), "calc", 6), Some(bearer));
        assert!(pins.take_changes().is_empty());
        assert_eq!(pins.forget("calc"), 1);
        assert_eq!(pins.take_changes(), [(key(&(garden(), "calc".into())), None)]);
    }
}
