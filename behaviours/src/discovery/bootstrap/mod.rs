//! Configured addresses: dialled for ever, whether or not their peer is known.

mod behaviour;
mod state;

pub(super) use behaviour::{Behaviour, Outcome};
