//! The task that keeps.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::PeerId;
use p2pnode_behaviours::{discovery::TablePeer, sync::Ticket};
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, EventId, SwarmId},
    limits,
    sync::{SyncReply, SyncRequest, Want},
};
use rand::{RngExt, seq::IndexedRandom};
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    task::JoinSet,
};

use super::{
    Retention,
    catch_up::{Ended, Round, arrival, keep},
    fold::{self, Folds},
    index::Index,
    ingest::Took,
    own::{self, FeedEnd, OwnFeeds},
    retain::{Cut, cut_all, retain},
    rounds::{Outcome, Rounds},
};
use crate::{
    acquaintances,
    command::Command,
    events::NodeEvent,
    node::{Node, WeakNode, lock},
    store::{FeedKey, Store, StoreError},
};

/// Events on their way to the store: a second of what neighbours may bring, twice over.
const QUEUE: usize = 4_096;

/// Places for what this node says itself: it is not lost because others talk much.
const OWN: usize = 256;

/// Events written together.
const BATCH: usize = 256;

/// Members answered at once: each may cost half a megabyte of memory.
const ANSWERS: usize = 8;

/// How often retention looks, and how often what was only for those who were there is removed.
const CLEAN_EVERY: Duration = Duration::from_secs(600);
const LIVE_EVERY: Duration = Duration::from_secs(60);
const LIVE_MS: u64 = 600_000;

/// What the event loop tells.
pub(crate) enum Note {
    /// An event, own or heard.
    Heard { event: Box<Event>, id: EventId, raw: Bytes, source: PeerId },
    /// One that gossip refused because of its place in its feed: an old one once more, or another one in that place.
    Doubted { raw: Bytes },
    /// A member has come, in these swarms.
    Met { peer: PeerId, swarms: Vec<SwarmId> },
    /// A member wants to know what is kept.
    Asked { peer: PeerId, request: SyncRequest, ticket: Ticket },
    /// The node is in this swarm from now on.
    Joined { swarm: SwarmId, done: oneshot::Sender<Result<(), StoreError>> },
    /// These are to go, and nothing else.
    Clean { cuts: Vec<Cut>, done: oneshot::Sender<Result<(), StoreError>> },
    /// The node stops; its feeds end here.
    Close { feeds: OwnFeeds, table: Vec<TablePeer>, done: oneshot::Sender<()> },
}

/// The way to the task.
#[derive(Clone)]
pub(crate) struct Link(mpsc::Sender<Note>);

impl Link {
    /// Whether an event of our own finds room.
    pub(crate) fn has_room(&self) -> bool {
        self.0.capacity() > 0
    }

    /// Without waiting; what finds no room is fetched again some time, or asked again.
    pub(crate) fn tell(&self, note: Note, own: bool) {
        if !own && self.0.capacity() <= OWN {
            tracing::debug!("the store does not keep up: an event is fetched later");
            return;
        }
        let _ = self.0.try_send(note);
    }

    /// Keeps what is said in this swarm from now on; what is kept already is known when this returns.
    pub(crate) async fn join(&self, swarm: SwarmId) -> Result<(), StoreError> {
        let (done, joined) = oneshot::channel();
        let _ = self.0.send(Note::Joined { swarm, done }).await;
        joined.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Has these let go.
    pub(crate) async fn clean(&self, cuts: Vec<Cut>) -> Result<(), StoreError> {
        let (done, cleaned) = oneshot::channel();
        let _ = self.0.send(Note::Clean { cuts, done }).await;
        cleaned.await.unwrap_or(Err(StoreError::Closed))
    }

    /// The last word: all that was told is kept when this returns.
    pub(crate) async fn close(self, feeds: Vec<FeedEnd>, table: Vec<TablePeer>) {
        let (done, closed) = oneshot::channel();
        if self.0.send(Note::Close { feeds, table, done }).await.is_ok() {
            let _ = closed.await;
        }
    }
}

/// Loads what is kept of these swarms; then [`Loaded::run`].
pub(crate) async fn start(
    store: Store,
    swarms: Vec<SwarmId>,
    retention: Retention,
) -> Result<(Link, OwnFeeds, Loaded), StoreError> {
    let own = own::take(&store).await?;
    let mut indices = BTreeMap::new();
    for swarm in swarms {
        indices.insert(swarm, Arc::new(Mutex::new(load(&store, swarm).await?)));
    }
    let (sender, notes) = mpsc::channel(QUEUE);
    Ok((Link(sender), own, Loaded { store, retention, notes, indices }))
}

async fn load(store: &Store, swarm: SwarmId) -> Result<Index, StoreError> {
    store
        .read(move |tables| {
            let mut index = Index::default();
            for row in tables.feeds(Some(&swarm))? {
                let last = row.held.last().map(|(_, to)| to - 1);
                let head = last.map(|last| tables.event_at(&row.key, last)).transpose()?.flatten();
                index.load(&row, head.map(|head| head.id));
            }
            Ok(index)
        })
        .await
}

/// A task before it runs.
pub(crate) struct Loaded {
    store: Store,
    retention: Retention,
    notes: mpsc::Receiver<Note>,
    indices: BTreeMap<SwarmId, Arc<Mutex<Index>>>,
}

impl Loaded {
    /// Keeps until [`Link::close`], or until the node is gone.
    pub(crate) fn run(self, node: WeakNode) {
        let now = Instant::now();
        let rounds = self.indices.keys().map(|swarm| (*swarm, Rounds::new(now))).collect();
        let since_ms = node.upgrade().map_or(u64::MAX, |node| node.now_ms());
        let task = Task {
            since_ms,
            store: self.store,
            retention: self.retention,
            indices: self.indices,
            rounds,
            node,
            answers: Arc::new(Semaphore::new(ANSWERS)),
            under_way: JoinSet::new(),
            folds: Folds::default(),
            next_clean: now,
            next_live: now + LIVE_EVERY,
            next_peers: now + acquaintances::FIRST_AFTER,
            failing: false,
        };
        tokio::spawn(task.run(self.notes));
    }
}

struct Task {
    /// When the node was started.
    since_ms: u64,
    store: Store,
    retention: Retention,
    indices: BTreeMap<SwarmId, Arc<Mutex<Index>>>,
    rounds: BTreeMap<SwarmId, Rounds>,
    node: WeakNode,
    answers: Arc<Semaphore>,
    under_way: JoinSet<(SwarmId, PeerId, Ended)>,
    folds: Folds,
    next_clean: Instant,
    next_live: Instant,
    next_peers: Instant,
    /// The store has refused the last write: said once.
    failing: bool,
}

impl Task {
    async fn run(mut self, mut notes: mpsc::Receiver<Note>) {
        let mut batch = Vec::new();
        loop {
            let due = self.due();
            tokio::select! {
                count = notes.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        break;
                    }
                    if let Some((feeds, table, done)) = self.take(&mut batch).await {
                        self.close(feeds, table).await;
                        let _ = done.send(());
                        return;
                    }
                }
                Some(ended) = self.under_way.join_next() => {
                    if let Ok((swarm, peer, ended)) = ended {
                        self.ended(swarm, peer, &ended);
                    }
                }
                Some(()) = self.folds.ended() => {
                    if let Some(node) = self.node.upgrade() {
                        self.folds.go_on(&node);
                    }
                }
                () = tokio::time::sleep_until(due.into()) => self.tick(Instant::now()).await,
            }
        }
        self.close(Vec::new(), Vec::new()).await;
    }

    fn due(&self) -> Instant {
        let rounds = self.rounds.values().filter_map(Rounds::due).min();
        self.next_clean.min(self.next_live).min(self.next_peers).min(rounds.unwrap_or(self.next_live))
    }

    /// What was told, in its order; the last word, if that is among it.
    async fn take(&mut self, batch: &mut Vec<Note>) -> Option<(OwnFeeds, Vec<TablePeer>, oneshot::Sender<()>)> {
        let now = Instant::now();
        let mut heard = Vec::new();
        let mut last = None;
        for note in batch.drain(..) {
            match note {
                Note::Heard { event, id, raw, source } => heard.push((arrival(*event, id, raw), source)),
                Note::Doubted { raw } => self.doubted(raw, &mut heard).await,
                Note::Met { peer, swarms } => {
                    for swarm in swarms {
                        if let Some(rounds) = self.rounds.get_mut(&swarm) {
                            rounds.met(peer, now);
                        }
                    }
                }
                Note::Asked { peer, request, ticket } => self.asked(peer, request, ticket, now),
                Note::Joined { swarm, done } => {
                    let _ = done.send(self.joined(swarm, now).await);
                }
                Note::Clean { cuts, done } => {
                    let _ = done.send(self.cut(cuts).await);
                }
                Note::Close { feeds, table, done } => last = Some((feeds, table, done)),
            }
        }
        self.keep(heard, now).await;
        last
    }

    async fn joined(&mut self, swarm: SwarmId, now: Instant) -> Result<(), StoreError> {
        if !self.indices.contains_key(&swarm) {
            let index = load(&self.store, swarm).await?;
            self.indices.insert(swarm, Arc::new(Mutex::new(index)));
            self.rounds.insert(swarm, Rounds::new(now));
        }
        Ok(())
    }

    /// Refused by gossip. What is kept in its place tells whether it is that one again, or proves a forgery of history.
    async fn doubted(&self, raw: Bytes, heard: &mut Vec<(super::ingest::Arrival, PeerId)>) {
        let Ok((event, signed)) = Event::peek(raw) else { return };
        let id = EventId(signed.id());
        let (key, seq) = (FeedKey { swarm: event.swarm, author: event.author, epoch: event.epoch }, event.seq);
        let there = self.store.read(move |tables| tables.event_at(&key, seq)).await;
        let other = matches!(there, Ok(Some(row)) if row.id != id);
        let node = self.node.upgrade().map(|node| node.peer_id());
        if other
            && signed.verify(p2pnode_wire::sign::Domain::Event, &event.author).is_ok()
            && let Some(own) = node
        {
            heard.push((arrival(event, id, signed.into_raw()), own));
        }
    }

    async fn keep(&mut self, heard: Vec<(super::ingest::Arrival, PeerId)>, now: Instant) {
        let Some(node) = self.node.upgrade() else { return };
        let mut by_swarm: BTreeMap<SwarmId, Vec<_>> = BTreeMap::new();
        let mut sources = BTreeMap::new();
        for (arrival, source) in heard {
            sources.insert(arrival.id, source);
            by_swarm.entry(arrival.event.swarm).or_default().push(arrival);
        }
        for (swarm, arrivals) in by_swarm {
            let Some(index) = self.indices.get(&swarm).cloned() else { continue };
            match keep(&self.store, &index, arrivals, node.now_ms()).await {
                Ok(taken) => {
                    self.failing = false;
                    self.kept(swarm, &index, &taken, &sources, now);
                }
                Err(error) => self.failed(&error),
            }
        }
    }

    fn kept(
        &mut self,
        swarm: SwarmId,
        index: &Mutex<Index>,
        taken: &[(super::ingest::Arrival, Took)],
        sources: &BTreeMap<EventId, PeerId>,
        now: Instant,
    ) {
        for (arrival, took) in taken {
            match took {
                Took::New if !arrival.live => {
                    self.grown(arrival.event.conversation, arrival.event.at_ms);
                    let gap =
                        lock(index).has_gap_before((arrival.event.author, arrival.event.epoch), arrival.event.seq);
                    if let (true, Some(source), Some(rounds)) =
                        (gap, sources.get(&arrival.id), self.rounds.get_mut(&swarm))
                    {
                        rounds.gap(*source, now);
                    }
                }
                Took::Fork(feed, _) => self.forked(feed),
                _ => {}
            }
        }
    }

    /// Something new is kept of a conversation.
    fn grown(&mut self, conversation: ConversationId, at_ms: u64) {
        let Some(node) = self.node.upgrade() else { return };
        if node.inner().folder.compaction.above.is_some() {
            self.folds.grown(conversation, at_ms);
            self.folds.go_on(&node);
        }
    }

    fn failed(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.failing, true) {
            let text = format!("what is said is not kept: {error}");
            tracing::error!("{text}");
            if let Some(node) = self.node.upgrade() {
                node.tell(NodeEvent::Warning(text));
            }
        }
    }

    fn forked(&mut self, feed: &FeedKey) {
        if let Some(rounds) = self.rounds.get_mut(&feed.swarm) {
            rounds.news(rand::rng().random_range(0.0..1.0), Instant::now());
        }
        let Some(node) = self.node.upgrade() else { return };
        let Some(author) = p2pnode_behaviours::peer_of(&feed.author) else { return };
        let swarm = node.swarm_name(&feed.swarm).unwrap_or_default();
        node.tell(NodeEvent::FeedForked { swarm, author: node.reference(author), epoch: feed.epoch });
    }

    /// Answers beside the task, a few at once; who finds no place asks again.
    fn asked(&mut self, peer: PeerId, request: SyncRequest, ticket: Ticket, now: Instant) {
        let (Some(index), Some(node)) = (self.indices.get(&request.swarm).cloned(), self.node.upgrade()) else {
            return;
        };
        let digest = lock(&index).digest();
        if request.want.is_empty()
            && digest != request.digest
            && !request.back
            && let Some(rounds) = self.rounds.get_mut(&request.swarm)
        {
            rounds.differs(peer, now);
        }
        let Ok(permit) = self.answers.clone().try_acquire_owned() else { return };
        let store = self.store.clone();
        tokio::spawn(async move {
            let reply = match request.want.is_empty() {
                true if digest == request.digest => SyncReply { digest, ..SyncReply::default() },
                true => {
                    let (feeds, more) = lock(&index).list(request.after);
                    SyncReply { digest, feeds, more, ..SyncReply::default() }
                }
                false => match events(&store, request).await {
                    Ok((events, more)) => SyncReply { digest, events, more, ..SyncReply::default() },
                    Err(error) => return tracing::warn!(%peer, %error, "a member is not answered"),
                },
            };
            node.send(Command::Answer { ticket, reply: Box::new(reply) }).await;
            drop(permit);
        });
    }

    async fn tick(&mut self, now: Instant) {
        if now >= self.next_live {
            self.next_live = now + LIVE_EVERY;
            self.remove_live().await;
        }
        if now >= self.next_peers {
            self.next_peers = now + acquaintances::EVERY;
            let table = match self.node.upgrade() {
                Some(node) => node.dht().table().await.unwrap_or_default(),
                None => Vec::new(),
            };
            self.remember(table).await;
        }
        if now >= self.next_clean {
            self.next_clean = now + CLEAN_EVERY;
            self.clean().await;
        }
        let due: Vec<SwarmId> = self
            .rounds
            .iter()
            .filter(|(_, rounds)| rounds.due().is_some_and(|due| due <= now))
            .map(|(s, _)| *s)
            .collect();
        for swarm in due {
            self.begin(swarm, now);
        }
    }

    fn begin(&mut self, swarm: SwarmId, now: Instant) {
        let Some(rounds) = self.rounds.get_mut(&swarm) else { return };
        let with = rounds.begin(rand::rng().random_range(0.0..1.0), now);
        let (Some(node), Some(index)) = (self.node.upgrade(), self.indices.get(&swarm).cloned()) else {
            return rounds.alone();
        };
        let wanted = with.filter(|(peer, _)| node.is_connected(peer));
        let Some((peer, back)) = wanted.or_else(|| Some((somebody(&node, &swarm)?, false))) else {
            return rounds.alone();
        };
        let store = self.store.clone();
        let since_ms = self.since_ms;
        let round = Round { node, store, index, swarm, peer, since_ms, back };
        self.under_way.spawn(async move { (swarm, peer, round.run().await) });
    }

    fn ended(&mut self, swarm: SwarmId, peer: PeerId, ended: &Ended) {
        ended.forks.iter().for_each(|feed| self.forked(feed));
        if let Some(rounds) = self.rounds.get_mut(&swarm) {
            rounds.ended(ended.outcome, rand::rng().random_range(0.0..1.0), Instant::now());
        }
        ended.grown.iter().for_each(|(conversation, at_ms)| self.grown(*conversation, *at_ms));
        if let (Outcome::News(events), Some(node)) = (ended.outcome, self.node.upgrade()) {
            let swarm = node.swarm_name(&swarm).unwrap_or_default();
            node.tell(NodeEvent::CaughtUp { swarm, with: node.reference(peer), events });
        }
    }

    async fn remember(&self, table: Vec<TablePeer>) {
        let Some(node) = self.node.upgrade() else { return };
        if let Err(error) = acquaintances::keep(&self.store, &node, table).await {
            tracing::warn!(%error, "the members of today are not remembered");
        }
    }

    async fn remove_live(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        let before = node.now_ms().saturating_sub(LIVE_MS);
        if let Err(error) = self.store.write(move |tables| tables.remove_live(before)).await {
            self.failed(&error);
        }
    }

    async fn clean(&mut self) {
        let Some(node) = self.node.upgrade() else { return };
        for (swarm, index) in &self.indices {
            let (swarm, limits, now) = (*swarm, self.retention.clone(), node.now_ms());
            let cuts = self.store.write(move |tables| retain(tables, &swarm, &limits, now)).await;
            match cuts {
                Ok(cuts) => cuts.iter().for_each(|cut| lock(index).cut((cut.feed.author, cut.feed.epoch), cut.below)),
                Err(error) => tracing::warn!(%error, "old events are not let go"),
            }
        }
        if let Err(error) = self.store.write(fold::forget).await {
            tracing::warn!(%error, "old summaries are not let go");
        }
    }

    /// Lets go of what somebody wants to be rid of, also of swarms that this node has left.
    async fn cut(&self, cuts: Vec<Cut>) -> Result<(), StoreError> {
        let all = cuts.clone();
        self.store.write_durably(move |tables| cut_all(tables, &all)).await?;
        for cut in cuts {
            if let Some(index) = self.indices.get(&cut.feed.swarm) {
                lock(index).cut((cut.feed.author, cut.feed.epoch), cut.below);
            }
        }
        Ok(())
    }

    async fn close(mut self, feeds: OwnFeeds, table: Vec<TablePeer>) {
        self.under_way.abort_all();
        self.remember(table).await;
        let left = if feeds.is_empty() || self.failing { Ok(()) } else { own::leave(&self.store, feeds).await };
        if let Err(error) = left.and(self.store.close().await) {
            tracing::warn!(%error, "the store is not closed in order");
        }
    }
}

/// A member to compare with: one that is connected, by chance; else one that can be reached.
fn somebody(node: &Node, swarm: &SwarmId) -> Option<PeerId> {
    let members = node.reachable(swarm, None);
    let connected: Vec<&PeerId> = members.iter().filter(|peer| node.is_connected(peer)).collect();
    connected.choose(&mut rand::rng()).map(|peer| **peer).or_else(|| members.choose(&mut rand::rng()).copied())
}

/// What a member wants, within the bounds; and whether there is more.
async fn events(store: &Store, request: SyncRequest) -> Result<(Vec<Bytes>, bool), StoreError> {
    store
        .read(move |tables| {
            let (mut events, mut bytes) = (Vec::new(), 0);
            for Want { author, epoch, from, to } in &request.want {
                let key = FeedKey { swarm: request.swarm, author: *author, epoch: *epoch };
                let (rows, room) = (limits::SYNC_EVENTS - events.len(), limits::SYNC_BYTES.saturating_sub(bytes));
                if rows == 0 || room == 0 {
                    return Ok((events, true));
                }
                let found = tables.feed_events(&key, *from, *to, rows, room)?;
                let found: Vec<Bytes> = found.into_iter().filter(|row| !row.live).map(|row| row.raw).collect();
                bytes += found.iter().map(Bytes::len).sum::<usize>();
                events.extend(found);
                let fork = tables.feed(&key)?.and_then(|feed| feed.fork);
                if let Some(fork) = fork.filter(|fork| (*from..*to).contains(&fork.seq)) {
                    events.push(fork.other);
                }
            }
            Ok((events, bytes >= limits::SYNC_BYTES))
        })
        .await
}
