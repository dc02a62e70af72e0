//! How this node is reached from outside.

use std::{
    io,
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{
    nat,
    upkeep::{is_loopback, is_relayed},
};

use super::{EventLoop, tick::CARD_ADDRESSES};
use crate::node::lock;

/// Of these in a card: two relays with two addresses each.
const CARD_CIRCUITS: usize = 4;

/// Whom we have greeted within the last second does not ask for our card again when it changes; then it is told once more.
const SETTLED: Duration = Duration::from_millis(1_500);

impl EventLoop {
    /// Tells others of a changed card, also those that have just been greeted: a place with a relay is there a moment after
    /// its connection.
    pub(super) fn sign_card_twice(&mut self) {
        self.sign_card();
        self.next_card = Instant::now() + SETTLED;
    }

    pub(super) fn on_nat(&mut self, event: nat::Event) {
        match event {
            nat::Event::Changed => self.looks_different(),
            nat::Event::Punched { peer, .. } => tracing::debug!(%peer, "a hole was punched"),
            nat::Event::NotPunched { peer, reason } => self.not_punched(&peer, reason),
            _ => {}
        }
        self.setup.shared.touch();
    }

    fn looks_different(&mut self) {
        let Some(report) = self.behaviour().nat.as_ref().map(nat::Behaviour::report) else { return };
        tracing::debug!(?report, "how this node looks from outside");
        // Who can be reached over circuits only asks the DHT: to answer, each question would need a circuit.
        let client = report.relayed_only;
        let before = std::mem::replace(&mut lock(&self.setup.shared.own).reach, report);
        if before.relayed_only != client && !self.setup.ephemeral {
            self.behaviour().discovery.set_client(client);
        }
    }

    fn not_punched(&mut self, peer: &PeerId, reason: String) {
        tracing::debug!(%peer, reason, "no hole was punched");
        lock(&self.setup.shared.peers).not_punched(peer, reason);
    }

    /// A listener is gone: as a rule a place with a relay.
    pub(super) fn listens_no_more(&mut self, addresses: &[Multiaddr], reason: io::Result<()>) {
        if let Err(error) = reason {
            tracing::debug!(?addresses, %error, "a listener has ended");
        }
        let gone = |own: &mut Vec<Multiaddr>| {
            let before = own.len();
            own.retain(|known| !addresses.contains(known));
            own.len() != before
        };
        if gone(&mut lock(&self.setup.shared.own).listen) {
            self.sign_card_twice();
        }
    }

    /// What others may dial: where somebody has reached us first, loopback last, for neighbours on this host.
    pub(super) fn card_addresses(&self) -> Vec<Multiaddr> {
        let own = self.own_addresses();
        let (here, there): (Vec<_>, Vec<_>) = own.into_iter().partition(is_loopback);
        let mut circuits = lock(&self.setup.shared.own).listen.clone();
        circuits.retain(is_relayed);
        circuits.truncate(CARD_CIRCUITS);
        let outside = self.setup.swarm.external_addresses().filter(|addr| !is_relayed(addr)).cloned();
        let mut addresses: Vec<Multiaddr> = Vec::new();
        for addr in outside.chain(there).chain(circuits).chain(here) {
            if !addresses.contains(&addr) {
                addresses.push(addr);
            }
        }
        addresses.truncate(CARD_ADDRESSES);
        addresses
    }
}
