//! Keys that many announce, such as a popular capability: at one place, then at four, then at sixteen. Pure.
//!
//! Holders keep the twenty providers nearest to a key, so that of three hundred the same twenty would be found by
//! everybody, and called by everybody. Whoever finds the first shard full announces itself in its shard of the second
//! level too, and so on; whoever looks climbs by the same rule, into shards drawn by lot.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::{Duration, Instant},
};

use libp2p_identity::PeerId;
use libp2p_kad::RecordKey;
use p2pnode_wire::key;
use rand::{Rng, RngExt};

use super::crowd::Crowd;

/// Providers found under a shard from which on it counts as full. Holders keep twenty and each tells eight of them, so that
/// all twenty are rarely seen.
pub const FULL: usize = 16;

/// Of one answer so many count: libp2p-kad (0.49) tells as many, and one holder that lies must not fill a shard.
const PER_ANSWER: usize = 8;

/// After the first round comes another within so long: who came before a shard was full may have lost its place since.
const SECOND_ROUND: Duration = Duration::from_secs(90);

/// A look at one shard, before the announcement in it.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) base: String,
    pub(super) level: usize,
    pub(super) key: RecordKey,
    crowd: Crowd,
    seen: HashSet<PeerId>,
}

impl Look {
    /// One of the holders answers. True when enough was asked.
    pub(super) fn told(&mut self, providers: &HashSet<PeerId>) -> bool {
        self.crowd.told(providers);
        self.seen.extend(providers.iter().take(PER_ANSWER));
        self.is_full() && self.crowd.is_complete()
    }

    fn is_full(&self) -> bool {
        self.seen.len() >= FULL
    }

    /// What is to be done: whether to announce here, and to look at the next level.
    pub(super) fn verdict(&self) -> (bool, bool) {
        (!(self.is_full() && self.crowd.is_complete()), self.is_full())
    }
}

#[derive(Debug, Default)]
struct Spread {
    /// Rounds begun.
    rounds: u32,
    /// In which shards this round announces.
    now: BTreeSet<u8>,
    /// In which the last one did.
    before: BTreeSet<u8>,
}

/// What of ours is spread. As many as `announce` takes.
#[derive(Debug, Default)]
pub(super) struct Spreads(BTreeMap<String, Spread>);

impl Spreads {
    /// A round begins.
    pub(super) fn begin(&mut self, base: &str) {
        let spread = self.0.entry(base.to_owned()).or_default();
        spread.rounds = spread.rounds.saturating_add(1);
        spread.before = std::mem::take(&mut spread.now);
    }

    /// The look at the shard of `own` at that level; none beyond the last, or if it is not spread any more.
    pub(super) fn look(&self, base: &str, level: usize, own: &PeerId, told: usize) -> Option<Look> {
        self.0.get(base)?;
        let key = RecordKey::new(&key::shard_key(base, shard(own, level)?));
        let crowd = Crowd::new(key.clone(), own, told);
        Some(Look { base: base.to_owned(), level, key, crowd, seen: HashSet::new() })
    }

    /// The key of the shard of `own` at that level, in which it announces.
    pub(super) fn announce(&mut self, base: &str, level: usize, own: &PeerId) -> Option<RecordKey> {
        let (spread, shard) = (self.0.get_mut(base)?, shard(own, level)?);
        spread.now.insert(shard);
        Some(RecordKey::new(&key::shard_key(base, shard)))
    }

    /// The round has ended: keys no longer announced, and when the next comes if it is to be soon.
    pub(super) fn end(&mut self, base: &str, now: Instant, rng: &mut impl Rng) -> (Vec<RecordKey>, Option<Instant>) {
        let Some(spread) = self.0.get_mut(base) else { return (Vec::new(), None) };
        let gone = std::mem::take(&mut spread.before);
        let gone = gone.difference(&spread.now).map(|shard| RecordKey::new(&key::shard_key(base, *shard)));
        let again = (spread.rounds == 1).then(|| now + SECOND_ROUND.mul_f64(rng.random_range(0.5..1.5)));
        (gone.collect(), again)
    }

    /// It is ours no more: the keys under which it was announced.
    pub(super) fn remove(&mut self, base: &str) -> Vec<RecordKey> {
        let spread = self.0.remove(base).unwrap_or_default();
        let all = spread.now.union(&spread.before);
        all.map(|shard| RecordKey::new(&key::shard_key(base, *shard))).collect()
    }
}

fn shard(peer: &PeerId, level: usize) -> Option<u8> {
    key::shard(&crate::key_of(peer)?, level)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use libp2p_identity::Keypair;
    use rand::{SeedableRng, rngs::StdRng, seq::SliceRandom};

    use super::*;
    use crate::discovery::dht::store::MAX_PROVIDERS;

    const BASE: &str = "/p2pnode/cap/aa";

    fn peers(count: usize) -> Vec<PeerId> {
        (0..count).map(|_| Keypair::generate_ed25519().public().to_peer_id()).collect()
    }

    fn nearest(key: &RecordKey, peers: &BTreeSet<PeerId>) -> Vec<PeerId> {
        let place = libp2p_kad::KBucketKey::new(key.clone());
        let mut kept: Vec<PeerId> = peers.iter().copied().collect();
        kept.sort_by_key(|peer| place.distance(&libp2p_kad::KBucketKey::from(*peer)));
        kept.truncate(MAX_PROVIDERS);
        kept
    }

    /// What the holders of each shard keep, after everybody has announced itself once in that order, twice over.
    fn settled(own: &[PeerId], rng: &mut StdRng) -> HashMap<RecordKey, BTreeSet<PeerId>> {
        let mut kept: HashMap<RecordKey, BTreeSet<PeerId>> = HashMap::new();
        for peer in own.iter().chain(own) {
            let mut spreads = Spreads::default();
            spreads.begin(BASE);
            for level in 0.. {
                let Some(mut look) = spreads.look(BASE, level, peer, PER_ANSWER) else { break };
                let mut there: Vec<PeerId> = kept.get(&look.key).into_iter().flatten().copied().collect();
                for _ in 0..PER_ANSWER {
                    there.shuffle(rng);
                    look.told(&there.iter().take(PER_ANSWER).copied().collect());
                }
                let (here, on) = look.verdict();
                if here {
                    let all = kept.entry(look.key.clone()).or_default();
                    all.insert(*peer);
                    *all = nearest(&look.key, all).into_iter().collect();
                }
                if !on {
                    break;
                }
            }
        }
        kept
    }

    #[test]
    fn few_are_at_one_place() {
        let own = peers(12);
        let kept = settled(&own, &mut StdRng::seed_from_u64(1));
        assert_eq!(kept.len(), 1);
        assert_eq!(kept.values().next().map(BTreeSet::len), Some(12));
    }

    #[test]
    fn of_many_nearly_all_are_to_be_found() {
        let own = peers(300);
        let kept = settled(&own, &mut StdRng::seed_from_u64(2));
        let visible: BTreeSet<&PeerId> = kept.values().flatten().collect();
        // Sixteen shards of the last level keep twenty each: some draw more.
        assert!(visible.len() >= 270, "{} of 300", visible.len());
        assert!(kept.len() > 16, "{} shards", kept.len());
    }

    #[test]
    fn one_holder_that_lies_fills_no_shard() {
        let own = peers(1)[0];
        let mut spreads = Spreads::default();
        spreads.begin(BASE);
        let mut look = spreads.look(BASE, 0, &own, PER_ANSWER).expect("a shard");
        look.told(&peers(200).into_iter().collect());
        assert_eq!(look.verdict(), (true, false));
    }

    #[test]
    fn what_is_left_is_no_longer_announced() {
        let own = peers(1)[0];
        let (mut spreads, now, rng) = (Spreads::default(), Instant::now(), &mut StdRng::seed_from_u64(3));
        assert!(spreads.look(BASE, 0, &own, PER_ANSWER).is_none(), "not ours");
        spreads.begin(BASE);
        let first = spreads.announce(BASE, 0, &own).expect("a shard");
        let second = spreads.announce(BASE, 1, &own).expect("a shard");
        let (gone, again) = spreads.end(BASE, now, rng);
        assert!(gone.is_empty() && again.is_some_and(|at| at > now), "looks again soon");
        spreads.begin(BASE);
        spreads.announce(BASE, 0, &own);
        assert_eq!(spreads.end(BASE, now, rng), (vec![second], None));
        assert_eq!(spreads.remove(BASE), [first]);
    }
}
