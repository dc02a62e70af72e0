//! Joining a swarm while the node runs.

use std::time::Instant;

use p2pnode_wire::ids::{SwarmId, SwarmName};

use super::{EventLoop, tick};
use crate::{addr::BootstrapAddr, node::lock, swarms::Full};

impl EventLoop {
    /// True if it was not in that swarm.
    pub(super) fn join(&mut self, id: SwarmId, name: SwarmName, mut seeds: Vec<BootstrapAddr>) -> Result<bool, Full> {
        let new = self.setup.swarms.join(id, name.clone())?;
        if new {
            lock(&self.setup.shared.peers).join(id, name.clone());
            let behaviour = self.behaviour();
            if let Some(gossip) = behaviour.gossip.as_mut() {
                gossip.join(id);
            }
            if let Some(presence) = behaviour.presence.as_mut() {
                presence.join(id);
            }
            // Greets all who are connected: they may have been in it all along.
            behaviour.hello.join(id, Some(name));
            self.sign_card();
            let card = lock(&self.setup.shared.own).card.clone();
            if let (Some(card), Some(presence)) = (card, self.behaviour().presence.as_mut()) {
                presence.set_self(card.name, card.seq);
            }
            // Who is in it on this host, on the network and in the DHT is looked for now.
            let now = Instant::now();
            (self.next_scan, self.next_members, self.members_pause) = (now, now, tick::MEMBERS_SOON);
        }
        if seeds.iter().any(BootstrapAddr::is_loopback) {
            self.setup.rules.allow_loopback(true);
        }
        // Those that are tried already have a task that resolves them.
        let now = Instant::now();
        seeds.retain(|seed| lock(&self.setup.shared.progress).also(&seed.to_string(), now));
        tick::resolve_bootstrap(seeds, self.setup.shared.clone(), self.resolver.clone());
        self.setup.shared.touch();
        Ok(new)
    }
}
