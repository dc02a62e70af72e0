//! Which addresses this node dials, whoever told it about them.

use std::{
    collections::VecDeque,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use libp2p_core::{Multiaddr, multiaddr::Protocol};
use libp2p_identity::PeerId;

use super::range::{self, Private};

/// Addresses trusted by name at once: those the user gave and those of nodes on this host. The oldest goes first.
const MAX_TRUSTED: usize = 1_024;

/// Trusted names being resolved at once; one entry per dial by name.
const MAX_RESOLVING: usize = 32;

/// A name resolves, and all its addresses are tried, within this time.
const RESOLVING: Duration = Duration::from_secs(15);

/// Looks at addresses that one name has resolved to. Each of several transports may look at each address.
const MAX_PER_NAME: u8 = 16;

/// The list of interfaces is read at most this often: each reading costs system calls.
const REFRESH: Duration = Duration::from_secs(10);

/// Why an address is not dialled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// This host itself, told by somebody else.
    #[error("{0} is this host; only an address given by the user or found on this host may be dialled there")]
    Loopback(IpAddr),
    /// `0.0.0.0` or `::`.
    #[error("{0} is no address of a host")]
    Unspecified(IpAddr),
    /// Valid on one link only.
    #[error("{0} is valid on one link only")]
    LinkLocal(IpAddr),
    /// Where clouds serve the credentials of a machine.
    #[error("{0} is the metadata service of a cloud")]
    Metadata(IpAddr),
    /// Many hosts at once.
    #[error("{0} is a multicast or broadcast address")]
    Multicast(IpAddr),
    /// A range in which there are no hosts.
    #[error("{0} is in a range that has no hosts")]
    Reserved(IpAddr),
    /// A private or documentation range in which this host has no interface.
    #[error("{0} is in a private or documentation range in which this host has no interface")]
    Elsewhere(IpAddr),
    /// A name that the user did not give.
    #[error("the name {0:?} was not given by the user")]
    Name(String),
    /// A path of a web server that the user did not give: somebody would have us ask it for what he likes.
    #[error("{0} has a path that was not given by the user")]
    Path(Multiaddr),
    /// Neither IP, name nor memory.
    #[error("{0} names no host")]
    NoHost(Multiaddr),
}

/// A host and port that may be dialled although its range may not.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

type Target = (Host, Option<u16>);

/// What a trusted name may turn into.
struct Resolving {
    port: Option<u16>,
    left: u8,
    until: Instant,
}

struct State {
    loopback: bool,
    trusted: VecDeque<Target>,
    resolving: VecDeque<Resolving>,
    interfaces: Vec<IpAddr>,
    read_at: Option<Instant>,
}

struct Shared {
    state: Mutex<State>,
    list: fn() -> Vec<IpAddr>,
}

/// The rules, shared by whoever dials. Cheap to clone.
///
/// Refused are loopback, unspecified, link-local, metadata and multicast addresses, private ranges (RFC 1918, shared
/// address space, unique local; also those for documentation) in which this host has no interface, and names, unless
/// trusted.
#[derive(Clone)]
pub struct AddressRules(Arc<Shared>);

impl fmt::Debug for AddressRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();
        write!(f, "AddressRules {{ loopback: {}, trusted: {} }}", state.loopback, state.trusted.len())
    }
}

impl Default for AddressRules {
    fn default() -> Self {
        Self::new()
    }
}

impl AddressRules {
    /// Rules with nothing trusted, that read this host's interfaces.
    pub fn new() -> Self {
        Self::with_interfaces(interfaces)
    }

    fn with_interfaces(list: fn() -> Vec<IpAddr>) -> Self {
        let state = State {
            loopback: false,
            trusted: VecDeque::new(),
            resolving: VecDeque::new(),
            interfaces: Vec::new(),
            read_at: None,
        };
        Self(Arc::new(Shared { state: Mutex::new(state), list }))
    }

    /// Whether `addr` may be dialled; every host named in it must be.
    pub fn allows(&self, addr: &Multiaddr) -> Result<(), Refusal> {
        self.check(addr, false)
    }

    /// As [`Self::allows`], and for an address that a trusted name has just resolved to.
    pub(super) fn allows_dial(&self, addr: &Multiaddr) -> Result<(), Refusal> {
        self.check(addr, true)
    }

    fn check(&self, addr: &Multiaddr, dialling: bool) -> Result<(), Refusal> {
        let mut hosts = 0;
        for host in hosts_of(addr) {
            hosts += 1;
            match host {
                Part::Memory => {}
                Part::Host((Host::Name(name), port)) => self.check_name(name, port, dialling)?,
                Part::Host((Host::Ip(ip), port)) => self.check_ip(ip, port, dialling)?,
            }
        }
        match hosts {
            0 => Err(Refusal::NoHost(addr.clone())),
            _ if has_path(addr) && !self.is_trusted(addr) => Err(Refusal::Path(addr.clone())),
            _ => Ok(()),
        }
    }

    fn is_trusted(&self, addr: &Multiaddr) -> bool {
        let state = self.lock();
        hosts_of(addr).into_iter().all(|part| matches!(part, Part::Host(target) if state.trusted.contains(&target)))
    }

    /// May be dialled from now on: given by the user, or found on this host. Only exactly this host and port.
    pub fn trust(&self, addr: &Multiaddr) {
        let mut state = self.lock();
        for part in hosts_of(addr) {
            let Part::Host(target) = part else { continue };
            state.trusted.retain(|known| *known != target);
            state.trusted.push_back(target);
            if state.trusted.len() > MAX_TRUSTED {
                state.trusted.pop_front();
            }
        }
    }

    /// Loopback is an ordinary network here: a swarm on one host, or a test.
    pub fn allow_loopback(&self, allowed: bool) {
        self.lock().loopback = allowed;
    }

    fn check_name(&self, name: String, port: Option<u16>, dialling: bool) -> Result<(), Refusal> {
        let mut state = self.lock();
        if !state.trusted.iter().any(|(host, known)| *known == port && matches!(host, Host::Name(n) if *n == name)) {
            return Err(Refusal::Name(name));
        }
        if dialling {
            if state.resolving.len() >= MAX_RESOLVING {
                state.resolving.pop_front();
            }
            let until = Instant::now() + RESOLVING;
            state.resolving.push_back(Resolving { port, left: MAX_PER_NAME, until });
        }
        Ok(())
    }

    fn check_ip(&self, ip: IpAddr, port: Option<u16>, dialling: bool) -> Result<(), Refusal> {
        let Err(refusal) = self.check_range(ip) else { return Ok(()) };
        let mut state = self.lock();
        if state.trusted.contains(&(Host::Ip(ip), port)) {
            return Ok(());
        }
        // Not the cloud's credentials, though: a name is resolved by somebody else.
        if dialling && !matches!(refusal, Refusal::Metadata(_)) && state.resolves_to(port, Instant::now()) {
            return Ok(());
        }
        Err(refusal)
    }

    fn check_range(&self, ip: IpAddr) -> Result<(), Refusal> {
        let bare = range::embedded(ip);
        if range::is_metadata(bare) {
            return Err(Refusal::Metadata(ip));
        }
        if bare.is_loopback() {
            return if self.lock().loopback { Ok(()) } else { Err(Refusal::Loopback(ip)) };
        }
        if bare.is_unspecified() {
            return Err(Refusal::Unspecified(ip));
        }
        if range::is_link_local(bare) {
            return Err(Refusal::LinkLocal(ip));
        }
        if range::is_multicast(bare) {
            return Err(Refusal::Multicast(ip));
        }
        if range::is_reserved(bare) {
            return Err(Refusal::Reserved(ip));
        }
        match Private::of(bare) {
            Some(private) if !self.has_interface_in(private) => Err(Refusal::Elsewhere(ip)),
            _ => Ok(()),
        }
    }

    fn has_interface_in(&self, private: Private) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        if state.read_at.is_none_or(|at| now.duration_since(at) >= REFRESH) {
            state.interfaces = (self.0.list)();
            state.read_at = Some(now);
        }
        state.interfaces.iter().any(|ip| Private::of(*ip) == Some(private))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn resolves_to(&mut self, port: Option<u16>, now: Instant) -> bool {
        self.resolving.retain(|name| name.until > now && name.left > 0);
        let Some(name) = self.resolving.iter_mut().find(|name| name.port == port) else { return false };
        name.left -= 1;
        true
    }
}

fn interfaces() -> Vec<IpAddr> {
    match if_addrs::get_if_addrs() {
        Ok(list) => list.into_iter().map(|interface| interface.ip()).collect(),
        Err(error) => {
            tracing::warn!(%error, "cannot list the interfaces of this host: private addresses are refused");
            Vec::new()
        }
    }
}

enum Part {
    Host(Target),
    Memory,
}

/// Every host in `addr` up to a relay hop; what is behind the relay is the relay's business.
///
/// All of them, since a transport reads the last pair of an address while a naive check reads the first.
fn hosts_of(addr: &Multiaddr) -> Vec<Part> {
    let mut parts = Vec::new();
    for protocol in addr.iter() {
        match protocol {
            Protocol::Ip4(ip) => parts.push(Part::Host((Host::Ip(ip.into()), None))),
            Protocol::Ip6(ip) => parts.push(Part::Host((Host::Ip(ip.into()), None))),
            Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name) | Protocol::Dnsaddr(name) => {
                parts.push(Part::Host((Host::Name(name.to_ascii_lowercase()), None)));
            }
            Protocol::Memory(_) => parts.push(Part::Memory),
            Protocol::Tcp(number) | Protocol::Udp(number) => {
                if let Some(Part::Host((_, port @ None))) = parts.last_mut() {
                    *port = Some(number);
                }
            }
            Protocol::P2pCircuit => break,
            _ => {}
        }
    }
    parts
}

/// Whether `addr` leads over WebSocket.
pub fn is_web(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Ws(_) | Protocol::Wss(_)))
}

fn has_path(addr: &Multiaddr) -> bool {
    addr.iter().any(|part| matches!(part, Protocol::Ws(path) | Protocol::Wss(path) if path != "/"))
}

/// The IP address that `addr` starts with, if it does; IPv4 inside IPv6 is taken out.
pub fn ip_of(addr: &Multiaddr) -> Option<IpAddr> {
    addr.iter().find_map(|protocol| match protocol {
        Protocol::Ip4(ip) => Some(IpAddr::V4(ip)),
        Protocol::Ip6(ip) => Some(range::embedded(IpAddr::V6(ip))),
        _ => None,
    })
}

/// Whether `addr` is on this host or in a private range: loopback, RFC 1918, unique local, link-local, memory.
///
/// Behind a relay nobody is private. Of the remote end of a connection, ask [`is_inside`].
pub fn is_private(addr: &Multiaddr) -> bool {
    if is_relayed(addr) {
        return false;
    }
    if addr.iter().any(|protocol| matches!(protocol, Protocol::Memory(_))) {
        return true;
    }
    ip_of(addr).is_some_and(|ip| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    })
}

/// Whether a connection with this remote end comes from this host or a private range. That of a WebSocket may be a reverse
/// proxy, which stands inside and is open to the world: nobody is inside by it.
pub fn is_inside(remote: &Multiaddr) -> bool {
    is_private(remote) && !is_web(remote)
}

/// Whether `addr` is this host's loopback or memory.
pub fn is_loopback(addr: &Multiaddr) -> bool {
    !is_relayed(addr)
        && (ip_of(addr).is_some_and(|ip| ip.is_loopback())
            || addr.iter().any(|protocol| matches!(protocol, Protocol::Memory(_))))
}

/// Whether `addr` leads over a relay. Who comes over one is known by its id alone.
pub fn is_relayed(addr: &Multiaddr) -> bool {
    matches!(addr.iter().next(), Some(Protocol::P2p(_)))
        || addr.iter().any(|protocol| matches!(protocol, Protocol::P2pCircuit))
}

/// The relay over which `addr` leads, if it does and names it.
pub fn relay_of(addr: &Multiaddr) -> Option<PeerId> {
    if !is_relayed(addr) {
        return None;
    }
    addr.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit)).find_map(|part| match part {
        Protocol::P2p(peer) => Some(peer),
        _ => None,
    })
}

/// The part of `addr` up to the relay: what is dialled from here.
pub(super) fn first_hop(addr: &Multiaddr) -> Multiaddr {
    addr.iter().take_while(|part| !matches!(part, Protocol::P2pCircuit)).collect()
}

/// Whether `addr` is one of the Internet: neither private, of this host or link, nor of a range without hosts. What is
/// behind a relay is not.
pub fn is_public(addr: &Multiaddr) -> bool {
    !is_relayed(addr) && ip_of(addr).is_some_and(range::is_public)
}

/// The network that counts as one neighbour: /24 of IPv4, /48 of IPv6. None for private addresses, other than of a proxy,
/// and for names.
pub(crate) fn neighbourhood(addr: &Multiaddr) -> Option<[u8; 7]> {
    if is_inside(addr) {
        return None;
    }
    let mut net = [0; 7];
    match ip_of(addr)? {
        IpAddr::V4(ip) => {
            net[0] = 4;
            net[1..4].copy_from_slice(&Ipv4Addr::octets(&ip)[..3]);
        }
        IpAddr::V6(ip) => {
            net[0] = 6;
            net[1..7].copy_from_slice(&Ipv6Addr::octets(&ip)[..6]);
        }
    }
    Some(net)
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
