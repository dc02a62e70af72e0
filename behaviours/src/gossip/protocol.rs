//! Topics and ids of gossip.

use libp2p_gossipsub::{IdentTopic, Message, MessageId, TopicHash, TopicSubscriptionFilter};
use p2pnode_wire::{
    ids::{EventId, SwarmId},
    limits,
    sign::{SIGNATURE, Signed},
    topic,
};

/// Bytes of an RPC around the event: topic, lengths.
const OVERHEAD: usize = 1024;

/// Largest RPC.
pub(super) const MAX_TRANSMIT: usize = limits::EVENT_MAX + SIGNATURE + OVERHEAD;

/// Largest event with its signature.
pub(super) const MAX_EVENT: usize = limits::EVENT_MAX + SIGNATURE;

const PREFIX: &str = "p2pnode/1/";

pub(super) fn topic_of(swarm: &SwarmId) -> IdentTopic {
    IdentTopic::new(topic(swarm))
}

/// The swarm of a topic; none if it is no topic of ours.
pub(super) fn swarm_of(topic: &TopicHash) -> Option<SwarmId> {
    let swarm: SwarmId = topic.as_str().strip_prefix(PREFIX)?.parse().ok()?;
    // One spelling per swarm.
    (p2pnode_wire::topic(&swarm) == topic.as_str()).then_some(swarm)
}

/// SHA-256 of the data: the same for everybody, whoever passes it on.
pub(super) fn id_of(data: &[u8]) -> EventId {
    use sha2::{Digest, Sha256};
    EventId(Sha256::digest(data).into())
}

pub(super) fn message_id(message: &Message) -> MessageId {
    MessageId(id_of(&message.data).0.to_vec())
}

pub(super) fn signed_id(signed: &Signed) -> EventId {
    EventId(signed.id())
}

/// Lets peers subscribe to our topics only.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnlySwarms;

impl TopicSubscriptionFilter for OnlySwarms {
    fn can_subscribe(&mut self, topic: &TopicHash) -> bool {
        swarm_of(topic).is_some()
    }
}
