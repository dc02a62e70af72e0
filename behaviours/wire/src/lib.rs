//! Bytes of the p2pnode protocols, pure and without libp2p.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)
)]

pub mod bin;
pub mod card;
pub mod error;
pub mod escape;
pub mod event;
pub mod frame;
pub mod hello;
pub mod ids;
pub mod key;
pub mod limits;
pub mod mail;
pub mod msgpack;
pub mod presence;
pub mod protocol;
pub mod rpc;
pub mod sign;
pub mod subject;
pub mod sync;
pub mod talk;
pub mod ticket;
pub mod value;

pub use key::topic;
