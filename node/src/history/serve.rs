//! What members read of conversations by calls, from programs that do not follow a swarm: `_node.conversation.list` and
//! `_node.conversation.sync`. Of the swarm of the call alone, and never of messages from one to another.

use std::str::FromStr;

use p2pnode_behaviours::peer_of;
use p2pnode_wire::{
    error::ErrorCode,
    ids::{ConversationId, EventId, SwarmId},
    limits, msgpack,
    talk::Meta,
};
use rmpv::Value;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::{
    endpoint::{Context, Endpoint, EndpointError, Endpoints, HandlerError},
    node::{Node, WeakNode},
    store::{ConversationQuery, EventQuery, EventRow, Order, Read, Store, StoreError},
};

/// Conversations in a list, if the caller does not say; and at most.
const LISTED: usize = 100;
const LISTED_MAX: usize = 1_000;

#[derive(Debug, Deserialize, JsonSchema)]
struct ListArgs {
    #[serde(default)]
    limit: Option<usize>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Listed {
    conversation: String,
    started_ms: u64,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct SyncArgs {
    conversation: String,
    #[serde(default)]
    since_ms: u64,
    #[serde(default)]
    after: Option<String>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Page {
    events: Vec<Said>,
    more: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Said {
    id: String,
    author: String,
    name: String,
    kind: String,
    at_ms: u64,
    epoch: u64,
    seq: u64,
    parent: Option<String>,
    #[schemars(with = "serde_json::Value")]
    body: Value,
    #[schemars(with = "Vec<u8>")]
    raw: ByteBuf,
}

pub(crate) fn register(node: &WeakNode, endpoints: &Endpoints) -> Result<(), EndpointError> {
    let add = |(endpoint, handler)| endpoints.register_reserved(endpoint, handler);
    let keeper = node.clone();
    add(Endpoint::new("_node.conversation.list").idempotent().with_handler(move |cx: Context, args: ListArgs| {
        let place = place(&keeper, &cx);
        async move { list(place?, args.limit.unwrap_or(LISTED).min(LISTED_MAX)).await }
    }))?;
    let keeper = node.clone();
    add(Endpoint::new("_node.conversation.sync").idempotent().with_handler(move |cx: Context, args: SyncArgs| {
        let place = place(&keeper, &cx);
        async move { sync(place?, args).await }
    }))
}

type Place = (Node, Store, SwarmId);

/// What is kept, and of which swarm the caller may know.
fn place(node: &WeakNode, cx: &Context) -> Result<Place, HandlerError> {
    let stopping = || HandlerError::code(ErrorCode::AgentUnavailable, "the node is stopping");
    let node = node.upgrade().ok_or_else(stopping)?;
    let swarm = cx.swarm.as_deref().and_then(|name| node.swarm_id(name));
    let swarm = swarm.ok_or_else(|| invalid("in the name of which swarm? The call names none of this node"))?;
    let store = node.inner().store.clone();
    let store = store.ok_or_else(|| HandlerError::code(ErrorCode::NotFound, "this node keeps nothing"))?;
    Ok((node, store, swarm))
}

fn invalid(why: &str) -> HandlerError {
    HandlerError::code(ErrorCode::InvalidArgument, why)
}

/// The store's words name files of this host.
fn unread(error: &StoreError) -> HandlerError {
    tracing::warn!(%error, "a conversation cannot be read");
    HandlerError::new("the conversation cannot be read")
}

async fn list((_, store, swarm): Place, limit: usize) -> Result<Vec<Listed>, HandlerError> {
    let query = ConversationQuery { swarm: Some(swarm), limit, ..ConversationQuery::default() };
    let rows = store.read(move |tables| tables.conversations(&query)).await.map_err(|error| unread(&error))?;
    // Without an event it is one of messages, which are nobody else's.
    let events = rows.into_iter().filter(|row| row.first.is_some());
    Ok(events.map(|row| Listed { conversation: row.id.to_string(), started_ms: row.started_ms }).collect())
}

async fn sync((node, store, swarm): Place, args: SyncArgs) -> Result<Page, HandlerError> {
    let conversation: ConversationId =
        args.conversation.parse().map_err(|_| invalid("that is no id of a conversation"))?;
    let after = args.after.as_deref().map(EventId::from_str).transpose();
    let after = after.map_err(|_| invalid("`after` is no id of an event"))?;
    let rows = store.read(move |tables| {
        let after = after.map(|id| tables.event(&id)).transpose()?.flatten();
        let query = EventQuery {
            swarm: Some(swarm),
            conversation: Some(conversation),
            since_ms: Some(args.since_ms),
            after: after.map(|row| (row.time_ms(), row.id)),
            order: Order::Oldest,
            limit: limits::SYNC_EVENTS,
            ..EventQuery::default()
        };
        lasting(tables, query)
    });
    let (rows, more) = rows.await.map_err(|error| unread(&error))?;
    Ok(Page { events: rows.into_iter().filter_map(|row| said(&node, row)).collect(), more })
}

/// As many as go into one answer, without those that only one-command nodes have said; and whether there are more.
fn lasting(tables: &dyn Read, mut query: EventQuery) -> Result<(Vec<EventRow>, bool), StoreError> {
    let (mut out, mut bytes) = (Vec::new(), 0);
    loop {
        let rows = tables.events(&query)?;
        let is_last = rows.len() < query.limit;
        query.after = rows.last().map(|row| (row.time_ms(), row.id));
        for row in rows.into_iter().filter(|row| !row.live) {
            bytes += row.raw.len();
            // The first one goes in any case.
            if out.len() == limits::SYNC_EVENTS || (bytes > limits::SYNC_BYTES / 2 && !out.is_empty()) {
                return Ok((out, true));
            }
            out.push(row);
        }
        if is_last {
            return Ok((out, false));
        }
    }
}

fn said(node: &Node, row: EventRow) -> Option<Said> {
    let event = row.event;
    let author = node.reference(peer_of(&event.author)?);
    let own_name = || event.meta.as_deref().map(|meta| Meta::decode(meta).name).unwrap_or_default();
    Some(Said {
        id: row.id.to_string(),
        author: author.id.to_string(),
        name: if author.name.is_empty() { own_name() } else { author.name },
        kind: event.kind,
        at_ms: event.at_ms,
        epoch: event.epoch,
        seq: event.seq,
        parent: event.parent.map(|parent| parent.to_string()),
        body: msgpack::decode(&event.body).unwrap_or(Value::Nil),
        raw: ByteBuf::from(row.raw.to_vec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{
        FeedRow,
        conformance::{Make, feed_row, swarm, talk},
    };

    #[tokio::test]
    async fn what_does_not_last_neither_hides_what_follows_nor_ends_the_pages() {
        let store = Store::memory();
        // More than a page of what one-command nodes said, then two that last.
        let live = limits::SYNC_EVENTS as u64 + 9;
        let rows: Vec<EventRow> = (0..live + 2)
            .map(|seq| EventRow { live: seq < live, ..Make { seq, at_ms: seq, talk: 1, ..Make::default() }.event() })
            .collect();
        let last = rows[rows.len() - 1].id;
        let job = move |tables: &mut dyn crate::store::Write| {
            for row in &rows {
                let feed = tables.feed(&row.feed())?.unwrap_or_else(|| feed_row(row.feed(), Vec::new()));
                tables.put_feed(&FeedRow { held: vec![(live, row.event.seq.max(live) + 1)], ..feed })?;
                tables.insert_event(row, "")?;
            }
            Ok(())
        };
        store.write(job).await.unwrap();
        let query = EventQuery {
            swarm: Some(swarm(1)),
            conversation: Some(talk(1)),
            order: Order::Oldest,
            limit: limits::SYNC_EVENTS,
            ..EventQuery::default()
        };
        let (found, more) = store.read(move |tables| lasting(tables, query)).await.unwrap();
        assert_eq!((found.len(), found.last().map(|row| row.id), more), (2, Some(last), false));
    }
}
