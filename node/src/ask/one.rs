use std::time::Duration;

use futures::StreamExt;
use p2pnode_wire::error::RpcError;
use serde::de::DeserializeOwned;

use super::asker::{AskBuilder, AskError, AskEvent};
use crate::peers::PeerRef;

/// The first answer to a question.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer<T> {
    /// Who gave it.
    pub peer: PeerRef,
    /// What it says.
    pub value: T,
    /// Since the question was put.
    pub elapsed: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// The question could not be put.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Whoever took it failed; of several, the first.
    #[error("{} failed: {error}", .peer.name)]
    Failed {
        /// Who.
        peer: PeerRef,
        /// Why.
        error: RpcError,
    },
    /// Nobody answered in time.
    #[error("nobody answered: {members} members were asked, {declined} said that it is not for them")]
    Nobody {
        /// Members that were asked.
        members: usize,
        /// Of these, how many declined.
        declined: usize,
    },
    /// The answer is of another shape.
    #[error("the answer of {} cannot be read: {reason}", .peer.name)]
    Unreadable {
        /// Who gave it.
        peer: PeerRef,
        /// Where it differs.
        reason: String,
    },
}

impl AskBuilder {
    /// Asks, and returns the first answer; the others are told that theirs is no longer wanted. Acks and progress are
    /// not seen: for those `.await` the builder itself.
    ///
    /// # Errors
    /// [`AnswerError`].
    pub async fn answer<T: DeserializeOwned>(self) -> Result<Answer<T>, AnswerError> {
        let mut asked = self.first().await?;
        let (mut failed, mut declined) = (None, 0);
        while let Some(event) = asked.next().await {
            match event {
                AskEvent::Reply { peer, result, elapsed } => {
                    return match rmpv::ext::from_value(result) {
                        Ok(value) => Ok(Answer { peer, value, elapsed }),
                        Err(error) => Err(AnswerError::Unreadable { peer, reason: error.to_string() }),
                    };
                }
                AskEvent::Failed { peer, error, .. } => {
                    failed.get_or_insert(AnswerError::Failed { peer, error });
                }
                AskEvent::Declined { .. } => declined += 1,
                AskEvent::Ack { .. } | AskEvent::Progress { .. } => {}
            }
        }
        let members = asked.outcome().await.map_or(0, |outcome| outcome.members);
        Err(failed.unwrap_or(AnswerError::Nobody { members, declined }))
    }
}
