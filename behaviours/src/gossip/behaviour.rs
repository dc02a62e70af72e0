use std::{
    collections::VecDeque,
    fmt,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use asynchronous_codec::{Decoder, Encoder, Framed};
use bytes::{Bytes, BytesMut};
use futures::future::Either;
use libp2p_gossipsub::{
    self as gossipsub, IdentityTransform, MaxCountSubscriptionFilter, MessageAcceptance, MessageAuthenticity,
    MessageId, ValidationMode,
};
use libp2p_identity::PeerId;
use libp2p_swarm::{FromSwarm, NetworkBehaviour, Stream, THandler, THandlerInEvent, ToSwarm};
use p2pnode_wire::{
    event::{self, EventError},
    ids::{EventId, PeerKey, SwarmId},
};
use rand::RngExt;

use super::{
    config::Config,
    event::{Event, PublishError},
    outbox::{Outbox, Waiting},
    protocol::{self, OnlySwarms},
    seen::Seen,
    state::{Accepted, Refused, State, Verdict},
};
use crate::{alarm::Alarm, around::handlers_of, upkeep::Quiet};

type Inner = Quiet<gossipsub::Behaviour<IdentityTransform, MaxCountSubscriptionFilter<OnlySwarms>>>;

/// Events of swarms, passed on from neighbour to neighbour.
pub struct Behaviour {
    inner: Inner,
    state: State,
    outbox: Outbox,
    await_verdict: bool,
    heard: u64,
    events: VecDeque<Event>,
    alarm: Alarm,
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("gossip::Behaviour").field("state", &self.state.swarms().count()).finish_non_exhaustive()
    }
}

fn settings(config: &Config) -> gossipsub::Config {
    let mesh = config.mesh.max(1);
    gossipsub::ConfigBuilder::default()
        .mesh_n(mesh)
        .mesh_n_low(mesh - mesh / 5)
        .mesh_n_high(mesh * 2)
        .mesh_outbound_min((mesh / 3).min(2))
        // Not all at the same moment, when a hundred nodes start together.
        .heartbeat_initial_delay(Duration::from_millis(rand::rng().random_range(100..300)))
        .heartbeat_interval(config.heartbeat)
        .max_transmit_size(protocol::MAX_TRANSMIT)
        // Our own signature is checked once, after the duplicate check; gossipsub would check every copy before it.
        .validation_mode(ValidationMode::None)
        .validate_messages()
        // The default is source and number: without them all messages would be equal.
        .message_id_fn(protocol::message_id)
        .flood_publish(true)
        .idontwant_message_size_threshold(config.idontwant)
        .publish_queue_duration(config.queue_time)
        .forward_queue_duration(config.queue_time)
        .connection_handler_queue_len(config.queue)
        .build()
        .expect("the mesh numbers are derived from one another and no topic has settings of its own")
}

fn inner(config: &Config) -> Inner {
    let filter = MaxCountSubscriptionFilter {
        filter: OnlySwarms,
        max_subscribed_topics: config.swarms_per_peer,
        max_subscriptions_per_request: config.swarms_per_peer * 2,
    };
    let behaviour = gossipsub::Behaviour::new_with_subscription_filter_and_transform(
        MessageAuthenticity::Anonymous,
        settings(config),
        filter,
        IdentityTransform,
    );
    let behaviour = behaviour.expect("anonymous publishing goes with no validation by gossipsub");
    Quiet::shaping(
        behaviour,
        |stream| match stream {
            Either::Left((framed, kind)) => Either::Left((without_spare(framed), kind)),
            Either::Right(never) => Either::Right(never),
        },
        |(framed, kind)| (without_spare(framed), kind),
    )
}

/// gossipsub gives each substream two buffers of 8 KiB, and uses each substream in one direction: 32 KiB for a connection
/// on which little may ever be said. Buffers grow when needed.
fn without_spare<C: Encoder + Decoder>(framed: Framed<Stream, C>) -> Framed<Stream, C> {
    let mut parts = framed.into_parts();
    for buffer in [&mut parts.read_buffer, &mut parts.write_buffer] {
        *buffer = BytesMut::from(&buffer[..]);
    }
    Framed::from_parts(parts)
}

impl Behaviour {
    /// A behaviour in no swarm yet.
    #[expect(clippy::needless_pass_by_value, reason = "made like the other behaviours of this crate")]
    pub fn new(config: Config) -> Self {
        Self {
            inner: inner(&config),
            state: State::new(&config),
            outbox: Outbox::new(config.own, config.outbox, Instant::now()),
            await_verdict: config.await_verdict,
            heard: 0,
            events: VecDeque::new(),
            alarm: Alarm::default(),
        }
    }

    /// Takes part in the gossip of `swarm`. False when this node is in 32 swarms already.
    pub fn join(&mut self, swarm: SwarmId) -> bool {
        if !self.state.join(swarm) {
            return false;
        }
        match self.inner.subscribe(&protocol::topic_of(&swarm)) {
            Ok(_) => true,
            Err(error) => {
                tracing::warn!(%swarm, %error, "cannot subscribe");
                self.state.leave(&swarm);
                false
            }
        }
    }

    /// No longer takes part.
    pub fn leave(&mut self, swarm: &SwarmId) {
        self.inner.unsubscribe(&protocol::topic_of(swarm));
        self.state.leave(swarm);
        self.outbox.forget(swarm);
    }

    /// `author` is known to be a member: its events are not counted with those of strangers. At most 4,096.
    pub fn know(&mut self, author: PeerKey) {
        self.state.know(author);
    }

    /// `author` is gone.
    pub fn forget(&mut self, author: &PeerKey) {
        self.state.forget(author);
    }

    /// Counts events, own ones too: when it has changed, so has [`Self::seen`].
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Which events were heard, to be kept over a restart.
    pub fn seen(&self) -> Seen {
        self.state.seen()
    }

    /// What was kept over a restart: none of these events is told again. Before [`Self::join`] or after it.
    pub fn restore(&mut self, seen: Seen) {
        self.state.restore(seen, Instant::now());
    }

    /// The epoch of the newest feed of `author` that was heard, or published, in `swarm`.
    pub fn newest_epoch(&self, swarm: &SwarmId, author: &PeerKey) -> Option<u64> {
        self.state.newest_epoch(swarm, author)
    }

    /// The swarms this node takes part in.
    pub fn swarms(&self) -> impl Iterator<Item = &SwarmId> {
        self.state.swarms()
    }

    /// Sends a sealed event to everybody in `swarm`: at once, or, beyond 20 a second, in its turn; then
    /// [`Event::Unsent`] tells if that failed.
    pub fn publish(&mut self, swarm: &SwarmId, raw: Bytes) -> Result<EventId, PublishError> {
        let now = Instant::now();
        let (event, signed) = event::Event::peek(raw)?;
        if event.swarm != *swarm {
            return Err(PublishError::Swarm);
        }
        if !self.state.is_in(swarm) {
            return Err(PublishError::NotJoined);
        }
        let id = protocol::signed_id(&signed);
        let waiting = Waiting { swarm: *swarm, raw: signed.into_raw(), id };
        let size = waiting.raw.len();
        if self.outbox.is_free(size, now) {
            self.send(&waiting)?;
            self.outbox.charge(size, now);
        } else if !self.outbox.push(waiting) {
            return Err(PublishError::Full);
        }
        self.state.published(&event, id, now);
        self.heard += 1;
        Ok(id)
    }

    /// An event that `source` brought otherwise than by gossip, such as straight to an asker. It is checked like any
    /// other, and told as [`Event::Event`] once, whichever copy comes first; the first copy by gossip is passed on.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::Known`] is no fault.
    pub fn inject(&mut self, source: PeerId, raw: Bytes) -> Result<EventId, Refused> {
        let (event, signed) = event::Event::peek(raw).map_err(|_| Refused::Layout)?;
        let accepted = self.state.check(event.swarm, source, signed.into_raw(), Instant::now())?;
        let Accepted { swarm, event, raw, id } = accepted;
        self.state.came_directly(id);
        self.heard += 1;
        self.events.push_back(Event::Event { swarm, event: Box::new(event), raw, id, source });
        Ok(id)
    }

    /// Says whether an event is passed on; only with [`Config::await_verdict`], within 250 ms. False if it is too late.
    pub fn report(&mut self, id: &EventId, source: &PeerId, verdict: Verdict) -> bool {
        self.await_verdict && self.settle(id, source, verdict)
    }

    /// The neighbours in the mesh of `swarm`.
    pub fn neighbours(&self, swarm: &SwarmId) -> Vec<PeerId> {
        self.inner.mesh_peers(&protocol::topic_of(swarm).hash()).copied().collect()
    }

    /// Connected peers that take part in `swarm`.
    pub fn subscribers(&self, swarm: &SwarmId) -> Vec<PeerId> {
        let topic = protocol::topic_of(swarm).hash();
        self.inner.all_peers().filter(|(_, topics)| topics.contains(&&topic)).map(|(peer, _)| *peer).collect()
    }

    fn send(&mut self, waiting: &Waiting) -> Result<(), PublishError> {
        use gossipsub::PublishError as E;
        let topic = protocol::topic_of(&waiting.swarm);
        match self.inner.publish(topic, waiting.raw.to_vec()) {
            Ok(_) => Ok(()),
            Err(E::Duplicate) => Err(PublishError::Known),
            Err(E::NoPeersSubscribedToTopic) => Err(PublishError::NobodyThere),
            Err(E::AllQueuesFull(_)) => Err(PublishError::Slow),
            Err(E::MessageTooLarge) => Err(EventError::TooLarge(waiting.raw.len()).into()),
            Err(error @ (E::SigningError(_) | E::TransformFailed(_))) => {
                tracing::error!(%error, "gossipsub neither signs nor transforms here");
                Err(PublishError::Slow)
            }
        }
    }

    fn send_waiting(&mut self, cx: &mut Context<'_>) {
        let now = Instant::now();
        while let Some(waiting) = self.outbox.next(now) {
            if let Err(error) = self.send(&waiting) {
                self.events.push_back(Event::Unsent { id: waiting.id, swarm: waiting.swarm, error });
            }
        }
        if self.alarm.is_due(self.outbox.wake_at(), cx) {
            cx.waker().wake_by_ref();
        }
    }

    fn settle(&mut self, id: &EventId, source: &PeerId, verdict: Verdict) -> bool {
        let acceptance = match verdict {
            Verdict::Accept => MessageAcceptance::Accept,
            Verdict::Ignore => MessageAcceptance::Ignore,
            Verdict::Reject => MessageAcceptance::Reject,
        };
        self.inner.report_message_validation_result(&MessageId(id.0.to_vec()), source, acceptance)
    }

    fn received(&mut self, source: PeerId, message: gossipsub::Message) {
        let data = Bytes::from(message.data);
        let id = protocol::id_of(&data);
        let Some(swarm) = protocol::swarm_of(&message.topic) else {
            self.settle(&id, &source, Verdict::Ignore);
            return;
        };
        match self.state.check(swarm, source, data.clone(), Instant::now()) {
            Ok(accepted) => self.accepted(source, accepted),
            Err(Refused::Known) if self.state.is_to_pass_on(&id) => {
                self.settle(&id, &source, Verdict::Accept);
            }
            Err(why) => {
                self.settle(&id, &source, why.verdict());
                if why != Refused::Known {
                    tracing::debug!(%source, %why, "an event is not delivered");
                    let raw = (why == Refused::Replay).then_some(data);
                    self.events.push_back(Event::Refused { swarm, source, why, raw });
                }
            }
        }
    }

    fn accepted(&mut self, source: PeerId, accepted: Accepted) {
        if !self.await_verdict {
            self.settle(&accepted.id, &source, Verdict::Accept);
        }
        self.heard += 1;
        let Accepted { swarm, event, raw, id } = accepted;
        self.events.push_back(Event::Event { swarm, event: Box::new(event), raw, id, source });
    }

    fn on_inner(&mut self, event: gossipsub::Event) {
        use gossipsub::Event as E;
        match event {
            E::Message { propagation_source, message, .. } => self.received(propagation_source, message),
            E::Subscribed { peer_id, topic } => {
                if let Some(swarm) = protocol::swarm_of(&topic) {
                    self.events.push_back(Event::Subscribed { peer: peer_id, swarm });
                }
            }
            E::Unsubscribed { peer_id, topic } => {
                if let Some(swarm) = protocol::swarm_of(&topic) {
                    self.events.push_back(Event::Unsubscribed { peer: peer_id, swarm });
                }
            }
            E::SlowPeer { peer_id, failed_messages } => {
                let events = failed_messages.priority + failed_messages.non_priority;
                self.events.push_back(Event::Lost { peer: peer_id, events });
            }
            E::GossipsubNotSupported { .. } => {}
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = THandler<Inner>;
    type ToSwarm = Event;

    handlers_of!(inner);

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        self.inner.on_swarm_event(event);
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        loop {
            self.send_waiting(cx);
            if let Some(event) = self.events.pop_front() {
                return Poll::Ready(ToSwarm::GenerateEvent(event));
            }
            match self.inner.poll(cx) {
                Poll::Ready(ToSwarm::GenerateEvent(event)) => self.on_inner(event),
                Poll::Ready(other) => return Poll::Ready(other.map_out(|_| unreachable!("events are handled above"))),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

#[cfg(test)]
#[path = "behaviour_tests.rs"]
mod tests;
