//! The behaviours that upkeep is made of.

use std::convert::Infallible;

use libp2p_allow_block_list::{self as block_list, BlockedPeers};
use libp2p_identify as identify;
use libp2p_ping as ping;
use libp2p_swarm::NetworkBehaviour;

use super::manager::Manager;

/// The order matters: what an earlier one refuses, a later one never sees.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p_swarm::derive_prelude", to_swarm = "Part")]
pub struct Parts {
    pub(super) manager: Manager,
    pub(super) blocked: block_list::Behaviour<BlockedPeers>,
    pub(super) ping: ping::Behaviour,
    pub(super) identify: identify::Behaviour,
}

/// What the parts tell.
#[derive(Debug)]
pub enum Part {
    Ping(ping::Event),
    Identify(Box<identify::Event>),
}

impl From<Infallible> for Part {
    fn from(event: Infallible) -> Self {
        libp2p_core::util::unreachable(event)
    }
}

impl From<ping::Event> for Part {
    fn from(event: ping::Event) -> Self {
        Self::Ping(event)
    }
}

impl From<identify::Event> for Part {
    fn from(event: identify::Event) -> Self {
        Self::Identify(Box::new(event))
    }
}
