//! What an ask does until it is over: brings the question, hears the answers, withdraws it at the end.

use std::{
    collections::{HashMap, HashSet},
    future::Future,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use libp2p::PeerId;
use p2pnode_behaviours::{key_of, upkeep::Hold};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{ConversationId, EventId, MailId, SwarmId, Team},
    mail::Mail,
    talk,
};
use rmpv::Value;
use tokio::sync::mpsc;

use super::{
    asker::{AskError, AskEvent, AskOutcome},
    asks::{Came, Registered},
    letters::{self, Address, Question, Word},
    state::{AskEnd, Rules, State},
};
use crate::{
    endpoint::Arguments,
    node::Node,
    peers::{Peer, PeerRef, PeerState},
    talk::{Draft, PublishError, Published, Said, encode_args},
};

/// Members that get the question straight; in larger swarms the rest hears it by gossip.
const MAX_STRAIGHT: usize = 64;

/// How many members that are not connected may connect to bring their answer.
const WANT: u32 = 32;

/// For bringing the question to one member, connecting included.
const DELIVERY: Duration = Duration::from_secs(10);

/// For telling those at work that it is over.
const WITHDRAWAL: Duration = Duration::from_millis(500);

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

/// A question and to whom it goes.
pub(super) struct Put {
    pub(super) node: Node,
    pub(super) swarm: SwarmId,
    /// Of the swarm, only this team.
    pub(super) team: Option<Team>,
    pub(super) conversation: ConversationId,
    pub(super) question: Question,
    pub(super) rules: Rules,
    /// The members that are asked, if not all.
    pub(super) only: Option<Vec<PeerId>>,
}

pub(super) struct Driver {
    node: Node,
    swarm: SwarmId,
    team: Option<Team>,
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
    /// Words come in by `inbox`, what they mean goes out by `events`.
    pub(super) fn new(
        put: Put,
        inbox: mpsc::Receiver<Came>,
        events: mpsc::Sender<AskEvent>,
        registered: Registered,
    ) -> Self {
        let Put { node, swarm, team, conversation, question, rules, only } = put;
        let now = Instant::now();
        Self {
            node,
            swarm,
            team,
            conversation,
            question,
            state: State::new(rules, now),
            started: now,
            road: Road::Mail(HashMap::new()),
            only,
            holds: HashMap::new(),
            sending: FuturesUnordered::new(),
            inbox,
            events,
            _registered: registered,
        }
    }

    pub(super) async fn run(mut self) -> AskOutcome {
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

    /// Whether it fits into a message.
    pub(super) fn check_size(&self) -> Result<(), AskError> {
        let own = self.node.peer_id();
        let Some(address) = self.address(own) else { return Ok(()) };
        let size = self.seal(&letters::ask(&address, &self.question, self.node.now_ms())).len();
        let max = p2pnode_wire::limits::MAIL_MAX;
        if size > max { Err(AskError::TooLarge { size, max }) } else { Ok(()) }
    }

    fn seal(&self, mail: &Mail) -> Bytes {
        mail.seal(&self.node.signing_key()).into_raw()
    }

    /// Puts the question to the whole swarm. One that is too large for an event goes to each member as mail.
    pub(super) async fn publish(&mut self, trace: Option<String>) -> Result<(), AskError> {
        let context = self.question.context.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
        let arguments = Arguments::new(vec![Value::from(self.question.text.as_str())], context);
        let mut message = encode_args(talk::ASK.to_owned(), arguments);
        message.reply_addrs = self.node.reply_addrs();
        message.want = Some(WANT);
        let draft = Draft {
            team: self.team.clone(),
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
            None => self.node.reachable(&self.swarm, self.team.as_ref()),
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
            let mail = letters::ask(&address, &self.question, self.node.now_ms());
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
                    let sealed = self.seal(&letters::word(&address, &Word::Leave, *id, self.node.now_ms()));
                    let node = self.node.clone();
                    told.push(async move { node.deliver(peer, sealed).await.map(drop) });
                }
                told.collect::<Vec<_>>().map(drop).boxed()
            }
            Road::Swarm { id, straight, .. } => {
                let draft = Draft {
                    team: None,
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
