//! The substreams of one connection, and whether anybody is at its other end.

use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use futures_timer::Delay;
use libp2p_core::upgrade::ReadyUpgrade;
use libp2p_swarm::{
    ConnectionHandler, ConnectionHandlerEvent, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
    handler::{ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound},
};
use p2pnode_wire::{presence::Frame, protocol};

use super::protocol::Line;

/// Substreams a peer may open. One is the rule; a second covers one that is being replaced.
const MAX_INBOUND: usize = 2;

/// Frames of a peer that wait for the swarm's task; then its substream is not read.
const MAX_REPORTS: usize = 16;

/// Answers to questions of a peer that are not written yet: whoever does not read them gets no more.
const MAX_ECHOES: usize = 4;

/// Who is asked leaves it to the asker for so many times as long.
const PATIENCE: f64 = 1.5;

#[derive(Debug)]
pub enum Command {
    /// Send this frame; the next one after [`Report::Sent`].
    Send(Bytes),
    /// Notice when the peer falls silent.
    Watch(Watch),
}

/// How a neighbour is watched.
#[derive(Debug, Clone, Copy)]
pub struct Watch {
    /// Ask after so long a silence.
    pub(super) probe: Duration,
    /// Without an answer for so long it is silent.
    pub(super) timeout: Duration,
    /// And after so much more time it is given up.
    pub(super) hang_up: Duration,
}

#[derive(Debug)]
pub enum Report {
    /// From the peer.
    Frame(Frame),
    /// What the peer sent is none.
    Malformed,
    /// The frame has left.
    Sent,
    /// The peer does not speak this protocol, or the substream failed: nothing was sent.
    Failed {
        /// It never will.
        unsupported: bool,
    },
    /// The peer does not answer.
    Silent,
    /// It still does not.
    Dead,
}

/// Where watching stands.
enum Pulse {
    /// Heard of lately; asked when the timer fires.
    Calm,
    /// Asked.
    Asked,
    /// Reported as silent.
    Silent,
    /// Given up.
    Dead,
}

struct Watching {
    how: Watch,
    pulse: Pulse,
    timer: Delay,
    /// It was the peer that asked last.
    asked_by_peer: bool,
}

pub struct Handler {
    outbound: Option<Line>,
    opening: bool,
    request_stream: bool,
    /// Waits for the substream.
    frame: Option<Bytes>,
    /// A question waits for it.
    probe: bool,
    /// A frame of ours is being written.
    sending: bool,
    inbound: Vec<(Line, usize)>,
    reports: VecDeque<Report>,
    watching: Option<Watching>,
    unsupported: bool,
}

impl Handler {
    pub(super) fn new() -> Self {
        Self {
            outbound: None,
            opening: false,
            request_stream: false,
            frame: None,
            probe: false,
            sending: false,
            inbound: Vec::new(),
            reports: VecDeque::new(),
            watching: None,
            unsupported: false,
        }
    }

    /// Something came from the peer.
    fn heard(&mut self, asked_by_peer: bool) {
        let Some(watching) = self.watching.as_mut() else { return };
        watching.pulse = Pulse::Calm;
        watching.asked_by_peer = asked_by_peer;
        let patience = if asked_by_peer { PATIENCE } else { 1.0 };
        watching.timer.reset(jittered(watching.how.probe.mul_f64(patience)));
    }

    fn open(&mut self) {
        if self.outbound.is_none() && !self.opening && !self.unsupported {
            (self.opening, self.request_stream) = (true, true);
        }
    }

    fn failed(&mut self, unsupported: bool) {
        (self.opening, self.outbound, self.probe) = (false, None, false);
        self.unsupported |= unsupported;
        if unsupported {
            self.watching = None;
        }
        if self.frame.take().is_some() || std::mem::take(&mut self.sending) {
            self.reports.push_back(Report::Failed { unsupported });
        }
    }

    fn poll_outbound(&mut self, cx: &mut Context<'_>) {
        let Some(line) = self.outbound.as_mut() else { return };
        if let Some(frame) = self.frame.take() {
            line.put(&frame);
            self.sending = true;
        }
        if std::mem::take(&mut self.probe) {
            line.put(&[]);
        }
        line.turn();
        let (mut echoed, mut ended) = (false, false);
        loop {
            match line.poll_frame(cx) {
                // Nothing but answers comes this way.
                Poll::Ready(Ok(Some(frame))) if frame.is_empty() => echoed = true,
                Poll::Ready(_) => {
                    ended = true;
                    break;
                }
                Poll::Pending => break,
            }
        }
        let written = if ended { Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())) } else { line.poll_write(cx) };
        if echoed {
            self.heard(false);
        }
        match written {
            Poll::Ready(Ok(())) if std::mem::take(&mut self.sending) => self.reports.push_back(Report::Sent),
            Poll::Ready(Err(error)) => {
                tracing::debug!(%error, "a substream of presence ended");
                self.failed(false);
            }
            _ => {}
        }
    }

    fn poll_inbound(&mut self, cx: &mut Context<'_>) {
        let mut heard = None;
        let reports = &mut self.reports;
        self.inbound.retain_mut(|(line, echoes)| {
            line.turn();
            loop {
                if reports.len() >= MAX_REPORTS {
                    break;
                }
                match line.poll_frame(cx) {
                    Poll::Ready(Ok(Some(frame))) if frame.is_empty() => {
                        heard = Some(true);
                        if *echoes < MAX_ECHOES {
                            *echoes += 1;
                            line.put(&[]);
                        }
                    }
                    Poll::Ready(Ok(Some(frame))) => {
                        heard = heard.or(Some(false));
                        match Frame::decode(&frame) {
                            Ok(frame) => reports.push_back(Report::Frame(frame)),
                            Err(error) => {
                                tracing::debug!(%error, "a frame of presence cannot be read");
                                reports.push_back(Report::Malformed);
                                return false;
                            }
                        }
                    }
                    Poll::Ready(_) => return false,
                    Poll::Pending => break,
                }
            }
            match line.poll_write(cx) {
                Poll::Ready(Ok(())) => *echoes = 0,
                Poll::Ready(Err(_)) => return false,
                Poll::Pending => {}
            }
            true
        });
        if let Some(asked_by_peer) = heard {
            let before = self.watching.as_ref().is_some_and(|watching| watching.asked_by_peer);
            self.heard(asked_by_peer || before);
        }
    }

    /// After everything was read: who was put to sleep together with its timers must not take others for silent.
    fn poll_pulse(&mut self, cx: &mut Context<'_>) {
        loop {
            let Some(watching) = self.watching.as_mut() else { return };
            if watching.timer.poll_unpin(cx).is_pending() {
                return;
            }
            let how = watching.how;
            match watching.pulse {
                Pulse::Calm => {
                    watching.pulse = Pulse::Asked;
                    watching.timer.reset(how.timeout);
                    self.probe = true;
                    self.open();
                    if self.outbound.is_some() {
                        self.poll_outbound(cx);
                    }
                }
                Pulse::Asked => {
                    watching.pulse = Pulse::Silent;
                    watching.timer.reset(how.hang_up);
                    self.reports.push_back(Report::Silent);
                }
                Pulse::Silent => {
                    watching.pulse = Pulse::Dead;
                    watching.timer.reset(how.probe);
                    self.reports.push_back(Report::Dead);
                }
                // The connection is being closed; if it is not, ask again.
                Pulse::Dead => watching.pulse = Pulse::Calm,
            }
        }
    }
}

/// ±10 %, so that not all ask in the same moment.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::random_range(0.9..1.1))
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Report;
    type InboundProtocol = ReadyUpgrade<StreamProtocol>;
    type OutboundProtocol = ReadyUpgrade<StreamProtocol>;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        SubstreamProtocol::new(ReadyUpgrade::new(StreamProtocol::new(protocol::PRESENCE)), ())
    }

    fn on_behaviour_event(&mut self, command: Command) {
        match command {
            Command::Send(_) if self.unsupported => self.reports.push_back(Report::Failed { unsupported: true }),
            Command::Send(frame) => {
                self.frame = Some(frame);
                self.open();
            }
            Command::Watch(how) if !self.unsupported && self.watching.is_none() => {
                let timer = Delay::new(jittered(how.probe));
                self.watching = Some(Watching { how, pulse: Pulse::Calm, timer, asked_by_peer: false });
            }
            Command::Watch(_) => {}
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<Self::InboundProtocol, Self::OutboundProtocol, (), ()>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound { protocol: stream, .. })
                if self.inbound.len() < MAX_INBOUND =>
            {
                self.inbound.push((Line::new(stream), 0));
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound { protocol: stream, .. }) => {
                self.opening = false;
                self.outbound = Some(Line::new(stream));
            }
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                self.failed(is_unsupported(&error));
            }
            _ => {}
        }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        self.poll_outbound(cx);
        self.poll_inbound(cx);
        self.poll_pulse(cx);
        if std::mem::take(&mut self.request_stream) {
            let protocol = ReadyUpgrade::new(StreamProtocol::new(protocol::PRESENCE));
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(protocol, ()),
            });
        }
        match self.reports.pop_front() {
            Some(report) => Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(report)),
            None => Poll::Pending,
        }
    }
}

fn is_unsupported(error: &StreamUpgradeError<Infallible>) -> bool {
    matches!(error, StreamUpgradeError::NegotiationFailed)
}
