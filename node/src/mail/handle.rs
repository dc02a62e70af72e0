//! Reading and keeping order in the mail.

use std::time::Duration;

use libp2p::PeerId;
use p2pnode_behaviours::{key_of, peer_of};
use p2pnode_wire::{
    ids::{ConversationId, MailId},
    mail::{Mail, MailMeta, Part, Receipt, kind},
    msgpack,
};

use super::{Note, Send, SendError};
use crate::{
    node::Node,
    peers::PeerRef,
    store::{
        InboxQuery, InboxRow, InboxState, OutboxQuery, OutboxRow, OutboxState, Store, StoreError, Waiting, WorkState,
        Write,
    },
    target::Target,
};

/// A receipt that found nobody is of no use later.
const RECEIPT: Duration = Duration::from_secs(24 * 3_600);

/// A message to this node.
#[derive(Debug, Clone, PartialEq)]
pub struct InboxMail {
    /// Its author; verified.
    pub from: PeerRef,
    /// What it says.
    pub mail: Mail,
    /// When it came, milliseconds since 1970 on this node's clock.
    pub received_ms: u64,
    /// What was done with it.
    pub state: InboxState,
    /// What the ask handler has done with it.
    pub work: WorkState,
    /// Its author is in no swarm of this node.
    pub stranger: bool,
}

/// A message of this node.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxMail {
    /// For whom.
    pub to: PeerRef,
    /// What it says.
    pub mail: Mail,
    /// How far it has come.
    pub state: OutboxState,
    /// Tries so far.
    pub attempts: u32,
    /// When it is tried next, milliseconds since 1970 on this node's clock.
    pub next_ms: u64,
    /// When `state` changed last.
    pub changed_ms: u64,
    /// Why the last try failed; empty if it did not.
    pub error: String,
}

fn text(mail: &Mail) -> String {
    crate::history::text::of_mail(mail)
}

impl InboxMail {
    /// Its texts, one after the other; data as JSON.
    pub fn text(&self) -> String {
        text(&self.mail)
    }
}

impl OutboxMail {
    /// Its texts, one after the other; data as JSON.
    pub fn text(&self) -> String {
        text(&self.mail)
    }
}

/// `from`: its author, by the name of today if that is known.
pub(crate) fn inbox_mail(mut from: PeerRef, row: &InboxRow) -> InboxMail {
    if from.name.is_empty() {
        from.name = row.mail.meta.as_deref().map(|meta| MailMeta::decode(meta).name).unwrap_or_default();
    }
    InboxMail {
        from,
        mail: row.mail.clone(),
        received_ms: row.received_ms,
        state: row.state,
        work: row.work,
        stranger: row.stranger,
    }
}

pub(crate) fn outbox_mail(to: PeerRef, row: &OutboxRow) -> OutboxMail {
    OutboxMail {
        to,
        mail: row.mail.clone(),
        state: row.state,
        attempts: row.attempts,
        next_ms: row.next_ms,
        changed_ms: row.changed_ms,
        error: row.error.clone(),
    }
}

/// The mail of a node.
#[derive(Debug, Clone)]
pub struct Mailbox {
    node: Node,
    store: Store,
}

impl Mailbox {
    pub(crate) fn new(node: Node, store: Store) -> Self {
        Self { node, store }
    }

    /// Writes to a peer, known or not, there or not: `node.mail()?.send("reviewer", "run the tests").priority(4).await?`.
    pub fn send(&self, to: impl Into<Target>, text: impl Into<String>) -> Send {
        Send::new(self.node.clone(), to.into(), text.into())
    }

    /// Answers a message of the inbox, in its conversation.
    ///
    /// # Errors
    /// [`SendError`]; [`SendError::NoSuchMessage`].
    pub async fn reply(&self, to: MailId, text: impl Into<String>) -> Result<Send, SendError> {
        let mail = self.find(to).await?.ok_or(SendError::NoSuchMessage(to))?;
        let author = Target::from(mail.from.id);
        let send =
            Send::new(self.node.clone(), author, text.into()).in_reply_to(to).conversation(mail.mail.conversation);
        let swarm = mail.mail.swarm.and_then(|id| self.node.swarm_name(&id));
        Ok(send.swarm(swarm.unwrap_or_default()))
    }

    async fn find(&self, id: MailId) -> Result<Option<InboxMail>, StoreError> {
        let query = InboxQuery { id: Some(id.to_string()), limit: 1, ..InboxQuery::default() };
        Ok(self.inbox(query).await?.pop())
    }

    /// Messages to this node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox(&self, query: InboxQuery) -> Result<Vec<InboxMail>, StoreError> {
        let rows = self.store.read(move |tables| tables.inbox(&query)).await?;
        let from = |row: &InboxRow| Some(self.node.reference(peer_of(&row.mail.from)?));
        Ok(rows.iter().filter_map(|row| Some(inbox_mail(from(row)?, row))).collect())
    }

    /// Messages of this node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox(&self, query: OutboxQuery) -> Result<Vec<OutboxMail>, StoreError> {
        let rows = self.store.read(move |tables| tables.outbox(&query)).await?;
        let to = |row: &OutboxRow| Some(self.node.reference(peer_of(&row.mail.to)?));
        Ok(rows.iter().filter_map(|row| Some(outbox_mail(to(row)?, row))).collect())
    }

    /// Notes what was done with a message. Its author hears that it was read, once. False if there is no such message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark(&self, from: PeerId, id: MailId, state: InboxState) -> Result<bool, StoreError> {
        let Some(author) = key_of(&from) else { return Ok(false) };
        let node = self.node.clone();
        let mark = move |tables: &mut dyn Write| {
            let Some(mut row) = tables.inbox_item(&author, &id)? else { return Ok((false, None)) };
            let first = row.state == InboxState::Unread && state == InboxState::Read;
            row.state = state;
            tables.put_inbox(&row, None)?;
            let tells = first && row.mail.kind == kind::MESSAGE && !row.stranger;
            let receipt = tells.then(|| receipt(tables, &node, &row.mail)).transpose()?;
            Ok((true, receipt))
        };
        let (store, node) = (self.store.clone(), self.node.clone());
        // A receipt that is kept goes, also if nobody waits for this any more.
        let marked = tokio::spawn(async move {
            let (marked, receipt) = store.write_durably(mark).await?;
            if let Some(receipt) = receipt {
                node.post(Note::Queued(receipt)).await;
            }
            Ok(marked)
        });
        marked.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Removes messages that were thrown away; how many.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge(&self) -> Result<usize, StoreError> {
        let query = InboxQuery { states: vec![InboxState::Deleted], limit: usize::MAX, ..InboxQuery::default() };
        self.store
            .write_durably(move |tables| {
                let deleted = tables.inbox(&query)?;
                for row in &deleted {
                    tables.remove_inbox(&row.mail.from, &row.mail.id)?;
                }
                Ok(deleted.len())
            })
            .await
    }

    /// Takes a message of ours back that has not arrived yet; or removes one that has been settled from the list. False if
    /// there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove(&self, id: MailId) -> Result<bool, StoreError> {
        self.store.write_durably(move |tables| tables.remove_outbox(&id)).await
    }

    /// Everything of a conversation: what came and what went, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conversation(&self, id: ConversationId) -> Result<(Vec<InboxMail>, Vec<OutboxMail>), StoreError> {
        let inbox = InboxQuery { conversation: Some(id), limit: usize::MAX, ..InboxQuery::default() };
        let outbox = OutboxQuery { conversation: Some(id), limit: usize::MAX, ..OutboxQuery::default() };
        Ok((self.inbox(inbox).await?, self.outbox(outbox).await?))
    }
}

/// Tells the author of a message that it was read. Nobody asks for receipts of receipts.
fn receipt(tables: &mut dyn Write, node: &Node, of: &Mail) -> Result<Waiting, StoreError> {
    let now = node.now_ms();
    let life = u64::try_from(RECEIPT.as_millis()).unwrap_or(u64::MAX);
    let mail = Mail {
        id: MailId::new(),
        from: of.to,
        to: of.from,
        kind: kind::RECEIPT.to_owned(),
        in_reply_to: Some(of.id),
        priority: None,
        via: Vec::new(),
        sent_ms: now,
        not_after_ms: now.saturating_add(life),
        trace: None,
        meta: None,
        parts: vec![Part::Data(msgpack::encode(&Receipt::Read).into())],
        ..of.clone()
    };
    let raw = mail.seal(&node.signing_key()).into_raw();
    let row = OutboxRow::new(mail, raw, now);
    tables.put_outbox(&row, Some(""))?;
    Ok(row.waiting())
}
