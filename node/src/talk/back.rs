use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::FuturesUnordered};
use libp2p::{Multiaddr, PeerId};
use p2pnode_behaviours::rpc::CallError;
use p2pnode_wire::{
    error::ErrorCode,
    ids::{ConversationId, EventId, SwarmId},
    talk::Message,
};
use rand::RngExt;
use tokio::sync::{OnceCell, Semaphore};
use tokio_util::sync::CancellationToken;

use super::{Draft, Heard, PublishError};
use crate::{
    ask::Word,
    command::Command,
    endpoint::HandlerError,
    node::{Node, WeakNode},
};

/// An answer is brought straight to who asked within this time; it comes by gossip too.
const BRING: Duration = Duration::from_secs(10);

/// Words of one handler that are brought at once; the next one waits.
const MAX_UNDER_WAY: usize = 4;

/// Who is not connected with the asker spreads its connecting: fifty a second.
const PER_SECOND: f64 = 50.0;
const SPREAD_MAX: Duration = Duration::from_secs(5);

/// For connecting to the author of a message to learn where it is. Where a hundred nodes that never met all talk at once,
/// each connects to all.
const REACH: Duration = Duration::from_secs(20);

/// For connecting to the author to bring it an answer; then gossip has it.
const MEET: Duration = Duration::from_secs(3);
/// Members of a large swarm that connect for it per second: fewer than for [`REACH`] would keep an asker waiting, and it
/// has called them.
const MET_PER_SECOND: f64 = 100.0;

/// When the author is dialled once more, then twice as late each time: it may have had too many newcomers at once.
const DIAL_AGAIN: Duration = Duration::from_millis(1_500);

/// A handler's side of a conversation it was called into.
#[derive(Clone)]
pub(crate) struct Talk(Arc<Inner>);

struct Inner {
    node: WeakNode,
    swarm: SwarmId,
    conversation: ConversationId,
    message: EventId,
    author: PeerId,
    /// Where it says it is, and who told us.
    addrs: Vec<Multiaddr>,
    source: PeerId,
    trace: Option<String>,
    /// One word after the other, so that an ack never overtakes a reply.
    turn: tokio::sync::Mutex<()>,
    /// Words on their way straight to the author.
    under_way: Arc<Semaphore>,
    /// Whether the author could be connected to, once that was tried.
    met: OnceCell<bool>,
}

impl Talk {
    pub(crate) fn new(node: &Node, heard: &Heard, message: &Message) -> Self {
        let event = &heard.event;
        Self(Arc::new(Inner {
            node: node.downgrade(),
            swarm: event.swarm,
            conversation: event.conversation,
            message: heard.id,
            author: heard.author,
            addrs: addrs_of(message),
            source: heard.source,
            trace: event.trace.clone(),
            turn: tokio::sync::Mutex::new(()),
            under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
            met: OnceCell::new(),
        }))
    }

    /// The message that is answered.
    pub(crate) fn message(&self) -> EventId {
        self.0.message
    }

    /// The conversation it is in.
    pub(crate) fn conversation(&self) -> ConversationId {
        self.0.conversation
    }

    /// Who brought it first.
    pub(crate) fn source(&self) -> PeerId {
        self.0.source
    }

    /// Says it to the swarm, and straight to the author of the message: the same event, so it counts once.
    pub(crate) async fn say(&self, word: &Word) -> Result<(), HandlerError> {
        let gone = || HandlerError::code(ErrorCode::AgentUnavailable, "the node has stopped");
        let talk = &*self.0;
        let _turn = talk.turn.lock().await;
        let node = talk.node.upgrade().ok_or_else(gone)?;
        let (kind, body) = word.as_event();
        let draft = Draft {
            team: None,
            swarm: talk.swarm,
            conversation: talk.conversation,
            kind,
            parent: Some(talk.message),
            trace: talk.trace.clone(),
            body,
        };
        let connected = node.is_connected(&talk.author);
        let large = node.members_known() > SMALL && !talk.addrs.is_empty();
        let straight = connected || large;
        let later = if straight { spread(&node) } else { Duration::ZERO };
        let published = node.publish_later(draft, later).await;
        let published = published.map_err(|error| HandlerError::new(error.to_string()))?;
        if !straight {
            return Ok(());
        }
        // Beside the handler, which need not wait for a round trip; the author hears a feed in its order.
        let permit = talk.under_way.clone().acquire_owned().await;
        let this = self.clone();
        tokio::spawn(async move {
            if let Err(error) = this.bring(&node, published.raw).await {
                tracing::debug!(author = %this.0.author, %error, "an answer was not taken directly");
                node.send(Command::PublishDeferred).await;
            }
            drop(permit);
        });
        Ok(())
    }

    async fn bring(&self, node: &Node, raw: Bytes) -> Result<bool, CallError> {
        let talk = &*self.0;
        if !node.is_connected(&talk.author) {
            let met = talk.met.get_or_init(|| async {
                let pause = spread_over(node, MET_PER_SECOND);
                tokio::time::sleep(pause).await;
                let connected = || node.is_connected(&talk.author);
                meet(node, talk.author, talk.source, &talk.addrs, MEET, connected).await
            });
            if !*met.await {
                return Err(CallError::Unreachable { reason: "it does not answer where it says it is".into() });
            }
        }
        node.bring(talk.author, &talk.swarm, raw, BRING).await
    }
}

/// Answers of a large swarm all come at once, and gossip brings each of them to everybody: the asker, who gets them
/// straight, should not have to wait for that. Nothing for 32 members, one to two seconds for fifty.
fn spread(node: &Node) -> Duration {
    let members = node.members_known();
    if members <= SMALL {
        return Duration::ZERO;
    }
    let most = Duration::from_secs_f64(members as f64 / GOSSIPED_PER_SECOND).min(GOSSIP_SPREAD);
    GOSSIP_AFTER + most.mul_f64(rand::rng().random_range(0.0..1.0))
}

/// See [`spread`]: gossip costs fifty nodes on two cores five seconds of CPU for fifty answers, and bringing them to the
/// asker a tenth of it.
const SMALL: usize = 32;
const GOSSIP_AFTER: Duration = Duration::from_secs(1);
const GOSSIPED_PER_SECOND: f64 = 50.0;
const GOSSIP_SPREAD: Duration = Duration::from_secs(3);

/// For the first look around of a node that lives for one command.
const LOOK: Duration = Duration::from_secs(3);

/// Members that such a node brings its word to.
const MAX_BROUGHT: usize = 64;

/// For bringing it to one of them.
const BROUGHT: Duration = Duration::from_secs(5);

/// Says something to a swarm, and how many members had it at once. A node that lives for one command may be gone before
/// gossip has taken its word: it brings it straight to the members it finds.
pub(crate) async fn announce(node: &Node, draft: Draft) -> Result<(EventId, usize), PublishError> {
    if !node.is_ephemeral() {
        return node.publish(draft).await.map(|published| (published.id, published.neighbours));
    }
    node.discovered(LOOK).await;
    let (swarm, team) = (draft.swarm, draft.team.clone());
    let published = node.publish(draft).await?;
    let members = node.reachable(&swarm, team.as_ref()).into_iter().take(MAX_BROUGHT);
    let brought = members.map(|peer| node.bring(peer, &swarm, published.raw.clone(), BROUGHT));
    let brought: Vec<_> = brought.collect::<FuturesUnordered<_>>().collect().await;
    Ok((published.id, brought.iter().filter(|outcome| outcome.is_ok()).count()))
}

/// Whether this node acts on what `author` says to the swarm: by default only if it is on this host or in a private
/// range, which a connection proves. Connects to find out, after a moment, lest everybody does so at once.
pub(crate) async fn reach(
    node: &Node,
    (author, source): (PeerId, PeerId),
    message: &Message,
    cancelled: &CancellationToken,
) -> bool {
    if node.vicinity().lets_in(&author) {
        return true;
    }
    if node.is_connected(&author) || message.want == Some(0) {
        return false;
    }
    let Ok(_turn) = node.vicinity().turn() else {
        tracing::debug!(%author, "not acted on: too many messages wait for a connection with their author");
        return false;
    };
    let pause = spread_over(node, PER_SECOND);
    if tokio::time::timeout(pause, cancelled.cancelled()).await.is_ok() {
        return false;
    }
    let addrs = addrs_of(message);
    let connected = || node.is_connected(&author) || node.vicinity().lets_in(&author);
    tokio::select! {
        _ = meet(node, author, source, &addrs, REACH, connected) => node.vicinity().lets_in(&author),
        () = cancelled.cancelled() => false,
    }
}

fn addrs_of(message: &Message) -> Vec<Multiaddr> {
    message.reply_addrs.iter().filter_map(|addr| addr.parse().ok()).collect()
}

/// A moment such that all members together connect to one of them at `rate` per second.
fn spread_over(node: &Node, rate: f64) -> Duration {
    let members = node.members_known() as f64;
    SPREAD_MAX.min(Duration::from_secs_f64(members / rate)).mul_f64(rand::rng().random_range(0.0..1.0))
}

/// Dials `author` where it says it is until `met`, or out of time.
async fn meet(
    node: &Node,
    author: PeerId,
    source: PeerId,
    addrs: &[Multiaddr],
    limit: Duration,
    met: impl Fn() -> bool,
) -> bool {
    let mut changed = node.changed();
    let (mut next, mut again) = (tokio::time::Instant::now(), DIAL_AGAIN);
    let meeting = async {
        while !met() {
            tokio::select! {
                () = tokio::time::sleep_until(next) => {
                    node.send(Command::DialAt { peer: author, addrs: addrs.to_vec(), source }).await;
                    next += again;
                    again *= 2;
                }
                change = changed.changed() => {
                    if change.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let _ = tokio::time::timeout(limit, meeting).await;
    met()
}
