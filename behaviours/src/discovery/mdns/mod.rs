//! Peers of the local network: found by multicast DNS, dialled slowly, forgotten when they are not ours.

mod behaviour;
mod state;

pub(super) use behaviour::{Behaviour, Found};
