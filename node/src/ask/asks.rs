//! Asks under way: the register by which answers find them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use libp2p::PeerId;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::ConversationId,
    mail::Mail,
};
use tokio::sync::mpsc;

use super::asker::AskError;
use crate::talk::Heard;

/// What a member said: by mail, or in the swarm.
pub(super) enum Came {
    Mail(PeerId, Box<Mail>),
    Event(Heard),
}

pub(super) type Words = mpsc::Sender<Came>;

/// Asks of this node under way: where their answers go.
#[derive(Clone)]
pub(crate) struct Asks {
    under_way: Arc<Mutex<HashMap<ConversationId, Words>>>,
    limit: usize,
}

pub(crate) struct Registered {
    asks: Asks,
    conversation: ConversationId,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.asks.lock().remove(&self.conversation);
    }
}

impl Asks {
    pub(crate) fn new(limit: usize) -> Self {
        Self { under_way: Arc::default(), limit }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ConversationId, Words>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn register(&self, conversation: ConversationId, words: Words) -> Result<Registered, AskError> {
        let mut asks = self.lock();
        if asks.len() >= self.limit {
            return Err(AskError::Busy { limit: self.limit });
        }
        asks.insert(conversation, words);
        Ok(Registered { asks: self.clone(), conversation })
    }

    /// Whether somebody waits for words in this conversation.
    pub(crate) fn waits(&self, conversation: &ConversationId) -> bool {
        self.lock().contains_key(conversation)
    }

    /// An event of a conversation that this node opened by asking. One that finds no room is lost: the asker does not
    /// keep up with its own question.
    pub(crate) fn hear(&self, heard: &Heard) {
        let words = self.lock().get(&heard.event.conversation).cloned();
        if let Some(words) = words
            && words.try_send(Came::Event(heard.clone())).is_err()
        {
            tracing::warn!("an answer is lost: the asker does not keep up");
        }
    }

    /// A member's word on an ask of ours; an error tells the member why it is not wanted.
    pub(crate) fn deliver(&self, from: PeerId, mail: Mail) -> Result<(), RpcError> {
        let words = self.lock().get(&mail.conversation).cloned();
        let Some(words) = words else {
            return Err(RpcError::new(ErrorCode::NotFound, "nobody waits in this conversation any more"));
        };
        words.try_send(Came::Mail(from, Box::new(mail))).map_err(|_| {
            let mut error = RpcError::new(ErrorCode::Overloaded, "too many words at once");
            error.retry_after = Some(Duration::from_millis(200));
            error
        })
    }
}
