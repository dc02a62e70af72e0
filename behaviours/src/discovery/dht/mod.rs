//! Kademlia with our own store, our own rhythm, and signed values.

mod admission;
mod announce;
mod behaviour;
mod crowd;
mod direct;
mod entrance;
mod hearsay;
mod inspect;
mod query;
mod refresh;
mod region;
mod results;
mod scan;
mod settings;
mod spread;
mod store;
mod table;
mod walk;

pub(super) use behaviour::Behaviour;
pub use inspect::{DhtStats, TablePeer};
pub(super) use query::Output;
pub use query::{PutError, QueryToken, Stats};
pub use spread::FULL;
