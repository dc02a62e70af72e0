//! What words mean and who is told of them; pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use p2pnode_wire::{
    ids::{PeerKey, SwarmId},
    presence::{BUCKETS, Buckets, Frame, LISTED_MAX, Listed, Says, Word, bucket_of},
    sign::Signed,
};
use rand::{Rng, RngExt, seq::SliceRandom};

use super::{
    Config,
    accuse::Accusations,
    event::{Change, Event, Status},
    neighbour::{ALIVE, ALL, LEFT, Neighbour, STEADY, SUSPECT, URGENT, Words},
    table::{Table, WITNESSES, Worth},
};
use crate::peer::peer_of;

/// Words of this node about itself are sent so long after the first reason for one: addresses come one after the other.
const SETTLE: Duration = Duration::from_millis(250);

/// A newcomer compares with another neighbour after so long, until it knows the list.
const RETRY: Duration = Duration::from_secs(3);

/// Neighbours a newcomer compares with at once: each gives it the whole list.
const FIRST: usize = 1;

/// Comparisons with one neighbour in a row: lists of a thousand each, for the largest table twice over.
const ROUNDS: u32 = 8;

/// A comparison that was not answered by then is forgotten.
const UNANSWERED: Duration = Duration::from_secs(10);

/// A suspect with which this node has a connection is looked at again after so long.
const CONNECTED: Duration = Duration::from_secs(1);

/// What this node says of itself.
struct Own {
    name: String,
    card: u64,
    incarnation: u64,
}

pub(super) struct State {
    pub(super) config: Config,
    pub(super) key: SigningKey,
    pub(super) own: PeerKey,
    about: Option<Own>,
    /// Above those of earlier runs, unless the clock was set back.
    first: u64,
    pub(super) swarms: BTreeMap<SwarmId, Table>,
    pub(super) neighbours: BTreeMap<PeerKey, Neighbour>,
    /// When suspects are offline.
    deadlines: BTreeSet<(Instant, SwarmId, PeerKey)>,
    /// When this node says again that it is there.
    announce: Option<Instant>,
    pub(super) accusations: Accusations,
    next_compare: Instant,
    /// The whole list has come at least once.
    synced: bool,
    leaving: bool,
    changes: Vec<Change>,
    agreed: Vec<SwarmId>,
}

impl State {
    /// `first`: the incarnation to begin with, such as milliseconds since 1970.
    pub(super) fn new(config: Config, key: SigningKey, first: u64, now: Instant) -> Self {
        let own = PeerKey(key.verifying_key().to_bytes());
        Self {
            config,
            key,
            own,
            about: None,
            first,
            swarms: BTreeMap::new(),
            neighbours: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            announce: None,
            accusations: Accusations::default(),
            next_compare: now + RETRY,
            synced: false,
            leaving: false,
            changes: Vec::new(),
            agreed: Vec::new(),
        }
    }

    pub(super) fn join(&mut self, swarm: SwarmId) {
        let (own, config) = (self.own, &self.config);
        let before = self.swarms.len();
        self.swarms.entry(swarm).or_insert_with(|| Table::new(swarm, own, config));
        // Whoever comes next is asked for the list of this one, too.
        self.synced &= self.swarms.len() == before;
    }

    /// What this node says of itself from now on.
    pub(super) fn set_self(&mut self, name: String, card: u64, now: Instant) {
        let incarnation = self.about.as_ref().map_or(self.first, |own| own.incarnation);
        self.about = Some(Own { name, card, incarnation });
        self.announce.get_or_insert(now + SETTLE);
    }

    /// `peer` is connected, and in these swarms, too.
    pub(super) fn neighbour_up(&mut self, peer: PeerKey, swarms: &[SwarmId], now: Instant) {
        self.accusations.forget(&peer);
        let shared: Vec<SwarmId> = swarms.iter().filter(|swarm| self.swarms.contains_key(*swarm)).copied().collect();
        let asking = self.neighbours.values().filter(|n| !n.asked.is_empty() || !n.ask.is_empty()).count();
        let config = &self.config;
        let neighbour = self.neighbours.entry(peer).or_insert_with(|| Neighbour::new(config, now));
        let before = std::mem::replace(&mut neighbour.swarms, shared.clone());
        for swarm in shared {
            let Some(table) = self.swarms.get(&swarm) else { continue };
            // It must hear what is said of it, to contradict.
            if table.get(&peer).is_some_and(|entry| entry.alive.is_some() && entry.suspicion.is_some()) {
                neighbour.owe(swarm, peer, ALL);
            }
            if !before.contains(&swarm) && !self.synced && asking < FIRST {
                neighbour.owe(swarm, self.own, ALIVE);
                neighbour.ask.insert(swarm);
            }
        }
    }

    pub(super) fn neighbour_down(&mut self, peer: &PeerKey, now: Instant) {
        self.neighbours.remove(peer);
        // What was postponed because it was connected is not any more.
        self.expire(now);
    }

    pub(super) fn is_neighbour(&self, peer: &PeerKey) -> bool {
        self.neighbours.contains_key(peer)
    }

    /// The frame has left, or will never.
    pub(super) fn sent(&mut self, peer: &PeerKey) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.busy = false;
        }
    }

    /// What was on its way there may be lost, and is found by comparing.
    pub(super) fn lost(&mut self, peer: &PeerKey) {
        if let Some(neighbour) = self.neighbours.get_mut(peer).filter(|neighbour| neighbour.hears()) {
            neighbour.busy = false;
            neighbour.asked.clear();
            neighbour.ask.extend(neighbour.swarms.iter().copied());
        }
    }

    /// Whether there is a way to tell it anything.
    pub(super) fn hears(&mut self, peer: &PeerKey, hears: bool) {
        let Some(neighbour) = self.neighbours.get_mut(peer) else { return };
        if !hears {
            neighbour.clear();
        } else if neighbour.deaf && !neighbour.mute {
            neighbour.busy = false;
            neighbour.ask.extend(neighbour.swarms.iter().copied());
        }
        neighbour.deaf = !hears;
    }

    /// It has broken the protocol.
    pub(super) fn silence(&mut self, peer: &PeerKey) {
        if let Some(neighbour) = self.neighbours.get_mut(peer) {
            neighbour.silence();
        }
    }

    /// Says goodbye to all.
    pub(super) fn leave(&mut self, now: Instant, rng: &mut impl Rng) {
        if std::mem::replace(&mut self.leaving, true) {
            return;
        }
        let Some(about) = &self.about else { return };
        let (own, incarnation) = (self.own, about.incarnation);
        for swarm in self.swarms.keys().copied().collect::<Vec<_>>() {
            let word = Word { swarm, subject: own, incarnation, says: Says::Left };
            let raw = word.seal(&self.key).into_raw();
            if let Some(table) = self.swarms.get_mut(&swarm) {
                table.take(&word, &raw, now);
            }
            self.neighbours.values_mut().for_each(|n| (n.active, n.told) = (true, None));
            self.spread(swarm, own, LEFT | URGENT, None, now, rng);
        }
    }

    pub(super) fn take_changes(&mut self) -> Option<Event> {
        if let Some(swarm) = self.agreed.pop() {
            return Some(Event::Agreed(swarm));
        }
        let changes = std::mem::take(&mut self.changes);
        (!changes.is_empty()).then_some(Event::Changed(changes))
    }

    pub(super) fn changed(&mut self, swarm: SwarmId, peer: PeerKey, status: Status, alive: Option<(String, u64)>) {
        // Keys that are none have signed nothing.
        if let Some(peer) = peer_of(&peer).filter(|_| peer != self.own) {
            self.changes.push(Change { peer, swarm, status, alive });
        }
    }

    // What comes.

    /// A frame of a neighbour. Whoever is none tells nothing.
    pub(super) fn receive(&mut self, from: PeerKey, frame: Frame, now: Instant, rng: &mut impl Rng) {
        let Some(neighbour) = self.neighbours.get_mut(&from).filter(|neighbour| !neighbour.mute) else { return };
        neighbour.active = true;
        match frame {
            Frame::Words(words) => {
                for raw in words {
                    if !self.hear(from, raw, now, rng) {
                        break;
                    }
                }
            }
            Frame::Digest { swarm, buckets } => {
                if neighbour.swarms.contains(&swarm) && neighbour.compares.take(1.0, now) {
                    neighbour.compare.insert(swarm, *buckets);
                }
            }
            Frame::Same { swarm } => {
                if neighbour.asked.remove(&swarm).is_some() {
                    neighbour.rounds = 0;
                    // Whoever has not said yet that it is there is not the only one.
                    self.synced |= self.about.is_some() && self.announce.is_none();
                    self.agreed.push(swarm);
                }
            }
            Frame::List { swarm, covered, members, more } => {
                if neighbour.asked.remove(&swarm).is_some() {
                    self.compared(from, swarm, covered, &members, more);
                }
            }
            Frame::Want { swarm, peers } => {
                for peer in peers.iter().filter(|_| neighbour.swarms.contains(&swarm)).collect::<Vec<_>>() {
                    if neighbour.given.take(1.0, now) {
                        neighbour.owe(swarm, *peer, ALL);
                    }
                }
            }
        }
    }

    /// One word. False: nothing more is heard of this neighbour for now.
    fn hear(&mut self, from: PeerKey, raw: Bytes, now: Instant, rng: &mut impl Rng) -> bool {
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return false };
        let read = Signed::parse(raw).ok().and_then(|signed| Word::read(&signed).ok().map(|word| (signed, word)));
        let Some((signed, word)) = read else {
            neighbour.silence();
            return false;
        };
        if !neighbour.swarms.contains(&word.swarm) {
            return true;
        }
        let (swarm, subject) = (word.swarm, word.subject);
        neighbour.knows(swarm, subject, words_of(&word));
        if subject == self.own {
            return self.hear_of_self(from, &word, &signed, now);
        }
        let Some(table) = self.swarms.get_mut(&swarm) else { return true };
        match table.judge(&word, now) {
            Worth::Known => return true,
            Worth::Stale => {
                neighbour.owe(swarm, subject, ALL);
                return true;
            }
            Worth::New if !neighbour.words.take(1.0, now) => return false,
            Worth::New => {}
        }
        // Members pass on only what they have verified: whoever brings a forged word has forged it.
        if !word.verify(&signed) {
            neighbour.silence();
            return false;
        }
        self.take(&word, &signed.into_raw(), Some(from), now, rng);
        true
    }

    /// A verified word that is new.
    pub(super) fn take(&mut self, word: &Word, raw: &[u8], from: Option<PeerKey>, now: Instant, rng: &mut impl Rng) {
        let (swarm, subject) = (word.swarm, word.subject);
        let Some(table) = self.swarms.get_mut(&swarm) else { return };
        let is_new = table.get(&subject).is_none();
        let differs = table.take(word, raw, now);
        let status = table.get(&subject).map(|entry| entry.status);
        let alive = match &word.says {
            Says::Alive { name, card } => Some((name.clone(), *card)),
            Says::Left | Says::Suspect { .. } => None,
        };
        if let Some(status) = status.filter(|_| differs || alive.is_some()) {
            self.changed(swarm, subject, status, alive);
        }
        if matches!(word.says, Says::Suspect { .. }) {
            self.set_deadline(swarm, subject);
        }
        let comes = matches!(word.says, Says::Alive { .. }) && (is_new || !differs);
        let urgency = if comes { 0 } else { URGENT };
        self.spread(swarm, subject, words_of(word) | urgency, from, now, rng);
    }

    /// What others say of this node.
    fn hear_of_self(&mut self, from: PeerKey, word: &Word, signed: &Signed, now: Instant) -> bool {
        let Some(about) = self.about.as_mut().filter(|_| !self.leaving) else { return true };
        let contradicts = match &word.says {
            Says::Suspect { .. } => word.incarnation >= about.incarnation,
            // Of an earlier run, when the clock was ahead.
            Says::Left => word.incarnation >= about.incarnation,
            Says::Alive { card, .. } => (word.incarnation, *card) > (about.incarnation, about.card),
        };
        let Some(neighbour) = self.neighbours.get_mut(&from) else { return false };
        if !contradicts {
            if !matches!(word.says, Says::Alive { card, .. } if (word.incarnation, card) == (about.incarnation, about.card))
            {
                neighbour.owe(word.swarm, self.own, ALIVE);
            }
            return true;
        }
        if !neighbour.words.take(1.0, now) {
            return false;
        }
        // Nobody can know of a higher incarnation of this node than it has signed itself.
        let own_word = !matches!(word.says, Says::Suspect { .. });
        if (own_word || word.incarnation == about.incarnation) && !word.verify(signed) {
            neighbour.silence();
            return false;
        }
        if own_word || word.incarnation == about.incarnation {
            about.incarnation = word.incarnation.saturating_add(1);
            self.announce = Some(now);
        }
        true
    }

    // What goes.

    /// Tells neighbours of what is new.
    pub(super) fn spread(
        &mut self,
        swarm: SwarmId,
        subject: PeerKey,
        words: Words,
        except: Option<PeerKey>,
        now: Instant,
        rng: &mut impl Rng,
    ) {
        let about = |peer: &PeerKey| *peer == subject;
        let mut told: Vec<(&PeerKey, &mut Neighbour)> = self
            .neighbours
            .iter_mut()
            .filter(|(peer, n)| !about(peer) && Some(**peer) != except && n.listens(&swarm, now))
            .collect();
        if told.len() > self.config.fanout {
            told.shuffle(rng);
            told.truncate(self.config.fanout);
        }
        told.into_iter().for_each(|(_, neighbour)| neighbour.owe(swarm, subject, words));
        // Whoever is suspected must hear it, to contradict.
        if words & SUSPECT != 0
            && let Some(neighbour) = self.neighbours.get_mut(&subject)
        {
            neighbour.owe(swarm, subject, words);
        }
    }

    /// Neighbours for whom there is a frame.
    pub(super) fn ready(&self, now: Instant) -> Vec<PeerKey> {
        let due = |neighbour: &Neighbour| neighbour.wake_at(&self.config, now).is_some_and(|at| at <= now);
        self.neighbours.iter().filter(|(_, neighbour)| due(neighbour)).map(|(peer, _)| *peer).collect()
    }

    /// The next frame for a neighbour, if there is one.
    pub(super) fn frame_for(&mut self, peer: &PeerKey, now: Instant, rng: &mut impl Rng) -> Option<Frame> {
        let neighbour = self.neighbours.get_mut(peer)?;
        if neighbour.wake_at(&self.config, now).is_none_or(|at| at > now) {
            return None;
        }
        let frame = neighbour.take_words(&self.swarms);
        if frame.is_some() {
            neighbour.told = Some(now);
        }
        let frame = frame.or_else(|| self.control(peer, now, rng))?;
        let neighbour = self.neighbours.get_mut(peer)?;
        (neighbour.busy, neighbour.active) = (true, true);
        Some(frame)
    }

    /// What is not words, once all words have gone: so lists are of what the neighbour knows then.
    fn control(&mut self, peer: &PeerKey, now: Instant, rng: &mut impl Rng) -> Option<Frame> {
        let neighbour = self.neighbours.get_mut(peer)?;
        if let Some((swarm, theirs)) = neighbour.compare.pop_first() {
            let table = self.swarms.get(&swarm)?;
            return Some(answer(table, swarm, &theirs, rng));
        }
        if let Some((swarm, peers)) = neighbour.want.pop_first() {
            return Some(Frame::Want { swarm, peers });
        }
        let swarm = neighbour.ask.pop_first()?;
        neighbour.asked.insert(swarm, now);
        Some(Frame::Digest { swarm, buckets: Box::new(self.swarms.get(&swarm)?.buckets()) })
    }

    /// A neighbour's list of buckets that differ.
    fn compared(&mut self, from: PeerKey, swarm: SwarmId, covered: u64, members: &[Listed], more: bool) {
        let (Some(table), Some(neighbour)) = (self.swarms.get(&swarm), self.neighbours.get_mut(&from)) else { return };
        let mut wanted = Vec::new();
        for theirs in members {
            let Some(entry) = table.get(&theirs.peer) else {
                if theirs.peer == self.own || table.has_place(&theirs.peer) {
                    wanted.push(theirs.peer);
                }
                continue;
            };
            let card = entry.alive.as_ref().map_or(0, |alive| alive.card);
            let (known, told) = ((entry.incarnation(), card), (theirs.incarnation, theirs.card));
            if told > known && (theirs.incarnation > known.0 || entry.left.is_none()) {
                wanted.push(theirs.peer);
            } else if told < known || !entry.is_there() {
                neighbour.owe(swarm, theirs.peer, ALL);
            }
        }
        let listed: BTreeSet<PeerKey> = members.iter().map(|listed| listed.peer).collect();
        for ours in table.listed(covered).filter(|ours| !listed.contains(&ours.peer)) {
            neighbour.owe(swarm, ours.peer, ALIVE);
        }
        wanted.truncate(LISTED_MAX);
        neighbour.rounds += 1;
        let again = more && neighbour.rounds < ROUNDS;
        if !wanted.is_empty() {
            neighbour.want.insert(swarm, wanted);
        }
        if again {
            neighbour.ask.insert(swarm);
        } else {
            neighbour.rounds = 0;
            self.synced |= self.about.is_some() && self.announce.is_none();
        }
    }

    // What time does.

    /// When something is to be done by itself.
    pub(super) fn wake_at(&self, now: Instant) -> Option<Instant> {
        let sends = self.neighbours.values().filter_map(|neighbour| neighbour.wake_at(&self.config, now));
        let deadline = self.deadlines.first().map(|(at, ..)| *at);
        let fresh = self.neighbours.iter().filter_map(|(peer, neighbour)| self.stays_at(peer, neighbour));
        let own =
            deadline.into_iter().chain(self.announce).chain(self.accusations.wake_at()).chain([self.next_compare]);
        sends.chain(fresh).chain(own).min()
    }

    /// When a neighbour that has told nothing and was told nothing is compared with: by one of the two.
    fn stays_at(&self, peer: &PeerKey, neighbour: &Neighbour) -> Option<Instant> {
        let waits = !neighbour.active && neighbour.hears() && self.own < *peer;
        waits.then_some(neighbour.since + STEADY)
    }

    /// What was told before it was a neighbour it may have missed.
    fn meet_those_who_stay(&mut self, now: Instant) {
        let stays =
            |(peer, neighbour): &(&PeerKey, &Neighbour)| self.stays_at(peer, neighbour).is_some_and(|at| at <= now);
        let those: Vec<PeerKey> = self.neighbours.iter().filter(stays).map(|(peer, _)| *peer).collect();
        for peer in those {
            if let Some(neighbour) = self.neighbours.get_mut(&peer) {
                neighbour.active = true;
                neighbour.ask.extend(neighbour.swarms.iter().copied());
            }
        }
    }

    pub(super) fn tick(&mut self, now: Instant, rng: &mut impl Rng) {
        self.expire(now);
        if self.announce.is_some_and(|at| at <= now) {
            self.announce = None;
            self.say_alive(now, rng);
        }
        self.accuse_due(now, rng);
        self.meet_those_who_stay(now);
        if self.next_compare <= now {
            self.compare(now, rng);
        }
    }

    fn say_alive(&mut self, now: Instant, rng: &mut impl Rng) {
        let Some(about) = self.about.as_ref().filter(|_| !self.leaving) else { return };
        let (incarnation, card) = (about.incarnation, about.card);
        let says = Says::Alive { name: about.name.clone(), card };
        for swarm in self.swarms.keys().copied().collect::<Vec<_>>() {
            let word = Word { swarm, subject: self.own, incarnation, says: says.clone() };
            let raw = word.seal(&self.key).into_raw();
            self.take(&word, &raw, None, now, rng);
        }
    }

    fn set_deadline(&mut self, swarm: SwarmId, peer: PeerKey) {
        let entry = self.swarms.get(&swarm).and_then(|table| table.get(&peer));
        if let Some(suspicion) = entry.and_then(|entry| entry.suspicion.as_ref()) {
            let confirmed = suspicion.witnesses.len() >= WITNESSES;
            let time = if confirmed { self.config.confirmed } else { self.config.suspicion };
            self.deadlines.insert((suspicion.since + time, swarm, peer));
        }
    }

    /// Suspects whose time is over.
    fn expire(&mut self, now: Instant) {
        while let Some((at, swarm, peer)) = self.deadlines.first().copied().filter(|(at, ..)| *at <= now) {
            self.deadlines.remove(&(at, swarm, peer));
            let connected = self.neighbours.contains_key(&peer);
            let Some(table) = self.swarms.get_mut(&swarm) else { continue };
            if table.get(&peer).is_none_or(|entry| entry.status != Status::Suspect) {
                continue;
            }
            if connected {
                // As long as the connection stands, it is not gone for this node.
                self.deadlines.insert((now + CONNECTED, swarm, peer));
                continue;
            }
            table.change(&peer, |entry| (entry.status, entry.since) = (Status::Offline, now));
            self.changed(swarm, peer, Status::Offline, None);
        }
    }

    /// Compares with one neighbour.
    fn compare(&mut self, now: Instant, rng: &mut impl Rng) {
        let pause = if self.synced { self.config.compare.mul_f64(rng.random_range(0.7..1.3)) } else { RETRY };
        self.next_compare = now + pause;
        if let Some(since) = now.checked_sub(self.config.remember) {
            self.swarms.values_mut().for_each(|table| table.sweep(since));
        }
        for neighbour in self.neighbours.values_mut() {
            neighbour.asked.retain(|_, at| now.saturating_duration_since(*at) < UNANSWERED);
        }
        for swarm in self.swarms.keys().copied().collect::<Vec<_>>() {
            let listening = |n: &Neighbour| n.listens(&swarm, now) || (!self.synced && n.swarms.contains(&swarm));
            let fit = |(_, n): &(&PeerKey, &mut Neighbour)| listening(n) && n.hears() && n.asked.is_empty();
            let mut fitting: Vec<_> = self.neighbours.iter_mut().filter(fit).collect();
            if !fitting.is_empty() {
                let chosen = rng.random_range(0..fitting.len());
                if let Some((_, neighbour)) = fitting.get_mut(chosen) {
                    neighbour.ask.insert(swarm);
                }
            }
        }
    }
}

/// Which kind of word it is.
fn words_of(word: &Word) -> Words {
    match word.says {
        Says::Alive { .. } => ALIVE,
        Says::Left => LEFT,
        Says::Suspect { .. } => SUSPECT,
    }
}

/// The answer to somebody's digest.
fn answer(table: &Table, swarm: SwarmId, theirs: &Buckets, rng: &mut impl Rng) -> Frame {
    let ours = table.buckets();
    let mut differing: Vec<usize> = (0..BUCKETS).filter(|bucket| ours.get(*bucket) != theirs.get(*bucket)).collect();
    if differing.is_empty() {
        return Frame::Same { swarm };
    }
    // Not always the same ones first: some may never agree.
    differing.shuffle(rng);
    let mut sizes = [0_usize; BUCKETS];
    for listed in table.listed(u64::MAX) {
        if let Some(size) = sizes.get_mut(bucket_of(&listed.peer)) {
            *size += 1;
        }
    }
    let (mut covered, mut room, mut more) = (0_u64, LISTED_MAX, false);
    for bucket in differing {
        let size = sizes.get(bucket).copied().unwrap_or_default();
        if size > room && covered != 0 {
            more = true;
        } else {
            covered |= 1 << bucket;
            room = room.saturating_sub(size);
        }
    }
    let members = table.listed(covered).take(LISTED_MAX).collect();
    Frame::List { swarm, covered, members, more }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
