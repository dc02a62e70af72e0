//! The asker's side.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    future::{Future, IntoFuture},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt, Stream, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::PeerId;
use p2pnode_behaviours::{key_of, upkeep::Hold};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{ConversationId, EventId, MailId, SwarmId},
    mail::Mail,
    talk,
};
use rmpv::Value;
use tokio::sync::{mpsc, oneshot};

use super::{
    letters::{self, Address, Question, Word},
    state::{AskEnd, Rules, State},
};
use crate::{
    endpoint::Arguments,
    node::Node,
    peers::{Peer, PeerRef, PeerState},
    talk::{Draft, Heard, PublishError, Published, Said, encode_args},
    time::now_ms,
};

/// Words of members waiting to be looked at; a member that talks faster than that is cut short, not the others.
const WORD_QUEUE: usize = 256;

/// Events waiting for the reader of [`Asked`]; beyond that the ask waits for its reader.
const EVENT_QUEUE: usize = 256;

/// Members that get the question straight; in larger swarms the rest hears it by gossip.
const MAX_STRAIGHT: usize = 64;

/// How many members that are not connected may connect to bring their answer.
const WANT: u32 = 32;

/// For bringing the question to one member, connecting included.
const DELIVERY: Duration = Duration::from_secs(10);

/// For telling those at work that it is over.
const WITHDRAWAL: Duration = Duration::from_millis(500);

/// Why a question could not be put.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// This node is not in a swarm of that name.
    #[error("this node is not in a swarm \"{0}\"")]
    UnknownSwarm(String),
    /// The question with its context is larger than a message may be.
    #[error("the question has {size} bytes, the limit is {max}")]
    TooLarge {
        /// Bytes of the message.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Too many asks are under way.
    #[error("{limit} asks are under way already")]
    Busy {
        /// The limit, [`Limits::asks`](crate::Limits::asks).
        limit: usize,
    },
    /// The swarm could not be asked.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The node has stopped.
    #[error("the node is shutting down")]
    Shutdown,
}

/// What a member did with a question.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum AskEvent {
    /// It wades in.
    Ack {
        /// Who.
        peer: PeerRef,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It tells how far it is.
    Progress {
        /// Who.
        peer: PeerRef,
        /// In its words.
        text: String,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It answers.
    Reply {
        /// Who.
        peer: PeerRef,
        /// The answer.
        result: Value,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It tried and failed, or went away.
    Failed {
        /// Who.
        peer: PeerRef,
        /// Why.
        error: RpcError,
        /// Since the question was put.
        elapsed: Duration,
    },
    /// It says that this is not for it.
    Declined {
        /// Who.
        peer: PeerRef,
        /// Since the question was put.
        elapsed: Duration,
    },
}

/// How an ask ended, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskOutcome {
    /// Why it ended.
    pub end: AskEnd,
    /// Members that take asks and got it.
    pub members: usize,
    /// Of these, how many waded in.
    pub acks: usize,
    /// How many answered.
    pub replies: usize,
    /// How many failed.
    pub failures: usize,
    /// How many declined.
    pub declined: usize,
    /// From question to end.
    pub elapsed: Duration,
}

/// A question about to be put: set what differs, then `.await`.
#[must_use = "an ask is sent when it is awaited"]
pub struct AskBuilder {
    node: Node,
    to: String,
    question: Question,
    rules: Rules,
    only: Option<Vec<PeerId>>,
    private: bool,
    trace: Option<String>,
}

impl AskBuilder {
    pub(crate) fn new(node: Node, to: String, text: String) -> Self {
        let rules = Rules {
            wait_first: Duration::from_secs(2),
            linger: Duration::from_millis(250),
            after_enough: Duration::ZERO,
            replies: None,
            timeout: None,
        };
        let question = Question { text, context: BTreeMap::new() };
        Self { node, to, question, rules, only: None, private: false, trace: None }
    }

    /// Asks these members alone, by direct message; nobody else hears question or answer.
    pub fn only(mut self, peers: impl IntoIterator<Item = PeerId>) -> Self {
        self.only = Some(peers.into_iter().collect());
        self
    }

    /// Asks each member by a direct message, so that the swarm does not hear the answers.
    pub fn private(mut self) -> Self {
        self.private = true;
        self
    }

    /// Carries a W3C `traceparent` along.
    pub fn trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = Some(trace.into());
        self
    }

    /// Adds a piece of context, by name.
    pub fn context(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.question.context.insert(key.into(), value.into());
        self
    }

    /// Time for the whole ask. Default: none, once somebody has acked.
    pub fn timeout(mut self, time: Duration) -> Self {
        self.rules.timeout = Some(time);
        self
    }

    /// Time for a first sign of life after discovery. Default 2 s.
    pub fn wait_first(mut self, time: Duration) -> Self {
        self.rules.wait_first = time;
        self
    }

    /// Ends with the first reply.
    pub fn first(self) -> Self {
        self.replies(1)
    }

    /// Ends with so many replies, or as much later as [`Self::linger`] says.
    pub fn replies(mut self, n: usize) -> Self {
        self.rules.replies = Some(n.max(1));
        self
    }

    /// How long to wait for others after the last one ended. Default 250 ms.
    pub fn linger(mut self, time: Duration) -> Self {
        self.rules.linger = time;
        self.rules.after_enough = time;
        self
    }

    async fn start(self) -> Result<Asked, AskError> {
        let swarm = self.node.swarm_id(&self.to).ok_or_else(|| AskError::UnknownSwarm(self.to.clone()))?;
        let conversation = ConversationId::new();
        let (words, inbox) = mpsc::channel(WORD_QUEUE);
        let registered = self.node.asks().register(conversation, words)?;
        let (events, stream) = mpsc::channel(EVENT_QUEUE);
        let (done, outcome) = oneshot::channel();
        let now = Instant::now();
        let mut driver = Driver {
            node: self.node.clone(),
            swarm,
            conversation,
            question: self.question,
            state: State::new(self.rules, now),
            started: now,
            road: Road::Mail(HashMap::new()),
            only: self.only,
            holds: HashMap::new(),
            sending: FuturesUnordered::new(),
            inbox,
            events,
            _registered: registered,
        };
        driver.check_size()?;
        if driver.only.is_none() && !self.private {
            driver.publish(self.trace).await?;
        }
        tokio::spawn(async move {
            // The asker no longer cares how it ended.
            let _ = done.send(driver.run().await);
        });
        Ok(Asked { conversation, stream, outcome, ended: None })
    }
}

impl IntoFuture for AskBuilder {
    type Output = Result<Asked, AskError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.start())
    }
}

/// A question under way: a stream of what members do with it, which ends when the ask is over. Dropped before, the
/// members still at work are told that the answer is no longer wanted.
#[derive(Debug)]
#[must_use = "dropping it withdraws the question"]
pub struct Asked {
    conversation: ConversationId,
    stream: mpsc::Receiver<AskEvent>,
    outcome: oneshot::Receiver<AskOutcome>,
    ended: Option<AskOutcome>,
}

impl Asked {
    /// The conversation this ask opened.
    pub fn conversation(&self) -> ConversationId {
        self.conversation
    }

    /// Withdraws the question; the stream ends once the members at work have been told.
    pub fn close(&mut self) {
        self.stream.close();
    }

    /// How it ended; waits for the end. Events not read yet are dropped.
    pub async fn outcome(&mut self) -> Option<AskOutcome> {
        while self.stream.recv().await.is_some() {}
        if self.ended.is_none() {
            self.ended = (&mut self.outcome).await.ok();
        }
        self.ended
    }
}

impl Stream for Asked {
    type Item = AskEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<AskEvent>> {
        self.stream.poll_recv(cx)
    }
}

/// What a member said: by mail, or in the swarm.
enum Came {
    Mail(PeerId, Box<Mail>),
    Event(Heard),
}

type Words = mpsc::Sender<Came>;

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

    fn register(&self, conversation: ConversationId, words: Words) -> Result<Registered, AskError> {
        let mut asks = self.lock();
        if asks.len() >= self.limit {
            return Err(AskError::Busy { limit: self.limit });
        }
        asks.insert(conversation, words);
        Ok(Registered { asks: self.clone(), conversation })
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

/// Whether the member takes it, or why it was not delivered.
type Sent = (PeerId, Result<bool, String>);

/// How the question goes out.
enum Road {
    /// As a message to each member; which one each got.
    Mail(HashMap<PeerId, MailId>),
    /// As one event to the swarm, and straight to those who are connected.
    Swarm {
        id: EventId,
        raw: Bytes,
        /// Who got it straight.
        straight: HashSet<PeerId>,
    },
}

struct Driver {
    node: Node,
    swarm: SwarmId,
    conversation: ConversationId,
    question: Question,
    state: State,
    started: Instant,
    road: Road,
    /// The members that are asked, if not all.
    only: Option<Vec<PeerId>>,
    /// Connections to those who work on it stay.
    holds: HashMap<PeerId, Hold>,
    sending: FuturesUnordered<BoxFuture<'static, Sent>>,
    inbox: mpsc::Receiver<Came>,
    events: mpsc::Sender<AskEvent>,
    _registered: Registered,
}

impl Driver {
    async fn run(mut self) -> AskOutcome {
        let mut changed = self.node.changed();
        let mut settled = std::pin::pin!(self.node.clone().into_settled().fuse());
        let end = loop {
            self.ask_new_members();
            if let Some(end) = self.state.over(Instant::now()) {
                break end;
            }
            let next = self.state.next();
            tokio::select! {
                () = &mut settled => self.state.settled(Instant::now()),
                Some((peer, outcome)) = self.sending.next() => self.sent(peer, outcome).await,
                Some(came) = self.inbox.recv() => self.came(came).await,
                _ = changed.changed() => self.look_for_losses().await,
                () = sleep_until(next) => {}
                () = self.events.closed() => break AskEnd::Closed,
                () = self.node.stopped() => break AskEnd::Closed,
            }
        };
        self.withdraw().await;
        self.outcome(end)
    }

    fn outcome(&self, end: AskEnd) -> AskOutcome {
        let tally = self.state.tally();
        AskOutcome {
            end,
            members: tally.asked,
            acks: tally.acks,
            replies: tally.replies,
            failures: tally.failures,
            declined: tally.declined,
            elapsed: self.started.elapsed(),
        }
    }

    fn address(&self, to: PeerId) -> Option<Address> {
        let (from, to) = (key_of(&self.node.peer_id())?, key_of(&to)?);
        Some(Address { swarm: self.swarm, from, to, conversation: self.conversation })
    }

    fn check_size(&self) -> Result<(), AskError> {
        let own = self.node.peer_id();
        let Some(address) = self.address(own) else { return Ok(()) };
        let size = self.seal(&letters::ask(&address, &self.question, now_ms())).len();
        let max = p2pnode_wire::limits::MAIL_MAX;
        if size > max { Err(AskError::TooLarge { size, max }) } else { Ok(()) }
    }

    fn seal(&self, mail: &Mail) -> Bytes {
        mail.seal(&self.node.signing_key()).into_raw()
    }

    /// Puts the question to the whole swarm. One that is too large for an event goes to each member as mail.
    async fn publish(&mut self, trace: Option<String>) -> Result<(), AskError> {
        let context = self.question.context.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let arguments = Arguments::new(vec![Value::from(self.question.text.as_str())], context);
        let mut message = encode_args(talk::ASK.to_owned(), arguments);
        message.reply_addrs = self.node.reply_addrs();
        message.want = Some(WANT);
        let draft = Draft {
            swarm: self.swarm,
            conversation: self.conversation,
            kind: talk::kind::MESSAGE,
            parent: None,
            trace,
            body: message.encode(),
        };
        match self.node.publish(draft).await {
            Ok(Published { id, raw, .. }) => {
                self.road = Road::Swarm { id, raw, straight: HashSet::new() };
                Ok(())
            }
            Err(PublishError::TooLarge { .. } | PublishError::NoGossip) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn ask_new_members(&mut self) {
        let members = match &self.only {
            Some(only) => only.clone(),
            None => self.node.reachable(&self.swarm),
        };
        for peer in members {
            if !self.state.ask(peer) {
                continue;
            }
            let node = self.node.clone();
            let Some(address) = self.address(peer) else { continue };
            if let Road::Swarm { raw, straight, .. } = &mut self.road {
                if straight.len() >= MAX_STRAIGHT && !node.is_connected(&peer) {
                    continue;
                }
                straight.insert(peer);
                let (swarm, raw) = (self.swarm, raw.clone());
                let brought = async move {
                    let outcome = node.bring(peer, &swarm, raw, DELIVERY).await;
                    (peer, outcome.map_err(|error| error.to_string()))
                };
                self.sending.push(brought.boxed());
                continue;
            }
            let mail = letters::ask(&address, &self.question, now_ms());
            let sealed = self.seal(&mail);
            if let Road::Mail(letters) = &mut self.road {
                letters.insert(peer, mail.id);
            }
            let delivered = async move {
                let outcome = node.deliver(peer, sealed).await;
                (peer, outcome.map(|_| true).map_err(|error| error.to_string()))
            };
            self.sending.push(delivered.boxed());
        }
    }

    async fn sent(&mut self, peer: PeerId, outcome: Result<bool, String>) {
        let now = Instant::now();
        match outcome {
            Ok(true) => {
                self.state.delivered(peer);
                if self.state.is_open(&peer)
                    && let Some(hold) = self.node.hold(peer).await
                {
                    self.holds.insert(peer, hold);
                }
            }
            Ok(false) => {
                self.state.out(peer, now);
            }
            Err(error) => {
                tracing::debug!(%peer, %error, "the question was not taken");
                self.state.out(peer, now);
            }
        }
    }

    async fn came(&mut self, came: Came) {
        match (came, &self.road) {
            (Came::Mail(from, mail), Road::Mail(letters)) => {
                let answers = mail.in_reply_to.is_some() && mail.in_reply_to == letters.get(&from).copied();
                if answers && let Some(word) = letters::read_word(&mail) {
                    self.word(self.node.reference(from), word).await;
                }
            }
            (Came::Event(heard), Road::Swarm { id, .. }) if heard.event.parent == Some(*id) => {
                if let Some(word) = Word::heard(Said::read(&heard.event)) {
                    // It may be somebody whom only gossip reaches.
                    self.state.ask(heard.author);
                    self.word(self.node.author_of(&heard), word).await;
                }
            }
            _ => {}
        }
    }

    async fn word(&mut self, peer: PeerRef, word: Word) {
        let from = peer.id;
        let (now, elapsed) = (Instant::now(), self.started.elapsed());
        let event = match word {
            Word::Ack => self.state.acked(from).then(|| AskEvent::Ack { peer, elapsed }),
            Word::Progress(text) => {
                if self.state.acked(from) {
                    self.tell(AskEvent::Ack { peer: peer.clone(), elapsed }).await;
                }
                self.state.is_open(&from).then(|| AskEvent::Progress { peer, text, elapsed })
            }
            Word::Reply(result) => self.state.replied(from, now).then(|| AskEvent::Reply { peer, result, elapsed }),
            Word::Failed(error) => self.state.failed(from, now).then(|| AskEvent::Failed { peer, error, elapsed }),
            Word::Leave => self.state.declined(from, now).then(|| AskEvent::Declined { peer, elapsed }),
        };
        if !self.state.is_open(&from) {
            self.holds.remove(&from);
        }
        if let Some(event) = event {
            self.tell(event).await;
        }
    }

    /// Waits for the reader; a closed stream ends the ask at the next turn of the loop.
    fn tell(&self, event: AskEvent) -> impl Future<Output = ()> + use<> {
        let events = self.events.clone();
        async move {
            let _ = events.send(event).await;
        }
    }

    /// A member that went away while it worked will not answer this asker.
    async fn look_for_losses(&mut self) {
        for id in self.state.open() {
            // Of those whom only gossip reaches nothing is known.
            if let Road::Swarm { straight, .. } = &self.road
                && !straight.contains(&id)
            {
                continue;
            }
            let gone = |p: &Peer| p.state == PeerState::Offline;
            let lost = self.node.known(&id).as_ref().is_none_or(gone);
            if lost && self.state.failed(id, Instant::now()) {
                self.holds.remove(&id);
                let error = RpcError::new(ErrorCode::AgentUnavailable, "it went away before it answered");
                let (peer, elapsed) = (self.node.reference(id), self.started.elapsed());
                self.tell(AskEvent::Failed { peer, error, elapsed }).await;
            }
        }
    }

    /// Tells those still at work that the answer is no longer wanted.
    async fn withdraw(&mut self) {
        let open = self.state.open();
        if open.is_empty() {
            return;
        }
        let told = match &self.road {
            Road::Mail(sent) => {
                let told = FuturesUnordered::new();
                for peer in open {
                    let (Some(address), Some(id)) = (self.address(peer), sent.get(&peer)) else { continue };
                    let sealed = self.seal(&letters::word(&address, &Word::Leave, *id, now_ms()));
                    let node = self.node.clone();
                    told.push(async move { node.deliver(peer, sealed).await.map(drop) });
                }
                told.collect::<Vec<_>>().map(drop).boxed()
            }
            Road::Swarm { id, straight, .. } => {
                let draft = Draft {
                    swarm: self.swarm,
                    conversation: self.conversation,
                    kind: talk::kind::LEAVE,
                    parent: Some(*id),
                    trace: None,
                    body: Bytes::new(),
                };
                let open = open.into_iter().filter(|peer| straight.contains(peer)).collect();
                withdraw_from(self.node.clone(), draft, open).boxed()
            }
        };
        // Best effort: a member that hears nothing finishes in vain.
        let _ = tokio::time::timeout(WITHDRAWAL, told).await;
    }
}

async fn withdraw_from(node: Node, draft: Draft, open: Vec<PeerId>) {
    let swarm = draft.swarm;
    let Ok(published) = node.publish(draft).await else { return };
    let told = open.into_iter().map(|peer| node.bring(peer, &swarm, published.raw.clone(), WITHDRAWAL));
    told.collect::<FuturesUnordered<_>>().collect::<Vec<_>>().await;
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
