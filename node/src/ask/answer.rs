//! The answerer's side: what a handler gets, and who runs it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use futures::FutureExt;
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::{key_of, peer_of};
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::{ConversationId, EventId, MailId, SwarmId},
    mail::{Mail, MailMeta},
    talk::Message,
};
use rmpv::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use super::{
    AskHandler,
    letters::{self, Address, Question, Word},
};
use crate::{
    endpoint::HandlerError,
    events::NodeEvent,
    mail::Note,
    node::{Node, WeakNode},
    peers::PeerRef,
    talk::{Heard, Said, Talk},
};

/// Message ids remembered, so that one delivered twice runs once: more than can run at once, by far.
const REMEMBERED: usize = 4_096;

/// What comes with a question, and the way back to the asker.
#[derive(Clone)]
pub struct Ask {
    /// Who asks; verified.
    pub from: PeerRef,
    /// In which swarm.
    pub swarm: String,
    /// The conversation the asker opened.
    pub conversation: ConversationId,
    /// What the asker gave along, by name.
    pub context: BTreeMap<String, Value>,
    /// W3C `traceparent` of the asker.
    pub trace: Option<String>,
    node: WeakNode,
    back: Arc<Back>,
}

struct Back {
    way: Way,
    acked: AtomicBool,
    cancelled: CancellationToken,
}

/// How the question came, and so how the answer goes.
enum Way {
    /// As a call: the reply is its result.
    Call,
    /// As mail, to this node alone.
    Letter(Box<Letter>),
    /// As mail that was kept: the answer is kept too, until the asker has it.
    Post(Box<Kept>),
    /// To the whole swarm.
    Talk(Talk),
}

/// The kept mail that is answered.
struct Kept {
    node: WeakNode,
    mail: Mail,
}

impl Kept {
    /// A word on the way; an asker who is not there misses it.
    async fn tell(&self, word: &Word) -> Result<(), HandlerError> {
        let gone = || HandlerError::code(ErrorCode::AgentUnavailable, "the node has stopped");
        let node = self.node.upgrade().ok_or_else(gone)?;
        let (Some(swarm), Some(from), Some(peer)) =
            (self.mail.swarm, key_of(&node.peer_id()), peer_of(&self.mail.from))
        else {
            return Ok(());
        };
        let address = Address { swarm, from, to: self.mail.from, conversation: self.mail.conversation };
        let mut mail = letters::word(&address, word, self.mail.id, node.now_ms());
        mail.meta = Some(MailMeta { name: node.name().to_owned(), live: false }.encode());
        let sealed = mail.seal(&node.signing_key()).into_raw();
        if let Err(error) = node.deliver(peer, sealed).await {
            tracing::debug!(%peer, %error, "the asker is not there");
        }
        Ok(())
    }

    /// The last word, which waits for the asker.
    async fn end(&self, last: Option<Word>) -> Result<(), HandlerError> {
        let Some(node) = self.node.upgrade() else { return Ok(()) };
        let (done, kept) = oneshot::channel();
        node.post(Note::Worked { author: self.mail.from, id: self.mail.id, last, done }).await;
        match kept.await {
            Ok(Err(error)) => Err(HandlerError::code(ErrorCode::InternalError, error.to_string())),
            // The node stops: the next run tells the asker.
            Ok(Ok(())) | Err(_) => Ok(()),
        }
    }
}

/// The mail that is answered.
struct Letter {
    node: WeakNode,
    peer: PeerId,
    address: Address,
    question: MailId,
    /// One word after the other, so that an ack never overtakes a reply.
    turn: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("from", &self.from)
            .field("conversation", &self.conversation)
            .finish_non_exhaustive()
    }
}

impl Ask {
    /// Tells the asker that this node wades in. Sent once, however often it is called.
    ///
    /// # Errors
    /// The asker cannot be reached; the work may go on all the same.
    pub async fn ack(&self) -> Result<(), HandlerError> {
        if self.back.acked.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.say(&Word::Ack).await
    }

    /// Tells the asker how far the work is; acks first if that has not happened.
    ///
    /// # Errors
    /// The asker cannot be reached; the work may go on all the same.
    pub async fn progress(&self, text: impl Into<String>) -> Result<(), HandlerError> {
        self.ack().await?;
        self.say(&Word::Progress(text.into())).await
    }

    /// The node that was asked, to ask or call others from a handler; none while it stops.
    pub fn node(&self) -> Option<Node> {
        self.node.upgrade()
    }

    /// Whether the asker no longer wants the answer.
    pub fn is_cancelled(&self) -> bool {
        self.back.cancelled.is_cancelled()
    }

    /// Waits until the asker no longer wants the answer. The handler's future is dropped then, unless it
    /// waits here to clean up first.
    pub async fn cancelled(&self) {
        self.back.cancelled.cancelled().await;
    }

    async fn say(&self, word: &Word) -> Result<(), HandlerError> {
        let gone = || HandlerError::code(ErrorCode::AgentUnavailable, "the node has stopped");
        let letter = match &self.back.way {
            Way::Call => return Ok(()),
            Way::Talk(talk) => return talk.say(word).await,
            Way::Post(kept) => {
                return match word {
                    Word::Ack | Word::Progress(_) => kept.tell(word).await,
                    Word::Reply(_) | Word::Failed(_) | Word::Leave => kept.end(Some(word.clone())).await,
                };
            }
            Way::Letter(letter) => letter,
        };
        let _turn = letter.turn.lock().await;
        let node = letter.node.upgrade().ok_or_else(gone)?;
        let mail = letters::word(&letter.address, word, letter.question, node.now_ms());
        let sealed = mail.seal(&node.signing_key()).into_raw();
        match node.deliver(letter.peer, sealed).await {
            Ok(_) => Ok(()),
            Err(error) => Err(HandlerError::code(ErrorCode::AgentUnavailable, error.to_string())),
        }
    }
}

impl Answerer {
    /// Answers a question that came as a call: nobody hears acks or progress, the reply is the result.
    pub(crate) async fn answer_call(
        &self,
        cx: &crate::endpoint::Context,
        task: String,
        context: BTreeMap<String, Value>,
    ) -> Result<Value, HandlerError> {
        let handler = self.handler.clone();
        let handler =
            handler.ok_or_else(|| HandlerError::code(ErrorCode::EndpointNotFound, "this node has no ask handler"))?;
        let ask = Ask {
            from: cx.caller.clone(),
            swarm: cx.swarm.clone().unwrap_or_default(),
            conversation: ConversationId::new(),
            context,
            trace: cx.trace.clone(),
            node: cx.weak_node(),
            back: Arc::new(Back { way: Way::Call, acked: AtomicBool::new(false), cancelled: CancellationToken::new() }),
        };
        handler.ask(ask, task).await
    }
}

struct Running {
    by: PeerId,
    cancelled: CancellationToken,
}

/// A question by its message or by its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum QuestionId {
    Mail(MailId),
    Event(EventId),
}

/// Questions this node works on.
#[derive(Clone)]
pub(crate) struct Answerer {
    handler: Option<Arc<dyn AskHandler>>,
    slots: Arc<Semaphore>,
    limit: usize,
    running: Arc<Mutex<HashMap<QuestionId, Running>>>,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    order: std::collections::VecDeque<MailId>,
    ids: std::collections::HashSet<MailId>,
}

impl Seen {
    /// True the first time.
    fn first(&mut self, id: MailId) -> bool {
        if !self.ids.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// A message that has arrived for the ask handler.
pub(crate) struct Inbox {
    pub(crate) peer: PeerId,
    pub(crate) remote: Option<Multiaddr>,
    pub(crate) swarm: SwarmId,
    pub(crate) mail: Mail,
}

/// A question on its way to the handler.
struct Arrived {
    id: QuestionId,
    peer: PeerId,
    remote: Option<Multiaddr>,
    question: Question,
    cx: Ask,
}

impl Answerer {
    /// At most `limit` questions at once.
    pub(crate) fn new(handler: Option<Arc<dyn AskHandler>>, limit: usize) -> Self {
        Self { handler, slots: Arc::new(Semaphore::new(limit)), limit, running: Arc::default(), seen: Arc::default() }
    }

    /// Whether there is anybody to ask.
    pub(crate) fn takes_asks(&self) -> bool {
        self.handler.is_some()
    }

    /// Percent of the questions that are taken at once.
    pub(crate) fn load(&self) -> u8 {
        crate::endpoint::share(self.limit.saturating_sub(self.slots.available_permits()), self.limit)
    }

    /// Takes a question; an error is what the asker is told instead of an acknowledgement.
    pub(crate) fn take(&self, node: &Node, inbox: Inbox) -> Result<(), RpcError> {
        let handler = self
            .handler
            .clone()
            .ok_or_else(|| RpcError::new(ErrorCode::EndpointNotFound, "this node has no ask handler"))?;
        let question = letters::read_ask(&inbox.mail).map_err(|e| RpcError::new(ErrorCode::InvalidArgument, e))?;
        let permit = self.slots.clone().try_acquire_owned().map_err(|_| self.full())?;
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).first(inbox.mail.id) {
            return Ok(());
        }
        let Some(from) = key_of(&node.peer_id()) else { return Ok(()) };
        let Inbox { peer, remote, swarm, mail } = inbox;
        let address = Address { swarm, from, to: mail.from, conversation: mail.conversation };
        let turn = tokio::sync::Mutex::new(());
        let letter = Letter { node: node.downgrade(), peer, address, question: mail.id, turn };
        let arrived = Arrived {
            id: QuestionId::Mail(mail.id),
            peer,
            remote,
            cx: self.context(
                node,
                node.reference(peer),
                swarm,
                mail.conversation,
                mail.trace,
                Way::Letter(Box::new(letter)),
                &question,
            ),
            question,
        };
        let (this, node) = (self.clone(), node.clone());
        tokio::spawn(async move {
            this.run(node, handler, arrived).await;
            drop(permit);
        });
        Ok(())
    }

    /// A place for one more question, if there is one.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// Works on a question that was kept, in a place.
    pub(crate) fn work_on(&self, node: &Node, mail: &Mail, place: OwnedSemaphorePermit) {
        let kept = Kept { node: node.downgrade(), mail: mail.clone() };
        let (Some(handler), Ok(question), Some(peer), Some(swarm)) =
            (self.handler.clone(), letters::read_ask(mail), peer_of(&mail.from), mail.swarm)
        else {
            let error = RpcError::new(ErrorCode::EndpointNotFound, "this node cannot answer this question");
            tokio::spawn(async move { kept.end(Some(Word::Failed(error))).await });
            return;
        };
        let way = Way::Post(Box::new(kept));
        let (id, trace) = (QuestionId::Mail(mail.id), mail.trace.clone());
        let cx = self.context(node, node.reference(peer), swarm, mail.conversation, trace, way, &question);
        let arrived = Arrived { id, peer, remote: None, cx, question };
        let (this, node) = (self.clone(), node.clone());
        tokio::spawn(async move {
            this.run(node, handler, arrived).await;
            drop(place);
        });
    }

    /// Takes a question that was put to the whole swarm.
    pub(crate) fn hear(&self, node: &Node, heard: &Heard, message: Message) {
        let Some(handler) = self.handler.clone() else { return };
        let Said::Ask { text, context } = Said::read(&heard.event) else { return };
        let talk = Talk::new(node, heard, &message);
        let (event, question) = (heard.event.clone(), Question { text, context });
        let way = Way::Talk(talk);
        let arrived = Arrived {
            id: QuestionId::Event(heard.id),
            peer: heard.author,
            remote: None,
            cx: self.context(
                node,
                node.author_of(heard),
                event.swarm,
                event.conversation,
                event.trace.clone(),
                way,
                &question,
            ),
            question,
        };
        let (this, node, source) = (self.clone(), node.clone(), heard.source);
        tokio::spawn(async move {
            let id = arrived.id;
            if crate::talk::reach(&node, (arrived.peer, source), &message, &arrived.cx.back.cancelled).await {
                match this.slots.clone().try_acquire_owned() {
                    Ok(_permit) => return this.run(node, handler, arrived).await,
                    Err(_) => {
                        // A busy swarm need not hear why an asker who is gone got no answer.
                        let _ = arrived.cx.say(&Word::Failed(this.full())).await;
                    }
                }
            }
            this.lock().remove(&id);
        });
    }

    fn full(&self) -> RpcError {
        let message = format!("{} questions are being worked on", self.limit);
        let mut error = RpcError::new(ErrorCode::Overloaded, message);
        error.retry_after = Some(std::time::Duration::from_secs(1));
        error
    }

    #[expect(clippy::too_many_arguments, reason = "the fields of what it makes")]
    fn context(
        &self,
        node: &Node,
        from: PeerRef,
        swarm: SwarmId,
        conversation: ConversationId,
        trace: Option<String>,
        way: Way,
        question: &Question,
    ) -> Ask {
        let cancelled = CancellationToken::new();
        let id = match &way {
            Way::Talk(talk) => Some(QuestionId::Event(talk.message())),
            Way::Letter(letter) => Some(QuestionId::Mail(letter.question)),
            Way::Post(kept) => Some(QuestionId::Mail(kept.mail.id)),
            Way::Call => None,
        };
        if let Some(id) = id {
            self.lock().insert(id, Running { by: from.id, cancelled: cancelled.clone() });
        }
        Ask {
            from,
            swarm: node.swarm_name(&swarm).unwrap_or_default(),
            conversation,
            context: question.context.clone(),
            trace,
            node: node.downgrade(),
            back: Arc::new(Back { way, acked: AtomicBool::new(false), cancelled }),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<QuestionId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The asker no longer wants an answer.
    pub(crate) fn cancel(&self, by: PeerId, question: MailId) {
        self.stop(by, QuestionId::Mail(question));
    }

    /// The same of a question to the swarm.
    pub(crate) fn withdrawn(&self, by: PeerId, question: EventId) {
        self.stop(by, QuestionId::Event(question));
    }

    fn stop(&self, by: PeerId, question: QuestionId) {
        if let Some(running) = self.lock().get(&question).filter(|r| r.by == by) {
            running.cancelled.cancel();
        }
    }

    async fn run(&self, node: Node, handler: Arc<dyn AskHandler>, arrived: Arrived) {
        let started = Instant::now();
        let Arrived { id, peer, remote, question, cx } = arrived;
        // The asker may be a one-command node that nobody else knows: its connection must outlast the work.
        let hold = node.hold(peer).await;
        node.tell(NodeEvent::AskReceived {
            from: cx.from.clone(),
            remote: remote.or_else(|| node.remote_of(&peer)),
            conversation: cx.conversation,
            text: question.text.clone(),
        });
        let outcome = self.work(&*handler, &cx, question.text).await;
        let summary = conclude(&cx, outcome).await;
        self.lock().remove(&id);
        drop(hold);
        node.tell(NodeEvent::AskFinished {
            from: cx.from.clone(),
            conversation: cx.conversation,
            outcome: summary,
            elapsed: started.elapsed(),
        });
    }

    /// None when the asker withdrew.
    async fn work(&self, handler: &dyn AskHandler, cx: &Ask, text: String) -> Option<Result<Value, HandlerError>> {
        let work = std::panic::AssertUnwindSafe(handler.ask(cx.clone(), text)).catch_unwind();
        tokio::select! {
            outcome = work => Some(outcome.unwrap_or_else(|_| {
                tracing::error!("the ask handler panicked");
                Err(HandlerError::code(ErrorCode::InternalError, "the ask handler panicked"))
            })),
            () = cx.cancelled() => None,
        }
    }
}

/// Sends the last word; tells in one what it was.
async fn conclude(cx: &Ask, outcome: Option<Result<Value, HandlerError>>) -> String {
    let (word, summary) = match outcome {
        None => {
            if let Way::Post(kept) = &cx.back.way {
                // What fails here is told by whoever keeps mail.
                let _ = kept.end(None).await;
            }
            return "cancelled".into();
        }
        Some(Ok(value)) => (Word::Reply(value), "reply".to_owned()),
        Some(Err(error)) if error.is_decline() => (Word::Leave, "declined".to_owned()),
        Some(Err(error)) => {
            let error = error.into_rpc();
            let summary = format!("failed: {}", error.message);
            (Word::Failed(error), summary)
        }
    };
    match cx.say(&word).await {
        Ok(()) => summary,
        Err(error) => format!("{summary}, but the asker is gone ({})", error.message),
    }
}
