//! Finding peers: configured addresses, the local network, and a DHT that says who is in a swarm, who can do what, and
//! what peers have published about themselves.

mod behaviour;
mod bootstrap;
mod config;
mod dht;
mod event;
mod mdns;

pub use behaviour::Behaviour;
pub use config::Config;
pub use dht::{DhtStats, FULL, PutError, QueryToken, Stats, TablePeer};
pub use event::{Event, Via};
