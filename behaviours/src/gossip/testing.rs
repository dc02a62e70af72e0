//! Events for tests.

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, PeerKey, SwarmId},
};

pub(super) const GARDEN: SwarmId = SwarmId([1; 32]);
pub(super) const ORCHARD: SwarmId = SwarmId([2; 32]);

pub(super) fn author(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number; 32])
}

pub(super) fn event(key: &SigningKey, swarm: SwarmId, seq: u64, body: Vec<u8>) -> Event {
    Event {
        v: 1,
        swarm,
        author: PeerKey(key.verifying_key().to_bytes()),
        epoch: 1,
        seq,
        prev: None,
        at_ms: 0,
        conversation: ConversationId::new(),
        kind: "message".into(),
        parent: None,
        seen: Vec::new(),
        mheads: Vec::new(),
        team: None,
        trace: None,
        meta: None,
        body: Bytes::from(body),
    }
}

pub(super) fn sealed(key: &SigningKey, swarm: SwarmId, seq: u64) -> Bytes {
    event(key, swarm, seq, b"\xa5hello".to_vec()).seal(key).into_raw()
}
