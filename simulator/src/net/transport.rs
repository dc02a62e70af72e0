//! The transport hook of a node: dials and listens in the modelled network.

use std::{
    collections::VecDeque,
    future::{Ready, ready},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddrV4},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::{FutureExt, future::BoxFuture};
use libp2p::{
    Multiaddr, PeerId, Transport,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, TransportError, TransportEvent},
        upgrade::Version,
    },
    identity::Keypair,
    multiaddr::Protocol,
    noise, plaintext,
};
use tokio::time::Instant;

use super::{
    BACKLOG, DIAL, End, Fidelity, HANDSHAKE, Incoming, Nat, Net, Verdict,
    fault::{Flow, What},
    muxer::{Link, Muxer},
    sniff::Sniffer,
};

/// The port of a host that has an address to itself, and the first of those that share one.
const PORT: u16 = 4_001;

/// Where a host is, unless a scenario puts it elsewhere: public addresses, since in private ranges the rules of nodes depend
/// on the interfaces of the machine, each in a network of its own, since few of one network are believed.
pub(super) fn alone(host: usize) -> SocketAddrV4 {
    let [_, c, b, a] = u32::try_from(host).unwrap_or(u32::MAX).to_be_bytes();
    SocketAddrV4::new(Ipv4Addr::new(NETWORK, a, b, c.wrapping_add(1)), PORT)
}

/// The `place`th host, from 0, of a shared /24; those of different `network`s are all different, up to 65,536 of them. More
/// than 254 share addresses, each with a port of its own.
pub(crate) fn place_in(network: usize, place: usize) -> SocketAddrV4 {
    let [_, _, b, a] = u32::try_from(network).unwrap_or(u32::MAX).to_be_bytes();
    let ip = Ipv4Addr::new(SHARED, a, b, u8::try_from(place % 254).unwrap_or_default() + 1);
    SocketAddrV4::new(ip, PORT.saturating_add(u16::try_from(place / 254).unwrap_or(u16::MAX)))
}

pub(super) fn address(at: SocketAddrV4) -> Multiaddr {
    Multiaddr::empty().with(Protocol::Ip4(*at.ip())).with(Protocol::Tcp(at.port()))
}

/// The first byte of addresses in networks of their own.
const NETWORK: u8 = 45;

/// And of those in shared ones.
const SHARED: u8 = 46;

fn place_of(addr: &Multiaddr) -> Option<SocketAddrV4> {
    let mut parts = addr.iter();
    match (parts.next()?, parts.next()?) {
        (Protocol::Ip4(ip), Protocol::Tcp(port)) if matches!(ip.octets()[0], NETWORK | SHARED) => {
            Some(SocketAddrV4::new(ip, port))
        }
        _ => None,
    }
}

impl Net {
    pub(super) fn base(&self, a: usize, b: usize) -> std::time::Duration {
        let inner = self.lock();
        inner.model.base(inner.seed, a, b)
    }

    /// Connects two hosts; what the dialler gets, once it has it.
    async fn dial(self, from: usize, to: SocketAddrV4) -> io::Result<(PeerId, End)> {
        let Some(to) = self.lock().places.get(&to).copied() else { return Err(io::ErrorKind::HostUnreachable.into()) };
        let begun = Instant::now();
        let base = self.base(from, to);
        // The first packet is sent again until it gets through.
        loop {
            let flow = |from, to| Flow { from, to, at: self.begun.elapsed(), what: What::Dial };
            let verdict = {
                let mut inner = self.lock();
                let behind = match inner.hosts[to].nat {
                    Nat::Open => false,
                    Nat::Cone => !inner.opened.contains_key(&(to, from)),
                    Nat::Symmetric => true,
                };
                let there = self.verdict(&mut inner, &flow(from, to));
                let back = self.verdict(&mut inner, &flow(to, from));
                match (there, back) {
                    _ if behind => Verdict::Hold,
                    (Verdict::Pass | Verdict::Delay(_), Verdict::Pass | Verdict::Delay(_)) => Verdict::Pass,
                    (Verdict::Reset, _) | (_, Verdict::Reset) => Verdict::Reset,
                    _ => Verdict::Hold,
                }
            };
            match verdict {
                Verdict::Hold => {}
                Verdict::Reset => return Err(io::ErrorKind::ConnectionRefused.into()),
                Verdict::Pass | Verdict::Delay(_) => break,
            }
            if begun.elapsed() >= DIAL {
                return Err(io::ErrorKind::TimedOut.into());
            }
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        let rounds = if self.fidelity == Fidelity::Direct { HANDSHAKE } else { 2 };
        tokio::time::sleep(base * (rounds - 1)).await;
        let (peer, end) = self.open(from, to)?;
        tokio::time::sleep(base).await;
        Ok((peer, end))
    }

    fn open(&self, from: usize, to: usize) -> io::Result<(PeerId, End)> {
        {
            let inner = self.lock();
            let host = &inner.hosts[to];
            if !host.up || host.listener.is_none() || host.waiting.len() >= BACKLOG || !inner.hosts[from].up {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
        }
        let link = Link::new(self, from, to);
        let (near, far) = match self.fidelity {
            Fidelity::Direct => {
                let (near, far) = Muxer::pair(&link);
                (End::Muxer(StreamMuxerBox::new(near)), End::Muxer(StreamMuxerBox::new(far)))
            }
            Fidelity::Plain | Fidelity::Noise => {
                let (near, far) = link.streams(0, Sniffer::blind(from));
                (End::Stream(near), End::Stream(far))
            }
        };
        let mut inner = self.lock();
        inner.opened.insert((from, to), ());
        inner.links.push(Arc::downgrade(&link));
        let (dialler, dialled) = (inner.hosts[from].peer, inner.hosts[to].peer);
        let (remote, local) = (address(inner.hosts[from].at), address(inner.hosts[to].at));
        inner.hosts[from].dials += 1;
        let host = &mut inner.hosts[to];
        host.waiting.push_back(Incoming { remote, local, peer: dialler, end: far });
        if let Some(listener) = host.listener.take() {
            listener.wake();
            // The place stays taken: the host listens until it is gone.
            host.listener = Some(std::task::Waker::noop().clone());
        }
        Ok((dialled, near))
    }

    /// The transport of a node on `host`.
    pub(crate) fn transport(&self, host: usize, keypair: &Keypair) -> Boxed<(PeerId, StreamMuxerBox)> {
        let generation = self.lock().hosts.get(host).map_or(0, |host| host.generation);
        let raw = Raw { net: self.clone(), host, generation, listener: None, events: VecDeque::new() };
        match self.fidelity {
            Fidelity::Direct => raw
                .map(|(peer, end), _| match end {
                    End::Muxer(muxer) => (peer, muxer),
                    End::Stream(_) => unreachable!("a direct network makes muxers"),
                })
                .boxed(),
            Fidelity::Plain => raw
                .map(|(_, end), _| stream_of(end))
                .upgrade(Version::V1Lazy)
                .authenticate(plaintext::Config::new(keypair))
                .multiplex(p2pnode::multiplexer())
                .timeout(DIAL)
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
            Fidelity::Noise => raw
                .map(|(_, end), _| stream_of(end))
                .upgrade(Version::V1Lazy)
                .authenticate(noise::Config::new(keypair).expect("an Ed25519 key signs a noise key"))
                .multiplex(p2pnode::multiplexer())
                .timeout(DIAL)
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
        }
    }
}

fn stream_of(end: End) -> super::pipe::Stream {
    match end {
        End::Stream(stream) => stream,
        End::Muxer(_) => unreachable!("only a direct network makes muxers"),
    }
}

type RawEvent = TransportEvent<Ready<io::Result<(PeerId, End)>>, io::Error>;

/// Hosts and their streams, before anything of libp2p.
struct Raw {
    net: Net,
    host: usize,
    generation: u64,
    listener: Option<ListenerId>,
    events: VecDeque<RawEvent>,
}

impl Transport for Raw {
    type Output = (PeerId, End);
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<Self::Output>>;
    type Dial = BoxFuture<'static, io::Result<Self::Output>>;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<io::Error>> {
        let own = self.net.address_of(self.host);
        let any = matches!(addr.iter().next(), Some(Protocol::Ip4(ip)) if IpAddr::from(ip).is_unspecified());
        if !any && addr != own {
            return Err(TransportError::MultiaddrNotSupported(addr));
        }
        self.listener = Some(id);
        self.events.push_back(TransportEvent::NewAddress { listener_id: id, listen_addr: own });
        Ok(())
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        if self.listener != Some(id) {
            return false;
        }
        self.listener = None;
        self.events.push_back(TransportEvent::ListenerClosed { listener_id: id, reason: Ok(()) });
        true
    }

    fn dial(&mut self, addr: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let current = self.net.lock().hosts.get(self.host).is_some_and(|host| host.generation == self.generation);
        match place_of(&addr) {
            Some(_) if !current => Ok(futures::future::ready(Err(io::ErrorKind::NetworkDown.into())).boxed()),
            Some(to) => Ok(self.net.clone().dial(self.host, to).boxed()),
            None => Err(TransportError::MultiaddrNotSupported(addr)),
        }
    }

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        let Some(listener_id) = self.listener else { return Poll::Pending };
        let mut inner = self.net.lock();
        let Some(host) = inner.hosts.get_mut(self.host).filter(|host| host.generation == self.generation) else {
            return Poll::Pending;
        };
        host.listener = Some(cx.waker().clone());
        match host.waiting.pop_front() {
            Some(Incoming { remote, local, peer, end }) => Poll::Ready(TransportEvent::Incoming {
                listener_id,
                upgrade: ready(Ok((peer, end))),
                local_addr: local,
                send_back_addr: remote,
            }),
            None => Poll::Pending,
        }
    }
}
