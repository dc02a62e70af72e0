//! Who may call and ask in an open swarm.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use libp2p::{Multiaddr, PeerId, multiaddr::Protocol};
use p2pnode_behaviours::upkeep;
use p2pnode_wire::{
    error::{ErrorCode, RpcError},
    ids::SwarmId,
};
use tokio::sync::{Semaphore, SemaphorePermit, TryAcquireError};

use crate::{
    builder::Allow,
    endpoint::{Access, Admission, Refused},
    swarms::Swarms,
};

/// Members of our open swarms, on this host or from a private range, unless [`Allow::Any`].
pub(crate) struct OpenSwarms {
    pub(crate) own: PeerId,
    pub(crate) swarms: Swarms,
    pub(crate) allow: Allow,
    pub(crate) nearness: Nearness,
}

/// Who was near counts as near so long: a laptop may have been carried away since.
const NEAR_FOR: Duration = Duration::from_secs(3_600);

/// Peers remembered to be near.
const MAX_NEAR: usize = 4_096;

/// Interfaces come and go; looking at them is a system call too many for each call.
const INTERFACES_FOR: Duration = Duration::from_secs(10);

/// Whether a caller is on this host or in a private address range.
#[derive(Clone, Default)]
pub(crate) struct Nearness(Arc<Mutex<Option<OwnAddresses>>>);

/// When they were looked up, and which they are.
type OwnAddresses = (Instant, Vec<IpAddr>);

impl Nearness {
    pub(crate) fn is_near(&self, remote: &Multiaddr) -> bool {
        // Of a circuit only the relay's address is known, of a WebSocket perhaps that of a proxy.
        let direct = !upkeep::is_relayed(remote) && !upkeep::is_web(remote);
        direct
            && (upkeep::is_inside(remote)
                || is_memory(remote)
                || upkeep::ip_of(remote).is_some_and(|ip| self.is_own(ip)))
    }

    /// One of this host's own addresses, whatever its range.
    fn is_own(&self, ip: IpAddr) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.as_ref().is_none_or(|(at, _)| now.saturating_duration_since(*at) > INTERFACES_FOR) {
            let all = if_addrs::get_if_addrs().unwrap_or_default();
            *known = Some((now, all.into_iter().map(|interface| interface.ip()).collect()));
        }
        known.as_ref().is_some_and(|(_, own)| own.contains(&ip))
    }
}

/// Who was near lately: what a member says reaches this node by gossip, where it cannot see where it comes from.
#[derive(Clone)]
pub(crate) struct Vicinity {
    allow: Allow,
    nearness: Nearness,
    seen: Arc<Mutex<HashMap<PeerId, Instant>>>,
    /// For messages that wait until it is known where their author is.
    turns: Arc<Semaphore>,
}

/// Messages that wait for a connection with their author. More are left: who floods from nowhere must not fill memory.
const MAX_WAITING: usize = 1_024;

impl Vicinity {
    pub(crate) fn new(allow: Allow, nearness: Nearness) -> Self {
        Self { allow, nearness, seen: Arc::default(), turns: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// A connection proves who is where.
    pub(crate) fn connected(&self, peer: PeerId, remote: &Multiaddr, now: Instant) {
        if self.allow == Allow::Any || !self.nearness.is_near(remote) {
            return;
        }
        let mut seen = self.lock();
        if seen.len() >= MAX_NEAR {
            seen.retain(|_, at| now.saturating_duration_since(*at) < NEAR_FOR);
        }
        if seen.len() < MAX_NEAR || seen.contains_key(&peer) {
            seen.insert(peer, now);
        }
    }

    /// A place among the messages that wait for a connection with their author.
    pub(crate) fn turn(&self) -> Result<SemaphorePermit<'_>, TryAcquireError> {
        self.turns.try_acquire()
    }

    /// Whether this node acts on what `peer` says to the swarm.
    pub(crate) fn lets_in(&self, peer: &PeerId) -> bool {
        let recent = |at: &Instant| at.elapsed() < NEAR_FOR;
        self.allow == Allow::Any || self.lock().get(peer).is_some_and(recent)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<PeerId, Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Inside one process, as in tests and simulations: nearer than this host.
pub(crate) fn is_memory(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Memory(_)))
}

/// What a member hears who calls from too far away: it may know, being a member.
pub(crate) fn refusal() -> RpcError {
    let message = "this node answers callers of its own network only; its owner can start it with `--allow any`";
    RpcError::new(ErrorCode::PermissionDenied, message)
}

impl Access for OpenSwarms {
    fn check(
        &self,
        peer: &PeerId,
        remote: &Multiaddr,
        swarm: Option<&SwarmId>,
        public: bool,
    ) -> Result<Admission, Refused> {
        let joined = swarm.and_then(|id| self.swarms.name_of(id));
        let is_in = joined.is_some();
        let admission = Admission { swarm: joined };
        if public || *peer == self.own {
            return Ok(admission);
        }
        if !is_in {
            return Err(Refused::Absent);
        }
        if self.allow == Allow::Any || self.nearness.is_near(remote) {
            return Ok(admission);
        }
        Err(Refused::Told(refusal()))
    }
}
