//! Where the tasks of connections run.

use std::{future::Future, pin::Pin};

use libp2p::swarm::Executor;
use p2pnode_behaviours::turns::Repeated;

/// Runs the tasks of connections on tokio; for `libp2p::swarm::Config::with_executor` in programs that make their own
/// Swarm around our behaviours. Needs a tokio runtime around it.
///
/// A task that wakes itself while it runs is polled once more at once. tokio takes it for one that wants others to have
/// their turn, puts it at the end of the line, and wakes another thread to take it from there: for a call that is alone
/// that costs more than all the rest of it.
pub fn executor() -> impl Executor + Send + 'static {
    |task: Pin<Box<dyn Future<Output = ()> + Send>>| drop(tokio::spawn(Repeated::new(task)))
}
