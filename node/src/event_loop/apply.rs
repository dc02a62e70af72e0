//! Commands of handles.

use std::time::{Duration, Instant};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::Protocol,
    swarm::{ConnectionId, DialError, dial_opts::DialOpts},
};
use p2pnode_behaviours::upkeep::Source;
use tokio::sync::oneshot;

use super::{EventLoop, GOODBYE};
use crate::{command::Command, dht::DhtError, node::lock};

/// A dial of an address the user gave, and who waits for it.
pub(super) struct Connecting {
    pub(super) connection: ConnectionId,
    /// The peer is being dialled already, maybe at another address; the one that was given has its turn after that.
    pub(super) behind: Option<(PeerId, Multiaddr)>,
    pub(super) done: oneshot::Sender<Result<PeerId, String>>,
}

impl EventLoop {
    /// None: the last handle is gone, which stops the node without a goodbye.
    pub(super) fn apply(&mut self, command: Option<Command>) {
        let Some(command) = command else {
            self.goodbye.get_or_insert((Instant::now(), Vec::new()));
            return;
        };
        match command {
            Command::Connect { addr, done } => self.connect(addr, done),
            Command::Availability { availability } => {
                self.setup.about.availability = availability;
                self.sign_card();
            }
            Command::Block { peer, block } => self.block(&peer, block),
            Command::Join { id, name, seeds, done } => {
                let _ = done.send(self.join(id, name, seeds));
            }
            Command::Greet { peer, done } => self.greet(peer, done),
            Command::Deliver { peer, sealed, done } => self.behaviour().mail.deliver(peer, sealed, done),
            Command::Acknowledge { ticket, verdict } => match verdict {
                Ok(ack) => self.behaviour().mail.acknowledge(ticket, ack),
                Err(error) => self.behaviour().mail.refuse(ticket, error),
            },
            Command::Hold { peer, done } => {
                let _ = done.send(self.behaviour().upkeep.hold(&peer));
            }
            Command::PublishDeferred => self.say_all_deferred(),
            Command::DialAt { peer, addrs, source } => self.dial_at(peer, &addrs, source),
            Command::Publish { draft, later, done } => {
                let _ = done.send(self.publish(draft, later));
            }
            Command::Inject { source, raw, done } => {
                let _ = done.send(self.inject(source, raw));
            }
            Command::PutValue { sealed, done } => self.put_value(sealed, done),
            Command::GetValue { key, done } => self.get_value(key, done),
            Command::Providers { key, enough, done } => self.providers(&key, enough, done),
            Command::Lookup { peer, done } => self.lookup(peer, done),
            Command::Sync { peer, request, done } => {
                // Without the behaviour `done` is dropped, which says so.
                if let Some(sync) = self.behaviour().sync.as_mut() {
                    sync.ask(peer, request, done);
                }
            }
            Command::Answer { ticket, reply } => {
                if let Some(sync) = self.behaviour().sync.as_mut() {
                    sync.answer(ticket, *reply);
                }
            }
            Command::Table { done } => {
                let discovery = &mut self.behaviour().discovery;
                let _ = done.send((discovery.routing_table(), discovery.dht_stats()));
            }
            Command::Shutdown { done } => self.say_goodbye(done),
        }
    }

    pub(super) fn behaviour(&mut self) -> &mut crate::swarm::Behaviour {
        self.setup.swarm.behaviour_mut()
    }

    pub(super) fn connect(&mut self, mut addr: Multiaddr, done: oneshot::Sender<Result<PeerId, String>>) {
        let given = addr.clone();
        let peer = match addr.iter().last() {
            Some(Protocol::P2p(peer)) => {
                addr.pop();
                Some(peer)
            }
            _ => None,
        };
        self.setup.rules.trust(&addr);
        let opts = match peer {
            Some(peer) => {
                self.behaviour().upkeep.learn(peer, &addr, Source::User, None);
                DialOpts::peer_id(peer).addresses(vec![addr]).build()
            }
            None => DialOpts::unknown_peer_id().address(addr).build(),
        };
        let connection = opts.connection_id();
        if let Some(peer) = peer.filter(|p| self.setup.swarm.is_connected(p)) {
            let _ = done.send(Ok(peer));
            return;
        }
        match (self.setup.swarm.dial(opts), peer) {
            (Ok(()), _) => self.connecting.push(Connecting { connection, behind: None, done }),
            (Err(DialError::DialPeerConditionFalse(_)), Some(peer)) => {
                self.connecting.push(Connecting { connection, behind: Some((peer, given)), done });
            }
            (Err(error), _) => {
                let _ = done.send(Err(super::forward::dial_error(&error)));
            }
        }
    }

    pub(super) fn dial(&mut self, peer: PeerId, why: &'static str) {
        if self.setup.swarm.is_connected(&peer) {
            return self.behaviour().hello.greet(peer);
        }
        tracing::debug!(%peer, why, "dials");
        if let Err(error) = self.setup.swarm.dial(DialOpts::peer_id(peer).build()) {
            // What the Swarm itself refused reaches us as a failed dial too; a dial that is under way is no failure.
            tracing::debug!(%peer, %error, "not dialled");
        }
    }

    /// A dial of `peer` ended without a connection. `tried`: at an address, not for want of one.
    pub(super) fn missed(&mut self, peer: PeerId, reason: String, tried: bool) {
        let now = Instant::now();
        lock(&self.setup.shared.progress).done(&peer, false, now);
        self.greetings.ended(&peer, &Err(reason));
        let (lost, change) = {
            let mut peers = lock(&self.setup.shared.peers);
            // Its connection broke before, or this is not the first dial that fails.
            let lost = tried && peers.is_doubtful(&peer);
            let change = if tried || !peers.is_watched(&peer) { peers.dial_failed(&peer, now) } else { None };
            (lost, change)
        };
        self.announce(change);
        if lost {
            self.suspect(&peer);
        }
        self.setup.shared.touch();
    }

    fn block(&mut self, peer: &PeerId, block: bool) {
        if !block {
            self.behaviour().upkeep.unblock(*peer);
            return;
        }
        self.behaviour().upkeep.block(*peer);
        self.behaviour().upkeep.forget(peer);
        self.behaviour().discovery.forget(*peer, Instant::now());
        self.lost(peer);
        let change = lock(&self.setup.shared.peers).forget(peer);
        self.announce(change);
        self.setup.shared.touch();
    }

    fn say_goodbye(&mut self, done: oneshot::Sender<()>) {
        if let Some((_, waiting)) = self.goodbye.as_mut() {
            waiting.push(done);
            return;
        }
        drop(self.announcement.take());
        self.publish_leave();
        if let Some(presence) = self.behaviour().presence.as_mut() {
            presence.leave();
        }
        let connected: Vec<PeerId> = self.setup.swarm.connected_peers().copied().collect();
        lock(&self.setup.shared.own).libp2p_peers = connected.len();
        // A guest has nothing to say: whatever had to be delivered was acknowledged.
        let patience = if self.setup.ephemeral { Duration::ZERO } else { GOODBYE };
        self.goodbye = Some((Instant::now() + patience, vec![done]));
    }

    pub(super) fn dht_ready(&self) -> Result<(), DhtError> {
        if !self.setup.dht {
            return Err(DhtError::Off);
        }
        // Connected is not enough: who takes part is known a round trip later.
        if self.setup.swarm.behaviour().discovery.table() == 0 {
            return Err(DhtError::Alone);
        }
        Ok(())
    }
}
