//! Who may connect: counts, slots and rates. Pure.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use libp2p_swarm::ConnectionId;

use super::{address::is_private, config::Limits, host::Host, meter::Meter};

/// Hosts whose rate is remembered. One entry is dropped as soon as its budget is full again (32 s) and it holds no
/// connection, so that only a flood from this many hosts at once fills the table.
const MAX_HOSTS: usize = 4_096;

/// Members and configured peers. Membership of open swarms is a stranger's own word, so it must be bounded too.
const MAX_MEMBERS: usize = 4_096;

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Inbound handshakes at once.
    #[error("too many inbound connections are being set up")]
    PendingIn,
    /// Inbound handshakes at once from one host.
    #[error("too many inbound connections from this host are being set up")]
    PendingInPerIp,
    /// Dials at once.
    #[error("too many dials are under way")]
    PendingOut,
    /// Inbound connections.
    #[error("too many inbound connections")]
    Inbound,
    /// Outbound connections.
    #[error("too many outbound connections")]
    Outbound,
    /// All connections.
    #[error("too many connections")]
    Total,
    /// Connections with peers that are neither members nor configured.
    #[error("the remaining connections are kept for members")]
    Strangers,
    /// Connections with one peer.
    #[error("too many connections with this peer")]
    PerPeer,
    /// Connections from one host.
    #[error("too many connections from this host")]
    PerIp,
    /// New connections from one host.
    #[error("connections from this host come too fast")]
    Rate,
}

#[derive(Debug)]
struct Visitor {
    budget: Meter,
    pending: usize,
    open: usize,
}

#[derive(Debug)]
struct Connection {
    peer: PeerId,
    inbound: bool,
    relayed: bool,
    host: Option<Host>,
}

/// What counts against the limits.
#[derive(Debug, Default)]
struct Count {
    inbound: usize,
    outbound: usize,
    strangers: usize,
}

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    members: HashSet<PeerId>,
    pending_in: HashMap<ConnectionId, Option<Host>>,
    pending_out: HashSet<ConnectionId>,
    open: HashMap<ConnectionId, Connection>,
    hosts: HashMap<Host, Visitor>,
}

impl State {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            members: HashSet::new(),
            pending_in: HashMap::new(),
            pending_out: HashSet::new(),
            open: HashMap::new(),
            hosts: HashMap::new(),
        }
    }

    /// Takes no slot of strangers from now on.
    pub(super) fn member(&mut self, peer: PeerId) -> bool {
        self.members.contains(&peer) || (self.members.len() < MAX_MEMBERS && self.members.insert(peer))
    }

    pub(super) fn stranger(&mut self, peer: &PeerId) {
        self.members.remove(peer);
    }

    pub(super) fn is_member(&self, peer: &PeerId) -> bool {
        self.members.contains(peer)
    }

    /// Before any byte is exchanged.
    pub(super) fn accept(&mut self, id: ConnectionId, remote: &Multiaddr, now: Instant) -> Result<(), Refused> {
        let host = self.metered(remote);
        if let Some(host) = host {
            self.check_host(host, now)?;
        }
        if self.pending_in.len() >= self.limits.pending_in {
            return Err(Refused::PendingIn);
        }
        if self.open.len() >= self.limits.total {
            return Err(Refused::Total);
        }
        if let Some(visitor) = host.and_then(|host| self.hosts.get_mut(&host)) {
            visitor.pending += 1;
            visitor.budget.take(1.0, now);
        }
        self.pending_in.insert(id, host);
        Ok(())
    }

    pub(super) fn dial(&mut self, id: ConnectionId, peer: Option<&PeerId>) -> Result<(), Refused> {
        let known = peer.is_none_or(|peer| self.is_member(peer));
        if !known && self.pending_out.len() >= self.limits.pending_out {
            return Err(Refused::PendingOut);
        }
        self.pending_out.insert(id);
        Ok(())
    }

    /// The peer is authenticated now; `open` follows, or `failed`. Circuits do not stand in the way of the direct connection
    /// that is to take their place.
    pub(super) fn admit(&self, peer: &PeerId, inbound: bool, relayed: bool) -> Result<(), Refused> {
        if self.open.len() >= self.limits.total {
            return Err(Refused::Total);
        }
        let alike = |open: &&Connection| open.peer == *peer && open.relayed == relayed;
        if self.open.values().filter(alike).count() >= self.limits.per_peer {
            return Err(Refused::PerPeer);
        }
        if self.is_member(peer) {
            return Ok(());
        }
        let count = self.count();
        if count.strangers >= self.limits.strangers {
            return Err(Refused::Strangers);
        }
        match inbound {
            true if count.inbound >= self.limits.inbound => Err(Refused::Inbound),
            false if count.outbound >= self.limits.outbound => Err(Refused::Outbound),
            _ => Ok(()),
        }
    }

    pub(super) fn opened(&mut self, id: ConnectionId, peer: PeerId, inbound: bool, relayed: bool) {
        self.pending_out.remove(&id);
        let host = self.settle(id);
        if let Some(visitor) = host.and_then(|host| self.hosts.get_mut(&host)) {
            visitor.open += 1;
        }
        self.open.insert(id, Connection { peer, inbound, relayed, host });
    }

    pub(super) fn failed(&mut self, id: ConnectionId) {
        self.pending_out.remove(&id);
        self.settle(id);
    }

    pub(super) fn closed(&mut self, id: ConnectionId) {
        let host = self.open.remove(&id).and_then(|connection| connection.host);
        if let Some(visitor) = host.and_then(|host| self.hosts.get_mut(&host)) {
            visitor.open = visitor.open.saturating_sub(1);
        }
    }

    /// No handshake any more.
    fn settle(&mut self, id: ConnectionId) -> Option<Host> {
        let host = self.pending_in.remove(&id).flatten()?;
        if let Some(visitor) = self.hosts.get_mut(&host) {
            visitor.pending = visitor.pending.saturating_sub(1);
        }
        Some(host)
    }

    fn count(&self) -> Count {
        let mut count = Count::default();
        for connection in self.open.values().filter(|open| !self.members.contains(&open.peer)) {
            count.strangers += 1;
            *if connection.inbound { &mut count.inbound } else { &mut count.outbound } += 1;
        }
        count
    }

    fn metered(&self, remote: &Multiaddr) -> Option<Host> {
        if self.limits.exempt_private && is_private(remote) { None } else { Host::of(remote) }
    }

    fn check_host(&mut self, host: Host, now: Instant) -> Result<(), Refused> {
        self.make_room(host, now);
        let Limits { burst_per_ip, rate_per_ip, per_ip, pending_in_per_ip, .. } = self.limits;
        let budget = || Meter::new(rate_per_ip, f64::from(burst_per_ip), now);
        let visitor = self.hosts.entry(host).or_insert_with(|| Visitor { budget: budget(), pending: 0, open: 0 });
        if visitor.open + visitor.pending >= per_ip {
            return Err(Refused::PerIp);
        }
        if visitor.pending >= pending_in_per_ip {
            return Err(Refused::PendingInPerIp);
        }
        if visitor.budget.has(1.0, now) { Ok(()) } else { Err(Refused::Rate) }
    }

    fn make_room(&mut self, newcomer: Host, now: Instant) {
        if self.hosts.len() < MAX_HOSTS || self.hosts.contains_key(&newcomer) {
            return;
        }
        self.hosts.retain(|_, visitor| !visitor.is_forgettable(now));
        if self.hosts.len() < MAX_HOSTS {
            return;
        }
        // Everybody has been here within half a minute: forget the one that came first.
        let idle = self.hosts.iter().filter(|(_, visitor)| !visitor.is_busy());
        let oldest = idle.min_by_key(|(_, visitor)| visitor.budget.used_at()).map(|(host, _)| *host);
        if let Some(oldest) = oldest {
            self.hosts.remove(&oldest);
        }
    }
}

impl Visitor {
    fn is_busy(&self) -> bool {
        self.open + self.pending > 0
    }

    fn is_forgettable(&self, now: Instant) -> bool {
        let since = now.saturating_duration_since(self.budget.used_at());
        !self.is_busy() && since >= self.budget.refill_time()
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
