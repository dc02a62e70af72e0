//! Connections: who may connect and how many, how long connections live, where peers are, which addresses are dialled.
//!
//! Below it, the transport needs a [`Gate`] with the same [`AddressRules`], and a [`Door`] for inbound handshakes: a
//! behaviour sees a connection before its handshake and after it, and cannot end one that hangs in it. A [`Pace`] spares
//! the peers we dial most of their handshakes; [`Orderly`] around yamux tells a farewell from a failure.
//!
//! Limits are counted here and not by `libp2p-connection-limits`, which knows no strangers and members, and (0.7) keeps
//! an entry for ever for every peer that was ever connected.

pub mod address;
mod around;
mod behaviour;
pub mod book;
mod compact;
mod config;
mod door;
mod event;
mod failure;
mod gate;
mod hold;
mod host;
mod manager;
pub(crate) mod meter;
mod orderly;
mod pace;
mod parts;
mod quiet;
mod range;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod twin;

pub use address::{
    AddressRules, Refusal, ip_of, is_inside, is_loopback, is_private, is_public, is_relayed, is_web, relay_of,
};
pub use behaviour::Behaviour;
pub use book::{Book, Source};
pub use compact::{Boxed, Compact};
pub use config::{Config, Limits};
pub use door::{Door, DoorError};
pub use event::{Cause, Event};
pub(crate) use failure::describe;
pub use gate::{Gate, GateError};
pub use hold::{Hold, Holds};
pub use orderly::{Muxer, Orderly, OrderlyMuxer, PeerClosed, Sniffed};
pub use pace::Pace;
pub use quiet::Quiet;
pub use state::Refused;
