use std::net::IpAddr;

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;

/// Whether others reach this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reachability {
    /// Nobody outside has said anything that shows it.
    #[default]
    Unknown,
    /// Somebody outside has dialled it.
    Public,
    /// Others see it at an address that is not its own, or could not dial it.
    Private,
}

impl Reachability {
    /// `unknown`, `public` or `private`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Public => "public",
            Self::Private => "private",
        }
    }
}

/// What routers make of this node's address, by what others see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mapping {
    /// Others see its own address.
    None,
    /// Two see the same address and port: holes can be punched.
    Same,
    /// Each sees another port: a hole made for one does not fit another.
    Differs,
    /// There is a router, but only one has looked.
    One,
}

impl Mapping {
    /// `none`, `cone`, `symmetric` or `unknown`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Same => "cone",
            Self::Differs => "symmetric",
            Self::One => "unknown",
        }
    }
}

/// At which address a peer outside sees this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observed {
    /// Who.
    pub by: PeerId,
    /// Its own address.
    pub from: IpAddr,
    /// Where.
    pub addr: Multiaddr,
}

/// An address that somebody outside has tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tested {
    /// Which one.
    pub addr: Multiaddr,
    /// Why it was not reached; none if it was.
    pub error: Option<String>,
}

/// A place with a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// Which one.
    pub relay: PeerId,
    /// It was given; otherwise it was asked for.
    pub accepted: bool,
}

/// What became of asking the router for a port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Upnp {
    /// It is not asked.
    #[default]
    Off,
    /// Nothing has come of it yet.
    Searching,
    /// It opened this address.
    Mapped(Multiaddr),
    /// No router takes such requests.
    NoGateway,
    /// The router itself has no public address.
    NotRoutable,
}

impl Upnp {
    /// `off`, `searching`, `mapped`, `no-gateway` or `not-routable`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Searching => "searching",
            Self::Mapped(_) => "mapped",
            Self::NoGateway => "no-gateway",
            Self::NotRoutable => "not-routable",
        }
    }
}

/// How this node looks from outside, and what it does about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Whether others reach it.
    pub reachability: Reachability,
    /// Addresses at which they do, without circuits.
    pub confirmed: Vec<Multiaddr>,
    /// What routers make of its TCP address; none if nobody outside has looked.
    pub tcp: Option<Mapping>,
    /// The same for UDP.
    pub udp: Option<Mapping>,
    /// Who sees it where.
    pub observed: Vec<Observed>,
    /// What others have tried to reach.
    pub tested: Vec<Tested>,
    /// Places with relays.
    pub reservations: Vec<Reservation>,
    /// The router's ports.
    pub upnp: Upnp,
    /// It can be reached over circuits only.
    pub relayed_only: bool,
    /// It carries circuits for members.
    pub relays: bool,
}
