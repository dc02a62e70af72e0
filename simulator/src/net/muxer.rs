//! Connections between hosts; with [`Fidelity::Direct`](super::Fidelity::Direct) they carry substreams themselves.

use std::{
    collections::VecDeque,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use p2pnode_behaviours::upkeep::PeerClosed;
use tokio::time::Instant;

use super::{
    Net,
    pipe::{Lane, Pipe, Stream},
    sniff::Sniffer,
    wheel::{Due, Fire},
};

/// Substreams that the other end has opened and this one not taken; more wait with their openers, who get no answer.
const BACKLOG: usize = 1_024;

#[derive(Default)]
struct Side {
    waiting: VecDeque<(Due, Stream)>,
    /// When this side learns that the connection is over.
    over: Option<Instant>,
    /// The other side has closed it in order.
    farewell: bool,
    waker: Option<Waker>,
    gone: bool,
}

#[derive(Default)]
struct State {
    sides: [Side; 2],
    pipes: Vec<Weak<Pipe>>,
    counted: bool,
}

/// A connection: two hosts and a lane each way.
pub(super) struct Link {
    net: Net,
    hosts: [usize; 2],
    lanes: [Arc<Lane>; 2],
    state: Mutex<State>,
}

impl Link {
    pub(super) fn new(net: &Net, from: usize, to: usize) -> Arc<Self> {
        let lanes = [Lane::new(net, from, to), Lane::new(net, to, from)];
        let state = State { counted: true, ..State::default() };
        net.connected([from, to], 1);
        Arc::new(Self { net: net.clone(), hosts: [from, to], lanes, state: Mutex::new(state) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touches(&self, host: usize) -> bool {
        self.hosts.contains(&host)
    }

    /// Its hosts, while it stands.
    pub(super) fn ends(&self) -> Option<[usize; 2]> {
        self.lock().counted.then_some(self.hosts)
    }

    /// A pair of pipes: the end of `side`, and the other.
    pub(super) fn streams(&self, side: usize, sniffer: Sniffer) -> (Stream, Stream) {
        let sniffer = Arc::new(sniffer);
        let out = Pipe::new(&self.net, &self.lanes[side], &sniffer);
        let back = Pipe::new(&self.net, &self.lanes[1 - side], &sniffer);
        let mut state = self.lock();
        if state.pipes.len() >= 64 && state.pipes.len().is_power_of_two() {
            state.pipes.retain(|pipe| pipe.strong_count() > 0);
        }
        state.pipes.extend([Arc::downgrade(&out), Arc::downgrade(&back)]);
        let near = Stream { incoming: back.clone(), outgoing: out.clone() };
        (near, Stream { incoming: out, outgoing: back })
    }

    /// The process on `host` is gone; the other side learns of it when the news arrives.
    pub(super) fn reset(self: &Arc<Self>, host: usize) {
        let now = Instant::now();
        let later = now + self.lanes[0].base;
        let pipes = std::mem::take(&mut self.lock().pipes);
        for pipe in pipes.iter().filter_map(Weak::upgrade) {
            pipe.reset(later);
        }
        for side in 0..2 {
            self.over(side, if self.hosts[side] == host { now } else { later });
        }
        self.uncount();
    }

    fn over(self: &Arc<Self>, side: usize, at: Instant) {
        self.lock().sides[side].over.get_or_insert(at);
        let this: Weak<Self> = Arc::downgrade(self);
        self.net.fire(Due::at(at), this);
    }

    fn uncount(&self) {
        if std::mem::take(&mut self.lock().counted) {
            self.net.connected(self.hosts, -1);
        }
    }
}

impl Fire for Link {
    fn fire(&self) {
        let wakers = self.lock().sides.each_mut().map(|side| side.waker.take());
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// One end of a link, for libp2p.
pub(super) struct Muxer {
    link: Arc<Link>,
    side: usize,
}

impl Muxer {
    pub(super) fn pair(link: &Arc<Link>) -> (Self, Self) {
        (Self { link: link.clone(), side: 0 }, Self { link: link.clone(), side: 1 })
    }

    fn check(&self, cx: &Context<'_>) -> Result<(), io::Error> {
        let mut state = self.link.lock();
        let side = &mut state.sides[self.side];
        if side.over.is_some_and(|at| at <= Instant::now()) {
            return Err(if side.farewell { PeerClosed::error() } else { io::ErrorKind::ConnectionReset.into() });
        }
        side.waker = Some(cx.waker().clone());
        Ok(())
    }
}

impl StreamMuxer for Muxer {
    type Substream = Stream;
    type Error = io::Error;

    fn poll_inbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, io::Error>> {
        self.check(cx)?;
        let mut state = self.link.lock();
        let waiting = &mut state.sides[self.side].waiting;
        match waiting.front() {
            Some((due, _)) if due.is_past(Instant::now()) => {
                Poll::Ready(waiting.pop_front().map(|(_, stream)| stream).ok_or_else(|| io::ErrorKind::Other.into()))
            }
            _ => Poll::Pending,
        }
    }

    fn poll_outbound(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Stream, io::Error>> {
        self.check(cx)?;
        let (link, other) = (&self.link, 1 - self.side);
        if link.lock().sides[other].waiting.len() >= BACKLOG {
            return Poll::Pending;
        }
        let (near, far) = link.streams(self.side, Sniffer::new(link.hosts[self.side]));
        // yamux opens a stream with the first bytes in it.
        let due = link.net.opens(&link.lanes[self.side]);
        link.lock().sides[other].waiting.push_back((due, far));
        let fire: Weak<Link> = Arc::downgrade(link);
        link.net.fire(due, fire);
        Poll::Ready(Ok(near))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<StreamMuxerEvent, io::Error>> {
        self.check(cx)?;
        Poll::Pending
    }
}

impl Drop for Muxer {
    fn drop(&mut self) {
        let link = &self.link;
        {
            // A process that dies takes its connections along before its nodes are dropped, see `reset`.
            let sides = &mut link.lock().sides;
            sides[self.side].gone = true;
            let other = &mut sides[1 - self.side];
            other.farewell = other.over.is_none();
        }
        let lane = &link.lanes[self.side];
        link.over(1 - self.side, lane.after_last(Instant::now() + lane.base));
        link.uncount();
    }
}
