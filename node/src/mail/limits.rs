use std::time::Duration;

use p2pnode_wire::ids::{ConversationId, PeerKey};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::{StoreError, Write};

/// How much mail is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MailLimits {
    /// Messages of one member in the inbox; then it is full for this member. Default 1,000.
    pub member_messages: u64,
    /// Their bytes. Default 64 MiB.
    pub member_bytes: u64,
    /// Messages of all together who are in no swarm of ours. Default 50.
    pub stranger_messages: u64,
    /// Their bytes. Default 1 MiB.
    pub stranger_bytes: u64,
    /// Messages of one of them. Default 3.
    pub per_stranger: u64,
    /// Messages of ours on their way. Default 10,000.
    pub outbox: u64,
    /// Messages of one conversation with one peer within an hour, both ways, receipts too: two programs that answer
    /// whatever they get are stopped by it. Default 200.
    pub conversation_messages: u64,
    /// Their bytes. Default 4 MiB.
    pub conversation_bytes: u64,
    /// A message is tried for so long. Default 7 days.
    pub expires: Duration,
    /// Messages that were taken are remembered for so long, lest one comes twice. Default 30 days.
    pub remembered: Duration,
    /// And so many of them in any case. Default 100,000.
    pub remembered_messages: u64,
}

impl Default for MailLimits {
    fn default() -> Self {
        const DAY: u64 = 24 * 3_600;
        Self {
            member_messages: 1_000,
            member_bytes: 64 * 1024 * 1024,
            stranger_messages: 50,
            stranger_bytes: 1024 * 1024,
            per_stranger: 3,
            outbox: 10_000,
            conversation_messages: 200,
            conversation_bytes: 4 * 1024 * 1024,
            expires: Duration::from_secs(7 * DAY),
            remembered: Duration::from_secs(30 * DAY),
            remembered_messages: 100_000,
        }
    }
}

/// So long what a conversation has had counts.
const HOUR_MS: u64 = 3_600_000;

impl MailLimits {
    /// Whether a conversation with `peer` has had all that it may have for now.
    pub(super) fn is_spent(
        &self,
        tables: &dyn Write,
        conversation: &ConversationId,
        peer: &PeerKey,
        now_ms: u64,
    ) -> Result<bool, StoreError> {
        let used = tables.talk_use(conversation, peer, now_ms.saturating_sub(HOUR_MS))?;
        Ok(used.messages >= self.conversation_messages || used.bytes >= self.conversation_bytes)
    }
}
