//! Conversations: what this node says, and what it hears.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{gossip, peer_of, upkeep::Source};
use p2pnode_wire::{
    event::Event,
    ids::{EventId, SwarmId},
    limits,
    talk::{self, Message, kind},
};

use super::EventLoop;
use crate::{
    events::NodeEvent,
    history::Note,
    node::lock,
    talk::{ConversationEvent, Draft, Heard, PublishError, Published},
};

/// Events of ours kept for the first member that comes, and for how long: a broadcast a moment before others have joined
/// the mesh is not lost.
const UNSENT: usize = 64;
const UNSENT_FOR: Duration = Duration::from_secs(10);

/// Events of ours for members who come a moment later: their connection was there, their subscription under way, and
/// nobody else would tell them. Brought straight, within this time.
const RECENT: usize = 64;
const RECENT_FOR: Duration = Duration::from_secs(3);
const BROUGHT: Duration = Duration::from_secs(5);

/// Answers of ours that gossip takes later; beyond that at once.
const DEFERRED: usize = 256;

/// Events of ours, for a while.
pub(super) struct Kept {
    swarm: SwarmId,
    raw: Bytes,
    until: Instant,
}

impl EventLoop {
    /// An event of ours: signed, heard here, and given to gossip, at once or `later`.
    pub(super) fn publish(&mut self, draft: Draft, later: Duration) -> Result<Published, PublishError> {
        if self.history.as_ref().is_some_and(|history| !history.has_room()) {
            return Err(PublishError::TooFast);
        }
        if draft.body.len() > limits::EVENT_MAX {
            return Err(PublishError::TooLarge { size: draft.body.len() });
        }
        let (now, key) = (self.setup.about.clock.now_ms(), self.setup.identity.signing_key());
        let Some(gossip) = self.setup.swarm.behaviour_mut().gossip.as_mut() else { return Err(PublishError::NoGossip) };
        let before = gossip.newest_epoch(&draft.swarm, &self.setup.about.key);
        let event = self.feeds.next(draft, now, before);
        let signed = event.seal(&key);
        let (id, raw) = (EventId(signed.id()), signed.into_raw());
        if later.is_zero() || self.deferred.len() >= DEFERRED {
            // In the order of the feed.
            release(&mut self.deferred, gossip, |_| true);
            match gossip.publish(&event.swarm, raw.clone()) {
                Ok(_) => {}
                Err(gossip::PublishError::NobodyThere) => {
                    keep(&mut self.unsent, UNSENT, UNSENT_FOR, event.swarm, raw.clone());
                }
                Err(error) => return Err(PublishError::of(&error, raw.len())),
            }
        } else {
            self.deferred.push_back(Kept { swarm: event.swarm, raw: raw.clone(), until: Instant::now() + later });
        }
        let neighbours = gossip.subscribers(&event.swarm).len();
        keep(&mut self.recent, RECENT, RECENT_FOR, event.swarm, raw.clone());
        self.feeds.published(&event, id);
        let author = self.setup.identity.peer_id();
        let note = Note::Heard { event: Box::new(event.clone()), id, raw: raw.clone(), source: author };
        self.keep(note, true);
        let published = Published { id, raw, neighbours };
        self.heard(&Heard { event: Arc::new(event), id, author, source: author, own: true });
        Ok(published)
    }

    /// Connects to the author of a message where it says it is.
    pub(super) fn dial_at(&mut self, peer: PeerId, addrs: &[Multiaddr], source: PeerId) {
        let teller = self.remote_of(&source);
        for addr in addrs {
            self.behaviour().upkeep.learn(peer, addr, Source::Card, teller.as_ref());
        }
        if addrs.is_empty()
            && let Some(registry) = &self.setup.registry
            && let Some(entry) = registry.find(&peer)
        {
            return self.dial_local(&entry);
        }
        self.dial(peer, "asks");
    }

    /// Somebody of that swarm has come.
    fn send_kept(&mut self, swarm: SwarmId) {
        let now = Instant::now();
        for Kept { swarm: of, raw, until } in std::mem::take(&mut self.unsent) {
            if of != swarm {
                self.unsent.push_back(Kept { swarm: of, raw, until });
                continue;
            }
            let Some(gossip) = self.setup.swarm.behaviour_mut().gossip.as_mut() else { return };
            if until > now
                && let Err(error) = gossip.publish(&swarm, raw)
            {
                tracing::debug!(%error, "an event is lost");
            }
        }
    }

    fn bring_recent(&mut self, peer: PeerId, swarm: SwarmId) {
        let now = Instant::now();
        self.recent.retain(|kept| kept.until > now);
        let raws: Vec<Bytes> = self.recent.iter().filter(|k| k.swarm == swarm).map(|k| k.raw.clone()).collect();
        let Some(node) = self.setup.node.upgrade().filter(|_| !raws.is_empty()) else { return };
        tokio::spawn(async move {
            for raw in raws {
                if let Err(error) = node.bring(peer, &swarm, raw, BROUGHT).await {
                    // It may be one that takes gossip alone.
                    tracing::debug!(%peer, %error, "an event was not taken directly");
                    return;
                }
            }
        });
    }

    pub(super) fn inject(&mut self, source: PeerId, raw: Bytes) -> Result<(), gossip::Refused> {
        let gossip = self.setup.swarm.behaviour_mut().gossip.as_mut().ok_or(gossip::Refused::Elsewhere)?;
        match gossip.inject(source, raw.clone()) {
            Ok(_) | Err(gossip::Refused::Known) => Ok(()),
            Err(gossip::Refused::Replay) => {
                self.keep(Note::Doubted { raw }, false);
                Err(gossip::Refused::Replay)
            }
            Err(why) => Err(why),
        }
    }

    pub(super) fn on_gossip(&mut self, event: gossip::Event) {
        match event {
            gossip::Event::Event { event, id, source, raw, .. } => {
                self.keep(Note::Heard { event: event.clone(), id, raw, source }, false);
                self.arrived(*event, id, source);
            }
            gossip::Event::Refused { raw: Some(raw), .. } => self.keep(Note::Doubted { raw }, false),
            gossip::Event::Subscribed { peer, swarm } => {
                self.send_kept(swarm);
                self.bring_recent(peer, swarm);
            }
            gossip::Event::Lost { peer, events } => {
                tracing::warn!(%peer, events, "a neighbour is too slow and has missed events");
            }
            other => tracing::debug!(event = ?other, "gossip"),
        }
    }

    /// What is to be kept.
    pub(super) fn keep(&self, note: Note, own: bool) {
        if let Some(history) = &self.history {
            history.tell(note, own);
        }
    }

    fn arrived(&mut self, event: Event, id: EventId, source: PeerId) {
        let Some(author) = peer_of(&event.author) else { return };
        let (feeder, epoch, seq) = ((event.swarm, event.author), event.epoch, event.seq);
        let heard = Heard { event: Arc::new(event), id, author, source, own: false };
        for heard in self.order.arrive(feeder, epoch, seq, heard, Instant::now()) {
            self.heard(&heard);
        }
    }

    /// Events of ours whose time for gossip has come, and, in the order of the feed, those before them.
    pub(super) fn say_deferred(&mut self, now: Instant) {
        let last = self.deferred.iter().rposition(|kept| kept.until <= now);
        let Some(gossip) = self.setup.swarm.behaviour_mut().gossip.as_mut() else { return };
        let mut left = last.map_or(0, |last| last + 1);
        release(&mut self.deferred, gossip, |_| {
            let due = left > 0;
            left = left.saturating_sub(1);
            due
        });
    }

    pub(super) fn say_all_deferred(&mut self) {
        if let Some(gossip) = self.setup.swarm.behaviour_mut().gossip.as_mut() {
            release(&mut self.deferred, gossip, |_| true);
        }
    }

    /// Events whose predecessors do not come.
    pub(super) fn hear_overdue(&mut self, now: Instant) {
        for heard in self.order.due(now) {
            self.heard(&heard);
        }
    }

    /// Each event once, in the order of its feed.
    fn heard(&mut self, heard: &Heard) {
        let event = &heard.event;
        if self.setup.swarm.behaviour().upkeep.is_blocked(&heard.author) {
            return;
        }
        if event.kind == kind::LEAVE && event.parent.is_none() && !heard.own {
            self.gone(&heard.author);
        }
        if self.setup.shared.events.receiver_count() > 0
            && let Some(name) = self.setup.swarms.name_of(&event.swarm)
        {
            let author = heard.author_of(&lock(&self.setup.shared.peers));
            let told = ConversationEvent::new(heard, name.to_string(), author);
            self.emit(NodeEvent::Conversation(Box::new(told)));
        }
        if heard.own {
            return;
        }
        self.setup.shared.asks.hear(heard);
        match event.kind.as_str() {
            kind::MESSAGE => self.called_upon(heard),
            kind::LEAVE => {
                if let Some(question) = event.parent {
                    self.setup.answerer.withdrawn(heard.author, question);
                    self.setup.runner.withdrawn(heard.author, question);
                }
            }
            _ => {}
        }
    }

    fn gone(&mut self, peer: &PeerId) {
        let change = lock(&self.setup.shared.peers).left(peer);
        self.lost(peer);
        self.announce(change);
        self.setup.shared.touch();
    }

    /// A message for all who serve its endpoint.
    fn called_upon(&mut self, heard: &Heard) {
        if heard.event.team.is_some() && heard.event.team != self.setup.about.team {
            return;
        }
        let Some(node) = self.setup.node.upgrade() else { return };
        match Message::decode(&heard.event.body) {
            Ok(message) if message.endpoint == talk::ASK => self.setup.answerer.hear(&node, heard, message),
            Ok(message) => self.setup.runner.hear(&node, heard, message),
            Err(error) => tracing::debug!(%error, author = %heard.author, "a message cannot be read"),
        }
    }
}

/// Gives deferred events to gossip, the first ones first, as long as `due` says so.
fn release(deferred: &mut VecDeque<Kept>, gossip: &mut gossip::Behaviour, mut due: impl FnMut(&Kept) -> bool) {
    while deferred.front().is_some_and(&mut due)
        && let Some(Kept { swarm, raw, .. }) = deferred.pop_front()
    {
        if let Err(error) = gossip.publish(&swarm, raw) {
            tracing::debug!(%error, "an event is not passed on");
        }
    }
}

fn keep(kept: &mut VecDeque<Kept>, most: usize, time: Duration, swarm: SwarmId, raw: Bytes) {
    let now = Instant::now();
    kept.retain(|kept| kept.until > now);
    if kept.len() >= most {
        kept.pop_front();
    }
    kept.push_back(Kept { swarm, raw, until: now + time });
}
