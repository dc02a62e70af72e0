//! When to try again, and what an outcome means for a message of ours. Pure.

use std::time::Duration;

use p2pnode_behaviours::mail::DeliverError;
use p2pnode_wire::mail::{MailAck, Receipt};

use super::lines::Landing;
use crate::store::{OutboxRow, OutboxState};

/// Between tries: doubling, a fifth more or less.
pub(super) const FIRST: Duration = Duration::from_secs(1);
pub(super) const LONGEST: Duration = Duration::from_secs(300);

/// Characters of an error that are kept.
const ERROR_MAX: usize = 300;

/// The pause after so many tries; `spread` is drawn from 0 to 1.
pub(super) fn pause(attempts: u32, spread: f64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)));
    doubled.min(LONGEST).mul_f64(0.8 + 0.4 * spread)
}

/// What an outcome says about the peer and the message.
pub(super) fn landing(outcome: &Result<MailAck, DeliverError>) -> Landing {
    match outcome {
        Ok(_) => Landing::Settled,
        Err(DeliverError::Refused(error)) if error.retryable => Landing::Later(error.retry_after),
        Err(DeliverError::Refused(_)) => Landing::Settled,
        Err(_) => Landing::Silent,
    }
}

/// A try has ended; it is tried `again` after that, if at all.
pub(super) fn tried(row: &mut OutboxRow, outcome: Result<MailAck, DeliverError>, again: Option<Duration>, now_ms: u64) {
    row.attempts = row.attempts.saturating_add(1);
    match (again, outcome) {
        (_, Ok(_)) => {
            (row.state, row.changed_ms) = (OutboxState::Stored, now_ms);
            row.error.clear();
        }
        (None, Err(error)) => {
            (row.state, row.changed_ms) = (OutboxState::Refused, now_ms);
            row.error = short(&match error {
                DeliverError::Refused(error) => format!("{} ({})", error.message, error.code.name()),
                other => other.to_string(),
            });
        }
        (Some(after), Err(error)) => {
            row.next_ms = now_ms.saturating_add(u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
            row.error = short(&error.to_string());
        }
    }
}

/// Whether its time is over; then it is marked so.
pub(super) fn expire(row: &mut OutboxRow, now_ms: u64) -> bool {
    let over = row.state == OutboxState::Sent && row.mail.not_after_ms <= now_ms;
    if over {
        (row.state, row.changed_ms) = (OutboxState::Expired, now_ms);
    }
    over
}

/// The receiver tells what became of it; false if that is nothing new.
pub(super) fn receipt(row: &mut OutboxRow, receipt: Receipt, now_ms: u64) -> bool {
    let state = match receipt {
        Receipt::Delivered => OutboxState::Delivered,
        Receipt::Read => OutboxState::Read,
    };
    // One that was told expired may have come all the same: its acknowledgement was lost.
    let before = matches!(row.state, OutboxState::Sent | OutboxState::Stored | OutboxState::Expired)
        || (row.state == OutboxState::Delivered && state == OutboxState::Read);
    if before {
        (row.state, row.changed_ms) = (state, now_ms);
        row.error.clear();
    }
    before
}

fn short(text: &str) -> String {
    text.chars().take(ERROR_MAX).collect()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use p2pnode_wire::{
        error::{ErrorCode, RpcError},
        ids::{ConversationId, MailId, PeerKey},
        mail::{Mail, kind},
    };

    use super::*;

    fn row() -> OutboxRow {
        let mail = Mail {
            v: 1,
            id: MailId::new(),
            swarm: None,
            from: PeerKey([1; 32]),
            to: PeerKey([2; 32]),
            kind: kind::MESSAGE.into(),
            conversation: ConversationId::new(),
            in_reply_to: None,
            priority: None,
            via: Vec::new(),
            sent_ms: 0,
            not_after_ms: 10_000,
            trace: None,
            meta: None,
            parts: Vec::new(),
        };
        OutboxRow::new(mail, Bytes::new(), 0)
    }

    fn try_at(row: &mut OutboxRow, outcome: Result<MailAck, DeliverError>, now_ms: u64) {
        let again = match landing(&outcome) {
            Landing::Settled => None,
            Landing::Later(_) | Landing::Silent => Some(pause(row.attempts + 1, 0.5)),
        };
        tried(row, outcome, again, now_ms);
    }

    #[test]
    fn pauses_double_up_to_five_minutes() {
        let seconds: Vec<u64> = (1..=11).map(|n| pause(n, 0.5).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert!(pause(u32::MAX, 1.0) <= LONGEST.mul_f64(1.2) && pause(1, 0.0) >= FIRST.mul_f64(0.79));
    }

    #[test]
    fn a_refusal_is_final_unless_it_says_otherwise() {
        let refused = |code| Err(DeliverError::Refused(RpcError::new(code, "no")));
        let mut row = row();
        try_at(&mut row, refused(ErrorCode::InboxFull), 100);
        assert_eq!((row.state, row.attempts, row.next_ms), (OutboxState::Sent, 1, 1_100));
        try_at(&mut row, Err(DeliverError::Unreachable), 2_000);
        assert_eq!((row.state, row.attempts, row.next_ms), (OutboxState::Sent, 2, 4_000));
        try_at(&mut row, refused(ErrorCode::EndpointNotFound), 5_000);
        assert_eq!(row.state, OutboxState::Refused);
        assert!(row.error.contains("ENDPOINT_NOT_FOUND"), "{}", row.error);
    }

    #[test]
    fn states_go_forward_only() {
        let mut row = row();
        let ack = MailAck { id: row.mail.id, stored: true, hash: None };
        try_at(&mut row, Ok(ack), 1);
        assert!(!expire(&mut row, 20_000), "it is there");
        assert!(receipt(&mut row, Receipt::Read, 2) && !receipt(&mut row, Receipt::Delivered, 3));
        assert_eq!((row.state, row.changed_ms), (OutboxState::Read, 2));
        let mut row = self::row();
        assert!(!expire(&mut row, 9_999) && expire(&mut row, 10_000) && !expire(&mut row, 10_001));
        assert!(receipt(&mut row, Receipt::Delivered, 10_002), "it came in the last moment");
    }
}
