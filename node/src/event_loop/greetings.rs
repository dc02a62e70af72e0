//! Who waits for a peer to show its card.

use libp2p::PeerId;
use tokio::sync::oneshot;

use super::EventLoop;
use crate::node::lock;

/// Searches dial sixteen at a time each; more than these wait at once only if a program asks for it.
const MAX_WAITING: usize = 256;

type Greeted = Result<(), String>;

/// Those who wait, and for whom.
#[derive(Default)]
pub(super) struct Greetings(Vec<(PeerId, oneshot::Sender<Greeted>)>);

impl Greetings {
    /// `peer` has shown its card, or will not.
    pub(super) fn ended(&mut self, peer: &PeerId, outcome: &Greeted) {
        for (_, done) in self.0.extract_if(.., |(wanted, _)| wanted == peer) {
            let _ = done.send(outcome.clone());
        }
    }

    /// Those who gave up waiting are forgotten.
    pub(super) fn expire(&mut self) {
        self.0.retain(|(_, done)| !done.is_closed());
    }
}

impl EventLoop {
    pub(super) fn greet(&mut self, peer: PeerId, done: oneshot::Sender<Greeted>) {
        if lock(&self.setup.shared.peers).is_here(&peer) {
            let _ = done.send(Ok(()));
        } else if self.greetings.0.len() >= MAX_WAITING {
            let _ = done.send(Err("too many greetings are waited for".into()));
        } else {
            self.greetings.0.push((peer, done));
            self.dial(peer, "its card is wanted");
        }
    }
}
