//! Real p2pnode nodes by the hundreds in one process: in virtual time, over a modelled network, the same seed giving the
//! same run. See the README of this crate for what is modelled and what is not.
//!
#![cfg_attr(feature = "virtual-time", doc = "```")]
#![cfg_attr(not(feature = "virtual-time"), doc = "```no_run")]
//! use std::time::Duration;
//! use p2pnode_simulator::Sim;
//!
//! let took = Sim::builder().seed(7).run(|sim| async move {
//!     let nodes = sim.nodes(5, |_, builder| builder).await?;
//!     let last = nodes[4].node()?;
//!     sim.eventually(Duration::from_secs(30), "all know each other", || last.peers().len() == 4).await
//! })??;
//! assert!(took < Duration::from_secs(30));
//! # Ok::<(), p2pnode_simulator::SimError>(())
//! ```

#[cfg(all(doctest, feature = "virtual-time"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod chart;
mod hello;
mod log;
pub mod net;
pub mod scenario;
mod sim;
mod sybil;
mod time;
mod transport;

pub use chart::sweep_svg;
pub use hello::{HelloReport, hello};
pub use log::{Entry, Log};
pub use sim::{Mode, SWARM, Sim, SimBuilder, SimError, SimNode};
pub use time::{elapsed, simulate};
pub use transport::memory;
