//! What lists and events tell of a peer.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
pub use p2pnode_wire::card::Availability;
use p2pnode_wire::card::{Capability, EndpointInfo};

use crate::path::Path;

/// Whether a member can be reached, as far as this node knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerState {
    /// Connected, or heard from lately.
    Online,
    /// Its connection broke, and it has not answered since.
    Suspect,
    /// It said goodbye, or cannot be dialled.
    Offline,
}

impl PeerState {
    /// `online`, `suspect` or `offline`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
        }
    }
}

/// A peer by id and name, as lists and events show it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PeerRef {
    /// Its id, proven by the connection or a signature.
    pub id: PeerId,
    /// The name it gives itself; a label, not a proof. Empty while its card is not known.
    pub name: String,
}

/// An address of a peer and how this node came to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownAddress {
    /// The address.
    pub addr: Multiaddr,
    /// `card`, `connection`, `mdns`, `local`, `identify`, …
    pub source: String,
}

/// A member of one of this node's swarms, as it was when asked.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its id.
    pub id: PeerId,
    /// The name it gives itself.
    pub name: String,
    /// Whether it can be reached.
    pub state: PeerState,
    /// Round trip of the last ping.
    pub rtt: Option<Duration>,
    /// How it is connected, if it is.
    pub path: Option<Path>,
    /// Swarms it shares with this node.
    pub swarms: Vec<String>,
    /// What it says it can do.
    pub capabilities: Vec<Capability>,
    /// What it publishes.
    pub endpoints: Vec<EndpointInfo>,
    /// Its role, or empty.
    pub role: String,
    /// Its description, or empty.
    pub description: String,
    /// Its team, if any.
    pub team: Option<String>,
    /// Whether it takes work, by its own word.
    pub availability: Availability,
    /// How much it has to do, by its own word: 0 to 100.
    pub load: Option<u8>,
    /// Program and version.
    pub agent: String,
    /// Where it can be dialled.
    pub addresses: Vec<KnownAddress>,
    /// How long ago it was last heard from.
    pub last_seen: Duration,
    /// It lives for one command.
    pub ephemeral: bool,
    /// Its card is known. Of others there is what members tell each other about who is there: name, state and swarms.
    pub card_known: bool,
}

impl Peer {
    /// Id and name.
    pub fn to_ref(&self) -> PeerRef {
        PeerRef { id: self.id, name: self.name.clone() }
    }
}

/// A swarm seen on this host, the network or the way.
#[derive(Debug, Clone)]
pub struct SwarmSeen {
    /// Its name.
    pub name: String,
    /// Nodes seen in it, this one included.
    pub nodes: usize,
    /// `local`, `mdns`, `bootstrap`, `joined`.
    pub seen_by: Vec<String>,
    /// Whether this node is in it.
    pub joined: bool,
    /// How long ago a node of it was last heard from.
    pub last_seen: Duration,
}
