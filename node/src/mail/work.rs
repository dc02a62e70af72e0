//! Questions that were taken: what happens to them from the inbox to the answer.

use p2pnode_behaviours::key_of;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{MailId, PeerKey},
    mail::{Mail, MailMeta},
};

use crate::{
    ask::{Address, Word, word_mail},
    history::text,
    node::Node,
    store::{InboxQuery, InboxRow, OutboxRow, Store, StoreError, Waiting, WorkState, Write},
};

/// The last word of a handler; none if the asker withdrew the question.
pub(crate) type Last = Option<Word>;

/// The answer waits for the asker: it is kept together with the note that the work is done. What is to go now, if anything.
pub(super) async fn finish(
    store: &Store,
    node: &Node,
    author: PeerKey,
    id: MailId,
    last: Last,
) -> Result<Option<Waiting>, StoreError> {
    let node = node.clone();
    store
        .write_durably(move |tables| match tables.inbox_item(&author, &id)? {
            Some(row) if row.work != WorkState::Done => end(tables, &node, row, last.as_ref()),
            _ => Ok(None),
        })
        .await
}

/// Questions that were being worked on when the last run ended.
pub(super) async fn interrupted(store: &Store, node: &Node) -> Result<(), StoreError> {
    let node = node.clone();
    store
        .write_durably(move |tables| {
            let query = InboxQuery { work: true, limit: usize::MAX, ..InboxQuery::default() };
            let mut error = RpcError::new(ErrorCode::InternalError, "the node was restarted while it worked on this");
            error.retryable = true;
            let word = Word::Failed(error);
            for row in tables.inbox(&query)?.into_iter().filter(|row| row.work == WorkState::Begun) {
                end(tables, &node, row, Some(&word))?;
            }
            Ok(())
        })
        .await
}

fn end(
    tables: &mut dyn Write,
    node: &Node,
    mut row: InboxRow,
    last: Option<&Word>,
) -> Result<Option<Waiting>, StoreError> {
    row.work = WorkState::Done;
    tables.put_inbox(&row, None)?;
    let Some(answer) = last.and_then(|word| answer(node, &row.mail, word)) else { return Ok(None) };
    let raw = answer.seal(&node.signing_key()).into_raw();
    let (now, text) = (answer.sent_ms, text::of_mail(&answer));
    let row = OutboxRow::new(answer, raw, now);
    tables.put_outbox(&row, Some(&text))?;
    Ok(Some(row.waiting()))
}

fn answer(node: &Node, question: &Mail, word: &Word) -> Option<Mail> {
    let address = Address {
        swarm: question.swarm?,
        from: key_of(&node.peer_id())?,
        to: question.from,
        conversation: question.conversation,
    };
    let now = node.now_ms();
    let life = u64::try_from(node.mail_limits().expires.as_millis()).unwrap_or(u64::MAX);
    let mut mail = word_mail(&address, word, question.id, now);
    mail.not_after_ms = now.saturating_add(life);
    mail.meta = Some(MailMeta { name: node.name().to_owned(), live: false }.encode());
    Some(mail)
}
