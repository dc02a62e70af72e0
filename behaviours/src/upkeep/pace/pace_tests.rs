use std::{future::pending, io, task::Waker};

use futures::{StreamExt, future::ready, stream::FuturesUnordered};
use libp2p_core::transport::PortUse;

use super::*;

/// Notes when a dial does its first work; port 1 fails, port 2 hangs, port 3 answers.
#[derive(Default)]
struct Fake(Arc<Mutex<Vec<u16>>>);

impl Transport for Fake {
    type Output = u16;
    type Error = io::Error;
    type ListenerUpgrade = BoxFuture<'static, Result<u16, io::Error>>;
    type Dial = BoxFuture<'static, Result<u16, io::Error>>;

    fn listen_on(&mut self, _: ListenerId, _: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        Ok(())
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, addr: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        let port = addr.iter().find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
        let (port, begun) = (port.expect("a port"), self.0.clone());
        let outcome = match port {
            1 => ready(Err(io::Error::other("refused"))).boxed(),
            2 => pending().boxed(),
            _ => ready(Ok(port)).boxed(),
        };
        Ok(async move {
            begun.lock().expect("lock").push(port);
            outcome.await
        }
        .boxed())
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Poll::Pending
    }
}

fn addr(port: u16, peer: Option<PeerId>) -> Multiaddr {
    let addr = Multiaddr::empty().with(Protocol::Ip4([10, 0, 0, 1].into())).with(Protocol::Tcp(port));
    peer.map_or(addr.clone(), |peer| addr.with(Protocol::P2p(peer)))
}

const OPTS: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::Reuse };

#[tokio::test]
async fn addresses_are_tried_one_after_the_other() {
    let mut pace = Pace::new(Fake::default());
    let begun = pace.inner.0.clone();
    let peer = PeerId::random();
    // Refused, silent, good, and one that is not needed.
    let mut dials: FuturesUnordered<_> =
        [1, 2, 3, 4].into_iter().map(|port| pace.dial(addr(port, Some(peer)), OPTS).expect("dials")).collect();
    assert!(dials.next().await.expect("the refused one").is_err());
    assert_eq!(dials.next().await.expect("the good one").ok(), Some(3));
    assert_eq!(*begun.lock().expect("lock"), [1, 2, 3]);
    drop(dials);
    assert!(pace.groups.lock().is_empty(), "nothing is kept");
}

#[test]
fn others_do_not_wait() {
    let mut pace = Pace::new(Fake::default());
    let mut cx = Context::from_waker(Waker::noop());
    let mut poll = |dial: &mut BoxFuture<'static, Result<u16, io::Error>>| dial.poll_unpin(&mut cx).is_ready();
    let mut silent = pace.dial(addr(2, Some(PeerId::random())), OPTS).expect("dials");
    let mut nameless = pace.dial(addr(3, None), OPTS).expect("dials");
    let mut other = pace.dial(addr(3, Some(PeerId::random())), OPTS).expect("dials");
    assert!(!poll(&mut silent) && !poll(&mut silent));
    assert!(poll(&mut nameless), "no peer id: at once");
    assert!(!poll(&mut other) && poll(&mut other), "another peer");
    let punch = DialOpts { role: Endpoint::Listener, port_use: PortUse::Reuse };
    let peer = PeerId::random();
    let _silent = pace.dial(addr(2, Some(peer)), punch).expect("dials");
    assert!(poll(&mut pace.dial(addr(3, Some(peer)), punch).expect("dials")), "a hole punch is timed by others");
}
