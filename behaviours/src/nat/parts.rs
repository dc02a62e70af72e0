//! The behaviours that reaching is made of.

use libp2p_autonat::v2 as autonat;
use libp2p_dcutr as dcutr;
use libp2p_relay as relay;
use libp2p_swarm::{NetworkBehaviour, behaviour::toggle::Toggle};
use libp2p_upnp as upnp;

use super::{guard::Guard, offer::Offer};

#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude", to_swarm = "Part")]
pub struct Parts {
    /// Circuits to others, and places with relays.
    pub(super) circuits: Toggle<relay::client::Behaviour>,
    /// Circuits for others.
    pub(super) hop: Toggle<Offer<relay::Behaviour>>,
    /// Asks others to dial us.
    pub(super) probe: Toggle<autonat::client::Behaviour>,
    /// Dials others who ask for it.
    pub(super) answer: Toggle<Offer<Guard<autonat::server::Behaviour>>>,
    /// Holes in routers.
    pub(super) punch: Toggle<Guard<dcutr::Behaviour>>,
    /// Ports of the router.
    pub(super) upnp: Toggle<upnp::tokio::Behaviour>,
}

/// What the parts tell.
#[derive(Debug)]
pub enum Part {
    Circuits(relay::client::Event),
    Hop(relay::Event),
    Probe(autonat::client::Event),
    Answer(autonat::server::Event),
    Punch(dcutr::Event),
    Upnp(upnp::Event),
}

macro_rules! from {
    ($($event:ty => $variant:ident,)*) => {
        $(impl From<$event> for Part {
            fn from(event: $event) -> Self {
                Self::$variant(event)
            }
        })*
    };
}

from! {
    relay::client::Event => Circuits,
    relay::Event => Hop,
    autonat::client::Event => Probe,
    autonat::server::Event => Answer,
    dcutr::Event => Punch,
    upnp::Event => Upnp,
}
