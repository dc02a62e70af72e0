//! Runs the links of one connection, inside that connection's task.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use either::Either;
use futures::FutureExt;
use futures_timer::Delay;
use libp2p_core::{
    Multiaddr,
    upgrade::{DeniedUpgrade, ReadyUpgrade},
};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, ConnectionId, Stream, StreamProtocol, StreamUpgradeError,
    SubstreamProtocol,
    handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};
use p2pnode_wire::{protocol, rpc::Message};

use super::{
    link::{COALESCE_AT, Counters, Inbound, Link},
    pipe::Pipe,
    state::Violation,
};
use crate::{
    rpc::{Config, Service, codec::Budget},
    turns,
};

/// Substreams a peer may open for its calls. One is the rule; a second covers one that is being replaced.
const MAX_INBOUND: usize = 2;

/// With this many the connection's task takes turns with those who have more for it: a call that is alone gains by its
/// being polled again at once, many lose what they share (measured: `benches/README.md`, P1 and P2).
const PLENTY: usize = 8;

/// What was under way counts for less by one part of so many with each poll.
const FORGET: usize = 8;

/// So many bytes are taken for a call: half a chunk of a body is plenty.
const BYTES_OF_A_CALL: usize = 1024;

/// What every handler of a node shares.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) config: Arc<Config>,
    pub(crate) service: Arc<dyn Service>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) budget: Budget,
}

#[derive(Debug)]
pub enum Command {
    /// Open the substream for our calls.
    Open,
}

pub enum Report {
    /// Calls may go over this link now.
    Opened(Arc<Link>),
    /// The peer does not speak the fast road.
    Unsupported,
    /// The substream could not be opened.
    Failed(String),
    /// The link is no longer usable.
    Closed(Arc<Link>),
}

impl std::fmt::Debug for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Opened(_) => "Opened",
            Self::Unsupported => "Unsupported",
            Self::Failed(_) => "Failed",
            Self::Closed(_) => "Closed",
        })
    }
}

struct Outbound {
    link: Arc<Link>,
    pipe: Pipe,
    /// Fires when the earliest deadline of a call passes.
    timer: Option<(Instant, Delay)>,
    yielded: bool,
}

struct Served {
    inbound: Arc<Inbound>,
    pipe: Pipe,
    yielded: bool,
    /// Messages that came in the last poll.
    came: usize,
}

pub struct Handler {
    peer: PeerId,
    connection: ConnectionId,
    remote: Multiaddr,
    shared: Shared,
    outbound: Option<Outbound>,
    /// The behaviour wants a link and it is not there yet.
    opening: bool,
    request_stream: bool,
    inbound: Vec<Served>,
    reports: VecDeque<Report>,
    /// About the most that was under way, or came at once, in the last polls.
    lately: usize,
}

impl Handler {
    pub(crate) fn new(peer: PeerId, connection: ConnectionId, remote: Multiaddr, shared: Shared) -> Self {
        Self {
            peer,
            connection,
            remote,
            shared,
            outbound: None,
            opening: false,
            request_stream: false,
            inbound: Vec::new(),
            reports: VecDeque::new(),
            lately: 0,
        }
    }

    fn opened(&mut self, stream: Stream) {
        let config = &self.shared.config;
        let link = Link::new(self.peer, self.connection, self.remote.clone(), config, self.shared.budget.clone());
        self.opening = false;
        self.reports.push_back(Report::Opened(link.clone()));
        self.outbound = Some(Outbound { link, pipe: Pipe::new(stream), timer: None, yielded: false });
    }

    fn failed(&mut self, error: StreamUpgradeError<Infallible>) {
        self.opening = false;
        self.reports.push_back(match error {
            StreamUpgradeError::NegotiationFailed => Report::Unsupported,
            other => Report::Failed(other.to_string()),
        });
    }

    fn accept(&mut self, stream: Stream) {
        if self.inbound.len() >= MAX_INBOUND {
            tracing::debug!(peer = %self.peer, "one RPC substream too many, dropped");
            return;
        }
        let config = &self.shared.config;
        let inbound = Inbound::new(self.peer, self.remote.clone(), config, self.shared.budget.clone());
        self.inbound.push(Served { inbound, pipe: Pipe::new(stream), yielded: false, came: 0 });
    }

    /// Calls under way in one direction, or that have just come or gone; bytes count, too.
    fn under_way(&self) -> usize {
        let ours = self.outbound.iter().map(|ours| (&ours.pipe, ours.link.in_flight()));
        let theirs = self.inbound.iter().map(|served| (&served.pipe, served.came.max(served.inbound.in_flight())));
        ours.chain(theirs).map(|(pipe, calls)| calls.max(pipe.moved() / BYTES_OF_A_CALL)).max().unwrap_or(0)
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) {
        let Some(outbound) = self.outbound.as_mut() else { return };
        if let Poll::Ready(result) = outbound.poll(cx) {
            let reason = reason(result);
            if let Some(outbound) = self.outbound.take() {
                outbound.link.close(&reason);
                self.reports.push_back(Report::Closed(outbound.link));
            }
        }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) {
        let shared = &self.shared;
        self.inbound.retain_mut(|served| match served.poll(cx, shared) {
            Poll::Ready(result) => {
                tracing::debug!(reason = reason(result), "an RPC substream of a peer ended");
                served.inbound.close();
                false
            }
            Poll::Pending => true,
        });
    }
}

fn reason(result: io::Result<()>) -> String {
    match result {
        Ok(()) => "the peer closed the substream".to_owned(),
        Err(error) => error.to_string(),
    }
}

fn malformed(error: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

impl From<Violation> for io::Error {
    fn from(violation: Violation) -> Self {
        malformed(violation)
    }
}

impl Outbound {
    /// Pending while the link lives.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.link.register(cx.waker());
        self.pipe.turn();
        while let Poll::Ready(frame) = self.pipe.poll_frame(cx)? {
            let Some(frame) = frame else { return Poll::Ready(Ok(())) };
            self.link.receive(Message::decode(&frame).map_err(malformed)?)?;
        }
        let earliest = match self.poll_write(cx)? {
            Poll::Ready(earliest) => earliest,
            Poll::Pending => None,
        };
        self.poll_deadlines(cx, earliest);
        Poll::Pending
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> io::Result<Poll<Option<Instant>>> {
        if !self.yielded && self.link.in_flight() >= COALESCE_AT {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Ok(Poll::Pending);
        }
        self.yielded = false;
        loop {
            if self.pipe.poll_write(cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            let (batch, earliest) = self.link.take(self.pipe.unload());
            if batch.is_empty() {
                return Ok(Poll::Ready(earliest));
            }
            self.pipe.load(batch);
        }
    }

    fn poll_deadlines(&mut self, cx: &mut Context<'_>, earliest: Option<Instant>) {
        let now = Instant::now();
        if let Some(at) = earliest
            && self.timer.as_ref().is_none_or(|(armed, _)| at < *armed)
        {
            self.timer = Some((at, Delay::new(at.saturating_duration_since(now))));
        }
        let Some((_, delay)) = self.timer.as_mut() else { return };
        if delay.poll_unpin(cx).is_ready() {
            self.timer = None;
            self.link.expire(Instant::now());
            // The cancels just written, and the next deadline, are the next poll's.
            cx.waker().wake_by_ref();
        }
    }
}

impl Served {
    /// Pending while the substream lives.
    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared) -> Poll<io::Result<()>> {
        self.inbound.register(cx.waker());
        self.pipe.turn();
        self.came = 0;
        let (mut unread, mut now) = (self.inbound.unread(), None);
        while !unread && let Poll::Ready(frame) = self.pipe.poll_frame(cx)? {
            let Some(frame) = frame else { return Poll::Ready(Ok(())) };
            let message = Message::decode(&frame).map_err(malformed)?;
            self.came += 1;
            // What came at once came at one time.
            let now = *now.get_or_insert_with(Instant::now);
            unread = self.inbound.receive(message, now, &*shared.service, &shared.counters)?;
        }
        if !self.yielded && self.inbound.in_flight() >= COALESCE_AT {
            self.yielded = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.yielded = false;
        while self.pipe.poll_write(cx)?.is_ready() {
            let batch = self.inbound.take(self.pipe.unload());
            if batch.is_empty() {
                break;
            }
            self.pipe.load(batch);
        }
        if unread && !self.inbound.unread() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        if let Some(outbound) = &self.outbound {
            outbound.link.close("the connection ended");
        }
        for served in &self.inbound {
            served.inbound.close();
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Report;
    type InboundProtocol = Either<ReadyUpgrade<StreamProtocol>, DeniedUpgrade>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let upgrade = if self.shared.config.serve_fast {
            Either::Left(ReadyUpgrade::new(StreamProtocol::new(protocol::RPC_MUX)))
        } else {
            Either::Right(DeniedUpgrade)
        };
        SubstreamProtocol::new(upgrade, ())
    }

    fn connection_keep_alive(&self) -> bool {
        self.opening
            || self.outbound.as_ref().is_some_and(|o| o.link.in_flight() > 0)
            || self.inbound.iter().any(|s| s.inbound.in_flight() > 0)
    }

    fn on_behaviour_event(&mut self, Command::Open: Command) {
        if self.outbound.is_none() && !self.opening {
            self.opening = true;
            self.request_stream = true;
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), ()>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: futures::future::Either::Left(stream),
                ..
            }) => self.accept(stream),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                self.opened(stream);
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => self.failed(error),
            _ => {}
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        if std::mem::take(&mut self.request_stream) {
            let protocol = ReadyUpgrade::new(StreamProtocol::new(protocol::RPC_MUX));
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(protocol, ()),
            });
        }
        self.poll_outbound(cx);
        self.poll_inbound(cx);
        self.lately = self.under_way().max(self.lately - self.lately.div_ceil(FORGET));
        if self.lately >= PLENTY {
            turns::plenty();
        }
        match self.reports.pop_front() {
            Some(report) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report)),
            None => Poll::Pending,
        }
    }
}
