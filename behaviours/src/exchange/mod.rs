//! One question, one answer, each a frame: what small protocols over libp2p's request-response share.

mod behaviour;
mod codec;

#[allow(unreachable_pub, reason = "reached through the aliases of the protocols")]
pub use behaviour::{Asked, Behaviour, ExchangeError, Ticket};
pub(crate) use codec::{Codec, Exchange};
