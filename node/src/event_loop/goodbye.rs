//! The last word of a node.

use bytes::Bytes;
use p2pnode_wire::{event::Event, ids::ConversationId, mail::kind};

use super::EventLoop;
use crate::time::now_ms;

impl EventLoop {
    /// Tells the swarms that this node leaves: the one event that all nodes publish, and the whole of its feed.
    pub(super) fn publish_leave(&mut self) {
        let (now, key) = (now_ms(), self.setup.identity.signing_key());
        for (swarm, _) in self.setup.swarms.clone() {
            let event = Event {
                v: 1,
                swarm,
                author: self.setup.about.key,
                epoch: now,
                seq: 0,
                prev: None,
                at_ms: now,
                conversation: ConversationId::new(),
                kind: kind::LEAVE.to_owned(),
                parent: None,
                seen: Vec::new(),
                mheads: Vec::new(),
                team: None,
                trace: None,
                meta: None,
                body: Bytes::new(),
            };
            let Some(gossip) = self.setup.swarm.behaviour_mut().gossip.as_mut() else { return };
            if let Err(error) = gossip.publish(&swarm, event.seal(&key).into_raw()) {
                tracing::debug!(%error, "nobody heard the goodbye");
            }
        }
    }
}
