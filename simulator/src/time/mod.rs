//! Virtual time: on a thread of its own, a simulation has its own clock and its own chance, both from the seed.
//!
//! Three parts make it (see the README): libp2p's timers on tokio's clock (`futures-timer` of this workspace), tokio's
//! clock paused, so that it jumps to the next timer when nothing is left to do, and the C functions of `interpose`,
//! which make `std::time` and every source of randomness follow. Without the feature `virtual-time` nothing is defined
//! in place of libc's, and programs that only want our transport keep the system's clock untouched.

#[cfg(not(feature = "virtual-time"))]
mod absent;
#[cfg(feature = "virtual-time")]
mod interpose;
#[cfg(feature = "virtual-time")]
mod simulated;

#[cfg(not(feature = "virtual-time"))]
pub use absent::{elapsed, simulate};
#[cfg(feature = "virtual-time")]
pub use simulated::{elapsed, simulate};
