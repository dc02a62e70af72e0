//! Addresses as people write them.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use libp2p::{
    Multiaddr, PeerId,
    multiaddr::{self, Protocol},
};
use p2pnode_behaviours::upkeep;

/// Port that `up` takes when it is free, and that an address without one means.
pub const DEFAULT_PORT: u16 = 9_999;

/// What to do about an address over WebSocket here.
pub(crate) const NO_WEB: &str = "this build has no WebSocket; it comes with the feature `websocket`";

/// Addresses one name may stand for.
const MAX_RESOLVED: usize = 8;

/// An address of a bootstrap peer or a client's target: `host`, `host:port`, `ip:port`, `[v6]:port`, a multiaddr
/// with or without `/p2p/…`, or where the feature `websocket` is on `ws://host:port/path` and `wss://…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapAddr {
    place: Place,
    peer: Option<PeerId>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Reached as written.
    Multiaddr(Multiaddr),
    /// A name, asked of the system's resolver at each attempt; `/dns/…` multiaddrs come here too.
    Host(String, u16),
    /// A name, too; over WebSocket.
    Web(Web),
    /// Tried over QUIC and TCP.
    Socket(SocketAddr),
}

/// A web server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Web {
    host: String,
    port: u16,
    tls: bool,
    /// With `/` at its beginning.
    path: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no address: {reason}; write host:port, [v6]:port or a multiaddr like /ip4/192.168.1.5/tcp/9999")]
pub struct AddrError {
    text: String,
    reason: String,
}

impl FromStr for BootstrapAddr {
    type Err = AddrError;

    fn from_str(text: &str) -> Result<Self, AddrError> {
        let fail = |reason: String| AddrError { text: text.to_owned(), reason };
        if text.starts_with('/') {
            return Self::from_multiaddr(text.parse().map_err(|e| fail(format!("{e}")))?).map_err(fail);
        }
        if text.contains("://") {
            let is_web = text.starts_with("ws://") || text.starts_with("wss://");
            let addr = multiaddr::from_url(text).ok().filter(|_| is_web);
            let addr = addr.ok_or_else(|| fail("of URLs only ws:// and wss:// with a host are read".into()))?;
            return Self::from_multiaddr(addr).map_err(fail);
        }
        if let Ok(socket) = text.parse::<SocketAddr>() {
            return place(Place::Socket(socket)).map_err(fail);
        }
        let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
        if let Ok(ip) = bare.parse::<IpAddr>() {
            return place(Place::Socket(SocketAddr::new(ip, DEFAULT_PORT))).map_err(fail);
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().map_err(|_| fail(format!("\"{port}\" is no port")))?),
            None => (text, DEFAULT_PORT),
        };
        check_host(host).map_err(fail)?;
        place(Place::Host(host.to_owned(), port)).map_err(fail)
    }
}

/// Over WebSocket, what stands between the port and the peer: whether TLS is inside, and the path.
fn web_of(rest: &[Protocol<'_>]) -> Option<(bool, String)> {
    match rest {
        [Protocol::Ws(path)] => Some((false, path.to_string())),
        [Protocol::Wss(path)] | [Protocol::Tls, Protocol::Ws(path)] => Some((true, path.to_string())),
        _ => None,
    }
}

fn place(place: Place) -> Result<BootstrapAddr, String> {
    let is_web = match &place {
        Place::Web(_) => true,
        Place::Multiaddr(addr) => upkeep::is_web(addr),
        Place::Host(..) | Place::Socket(_) => false,
    };
    if is_web && !cfg!(feature = "websocket") {
        return Err(NO_WEB.into());
    }
    match &place {
        Place::Web(Web { port: 0, .. }) => Err("port 0 cannot be dialled".into()),
        Place::Web(web) => check_host(&web.host).map(|()| BootstrapAddr { place, peer: None }),
        Place::Host(_, 0) => Err("port 0 cannot be dialled".into()),
        Place::Socket(socket) if socket.port() == 0 => Err("port 0 cannot be dialled".into()),
        _ => Ok(BootstrapAddr { place, peer: None }),
    }
}

fn check_host(host: &str) -> Result<(), String> {
    let label =
        |l: &str| !l.is_empty() && l.len() <= 63 && l.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if host.is_empty() || host.len() > 253 || !host.trim_end_matches('.').split('.').all(label) {
        return Err(format!("\"{host}\" is no host name"));
    }
    Ok(())
}

impl BootstrapAddr {
    fn from_multiaddr(mut addr: Multiaddr) -> Result<Self, String> {
        let mut peer = None;
        if let Some(Protocol::P2p(id)) = addr.iter().last() {
            peer = Some(id);
            addr.pop();
        }
        let mut parts = addr.iter();
        let place = match (parts.next(), parts.next()) {
            (Some(Protocol::Dns(h) | Protocol::Dns4(h) | Protocol::Dns6(h)), Some(Protocol::Tcp(p)))
                if upkeep::is_web(&addr) =>
            {
                let (tls, path) =
                    web_of(&parts.collect::<Vec<_>>()).ok_or("it ends with neither /ws nor /tls/ws nor /wss")?;
                Place::Web(Web { host: h.into_owned(), port: p, tls, path })
            }
            (
                Some(Protocol::Dns(h) | Protocol::Dns4(h) | Protocol::Dns6(h)),
                Some(Protocol::Tcp(p) | Protocol::Udp(p)),
            ) => Place::Host(h.into_owned(), p),
            (Some(Protocol::Ip4(_) | Protocol::Ip6(_)), Some(Protocol::Tcp(_) | Protocol::Udp(_)))
            | (Some(Protocol::Memory(_)), None) => Place::Multiaddr(addr),
            _ => return Err("it needs an address and a port, or a name and a port".into()),
        };
        Ok(Self { peer, ..self::place(place)? })
    }

    /// The peer that must be there, if the address names one.
    pub fn peer(&self) -> Option<PeerId> {
        self.peer
    }

    /// The addresses this one stands for now; names are asked of the system's resolver.
    ///
    /// # Errors
    /// The name does not resolve.
    pub async fn resolve(&self) -> std::io::Result<Vec<Multiaddr>> {
        let mut addrs = match &self.place {
            Place::Multiaddr(addr) => vec![addr.clone()],
            Place::Socket(socket) => dialable(*socket),
            Place::Host(host, port) => {
                let found = tokio::net::lookup_host((host.as_str(), *port)).await?;
                found.take(MAX_RESOLVED).flat_map(dialable).collect()
            }
            Place::Web(web) => {
                let found = tokio::net::lookup_host((web.host.as_str(), web.port)).await?;
                found.take(MAX_RESOLVED).map(|socket| web.at(socket)).collect()
            }
        };
        if let Some(peer) = self.peer {
            for addr in &mut addrs {
                addr.push(Protocol::P2p(peer));
            }
        }
        Ok(addrs)
    }

    /// Whether it surely is on this host.
    pub fn is_loopback(&self) -> bool {
        match &self.place {
            Place::Socket(socket) => socket.ip().is_loopback(),
            Place::Host(host, _) | Place::Web(Web { host, .. }) => host == "localhost",
            Place::Multiaddr(addr) => addr.iter().any(|part| match part {
                Protocol::Ip4(ip) => ip.is_loopback(),
                Protocol::Ip6(ip) => ip.is_loopback(),
                _ => false,
            }),
        }
    }
}

impl From<SocketAddr> for BootstrapAddr {
    fn from(socket: SocketAddr) -> Self {
        Self { place: Place::Socket(socket), peer: None }
    }
}

impl Web {
    fn at(&self, socket: SocketAddr) -> Multiaddr {
        let mut addr = Multiaddr::empty().with(ip(socket.ip())).with(Protocol::Tcp(socket.port()));
        if self.tls {
            addr = addr.with(Protocol::Tls).with(Protocol::Sni(self.host.as_str().into()));
        }
        addr.with(Protocol::Ws(self.path.as_str().into()))
    }
}

fn ip<'a>(ip: IpAddr) -> Protocol<'a> {
    match ip {
        IpAddr::V4(ip) => Protocol::Ip4(ip),
        IpAddr::V6(ip) => Protocol::Ip6(ip),
    }
}

/// TCP first: one handshake fewer on a LAN; QUIC where TCP is closed.
fn dialable(socket: SocketAddr) -> Vec<Multiaddr> {
    let base = Multiaddr::empty().with(ip(socket.ip()));
    vec![
        base.clone().with(Protocol::Tcp(socket.port())),
        base.with(Protocol::Udp(socket.port())).with(Protocol::QuicV1),
    ]
}

/// The same address with another port.
pub(crate) fn with_port(addr: &Multiaddr, port: u16) -> Multiaddr {
    addr.iter()
        .map(|part| match part {
            Protocol::Tcp(_) => Protocol::Tcp(port),
            Protocol::Udp(_) => Protocol::Udp(port),
            other => other,
        })
        .collect()
}

impl fmt::Display for BootstrapAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.place, self.peer) {
            (Place::Multiaddr(addr), Some(peer)) => write!(f, "{addr}/p2p/{peer}"),
            (Place::Multiaddr(addr), None) => write!(f, "{addr}"),
            (Place::Socket(socket), _) => write!(f, "{socket}"),
            (Place::Host(host, port), Some(peer)) => write!(f, "/dns/{host}/tcp/{port}/p2p/{peer}"),
            (Place::Host(host, port), None) => write!(f, "{host}:{port}"),
            (Place::Web(web), peer) => {
                let tls = if web.tls { "/tls" } else { "" };
                write!(f, "/dns/{}/tcp/{}{tls}{}", web.host, web.port, Protocol::Ws(web.path.as_str().into()))?;
                peer.map_or(Ok(()), |peer| write!(f, "/p2p/{peer}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        text.parse::<BootstrapAddr>().expect("an address").to_string()
    }

    #[test]
    fn all_spellings() {
        assert_eq!(show("127.0.0.1:4000"), "127.0.0.1:4000");
        assert_eq!(show("10.0.0.7"), "10.0.0.7:9999");
        assert_eq!(show("[::1]:80"), "[::1]:80");
        assert_eq!(show("::1"), "[::1]:9999");
        assert_eq!(show("seed.example.com"), "seed.example.com:9999");
        assert_eq!(show("seed.example.com:1"), "seed.example.com:1");
        assert_eq!(show("/ip4/1.2.3.4/udp/5/quic-v1"), "/ip4/1.2.3.4/udp/5/quic-v1");
        let peer = PeerId::random();
        let with_peer = format!("/ip4/1.2.3.4/tcp/5/p2p/{peer}");
        assert_eq!(show(&with_peer), with_peer);
        assert_eq!(show("/dns4/a.example/tcp/7"), "a.example:7");
    }

    #[cfg(feature = "websocket")]
    #[tokio::test]
    async fn a_web_server_keeps_its_name_for_the_handshake() {
        assert_eq!(show("wss://seed.example.com"), "/dns/seed.example.com/tcp/443/tls/ws");
        assert_eq!(show("ws://seed.example.com:81/a"), "/dns/seed.example.com/tcp/81/x-parity-ws/%2Fa");
        assert_eq!(show("ws://127.0.0.1:8080"), "/ip4/127.0.0.1/tcp/8080/ws");
        for text in ["/dns4/localhost/tcp/443/wss", "/dns/localhost/tcp/443/tls/ws", "wss://localhost"] {
            let addr: BootstrapAddr = text.parse().expect("an address");
            assert_eq!(addr.to_string().parse(), Ok(addr.clone()), "{text}");
            assert!(addr.is_loopback(), "{text}");
            let all = addr.resolve().await.expect("this host");
            let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
            assert!(texts.contains(&"/ip4/127.0.0.1/tcp/443/tls/sni/localhost/ws".to_owned()), "{texts:?}");
        }
        for text in ["http://seed.example.com", "wss://", "ws://seed.example.com:0", "/dns/a/tcp/1/ws/tcp/2"] {
            assert!(text.parse::<BootstrapAddr>().is_err(), "{text}");
        }
    }

    #[cfg(not(feature = "websocket"))]
    #[test]
    fn a_build_without_websocket_says_so() {
        for text in ["wss://seed.example.com", "/ip4/127.0.0.1/tcp/80/ws"] {
            let error = text.parse::<BootstrapAddr>().expect_err(text).to_string();
            assert!(error.contains("`websocket`"), "{error}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_reason() {
        for text in ["", "a b", "host:port", "host:99999", "1.2.3.4:0", "/ip4/1.2.3.4", "/tcp/5", "a..b", "/nonsense"] {
            let error = text.parse::<BootstrapAddr>().expect_err(text);
            assert!(error.to_string().contains("no address"), "{error}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_dialled_over_tcp_and_quic() {
        let addr: BootstrapAddr = "127.0.0.1:9".parse().expect("an address");
        let all = addr.resolve().await.expect("no name to ask for");
        let texts: Vec<String> = all.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["/ip4/127.0.0.1/tcp/9", "/ip4/127.0.0.1/udp/9/quic-v1"]);
    }
}
