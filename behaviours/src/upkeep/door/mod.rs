//! Inbound handshakes: few at once, and none that says nothing keeps others out.

mod state;
#[cfg(test)]
mod state_tests;
mod transport;

pub use transport::{Door, DoorError};
