//! Reaching those behind routers, and being reached there: what this node's addresses look like from outside, circuits
//! over members that can be reached, and holes through routers.
//!
//! Everything is made of libp2p's own protocols (AutoNAT v2, circuit relay v2, DCUtR, UPnP); what is decided is in a pure
//! state. Where all addresses are private nothing happens.
//!
//! [`Behaviour::new`] gives a [`Circuits`] transport too, which belongs beside the one that opens sockets.

mod behaviour;
mod config;
mod event;
mod guard;
mod offer;
mod parts;
mod report;
mod state;

pub use behaviour::Behaviour;
pub use config::{Config, Relay};
pub use event::Event;
pub use guard::Guard;
pub use libp2p_relay::client::Transport as Circuits;
pub use offer::Offer;
pub use report::{Mapping, Observed, Reachability, Report, Reservation, Tested, Upnp};
