//! What a node is made of, and what the rest of the crate does with its handle.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use futures::future::Either;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{
    Clock, gossip,
    mail::DeliverError,
    nat::Report,
    rpc,
    sync::ExchangeError,
    upkeep::{Hold, is_loopback, is_relayed},
};
use p2pnode_wire::{
    card::Card,
    ids::{SwarmId, Team},
    mail::MailAck,
    msgpack,
    sync::{SyncReply, SyncRequest},
    talk,
};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Node, WeakNode};
use crate::{
    access,
    access::Vicinity,
    ask::Asks,
    command::Command,
    endpoint::Endpoints,
    events::{NodeEvent, Told},
    history::Folder,
    identity::Identity,
    mail::{self, MailLimits},
    peers::{Peer, PeerRef, Peers},
    pins::Pins,
    progress::Progress,
    schedules::Timetable,
    store::Store,
    swarms::Swarms,
    talk::{Draft, Heard, PublishError, Published},
    target::{Target, TargetError},
};

pub(crate) struct Inner {
    pub(crate) identity: Identity,
    pub(crate) name: String,
    pub(crate) ephemeral: bool,
    pub(crate) clock: Clock,
    pub(crate) timetable: Timetable,
    pub(crate) swarms: Swarms,
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) rpc: rpc::Client,
    pub(crate) shared: Shared,
    pub(crate) endpoints: Endpoints,
    pub(crate) vicinity: Vicinity,
    pub(crate) store: Option<Store>,
    pub(crate) keep: Option<crate::history::Link>,
    pub(crate) post: Option<mail::Link>,
    pub(crate) mail_limits: MailLimits,
    pub(crate) folder: Folder,
}

/// What the event loop writes and handles read.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) peers: Arc<Mutex<Peers>>,
    pub(crate) pins: Arc<Mutex<Pins>>,
    pub(crate) progress: Arc<Mutex<Progress>>,
    pub(crate) own: Arc<Mutex<Own>>,
    pub(crate) changed: watch::Sender<u64>,
    pub(crate) events: broadcast::Sender<Told>,
    pub(crate) asks: Asks,
    pub(crate) stopped: CancellationToken,
}

/// What this node says of itself.
#[derive(Default)]
pub(crate) struct Own {
    /// Where it listens, circuits included.
    pub(crate) listen: Vec<Multiaddr>,
    /// How it looks from outside.
    pub(crate) reach: Report,
    pub(crate) card: Option<Card>,
    pub(crate) libp2p_peers: usize,
    pub(crate) mdns: bool,
    pub(crate) local: bool,
}

/// A poisoned lock means that a reader panicked between two whole updates; the data is good.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Tells all who wait for a condition to look again.
    pub(crate) fn touch(&self) {
        self.changed.send_modify(|version| *version = version.wrapping_add(1));
    }
}

impl Node {
    pub(crate) fn downgrade(&self) -> WeakNode {
        WeakNode(Arc::downgrade(&self.0))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    pub(crate) fn signing_key(&self) -> SigningKey {
        self.0.identity.signing_key()
    }

    pub(crate) fn asks(&self) -> &Asks {
        &self.0.shared.asks
    }

    pub(crate) fn changed(&self) -> watch::Receiver<u64> {
        self.0.shared.changed.subscribe()
    }

    pub(crate) fn tell(&self, event: NodeEvent) {
        // Nobody watches: fine.
        let _ = self.0.shared.events.send(event.into());
    }

    pub(crate) fn reference(&self, peer: PeerId) -> PeerRef {
        lock(&self.0.shared.peers).reference(peer)
    }

    pub(crate) fn author_of(&self, heard: &Heard) -> PeerRef {
        heard.author_of(&lock(&self.0.shared.peers))
    }

    pub(crate) fn known(&self, peer: &PeerId) -> Option<Peer> {
        lock(&self.0.shared.peers).get(peer, Instant::now())
    }

    /// Members of a swarm, or of one team of it, that can be reached.
    pub(crate) fn reachable(&self, swarm: &SwarmId, team: Option<&Team>) -> Vec<PeerId> {
        lock(&self.0.shared.peers).reachable(swarm, team)
    }

    /// What `garden`, `garden/backend` or nothing at all means; none if this node is not in that swarm, or that is no name
    /// of a team.
    pub(crate) fn place(&self, text: &str) -> Option<(SwarmId, Option<Team>)> {
        let (swarm, team) = text.split_once('/').map_or((text, None), |(swarm, team)| (swarm, Some(team)));
        Some((self.swarm_id(swarm)?, team.map(str::parse).transpose().ok()?))
    }

    pub(crate) fn is_settled(&self) -> bool {
        lock(&self.0.shared.progress).settled(Instant::now())
    }

    pub(crate) fn is_in_motion(&self) -> bool {
        lock(&self.0.shared.progress).is_in_motion(Instant::now())
    }

    /// The id of a swarm this node is in, by name; the first one for an empty name.
    pub(crate) fn swarm_id(&self, name: &str) -> Option<SwarmId> {
        self.0.swarms.id_of(name)
    }

    pub(crate) fn swarm_name(&self, id: &SwarmId) -> Option<String> {
        self.0.swarms.name_of(id).map(|name| name.to_string())
    }

    pub(crate) fn timetable(&self) -> &Timetable {
        &self.0.timetable
    }

    pub(crate) fn stop_token(&self) -> CancellationToken {
        self.0.shared.stopped.clone()
    }

    /// Milliseconds since 1970 on this node's clock.
    pub(crate) fn now_ms(&self) -> u64 {
        self.0.clock.now_ms()
    }

    pub(crate) fn is_ephemeral(&self) -> bool {
        self.0.ephemeral
    }

    pub(crate) fn is_connected(&self, peer: &PeerId) -> bool {
        lock(&self.0.shared.peers).is_connected(peer)
    }

    pub(crate) fn remote_of(&self, peer: &PeerId) -> Option<Multiaddr> {
        lock(&self.0.shared.peers).remote_of(peer)
    }

    pub(crate) fn vicinity(&self) -> &Vicinity {
        &self.0.vicinity
    }

    /// Where answers may be brought to; none on loopback, which is another host to others. Those on this host find it in
    /// the registry.
    pub(crate) fn reply_addrs(&self) -> Vec<String> {
        let mut listen = self.listen_addrs();
        listen.retain(|addr| !is_loopback(addr) || access::is_memory(addr));
        // Who asks from behind a router is reached over a circuit, or by neighbours.
        listen.sort_by_key(|addr| !is_relayed(addr));
        let relayed = listen.iter().filter(|addr| is_relayed(addr)).count();
        listen.drain(relayed.min(talk::REPLY_ADDRS / 2)..relayed);
        listen.iter().map(ToString::to_string).take(talk::REPLY_ADDRS).collect()
    }

    /// Says something to a swarm.
    pub(crate) async fn publish(&self, draft: Draft) -> Result<Published, PublishError> {
        self.publish_later(draft, Duration::ZERO).await
    }

    /// The same, but gossip takes it `later`, unless something else is said before.
    pub(crate) async fn publish_later(&self, draft: Draft, later: Duration) -> Result<Published, PublishError> {
        let (done, published) = oneshot::channel();
        if !self.send(Command::Publish { draft, later, done }).await {
            return Err(PublishError::Shutdown);
        }
        published.await.unwrap_or(Err(PublishError::Shutdown))
    }

    /// Takes an event that `source` brought straight to us.
    pub(crate) async fn inject(&self, source: PeerId, raw: Bytes) -> Result<(), gossip::Refused> {
        let (done, injected) = oneshot::channel();
        self.send(Command::Inject { source, raw, done }).await;
        injected.await.unwrap_or(Err(gossip::Refused::Elsewhere))
    }

    /// Asks a member what it keeps; none when the node stops.
    pub(crate) async fn sync(&self, peer: PeerId, request: SyncRequest) -> Option<Result<SyncReply, ExchangeError>> {
        let (done, answered) = oneshot::channel();
        self.send(Command::Sync { peer, request, done }).await;
        answered.await.ok()
    }

    pub(crate) fn mail_limits(&self) -> &MailLimits {
        &self.0.mail_limits
    }

    /// Tells those who keep mail.
    pub(crate) async fn post(&self, note: mail::Note) {
        if let Some(post) = &self.0.post {
            post.send(note).await;
        }
    }

    /// Whom a message is for: somebody who is known, or was, or can be found; by id anybody.
    pub(crate) async fn recipient(&self, target: &Target) -> Result<PeerId, TargetError> {
        if let Some(peer) = target.peer_id() {
            return Ok(peer);
        }
        match (crate::resolve::id(self, target).await, target.name(), &self.0.store) {
            (Err(unknown @ TargetError::Unknown { .. }), Some(name), Some(store)) => {
                let before = crate::acquaintances::named(store, name).await;
                before.ok().flatten().ok_or(unknown)
            }
            (found, ..) => found,
        }
    }

    /// The same with its name, if that is known.
    pub(crate) async fn addressee(&self, target: &Target) -> Result<PeerRef, TargetError> {
        let id = self.recipient(target).await?;
        let mut found = self.reference(id);
        // Of somebody who has not been here since the start only the store knows the name, and that was asked for it.
        if let (true, Some(name)) = (found.name.is_empty(), target.name())
            && !id.to_string().starts_with(name)
        {
            name.clone_into(&mut found.name);
        }
        Ok(found)
    }

    /// Members that are there.
    pub(crate) fn members_known(&self) -> usize {
        lock(&self.0.shared.peers).online()
    }

    /// Brings an event straight to a peer. Whether the peer acts on it.
    pub(crate) async fn bring(
        &self,
        peer: PeerId,
        swarm: &SwarmId,
        raw: Bytes,
        limit: Duration,
    ) -> Result<bool, rpc::CallError> {
        let args = msgpack::encode(&(serde_bytes::Bytes::new(&raw),)).into();
        let request =
            rpc::Request { args, swarm: Some(*swarm), timeout: limit, ..rpc::Request::new(crate::reserved::EVENT) };
        let answer = self.0.rpc.call(peer, request).await?;
        Ok(msgpack::decode(&answer.result).unwrap_or(false))
    }

    pub(crate) async fn send(&self, command: Command) -> bool {
        self.0.commands.send(command).await.is_ok()
    }

    /// Delivers sealed mail to a peer.
    pub(crate) async fn deliver(&self, peer: PeerId, sealed: Bytes) -> Result<MailAck, DeliverError> {
        let (done, ended) = oneshot::channel();
        let stopped = || DeliverError::Unacknowledged("the node is shutting down".into());
        if !self.send(Command::Deliver { peer, sealed, done }).await {
            return Err(stopped());
        }
        ended.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Keeps the connection to `peer` until the guard is dropped.
    pub(crate) async fn hold(&self, peer: PeerId) -> Option<Hold> {
        let (done, held) = oneshot::channel();
        self.send(Command::Hold { peer, done }).await;
        held.await.ok()
    }

    /// Connects to an address the user gave.
    pub(crate) async fn connect(&self, addr: Multiaddr, limit: Duration) -> Result<PeerId, String> {
        let (done, connected) = oneshot::channel();
        self.send(Command::Connect { addr, done }).await;
        let timeout = std::pin::pin!(tokio::time::sleep(limit));
        match futures::future::select(connected, timeout).await {
            Either::Left((Ok(outcome), _)) => outcome,
            Either::Left((Err(_), _)) => Err("the node is shutting down".into()),
            Either::Right(_) => Err(format!("no answer within {:.1} s", limit.as_secs_f64())),
        }
    }
}
