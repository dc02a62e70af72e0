//! What one neighbour is to be told, and what it may tell; pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bytes::Bytes;
use p2pnode_wire::{
    ids::{PeerKey, SwarmId},
    presence::{Buckets, Frame, WORDS_MAX},
};

use super::{
    Config,
    table::{Entry, Table},
};
use crate::upkeep::meter::Meter;

/// Words about a member.
pub(super) type Words = u8;
/// Its own word that it is there.
pub(super) const ALIVE: Words = 1;
/// That it has left.
pub(super) const LEFT: Words = 2;
/// That it does not answer.
pub(super) const SUSPECT: Words = 4;
/// More than that somebody has come, or has a new card.
pub(super) const URGENT: Words = 8;
/// All there is.
pub(super) const ALL: Words = ALIVE | LEFT | SUSPECT | URGENT;

/// That somebody has come is told at most so often: when a thousand come in a minute, a frame for each few of them costs
/// more than all else. The first one is told at once.
const COMERS: Duration = Duration::from_secs(1);

/// A connection that is so old is more than one of a search, which is closed after five seconds.
pub(super) const STEADY: Duration = Duration::from_secs(7);

/// Comparisons answered, per second and at once: a newcomer to a swarm of thousands needs several in a row.
const COMPARES: (f64, f64) = (0.5, 8.0);

/// Words given because somebody wants them, per second and at once: the whole list twice.
const GIVEN: (f64, f64) = (100.0, 8_192.0);

pub(super) struct Neighbour {
    /// Swarms both are in.
    pub(super) swarms: Vec<SwarmId>,
    pub(super) since: Instant,
    /// It has sent something, or was sent something.
    pub(super) active: bool,
    /// It has lied: it is neither heard nor told.
    pub(super) mute: bool,
    /// It cannot be told anything: perhaps it does not speak this protocol.
    pub(super) deaf: bool,
    /// A frame is on its way.
    pub(super) busy: bool,
    /// When words were sent last.
    pub(super) told: Option<Instant>,
    /// Some of what it is owed is urgent.
    urgent: bool,
    /// About whom it is to be told. Bounded by the tables.
    pub(super) owed: BTreeMap<(SwarmId, PeerKey), Words>,
    /// Digests of it that wait for an answer. Bounded, as the next ones, by the swarms both are in.
    pub(super) compare: BTreeMap<SwarmId, Buckets>,
    /// Swarms in which it is to be compared with.
    pub(super) ask: BTreeSet<SwarmId>,
    /// Asked, and not answered yet.
    pub(super) asked: BTreeMap<SwarmId, Instant>,
    /// Whose words are wanted of it; at most as many as a list has.
    pub(super) want: BTreeMap<SwarmId, Vec<PeerKey>>,
    /// Comparisons in a row.
    pub(super) rounds: u32,
    pub(super) words: Meter,
    pub(super) compares: Meter,
    pub(super) given: Meter,
}

impl Neighbour {
    pub(super) fn new(config: &Config, now: Instant) -> Self {
        Self {
            swarms: Vec::new(),
            since: now,
            active: false,
            mute: false,
            deaf: false,
            busy: false,
            told: None,
            urgent: false,
            owed: BTreeMap::new(),
            compare: BTreeMap::new(),
            ask: BTreeSet::new(),
            asked: BTreeMap::new(),
            want: BTreeMap::new(),
            rounds: 0,
            words: Meter::new(config.words, config.words_burst, now),
            compares: Meter::new(COMPARES.0, COMPARES.1, now),
            given: Meter::new(GIVEN.0, GIVEN.1, now),
        }
    }

    /// Whether it is told of what is new in `swarm`.
    pub(super) fn listens(&self, swarm: &SwarmId, now: Instant) -> bool {
        let steady = self.active || now.saturating_duration_since(self.since) >= STEADY;
        steady && self.hears() && self.swarms.contains(swarm)
    }

    /// Whether it is told anything.
    pub(super) fn hears(&self) -> bool {
        !self.mute && !self.deaf
    }

    pub(super) fn owe(&mut self, swarm: SwarmId, subject: PeerKey, words: Words) {
        if self.hears() {
            *self.owed.entry((swarm, subject)).or_default() |= words & !URGENT;
            self.urgent |= words & URGENT != 0;
        }
    }

    /// It has told this itself.
    pub(super) fn knows(&mut self, swarm: SwarmId, subject: PeerKey, words: Words) {
        if let Some(owed) = self.owed.get_mut(&(swarm, subject)) {
            *owed &= !words;
            if *owed == 0 {
                self.owed.remove(&(swarm, subject));
            }
        }
    }

    pub(super) fn silence(&mut self) {
        self.mute = true;
        self.clear();
    }

    /// What it was to be told and asked.
    pub(super) fn clear(&mut self) {
        self.owed.clear();
        self.compare.clear();
        self.ask.clear();
        self.asked.clear();
        self.want.clear();
    }

    /// When there is something to send; none while a frame is on its way.
    pub(super) fn wake_at(&self, config: &Config, now: Instant) -> Option<Instant> {
        if self.busy || !self.hears() {
            return None;
        }
        let control = !(self.compare.is_empty() && self.ask.is_empty() && self.want.is_empty());
        match self.owed.len() {
            0 => control.then_some(now),
            full if full >= WORDS_MAX => Some(now),
            _ => {
                let pause = if self.urgent { config.batch } else { COMERS.max(config.batch) };
                Some(self.told.map_or(now, |told| told + pause))
            }
        }
    }

    /// Words it is owed, at most as many as a frame has.
    pub(super) fn take_words(&mut self, swarms: &BTreeMap<SwarmId, Table>) -> Option<Frame> {
        let mut words = Vec::new();
        while words.len() + 2 < WORDS_MAX
            && let Some(((swarm, subject), owed)) = self.owed.pop_first()
        {
            if let Some(entry) = swarms.get(&swarm).and_then(|table| table.get(&subject)) {
                words.extend(said(entry, owed));
            }
        }
        self.urgent &= !self.owed.is_empty();
        (!words.is_empty()).then_some(Frame::Words(words))
    }
}

/// Those of the wanted words that there are: what the later ones are about comes first.
fn said(entry: &Entry, words: Words) -> impl Iterator<Item = Bytes> {
    let alive = entry.alive.iter().filter(move |_| words & ALIVE != 0).map(|alive| alive.raw.clone());
    let left = entry.left.iter().filter(move |_| words & LEFT != 0).map(|(_, raw)| raw.clone());
    let suspicion = entry.suspicion.iter().filter(move |_| words & SUSPECT != 0);
    let witnesses = suspicion.flat_map(|suspicion| suspicion.witnesses.iter().map(|(_, raw)| raw.clone()));
    alive.chain(left).chain(witnesses)
}
