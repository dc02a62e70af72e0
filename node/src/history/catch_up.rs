//! One comparison with one member, and the fetching of what is lacking.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use libp2p::PeerId;
use p2pnode_behaviours::sync::ExchangeError;
use p2pnode_wire::{
    event::Event,
    ids::{ConversationId, EventId, SwarmId},
    sync::{FeedState, SyncReply, SyncRequest, Want},
};

use super::{
    index::Index,
    ingest::{self, Arrival, Took},
    rounds::Outcome,
};
use crate::{
    node::{Node, lock},
    store::{FeedKey, Store, StoreError},
    talk,
};

/// Pages of feeds of one member: 16,384 feeds. More it cannot have by its own limits, unless it makes them up.
const PAGES: usize = 32;

/// Answers with events in one round: the rest comes in the next one, which follows at once.
const FETCHES: usize = 64;

/// What lacks may be under way by gossip: so few events are waited for a moment.
const FEW: u64 = 8;
const MOMENT: Duration = Duration::from_secs(1);

/// What was said since this node runs, by its author's clock, and not longer ago than this, is work that gossip has lost
/// on its way, and not only history: its handlers run.
const FRESH_MS: u64 = 120_000;

/// Why a round ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum CatchUpError {
    #[error(transparent)]
    Peer(#[from] ExchangeError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the node is shutting down")]
    Stopped,
}

/// What a round works with.
#[derive(Clone)]
pub(super) struct Round {
    pub(super) node: Node,
    pub(super) store: Store,
    pub(super) index: Arc<Mutex<Index>>,
    pub(super) swarm: SwarmId,
    pub(super) peer: PeerId,
    /// When this node was started.
    pub(super) since_ms: u64,
    /// It has asked us before.
    pub(super) back: bool,
}

/// What a round has brought so far.
#[derive(Default)]
struct Got {
    news: usize,
    forks: Vec<FeedKey>,
    grown: BTreeMap<ConversationId, u64>,
}

/// What a round came to, also when it ended early.
pub(super) struct Ended {
    pub(super) outcome: Outcome,
    pub(super) forks: Vec<FeedKey>,
    /// Conversations of which there is more now, with the time of the earliest event that came.
    pub(super) grown: BTreeMap<ConversationId, u64>,
}

impl Round {
    /// Compares, and fetches.
    pub(super) async fn run(self) -> Ended {
        let mut got = Got::default();
        let outcome = match self.go(&mut got).await {
            Ok(outcome) if got.news == 0 => outcome,
            Ok(_) => Outcome::News(got.news),
            Err(error) => {
                let news = got.news;
                tracing::debug!(peer = %self.peer, swarm = %self.swarm, %error, news, "catching up ended early");
                if news > 0 { Outcome::News(news) } else { Outcome::Failed }
            }
        };
        Ended { outcome, forks: got.forks, grown: got.grown }
    }

    async fn go(&self, got: &mut Got) -> Result<Outcome, CatchUpError> {
        let Some(feeds) = self.their_feeds().await? else { return Ok(Outcome::Same) };
        let mut wants = lock(&self.index).lacks(&feeds);
        let few: u64 = wants.iter().map(|want| want.to - want.from).sum();
        if (1..=FEW).contains(&few) {
            tokio::time::sleep(MOMENT).await;
            wants = lock(&self.index).lacks(&feeds);
        }
        for _ in 0..FETCHES {
            if wants.is_empty() {
                return Ok(Outcome::Nothing);
            }
            let reply = self.ask(SyncRequest { want: wants.clone(), ..self.request() }).await?;
            let before = got.news;
            self.take(&wants, reply.events, got).await?;
            if got.news == before {
                return Ok(Outcome::Nothing);
            }
            wants = lock(&self.index).lacks(&feeds);
        }
        Ok(Outcome::News(got.news))
    }

    fn request(&self) -> SyncRequest {
        let digest = lock(&self.index).digest();
        SyncRequest { back: self.back, ..SyncRequest::compare(self.swarm, digest) }
    }

    async fn ask(&self, request: SyncRequest) -> Result<SyncReply, CatchUpError> {
        let answer = self.node.sync(self.peer, request).await.ok_or(CatchUpError::Stopped)?;
        Ok(answer?)
    }

    /// None: both keep the same.
    async fn their_feeds(&self) -> Result<Option<Vec<FeedState>>, CatchUpError> {
        let (mut feeds, mut after) = (Vec::new(), None);
        for _ in 0..PAGES {
            let request = SyncRequest { after, ..self.request() };
            let digest = request.digest;
            let reply = self.ask(request).await?;
            if after.is_none() && reply.digest == digest {
                return Ok(None);
            }
            let last = reply.feeds.last().map(|feed| (feed.author, feed.epoch));
            feeds.extend(reply.feeds);
            if !reply.more || last.is_none() {
                break;
            }
            after = last;
        }
        Ok(Some(feeds))
    }

    /// Keeps what was asked for.
    async fn take(&self, wants: &[Want], events: Vec<Bytes>, got: &mut Got) -> Result<(), CatchUpError> {
        let now = self.node.now_ms();
        let arrivals: Vec<Arrival> = events.into_iter().filter_map(|raw| open(&self.swarm, wants, raw)).collect();
        let taken = keep(&self.store, &self.index, arrivals, now).await?;
        for (arrival, took) in taken {
            match took {
                Took::New => {
                    let at = arrival.event.at_ms;
                    got.news += 1;
                    let earliest = got.grown.entry(arrival.event.conversation).or_insert(at);
                    *earliest = at.min(*earliest);
                    if at >= self.since_ms && at.abs_diff(now) <= FRESH_MS {
                        // Whatever it refuses is kept all the same.
                        let _ = self.node.inject(self.peer, arrival.raw).await;
                    }
                }
                Took::Fork(feed, _) => got.forks.push(feed),
                Took::Known | Took::Unwanted => {}
            }
        }
        Ok(())
    }
}

/// An event that was asked for and whose signature holds.
fn open(swarm: &SwarmId, wants: &[Want], raw: Bytes) -> Option<Arrival> {
    let (event, signed) = Event::peek(raw).ok()?;
    let wanted = |want: &Want| {
        want.author == event.author && want.epoch == event.epoch && (want.from..want.to).contains(&event.seq)
    };
    if event.swarm != *swarm || !wants.iter().any(wanted) {
        return None;
    }
    signed.verify(p2pnode_wire::sign::Domain::Event, &event.author).ok()?;
    let id = EventId(signed.id());
    // Nobody passes these on; who does, does not follow the protocol.
    (!talk::is_live(&event)).then(|| arrival(event, id, signed.into_raw()))
}

/// An event that may be kept.
pub(super) fn arrival(event: Event, id: EventId, raw: Bytes) -> Arrival {
    let (text, live) = (super::text::of_event(&event), talk::is_live(&event));
    Arrival { id, raw, event, text, live }
}

/// Keeps events, and notes them in the index.
pub(super) async fn keep(
    store: &Store,
    index: &Mutex<Index>,
    arrivals: Vec<Arrival>,
    now_ms: u64,
) -> Result<Vec<(Arrival, Took)>, StoreError> {
    if arrivals.is_empty() {
        return Ok(Vec::new());
    }
    let taken = store
        .write(move |tables| {
            arrivals.into_iter().map(|arrival| Ok((ingest::take(tables, &arrival, now_ms)?, arrival))).collect()
        })
        .await;
    let taken: Vec<(Took, Arrival)> = taken?;
    let mut index = lock(index);
    for (took, arrival) in &taken {
        let feed = (arrival.event.author, arrival.event.epoch);
        match took {
            Took::New if !arrival.live => {
                index.kept(feed, arrival.event.seq, arrival.id);
            }
            Took::Fork(_, seq) => index.forked(feed, *seq),
            _ => {}
        }
    }
    Ok(taken.into_iter().map(|(took, arrival)| (arrival, took)).collect())
}
