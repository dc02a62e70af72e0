//! The way to the task that keeps mail.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use libp2p::PeerId;
use p2pnode_behaviours::mail::Ticket;
use p2pnode_wire::ids::{MailId, PeerKey};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{arrive::Arrival, work::Last};
use crate::{
    node::lock,
    store::{StoreError, Waiting},
};

/// Messages on their way to the store: a megabyte each at most, so this is what a burst may cost.
const QUEUE: usize = 64;

/// Peers that came since the task looked last; one that finds no room here is written to in its time.
const MET: usize = 4_096;

/// What the node tells.
pub(crate) enum Note {
    /// A message for us. The ticket is answered once it is kept.
    Arrived { arrival: Box<Arrival>, ticket: Ticket },
    /// There is something new in the outbox.
    Queued(Waiting),
    /// A question was worked on.
    Worked { author: PeerKey, id: MailId, last: Last, done: oneshot::Sender<Result<(), StoreError>> },
    /// The node stops.
    Close { done: oneshot::Sender<()> },
}

/// Peers that are there. Apart from the notes, as the event loop never waits, and a peer that comes may not be missed.
#[derive(Default)]
pub(super) struct Met {
    peers: Mutex<BTreeSet<PeerId>>,
    came: Notify,
}

impl Met {
    fn tell(&self, peer: PeerId) {
        let mut peers = lock(&self.peers);
        if peers.len() < MET {
            peers.insert(peer);
        }
        drop(peers);
        self.came.notify_one();
    }

    /// Those who came since the last time; waits for the first.
    pub(super) async fn next(&self) -> BTreeSet<PeerId> {
        loop {
            let peers = std::mem::take(&mut *lock(&self.peers));
            if !peers.is_empty() {
                return peers;
            }
            self.came.notified().await;
        }
    }
}

/// The way to the task.
#[derive(Clone)]
pub(crate) struct Link {
    notes: mpsc::Sender<Note>,
    met: Arc<Met>,
}

impl Link {
    pub(super) fn new() -> (Self, mpsc::Receiver<Note>, Arc<Met>) {
        let (notes, receiver) = mpsc::channel(QUEUE);
        let met = Arc::new(Met::default());
        (Self { notes, met: met.clone() }, receiver, met)
    }

    /// Without waiting; a message that finds no room is given back.
    pub(crate) fn tell(&self, note: Note) -> Result<(), Box<Note>> {
        self.notes.try_send(note).map_err(|error| match error {
            mpsc::error::TrySendError::Full(note) | mpsc::error::TrySendError::Closed(note) => Box::new(note),
        })
    }

    pub(crate) async fn send(&self, note: Note) {
        let _ = self.notes.send(note).await;
    }

    /// A peer is there: what waits for it need not wait longer.
    pub(crate) fn met(&self, peer: PeerId) {
        self.met.tell(peer);
    }

    /// The last word: what was told before is kept when this returns.
    pub(crate) async fn close(self) {
        let (done, closed) = oneshot::channel();
        if self.notes.send(Note::Close { done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}
