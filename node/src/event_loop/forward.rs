//! Events of the Swarm, one line each to the room that knows what they mean.

use std::time::{Duration, Instant};

use bytes::Bytes;
use libp2p::{
    Multiaddr, PeerId, StreamProtocol,
    swarm::{ConnectionId, DialError, SwarmEvent},
};
use p2pnode_behaviours::{
    discovery, hello, key_of, mail, sync,
    upkeep::{self, Cause, Source},
};
use p2pnode_wire::{
    card::Card,
    error::{ErrorCode, RpcError},
    ids::{SwarmId, SwarmName},
    key,
    mail::{Mail, MailAck, kind},
    protocol::KAD,
};

use super::{EventLoop, apply::Connecting, tick::COMMAND_DIALS};
use crate::{
    ask::Inbox,
    builder::Allow,
    events::NodeEvent,
    history,
    mail::{Arrival, Note},
    node::{Node, lock},
    peers::Change,
    pins::Sight,
    swarm::BehaviourEvent,
};

/// In a swarm of at most so many members everybody knows everybody.
const SMALL_SWARM: usize = 24;

/// In larger ones a node connects to members it is told of until it has so many connections, counting those that are
/// being made; the rest is found when needed. Gossip takes six of them, and others connect to this node as well.
const ENOUGH_CONNECTIONS: usize = 8;

/// Who was told of more members than that, and has not connections enough yet, asks each for so many more.
const FEW_INTRODUCTIONS: u8 = 6;

/// The same once it has: members to be known in the routing table, without a connection.
const FEWER_INTRODUCTIONS: u8 = 3;

/// A connection with a member stays so long after it was greeted, used or not.
const MEMBER_HOLD: Duration = Duration::from_secs(60);

impl EventLoop {
    pub(super) fn forward(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::Behaviour(BehaviourEvent::Upkeep(event)) => self.on_upkeep(event),
            SwarmEvent::Behaviour(BehaviourEvent::Nat(event)) => self.on_nat(event),
            SwarmEvent::Behaviour(BehaviourEvent::Hello(event)) => self.on_hello(event),
            SwarmEvent::Behaviour(BehaviourEvent::Mail(event)) => self.on_mail(event),
            SwarmEvent::Behaviour(BehaviourEvent::Discovery(event)) => self.on_discovery(event),
            SwarmEvent::Behaviour(BehaviourEvent::Gossip(event)) => self.on_gossip(event),
            SwarmEvent::Behaviour(BehaviourEvent::Sync(asked)) => self.on_sync(asked),
            SwarmEvent::Behaviour(BehaviourEvent::Presence(event)) => self.on_presence(event),
            SwarmEvent::Behaviour(BehaviourEvent::Rpc(never)) => match never {},
            SwarmEvent::NewListenAddr { address, .. } => self.listening(address),
            SwarmEvent::ExpiredListenAddr { address, .. } => {
                lock(&self.setup.shared.own).listen.retain(|known| *known != address);
                self.sign_card();
            }
            SwarmEvent::ListenerClosed { addresses, reason, .. } => self.listens_no_more(&addresses, reason),
            SwarmEvent::ExternalAddrConfirmed { .. } | SwarmEvent::ExternalAddrExpired { .. } => {
                self.sign_card_twice();
            }
            SwarmEvent::ConnectionEstablished { peer_id, connection_id, .. } => {
                self.connected_for(connection_id, Ok(peer_id));
                self.behind(&peer_id);
            }
            SwarmEvent::OutgoingConnectionError { peer_id, connection_id, error } => {
                // Not let in because there are connections enough with whoever is at that address: reached all the same.
                let there = peer_id
                    .filter(|peer| matches!(error, DialError::Denied { .. }) && self.setup.swarm.is_connected(peer));
                self.connected_for(connection_id, there.ok_or(&error));
                if let Some(peer) = peer_id {
                    self.behind(&peer);
                }
            }
            SwarmEvent::ListenerError { error, .. } => tracing::warn!(%error, "a listener has trouble"),
            _ => {}
        }
    }

    fn connected_for(&mut self, connection: ConnectionId, outcome: Result<PeerId, &DialError>) {
        let Some(at) = self.connecting.iter().position(|c| c.connection == connection) else { return };
        let waiting = self.connecting.swap_remove(at);
        let _ = waiting.done.send(outcome.map_err(dial_error));
    }

    /// A dial of `peer` has ended: those who waited for that are told, or have their turn.
    fn behind(&mut self, peer: &PeerId) {
        let waits = |c: &mut Connecting| c.behind.as_ref().is_some_and(|(awaited, _)| awaited == peer);
        let waiting: Vec<_> = self.connecting.extract_if(.., waits).collect();
        for Connecting { behind, done, .. } in waiting {
            if let Some((_, addr)) = behind {
                self.connect(addr, done);
            }
        }
    }

    fn listening(&mut self, address: Multiaddr) {
        {
            let mut own = lock(&self.setup.shared.own);
            if own.listen.contains(&address) {
                return;
            }
            own.listen.push(address.clone());
        }
        let relayed = upkeep::is_relayed(&address);
        self.emit(NodeEvent::Listening(address));
        if relayed { self.sign_card_twice() } else { self.sign_card() }
    }

    fn on_upkeep(&mut self, event: upkeep::Event) {
        let now = Instant::now();
        match event {
            upkeep::Event::Connected { peer, connection, remote, .. } => {
                self.setup.vicinity.connected(peer, &remote, now);
                lock(&self.setup.shared.peers).connected(peer, connection, remote, now);
                self.count_peers();
            }
            upkeep::Event::Disconnected { peer, connection, cause, last } => {
                let broken = !matches!(cause, Cause::Idle | Cause::Local | Cause::Peer);
                let change = lock(&self.setup.shared.peers).disconnected(&peer, connection, broken, now);
                if matches!(change, Some(Change::Suspect(_))) {
                    let left = lock(&self.setup.shared.peers).online();
                    self.behaviour().discovery.member_lost(left);
                }
                self.count_peers();
                self.announce(change);
                if last {
                    lock(&self.setup.shared.progress).done(&peer, false, now);
                    self.greetings.ended(&peer, &Err("the connection has ended".into()));
                }
            }
            upkeep::Event::Rtt { peer, rtt, .. } => lock(&self.setup.shared.peers).rtt(&peer, rtt, now),
            upkeep::Event::Identified { peer, protocols, listen_addrs, connection, observed, .. } => {
                if let Some(nat) = self.behaviour().nat.as_mut() {
                    nat.identified(connection, &protocols, &listen_addrs, &observed);
                }
                self.identified(peer, &protocols, listen_addrs);
            }
            upkeep::Event::DuplicateIdentity { remote } => {
                let text = format!("another node with this node's identity is at {remote}: copy no profile folders");
                self.emit(NodeEvent::Warning(text));
            }
            // A hole was not punched, or an address dialled only to see whether it can be.
            upkeep::Event::DialFailed { peer: Some(peer), .. } if self.setup.swarm.is_connected(&peer) => {}
            upkeep::Event::DialFailed { peer: Some(peer), reason, attempts } => {
                tracing::debug!(%peer, reason, "not reached");
                self.missed(peer, reason, !attempts.is_empty());
            }
            _ => {}
        }
        self.setup.shared.touch();
    }

    fn identified(&mut self, peer: PeerId, protocols: &[StreamProtocol], listen_addrs: Vec<Multiaddr>) {
        if !protocols.iter().any(|p| p.as_ref() == KAD) {
            self.behaviour().discovery.heard_in_vain(&peer);
            return;
        }
        for addr in listen_addrs {
            if self.setup.rules.allows(&addr).is_ok() {
                self.behaviour().discovery.add(peer, addr);
            }
        }
    }

    fn on_hello(&mut self, event: hello::Event) {
        let now = Instant::now();
        match event {
            hello::Event::Greeted { peer, agent, shared, names, card, known, ephemeral } => {
                let answered = card.is_some();
                self.saw_swarms(peer, &names, now);
                let card = card.map(|member| (member.card, member.signed));
                self.learn_card(peer, card.as_ref().map(|(card, _)| card));
                if let Some((card, _)) = card.as_ref().filter(|_| !ephemeral) {
                    self.named_so(peer, &card.name, &shared);
                }
                let change = lock(&self.setup.shared.peers).greeted(peer, &shared, card, &agent, ephemeral, now);
                if !shared.is_empty() {
                    // In a large swarm what nobody uses closes after the idle time.
                    let needed = self.setup.swarm.network_info().num_peers() <= SMALL_SWARM;
                    let upkeep = &mut self.behaviour().upkeep;
                    upkeep.member(peer);
                    if needed {
                        upkeep.keep_member(&peer, MEMBER_HOLD);
                    }
                    self.met(&peer, &shared, ephemeral);
                    if let Some(nat) = self.behaviour().nat.as_mut() {
                        nat.member(peer);
                    }
                }
                self.announce(change);
                self.introduce(known, peer);
                if answered || shared.is_empty() {
                    lock(&self.setup.shared.progress).done(&peer, answered, now);
                    let ours = answered && !shared.is_empty();
                    let outcome = if ours { Ok(()) } else { Err("it is in no swarm of this node".into()) };
                    self.greetings.ended(&peer, &outcome);
                }
            }
            hello::Event::Silent { peer, reason } => {
                tracing::debug!(%peer, reason, "no greeting");
                lock(&self.setup.shared.progress).done(&peer, false, now);
                self.greetings.ended(&peer, &Err(reason));
                self.behaviour().discovery.forget(peer, now);
            }
        }
        self.setup.shared.touch();
    }

    /// `peer` is known by that name now, unless somebody else is.
    fn named_so(&self, peer: PeerId, name: &str, swarms: &[SwarmId]) {
        let now = self.setup.about.clock.now_ms();
        for swarm in swarms {
            let sight = lock(&self.setup.shared.pins).see(*swarm, name, &peer, now);
            if let Sight::Rival(bearer) = sight {
                let swarm = self.setup.swarms.name_of(swarm);
                let text = format!(
                    "{peer} calls itself \"{name}\" in {}, which is the name of {bearer}: give the id, or \
                     `p2pnode names forget {name}` if it has a new key",
                    swarm.as_ref().map_or("a swarm", |name| name.as_str())
                );
                self.emit(NodeEvent::Warning(text));
            }
        }
    }

    fn saw_swarms(&mut self, peer: PeerId, names: &[SwarmName], now: Instant) {
        let by = self.how_found(&peer);
        let mut peers = lock(&self.setup.shared.peers);
        for name in names {
            peers.saw_swarm(name, peer, by, now);
        }
    }

    fn learn_card(&mut self, peer: PeerId, card: Option<&Card>) {
        let remote = self.remote_of(&peer);
        let addresses: Vec<Multiaddr> =
            card.into_iter().flat_map(|c| &c.addresses).filter_map(|a| a.parse().ok()).collect();
        for addr in addresses {
            self.behaviour().upkeep.learn(peer, &addr, Source::Card, remote.as_ref());
        }
    }

    /// Members that a member names: hints, until they have greeted us themselves.
    fn introduce(&mut self, known: Vec<hello::Introduction>, teller: PeerId) {
        let remote = self.remote_of(&teller);
        // All of them first: how many there are decides how many are needed. Their signatures are dear.
        let known: Vec<hello::Member> =
            known.into_iter().filter(|one| self.is_of_use(&one.peer)).filter_map(hello::Introduction::verify).collect();
        known.iter().for_each(|member| self.named(member.peer));
        let few = if self.has_enough() { FEWER_INTRODUCTIONS } else { FEW_INTRODUCTIONS };
        let want = (self.named.len() > SMALL_SWARM).then_some(few);
        self.behaviour().hello.want(want);
        for member in known {
            let addrs = member.card.addresses.iter().filter_map(|text| text.parse::<Multiaddr>().ok());
            let learn =
                |addr: &Multiaddr| self.behaviour().upkeep.learn(member.peer, addr, Source::Card, remote.as_ref());
            let addrs: Vec<Multiaddr> = addrs.filter(learn).collect();
            // In a small swarm all are connected. Loopback is last in a card, and of no use to those we tell.
            if self.named.len() > SMALL_SWARM {
                let known = addrs.into_iter().filter(|addr| !upkeep::is_loopback(addr));
                self.behaviour().discovery.hear_of(member.peer, known);
            }
            if self.is_stranger(&member.peer) && !self.has_enough() {
                lock(&self.setup.shared.progress).introduced(member.peer);
                self.dial(member.peer, "introduced");
            }
        }
    }

    /// Whether to verify that there is such a member.
    fn is_of_use(&mut self, peer: &PeerId) -> bool {
        if self.behaviour().upkeep.is_blocked(peer) {
            return false;
        }
        if self.is_stranger(peer) && !self.has_enough() {
            return true;
        }
        let offline = lock(&self.setup.shared.peers).is_offline(peer);
        !offline && self.behaviour().discovery.lacks(peer)
    }

    fn is_stranger(&self, peer: &PeerId) -> bool {
        !lock(&self.setup.shared.peers).is_member(peer) && !self.setup.swarm.is_connected(peer)
    }

    fn on_mail(&mut self, event: mail::Event) {
        let mail::Event::Arrived { peer, mail, ticket, signed, .. } = event;
        if self.is_for_post(&mail) {
            return self.post(peer, *mail, signed, ticket);
        }
        let id = mail.id;
        let verdict = match mail.kind.as_str() {
            kind::ASK => self.asked(peer, *mail),
            kind::ACK | kind::PROGRESS | kind::REPLY | kind::ERROR => self.setup.shared.asks.deliver(peer, *mail),
            kind::LEAVE => self.withdrawn(peer, *mail),
            other => {
                let message = format!("this node does not take mail of kind \"{other}\"");
                Err(RpcError::new(ErrorCode::EndpointNotFound, message))
            }
        };
        match verdict {
            Ok(()) => self.behaviour().mail.acknowledge(ticket, MailAck { id, stored: false, hash: None }),
            Err(error) => self.behaviour().mail.refuse(ticket, error),
        }
    }

    /// Kept, and not only for somebody who waits for it now.
    fn is_for_post(&self, mail: &Mail) -> bool {
        self.post.is_some() && crate::mail::is_kept(mail) && !self.setup.shared.asks.waits(&mail.conversation)
    }

    fn post(&mut self, peer: PeerId, mail: Mail, raw: Bytes, ticket: mail::Ticket) {
        let may = if mail.kind == kind::ASK { self.may_ask(&peer, &mail).map(drop) } else { Ok(()) };
        if let Err(error) = may {
            return self.behaviour().mail.refuse(ticket, error);
        }
        let stranger = lock(&self.setup.shared.peers).swarms_of(&peer).is_empty();
        if stranger && self.behaviour().hello.is_greeting(&peer) {
            // A member may be faster with its mail than with its name, and would be held to what strangers may leave here.
            return self.refuse_for_now(ticket, "this node is just learning who you are");
        }
        let note = Note::Arrived { arrival: Box::new(Arrival { mail, raw, stranger }), ticket };
        let Some(Err(back)) = self.post.as_ref().map(|post| post.tell(note)) else { return };
        let Note::Arrived { ticket, .. } = *back else { return };
        self.refuse_for_now(ticket, "too many messages at once");
    }

    /// Its sender tries again soon.
    fn refuse_for_now(&mut self, ticket: mail::Ticket, why: &str) {
        let mut error = RpcError::new(ErrorCode::Overloaded, why);
        error.retry_after = Some(Duration::from_millis(500));
        self.behaviour().mail.refuse(ticket, error);
    }

    /// A leave is a member's "not me" where we asked, and an asker's "no longer" where we were asked.
    fn withdrawn(&mut self, peer: PeerId, mail: Mail) -> Result<(), RpcError> {
        if let Some(question) = mail.in_reply_to {
            self.setup.answerer.cancel(peer, question);
        }
        // Nobody waits for it: the question was withdrawn on this side too.
        let _ = self.setup.shared.asks.deliver(peer, mail);
        Ok(())
    }

    fn asked(&mut self, peer: PeerId, mail: Mail) -> Result<(), RpcError> {
        let (node, swarm) = self.may_ask(&peer, &mail)?;
        let remote = self.remote_of(&peer);
        self.setup.answerer.take(&node, Inbox { peer, remote, swarm, mail })
    }

    /// Whether a question may be put to this node: in which swarm.
    fn may_ask(&self, peer: &PeerId, mail: &Mail) -> Result<(Node, SwarmId), RpcError> {
        let absent = || RpcError::new(ErrorCode::EndpointNotFound, "this node has no ask handler");
        let swarm = mail.swarm.filter(|id| self.setup.swarms.has(id)).ok_or_else(absent)?;
        let near = self.remote_of(peer).is_some_and(|addr| self.setup.nearness.is_near(&addr));
        if !near && self.setup.allow == Allow::Private {
            return Err(crate::access::refusal());
        }
        let node = self.setup.node.upgrade().filter(|_| self.setup.answerer.takes_asks()).ok_or_else(absent)?;
        Ok((node, swarm))
    }

    /// Somebody says that it is a member.
    pub(super) fn named(&mut self, peer: PeerId) {
        if self.named.len() <= SMALL_SWARM {
            self.named.insert(peer);
        }
    }

    /// Whether more members are not needed. A node that lives for one command looks for all it can find.
    pub(super) fn has_enough(&self) -> bool {
        let info = self.setup.swarm.network_info();
        let counters = info.connection_counters();
        let connections = info.num_peers() + counters.num_pending_outgoing() as usize;
        let (small, most) =
            if self.setup.ephemeral { (true, COMMAND_DIALS) } else { (self.named.len() <= SMALL_SWARM, SMALL_SWARM) };
        if small { connections >= most } else { connections >= ENOUGH_CONNECTIONS }
    }

    pub(super) fn on_discovery(&mut self, event: discovery::Event) {
        match event {
            discovery::Event::Found { peer, addrs, .. } => self.found(peer, &addrs),
            discovery::Event::BootstrapReached { addr, peer } => self.seed_reached(&addr, peer),
            discovery::Event::BootstrapFailed { addr, reason, .. } => self.seed_failed(&addr, &reason),
            other => self.on_query(other),
        }
    }

    /// Members alone are told what a swarm has said. Others wait in vain for an answer.
    fn on_sync(&mut self, asked: sync::Asked) {
        let sync::Asked { peer, request, ticket } = asked;
        if lock(&self.setup.shared.peers).swarms_of(&peer).contains(&request.swarm) {
            self.keep(history::Note::Asked { peer, request, ticket }, false);
        }
    }

    /// `peer` has shown that it is in these swarms of ours.
    fn met(&mut self, peer: &PeerId, swarms: &[SwarmId], ephemeral: bool) {
        let behaviour = self.behaviour();
        // Members are heard even when strangers make noise.
        if let (Some(key), Some(gossip)) = (key_of(peer), behaviour.gossip.as_mut()) {
            gossip.know(key);
        }
        if !ephemeral {
            swarms.iter().for_each(|swarm| behaviour.discovery.met(&key::swarm(swarm), *peer));
            self.keep(history::Note::Met { peer: *peer, swarms: swarms.to_vec() }, false);
            if let Some(post) = &self.post {
                post.met(*peer);
            }
            self.neighbour(peer, swarms);
        }
    }

    /// A member is offline, or has left.
    pub(super) fn lost(&mut self, peer: &PeerId) {
        let behaviour = self.behaviour();
        behaviour.hello.forget(peer);
        behaviour.discovery.lost(peer);
        if let (Some(key), Some(gossip)) = (key_of(peer), behaviour.gossip.as_mut()) {
            gossip.forget(&key);
        }
    }

    pub(super) fn announce(&mut self, change: Option<Change>) {
        let now = Instant::now();
        let Some(change) = change else { return };
        let peers = lock(&self.setup.shared.peers);
        let show = |id: &PeerId| peers.get(id, now);
        let event = match &change {
            Change::Joined(id) => show(id).map(NodeEvent::PeerJoined),
            Change::Updated(id) => show(id).map(NodeEvent::PeerUpdated),
            Change::Suspect(id) => show(id).map(NodeEvent::PeerSuspect),
            Change::Offline(id) => show(id).map(NodeEvent::PeerOffline),
            Change::Left(reference) => Some(NodeEvent::PeerLeft(reference.clone())),
        };
        drop(peers);
        match &change {
            Change::Offline(id) => self.lost(id),
            Change::Left(reference) => lock(&self.setup.shared.pins).left(&reference.id),
            _ => {}
        }
        if let Some(event) = event {
            self.emit(event);
        }
    }

    pub(super) fn emit(&self, event: NodeEvent) {
        // Nobody watches: fine.
        let _ = self.setup.shared.events.send(event.into());
    }

    pub(super) fn remote_of(&self, peer: &PeerId) -> Option<Multiaddr> {
        lock(&self.setup.shared.peers).remote_of(peer)
    }

    fn count_peers(&mut self) {
        let count = self.setup.swarm.connected_peers().count();
        let members = lock(&self.setup.shared.peers).online();
        self.behaviour().discovery.members(members);
        lock(&self.setup.shared.own).libp2p_peers = count;
    }
}

/// A dial error for people: per address the innermost cause.
pub(super) fn dial_error(error: &DialError) -> String {
    p2pnode_behaviours::rpc::describe_dial_error(error)
}
