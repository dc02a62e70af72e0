//! Setting up how a node reaches those behind routers.

use libp2p::PeerId;
use p2pnode_behaviours::nat::{self, Circuits};

use crate::builder::Builder;

impl Builder {
    /// What it has to do with circuits over relays. Default [`Relay::Auto`](nat::Relay::Auto).
    pub fn relay(mut self, relay: nat::Relay) -> Self {
        self.limits.nat.relay = relay;
        self
    }

    /// Lets the router open ports, by UPnP. Default off.
    pub fn upnp(mut self, on: bool) -> Self {
        self.limits.nat.upnp = on;
        self
    }

    /// Nothing beside a transport of somebody else's. A node that lives for one command is not found by others: it need not
    /// know whether they would reach it.
    pub(crate) fn nat(&self, own: PeerId) -> (Option<nat::Behaviour>, Option<Circuits>) {
        if self.transport.is_some() {
            return (None, None);
        }
        let mut config = self.limits.nat.clone();
        if self.ephemeral {
            (config.probe, config.upnp) = (false, false);
        }
        let (behaviour, circuits) = nat::Behaviour::new(&config, own);
        (Some(behaviour), circuits)
    }
}
