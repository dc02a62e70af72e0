//! What greetings mean; pure.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p_identity::PeerId;
use libp2p_kad::KBucketKey;
use p2pnode_wire::{
    card::Card,
    hello::{AGENT_MAX, Hello, HelloReply, LIST_MAX, Shared},
    ids::{PeerKey, SwarmId, SwarmName},
    sign::{Domain, Signed},
};
use rand::{Rng, RngExt, seq::SliceRandom};

use super::Config;
use crate::peer::{key_of, peer_of};

/// Cards of other members in one reply.
const KNOWN_MAX: usize = 32;

/// A member's hello is answered with our own only when the last is older: two nodes must not greet each other in a loop.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Hellos repeated on a peer that is still connected.
const RETRIES: u32 = 3;

/// The same on one that has refused it: most that do speak another protocol only.
const REFUSED: u32 = 1;

/// A member of one of our swarms, as its own signature tells it.
#[derive(Debug, Clone)]
pub struct Member {
    /// Its id, proven by the card's signature.
    pub peer: PeerId,
    /// What it says of itself.
    pub card: Card,
    /// The card as signed, to be passed on.
    pub signed: Bytes,
}

/// A member as somebody else tells of it; nothing is proven before [`verify`](Self::verify).
#[derive(Debug, Clone)]
pub struct Introduction {
    /// A swarm the teller and we are in.
    pub swarm: SwarmId,
    /// Who it is said to be.
    pub peer: PeerId,
    card: Card,
    signed: Signed,
}

impl Introduction {
    /// The member, if it has signed the card itself. That is dear, some 60 µs.
    pub fn verify(self) -> Option<Member> {
        self.signed.verify(Domain::Card, &self.card.peer).ok()?;
        Some(Member { peer: self.peer, card: self.card, signed: self.signed.into_raw() })
    }
}

/// What a greeting told.
#[derive(Debug)]
pub enum Event {
    /// A peer has said hello, or answered ours.
    Greeted {
        /// Who; proven by the connection.
        peer: PeerId,
        /// Its program and version.
        agent: String,
        /// Swarms both of us are in.
        shared: Vec<SwarmId>,
        /// Names of open swarms it tells everybody.
        names: Vec<SwarmName>,
        /// Its card, once it has answered and we share a swarm.
        card: Option<Box<Member>>,
        /// Members it knows: hints to be verified by a greeting of theirs.
        known: Vec<Introduction>,
        /// It lives for one command.
        ephemeral: bool,
    },
    /// The peer does not speak this protocol, or broke it.
    Silent {
        /// Who.
        peer: PeerId,
        /// In words.
        reason: String,
    },
}

struct Joined {
    name: Option<SwarmName>,
    members: BTreeMap<PeerKey, Known>,
}

/// Somebody who has greeted us.
struct Known {
    /// Its place among all peers.
    place: KBucketKey<PeerId>,
    /// The card as signed, and what it says of its age.
    card: Bytes,
    seq: u64,
    not_after: u64,
}

/// A connected peer.
#[derive(Default)]
struct Contact {
    /// When it last answered a hello of ours.
    greeted: Option<Instant>,
    /// The number of the card that it showed then.
    card: u64,
    /// It has told of a newer one too soon to be greeted back: the number, and when it is.
    again: Option<(u64, Instant)>,
    /// Hellos in a row that came to nothing.
    failures: u32,
    /// So many that no more are sent, before any was answered.
    silent: bool,
}

pub(super) struct State {
    config: Config,
    own: PeerId,
    swarms: BTreeMap<SwarmId, Joined>,
    card: Bytes,
    /// The number of that card.
    seq: Option<u64>,
    contacts: HashMap<PeerId, Contact>,
    want: Option<u8>,
}

impl State {
    pub(super) fn new(config: Config, own: PeerId) -> Self {
        Self {
            config,
            own,
            swarms: BTreeMap::new(),
            card: Bytes::new(),
            seq: None,
            contacts: HashMap::new(),
            want: None,
        }
    }

    pub(super) fn join(&mut self, swarm: SwarmId, name: Option<SwarmName>) {
        self.swarms.entry(swarm).or_insert(Joined { name, members: BTreeMap::new() });
    }

    pub(super) fn leave(&mut self, swarm: &SwarmId) {
        self.swarms.remove(swarm);
    }

    pub(super) fn set_card(&mut self, card: Bytes) {
        let read = Signed::parse(card.clone()).ok().and_then(|signed| Card::read(&signed).ok());
        (self.card, self.seq) = (card, read.map(|card| card.seq));
    }

    pub(super) fn connected(&mut self, peer: PeerId) {
        self.contacts.insert(peer, Contact::default());
    }

    pub(super) fn disconnected(&mut self, peer: &PeerId) {
        self.contacts.remove(peer);
    }

    /// A member that is gone is no longer passed on.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        let Some(key) = key_of(peer) else { return };
        for joined in self.swarms.values_mut() {
            joined.members.remove(&key);
        }
    }

    /// A hello came to nothing: whether to try once more.
    pub(super) fn may_retry(&mut self, peer: &PeerId, refused: bool) -> bool {
        let Some(contact) = self.contacts.get_mut(peer) else { return false };
        contact.failures = contact.failures.saturating_add(1);
        contact.silent = contact.failures > if refused { REFUSED } else { RETRIES };
        !contact.silent
    }

    /// Whether our first hello to a connected peer is under way: what it shares with us is not known yet.
    pub(super) fn is_greeting(&self, peer: &PeerId) -> bool {
        self.contacts.get(peer).is_some_and(|contact| contact.greeted.is_none() && !contact.silent)
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.contacts.keys().copied()
    }

    /// Peers refuse a longer one.
    fn agent(&self) -> String {
        let agent = &self.config.agent;
        let end = (0..=AGENT_MAX.min(agent.len())).rev().find(|end| agent.is_char_boundary(*end));
        agent.get(..end.unwrap_or_default()).unwrap_or_default().to_owned()
    }

    fn names(&self) -> Vec<String> {
        if self.config.hidden {
            return Vec::new();
        }
        self.swarms.values().filter_map(|s| s.name.as_ref()).map(ToString::to_string).take(32).collect()
    }

    /// A hello of ours, with a fresh nonce.
    pub(super) fn hello(&self, rng: &mut impl Rng) -> Hello {
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        Hello {
            v: 1,
            agent: self.agent(),
            nonce,
            swarms: self.swarms.keys().take(32).map(|id| id.blind(&nonce)).collect(),
            names: self.names(),
            ephemeral: self.config.ephemeral,
            want: self.want,
            card: self.seq,
        }
    }

    /// How many cards of others are asked for from now on; `None`: as many as others give.
    pub(super) fn want(&mut self, want: Option<u8>) {
        self.want = want;
    }

    fn shared(&self, nonce: &[u8; 16], blinded: &[[u8; 32]]) -> Vec<SwarmId> {
        self.swarms.keys().filter(|id| blinded.contains(&id.blind(nonce))).copied().collect()
    }

    /// A peer said hello: the answer, what it told, and whether to greet back. `now_ms` is the wall clock, for the cards'
    /// expiry.
    pub(super) fn heard(
        &mut self,
        peer: PeerId,
        hello: &Hello,
        (now, now_ms): (Instant, u64),
        rng: &mut impl Rng,
    ) -> (HelloReply, Event, bool) {
        let shared = self.shared(&hello.nonce, &hello.swarms);
        let mut nonce = [0; 16];
        rng.fill_bytes(&mut nonce);
        let reply = HelloReply {
            v: 1,
            agent: self.agent(),
            nonce,
            swarms: self.swarms.keys().take(32).map(|id| id.blind(&nonce)).collect(),
            names: self.names(),
            ephemeral: self.config.ephemeral,
            shared: shared.iter().take(LIST_MAX).map(|id| self.share(id, hello, peer, now_ms, rng)).collect(),
        };
        let event = Event::Greeted {
            peer,
            agent: hello.agent.clone(),
            shared: shared.clone(),
            names: parse_names(&hello.names),
            card: None,
            known: Vec::new(),
            ephemeral: hello.ephemeral,
        };
        let again = !shared.is_empty() && self.greet_back(&peer, hello.card, now);
        (reply, event, again)
    }

    /// Whether to greet a member that has greeted us now; if its card is new, it may be done later.
    fn greet_back(&mut self, peer: &PeerId, card: Option<u64>, now: Instant) -> bool {
        let Some(contact) = self.contacts.get_mut(peer) else { return false };
        // Until it is answered, our first hello is under way; its answer may bring an older card.
        let due = contact.greeted.unwrap_or(now) + AGAIN_AFTER;
        match card {
            Some(card) if contact.greeted.is_none() || card > contact.card => {
                contact.again = (now < due).then_some((card, due));
                now >= due
            }
            Some(_) => false,
            // Others do not tell.
            None => contact.greeted.is_some() && now >= due,
        }
    }

    /// When somebody is to be greeted back.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.contacts.values().filter_map(|contact| Some(contact.again?.1)).min()
    }

    /// Those who are to be greeted back now: in no order that means anything.
    pub(super) fn due(&mut self, now: Instant) -> Vec<PeerId> {
        let mut due = Vec::new();
        for (peer, contact) in &mut self.contacts {
            if let Some((card, _)) = contact.again.take_if(|(_, at)| *at <= now)
                && card > contact.card
            {
                due.push(*peer);
            }
        }
        due.sort_unstable();
        due
    }

    fn share(&self, swarm: &SwarmId, hello: &Hello, asker: PeerId, now_ms: u64, rng: &mut impl Rng) -> Shared {
        let most = hello.want.map_or(KNOWN_MAX, |want| KNOWN_MAX.min(want.into()));
        let members = self.swarms.get(swarm).into_iter().flat_map(|joined| joined.members.values());
        let members = members.filter(|known| known.not_after > now_ms);
        Shared {
            swarm: swarm.blind(&hello.nonce),
            card: self.card.clone(),
            known: spread(members, asker, most, rng).into_iter().map(|known| known.card.clone()).collect(),
        }
    }

    /// The answer to the hello that carried `nonce`. `now_ms` is the wall clock, for the cards' expiry.
    pub(super) fn answered(
        &mut self,
        peer: PeerId,
        nonce: &[u8; 16],
        reply: &HelloReply,
        now: Instant,
        now_ms: u64,
    ) -> Event {
        let mut returned = true;
        if let Some(contact) = self.contacts.get_mut(&peer) {
            returned = contact.greeted.is_none();
            *contact = Contact { greeted: Some(now), failures: 0, ..*contact };
        }
        let mut shared = Vec::new();
        let (mut card, mut known) = (None, Vec::<Introduction>::new());
        // Whoever is not wanted any more need not be looked at, although it was asked for.
        let most = self.want.map_or(KNOWN_MAX, usize::from);
        for entry in &reply.shared {
            let Some(swarm) = self.swarms.keys().find(|id| id.blind(nonce) == entry.swarm).copied() else { continue };
            if shared.contains(&swarm) {
                continue;
            }
            shared.push(swarm);
            if let Some(member) = self.open_card(&swarm, peer, &entry.card) {
                if let Some(contact) = self.contacts.get_mut(&peer) {
                    contact.card = member.card.seq;
                }
                self.remember(swarm, &member, reply.ephemeral, returned);
                card = Some(Box::new(member));
            }
            for bytes in entry.known.iter().take(most) {
                let Some(told) = introduction(swarm, bytes, now_ms) else { continue };
                if told.peer != self.own && told.peer != peer && !self.has_greeted(&told) && !is_told(&known, &told) {
                    known.push(told);
                }
            }
        }
        Event::Greeted {
            peer,
            agent: reply.agent.clone(),
            shared,
            names: parse_names(&reply.names),
            card,
            known,
            ephemeral: reply.ephemeral,
        }
    }

    /// Whoever has shown us this card itself needs no introduction.
    fn has_greeted(&self, told: &Introduction) -> bool {
        let members = self.swarms.get(&told.swarm).map(|joined| &joined.members);
        let known = members.and_then(|members| members.get(&told.card.peer));
        known.is_some_and(|known| known.card == *told.signed.raw())
    }

    /// The card of `peer`, from itself. Neighbours greet each other again and again with the same one: it is verified once.
    fn open_card(&self, swarm: &SwarmId, peer: PeerId, bytes: &Bytes) -> Option<Member> {
        let before = self.swarms.get(swarm)?.members.get(&key_of(&peer)?);
        if before.is_none_or(|known| known.card != *bytes) {
            return open(bytes).filter(|member| member.peer == peer);
        }
        let card = Card::read(&Signed::parse(bytes.clone()).ok()?).ok()?;
        Some(Member { peer, card, signed: bytes.clone() })
    }

    /// `returned`: it had no connection before, so that its card is new, whatever its number says.
    fn remember(&mut self, swarm: SwarmId, member: &Member, ephemeral: bool, returned: bool) {
        let Some(joined) = self.swarms.get_mut(&swarm) else { return };
        let Some(key) = key_of(&member.peer) else { return };
        let before = joined.members.get(&key);
        let room = joined.members.len() < self.config.members || before.is_some();
        let old = !returned && before.is_some_and(|known| known.seq > member.card.seq);
        if !ephemeral && room && !old {
            let Card { seq, not_after, .. } = member.card;
            let place = KBucketKey::from(member.peer);
            joined.members.insert(key, Known { place, card: member.signed.clone(), seq, not_after });
        }
    }
}

/// Whether the same member of the same swarm is among them.
fn is_told(known: &[Introduction], told: &Introduction) -> bool {
    known.iter().any(|other| other.peer == told.peer && other.swarm == told.swarm)
}

/// At most so many of `members` for `asker`: of those at each distance from it about as many, each distance twice the
/// one before, which is what a routing table holds. Of members picked evenly half would be farthest.
fn spread<'a>(
    members: impl Iterator<Item = &'a Known>,
    asker: PeerId,
    most: usize,
    rng: &mut impl Rng,
) -> Vec<&'a Known> {
    if most == 0 {
        return Vec::new();
    }
    let asker = KBucketKey::from(asker);
    let mut at: BTreeMap<u32, Vec<&Known>> = BTreeMap::new();
    for known in members {
        // None is the asker itself.
        if let Some(distance) = asker.distance(&known.place).ilog2() {
            at.entry(distance).or_default().push(known);
        }
    }
    let drawn = at.into_values().map(|mut those| those.partial_shuffle(rng, most).0.to_vec());
    let mut at: Vec<Vec<&Known>> = drawn.collect();
    if !at.is_empty() {
        let first = rng.random_range(0..at.len());
        at.rotate_left(first);
    }
    let rounds = at.iter().map(Vec::len).max().unwrap_or_default();
    (0..rounds).flat_map(|round| at.iter().filter_map(move |those| those.get(round).copied())).take(most).collect()
}

fn parse_names(names: &[String]) -> Vec<SwarmName> {
    names.iter().take(32).filter_map(|name| name.parse().ok()).collect()
}

fn introduction(swarm: SwarmId, bytes: &Bytes, now_ms: u64) -> Option<Introduction> {
    let signed = Signed::parse(bytes.clone()).ok()?;
    let card = Card::read(&signed).ok()?;
    card.check_time(now_ms).ok()?;
    Some(Introduction { swarm, peer: peer_of(&card.peer)?, card, signed })
}

/// A card from its owner over a connection that proves it: as new as can be, whatever either clock says. Boards that wait for
/// the time, and those whose battery is empty, are members too.
fn open(bytes: &Bytes) -> Option<Member> {
    let signed = Signed::parse(bytes.clone()).ok()?;
    let card = Card::read(&signed).ok()?;
    signed.verify(Domain::Card, &card.peer).ok()?;
    Some(Member { peer: peer_of(&card.peer)?, card, signed: bytes.clone() })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use ed25519_dalek::SigningKey;
    use rand::{SeedableRng, rngs::SmallRng};

    use super::*;

    /// Good for an hour from 1970.
    const HOUR_MS: u64 = 3_600_000;

    fn key(number: u64) -> SigningKey {
        let mut seed = [7; 32];
        seed[..8].copy_from_slice(&number.to_le_bytes());
        SigningKey::from_bytes(&seed)
    }

    fn peer(number: u64) -> PeerId {
        peer_of(&PeerKey(key(number).verifying_key().to_bytes())).expect("a point on the curve")
    }

    fn card(number: u64) -> Bytes {
        let key = key(number);
        let card = Card { not_after: HOUR_MS, name: "n".into(), ..Card::new(PeerKey(key.verifying_key().to_bytes())) };
        card.seal(&key).into_raw()
    }

    fn garden() -> SwarmId {
        SwarmId::open(&"garden".parse().expect("a name"))
    }

    /// Node 0, which has met the nodes 1 to `members`.
    fn state(members: u64) -> State {
        let mut state = State::new(Config::default(), peer(0));
        state.join(garden(), None);
        state.set_card(card(0));
        for number in 1..=members {
            let member = open(&card(number)).expect("a card");
            state.remember(garden(), &member, false, true);
        }
        state
    }

    fn told(state: &State, asker: PeerId, want: Option<u8>, rng: &mut SmallRng) -> Vec<PeerId> {
        let other = State { want, swarms: BTreeMap::new(), ..State::new(Config::default(), asker) };
        let hello = Hello { swarms: Vec::new(), ..other.hello(rng) };
        let shared = state.share(&garden(), &hello, asker, 0, rng);
        shared.known.iter().map(|bytes| open(bytes).expect("a card").peer).collect()
    }

    #[test]
    fn introductions_fill_near_buckets_as_well_as_far_ones() {
        let mut rng = SmallRng::seed_from_u64(4);
        let (state, asker) = (state(255), peer(1_000));
        let place = KBucketKey::from(asker);
        let mut near = 0;
        for _ in 0..100 {
            let all = told(&state, asker, Some(6), &mut rng);
            assert_eq!(all.iter().collect::<HashSet<_>>().len(), 6, "each once");
            let of = |peer: &PeerId| place.distance(&KBucketKey::from(*peer)).ilog2();
            near += all.iter().filter(|peer| of(peer).is_some_and(|distance| distance < 253)).count();
        }
        // An eighth of all members is so near: of six picked evenly it would be 75 in a hundred times.
        assert!(near > 300, "{near}");
        assert_eq!(told(&state, asker, None, &mut rng).len(), KNOWN_MAX);
        assert_eq!(told(&state, asker, Some(0), &mut rng).len(), 0);
        assert!(!told(&state, peer(5), None, &mut rng).contains(&peer(5)), "nobody is told of itself");
    }

    #[test]
    fn an_introduction_is_proven_by_its_card_alone() {
        let mut forged = card(2).to_vec();
        forged[3] ^= 1;
        let good = introduction(garden(), &card(1), 0).expect("readable");
        assert_eq!(good.peer, peer(1));
        assert!(good.verify().is_some_and(|member| member.peer == peer(1)));
        let bad = introduction(garden(), &Bytes::from(forged), 0).expect("readable");
        assert!(bad.verify().is_none());
        assert!(introduction(garden(), &card(1), HOUR_MS * 2).is_none(), "expired");
        assert!(open(&card(1)).is_some(), "its owner says so now");
    }
}
