//! The last word of a node.

use std::time::Duration;

use bytes::Bytes;
use p2pnode_wire::{ids::ConversationId, talk::kind};

use super::EventLoop;
use crate::talk::Draft;

impl EventLoop {
    /// Tells the swarms that this node leaves.
    pub(super) fn publish_leave(&mut self) {
        if self.setup.ephemeral {
            return;
        }
        for (swarm, _) in self.setup.swarms.all().iter().cloned() {
            let (conversation, body) = (ConversationId::new(), Bytes::new());
            let draft = Draft { swarm, team: None, conversation, kind: kind::LEAVE, parent: None, trace: None, body };
            if let Err(error) = self.publish(draft, Duration::ZERO) {
                tracing::debug!(%error, "nobody heard the goodbye");
            }
        }
    }
}
