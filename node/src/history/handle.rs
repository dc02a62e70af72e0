//! Reading what is kept.

#[cfg(feature = "store")]
use std::path::PathBuf;
use std::{collections::BTreeSet, sync::Arc};

use libp2p::PeerId;
use p2pnode_behaviours::{key_of, peer_of};
use p2pnode_wire::{
    ids::{ConversationId, EventId, PeerKey, SwarmId},
    talk::Meta,
};

#[cfg(feature = "store")]
use super::names;
use super::{
    Retention,
    names::Names,
    order::by_causes,
    retain::{Cut, surplus},
};
use crate::{
    mail::{InboxMail, OutboxMail, inbox_mail, outbox_mail},
    node::Node,
    peers::PeerRef,
    store::{
        ConversationQuery, ConversationRow, EventQuery, EventRow, Hit, InboxQuery, Order, OutboxQuery, SearchQuery,
        Stats, Store, StoreError,
    },
    talk::ConversationEvent,
};

/// Entries of a conversation that are shown at once.
const CONVERSATION_MAX: usize = 10_000;

/// What is kept of conversations, for reading.
#[derive(Debug, Clone)]
pub struct History {
    store: Store,
    node: Option<Node>,
    names: Arc<Names>,
}

/// An event as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptEvent {
    /// What was said.
    pub event: ConversationEvent,
    /// When it came, milliseconds since 1970 on this node's clock.
    pub received_ms: u64,
    /// Its author lived for one command: other members may not have it, and it goes after ten minutes.
    pub live: bool,
}

impl KeptEvent {
    /// Its texts, one after the other; data as JSON.
    pub fn text(&self) -> String {
        super::text::of_said(&self.event.said)
    }
}

/// Something that is kept.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum KeptEntry {
    /// Said to a swarm.
    Event(Box<KeptEvent>),
    /// A message to this node.
    Inbox(Box<InboxMail>),
    /// A message of this node.
    Outbox(Box<OutboxMail>),
}

/// The beginning of a feed that is more than is to be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct Surplus {
    /// In which swarm.
    pub swarm: String,
    /// Whose events.
    pub author: PeerRef,
    /// How many.
    pub events: u64,
    /// Bytes of their signed form.
    pub bytes: u64,
    /// Time of the last one, milliseconds since 1970.
    pub until_ms: u64,
    cut: Cut,
}

impl History {
    pub(crate) fn new(store: Store, node: Node) -> Self {
        Self { store, node: Some(node), names: Arc::default() }
    }

    /// Reads the database of a profile, `node.db` in its folder, without a node; whether one runs meanwhile does not
    /// matter. Authors have the names they gave themselves.
    ///
    /// # Errors
    /// [`StoreError`].
    #[cfg(feature = "store")]
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let path = path.into();
        let store = tokio::task::spawn_blocking(move || Store::open_read_only(&path)).await;
        let store = store.unwrap_or(Err(StoreError::Closed))?;
        let names = Arc::new(names::read(&store).await?);
        Ok(Self { store, node: None, names })
    }

    /// A conversation: its events, each after the one it answers and after what its author said before, else by the
    /// authors' clocks. Empty if nothing of it is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conversation(&self, id: ConversationId) -> Result<Vec<KeptEvent>, StoreError> {
        let query = EventQuery {
            conversation: Some(id),
            order: Order::Oldest,
            limit: CONVERSATION_MAX,
            ..EventQuery::default()
        };
        Ok(by_causes(self.events(query).await?))
    }

    /// Conversations, the one with the newest entry first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn conversations(&self, query: ConversationQuery) -> Result<Vec<ConversationRow>, StoreError> {
        self.store.read(move |tables| tables.conversations(&query)).await
    }

    /// Events by what they are.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events(&self, query: EventQuery) -> Result<Vec<KeptEvent>, StoreError> {
        let rows = self.store.read(move |tables| tables.events(&query)).await?;
        Ok(rows.into_iter().map(|row| self.entry(&row)).collect())
    }

    /// An event by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn event(&self, id: EventId) -> Result<Option<KeptEvent>, StoreError> {
        let row = self.store.read(move |tables| tables.event(&id)).await?;
        Ok(row.map(|row| self.entry(&row)))
    }

    /// How much is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn stats(&self) -> Result<Stats, StoreError> {
        self.store.read(|tables| tables.stats()).await
    }

    /// Searches in the texts of events and messages.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn search(&self, query: SearchQuery) -> Result<Vec<KeptEntry>, StoreError> {
        let hits = self.store.read(move |tables| tables.search(&query)).await?;
        let found = hits.iter().filter_map(|hit| {
            Some(match hit {
                Hit::Event(row) => KeptEntry::Event(Box::new(self.entry(row))),
                Hit::Inbox(row) => KeptEntry::Inbox(Box::new(inbox_mail(self.peer(&row.mail.from)?, row))),
                Hit::Outbox(row) => KeptEntry::Outbox(Box::new(outbox_mail(self.peer(&row.mail.to)?, row))),
            })
        });
        Ok(found.collect())
    }

    /// Messages to this node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn inbox(&self, query: InboxQuery) -> Result<Vec<InboxMail>, StoreError> {
        let rows = self.store.read(move |tables| tables.inbox(&query)).await?;
        Ok(rows.iter().filter_map(|row| Some(inbox_mail(self.peer(&row.mail.from)?, row))).collect())
    }

    /// Messages of this node.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn outbox(&self, query: OutboxQuery) -> Result<Vec<OutboxMail>, StoreError> {
        let rows = self.store.read(move |tables| tables.outbox(&query)).await?;
        Ok(rows.iter().filter_map(|row| Some(outbox_mail(self.peer(&row.mail.to)?, row))).collect())
    }

    /// Events beyond these limits, which are those of each swarm: what the node would let go by itself if they were its own.
    /// Times are cut at whole hours.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn surplus(&self, limits: Retention) -> Result<Vec<Surplus>, StoreError> {
        let now_ms = self.node.as_ref().map_or(0, Node::now_ms);
        let cuts = self.store.read(move |tables| {
            let swarms: BTreeSet<SwarmId> = tables.feeds(None)?.iter().map(|feed| feed.key.swarm).collect();
            let cuts = swarms.iter().map(|swarm| surplus(tables, swarm, &limits, now_ms));
            cuts.collect::<Result<Vec<_>, _>>()
        });
        let named = |cut: Cut| Surplus {
            swarm: self.swarm(&cut.feed.swarm),
            author: self.author(&cut.feed.author, None),
            events: cut.events,
            bytes: cut.bytes,
            until_ms: cut.until_ms,
            cut,
        };
        Ok(cuts.await?.into_iter().flatten().map(named).collect())
    }

    /// Removes these, and nothing else. They are not fetched from members again.
    ///
    /// # Errors
    /// [`StoreError`]; without a node it cannot be done.
    pub async fn cleanup(&self, surplus: Vec<Surplus>) -> Result<(), StoreError> {
        let keep = self.node.as_ref().and_then(|node| node.inner().keep.as_ref()).ok_or(StoreError::Closed)?;
        keep.clean(surplus.into_iter().map(|one| one.cut).collect()).await
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn node(&self) -> Option<&Node> {
        self.node.as_ref()
    }

    fn peer(&self, key: &PeerKey) -> Option<PeerRef> {
        peer_of(key)?;
        Some(self.author(key, None))
    }

    fn is_own(&self, key: &PeerKey) -> bool {
        match &self.node {
            Some(node) => key_of(&node.peer_id()) == Some(*key),
            None => self.names.own == Some(*key),
        }
    }

    fn entry(&self, row: &EventRow) -> KeptEvent {
        let author = self.author(&row.event.author, row.event.meta.as_deref());
        let own = self.is_own(&row.event.author);
        let event = ConversationEvent::kept(row.id, &row.event, self.swarm(&row.event.swarm), author);
        KeptEvent { event: ConversationEvent { own, ..event }, received_ms: row.received_ms, live: row.live }
    }

    /// By its name of today, or the one it gave itself then.
    fn author(&self, key: &PeerKey, meta: Option<&[u8]>) -> PeerRef {
        // A key that is none could not have signed.
        let id = peer_of(key).unwrap_or_else(PeerId::random);
        let known = self.node.as_ref().map(|node| node.reference(id)).filter(|author| !author.name.is_empty());
        let given = || match (meta, self.names.own == Some(*key)) {
            (Some(meta), _) => Meta::decode(meta).name,
            (None, true) => self.names.name.clone(),
            (None, false) => String::new(),
        };
        known.unwrap_or_else(|| PeerRef { id, name: given() })
    }

    fn swarm(&self, id: &SwarmId) -> String {
        let known = self.node.as_ref().and_then(|node| node.swarm_name(id));
        known.or_else(|| self.names.swarm(id)).unwrap_or_default()
    }
}
