//! Who is there, also without a connection.

use std::time::{Duration, Instant};

use libp2p::PeerId;
use p2pnode_behaviours::presence::{self, Status};
use p2pnode_wire::{card::Card, ids::SwarmId};
use rand::RngExt;

use super::EventLoop;
use crate::{
    node::lock,
    peers::{Change, Told},
};

/// One member without a connection is dialled so often, ±30 %. Those that crash together with all who watched them would
/// be taken for there for ever otherwise; each is looked at by somebody about as often.
pub(super) const CHECK_EVERY: Duration = Duration::from_secs(300);

impl EventLoop {
    pub(super) fn on_presence(&mut self, event: presence::Event) {
        let now = Instant::now();
        match event {
            presence::Event::Changed(changes) => changes.into_iter().for_each(|change| self.told(change, now)),
            presence::Event::Agreed(swarm) => lock(&self.setup.shared.peers).agreed(swarm, now),
        }
        self.setup.shared.touch();
    }

    fn told(&mut self, change: presence::Change, now: Instant) {
        let presence::Change { peer, swarm, status, alive } = change;
        if self.behaviour().upkeep.is_blocked(&peer) {
            return;
        }
        let lost = status == Status::Suspect && lock(&self.setup.shared.peers).is_connected(&peer);
        let change = lock(&self.setup.shared.peers).told(peer, Told { swarm, status, alive }, now);
        if lost {
            let left = lock(&self.setup.shared.peers).online();
            self.behaviour().discovery.member_lost(left);
        }
        if matches!(change, Some(Change::Left(_))) {
            self.lost(&peer);
        }
        self.announce(change);
    }

    /// A member of these swarms is connected.
    pub(super) fn neighbour(&mut self, peer: &PeerId, swarms: &[SwarmId]) {
        if let Some(presence) = self.behaviour().presence.as_mut() {
            presence.member(peer, swarms);
        }
    }

    /// A member does not answer: others shall know.
    pub(super) fn suspect(&mut self, peer: &PeerId) {
        if let Some(presence) = self.behaviour().presence.as_mut() {
            presence.suspect(peer);
        }
    }

    /// Others shall know that this node is there, and that its card is new, if anything but its date and its load is.
    pub(super) fn say_present(&mut self, card: &Card, before: Option<&Card>) {
        let undated = |card: &Card| Card { seq: 0, not_after: 0, load: None, ..card.clone() };
        if before.is_some_and(|before| undated(before) == undated(card)) {
            return;
        }
        if let Some(presence) = self.behaviour().presence.as_mut() {
            presence.set_self(card.name.clone(), card.seq);
        }
    }

    /// Looks after one of the members that nobody here has heard of for long.
    pub(super) fn check_some(&mut self, now: Instant) {
        if now < self.next_check {
            return;
        }
        self.next_check = now + CHECK_EVERY.mul_f64(rand::rng().random_range(0.7..1.3));
        let unheard = lock(&self.setup.shared.peers).unheard(now);
        if !unheard.is_empty() {
            let chosen = rand::rng().random_range(0..unheard.len());
            unheard.get(chosen).into_iter().for_each(|peer| self.dial(*peer, "known by presence alone"));
        }
    }
}
