//! Kademlia with our own store, our own rhythm, and signed values.

mod announce;
mod behaviour;
mod refresh;
mod store;
mod table;

pub(super) use behaviour::{Behaviour, Output};
pub use behaviour::{PutError, QueryToken, Stats};
