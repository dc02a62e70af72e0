//! Composable libp2p behaviours for agent swarms.
//!
//! Each module is one protocol with a `Behaviour`, a `Config` and an `Event` of its own; use one or all of them in your
//! own `#[derive(NetworkBehaviour)]`. Pairs with libp2p 0.57. No runtime, storage engine or command line is assumed.
//!
//! | module | does |
//! |---|---|
//! | [`hello`] | which swarms a peer shares with us, and its signed card |
//! | [`rpc`] | calls over one multiplexed substream, or over libp2p request-response |
//! | [`mail`] | delivers one signed message and brings back its acknowledgement |
//! | [`discovery`] | mDNS, Kademlia providers and values, bootstrap for ever |
//! | [`gossip`] | signed events of a swarm over gossipsub |
//! | [`sync`] | compares what two members keep of a swarm's events, and fetches what one lacks |
//! | [`presence`] | who of a swarm is there, known everywhere in seconds |
//! | [`nat`] | how this node looks from outside, circuits over relays, holes through routers |
//! | [`upkeep`] | identify, ping, limits, address rules, connections held and let go |
#![forbid(unsafe_code)]

mod alarm;
mod around;
mod clock;
pub mod discovery;
mod exchange;
pub mod gossip;
pub mod hello;
pub mod mail;
pub mod nat;
mod peer;
pub mod presence;
pub mod rpc;
pub mod sync;
pub mod turns;
pub mod upkeep;

pub use clock::Clock;
pub use p2pnode_wire as wire;
pub use peer::{key_of, peer_of};
