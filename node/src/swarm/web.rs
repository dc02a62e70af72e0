//! WebSocket: what goes over TCP, inside HTTP.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, Transport,
    core::transport::{DialOpts, ListenerId, TransportError, TransportEvent},
    multiaddr::Protocol,
    tcp,
};
use libp2p_websocket as websocket;

/// Bytes of one message that are read; a message holds no more than one of noise, of 64 KiB.
const MAX_MESSAGE: usize = 1024 * 1024;

/// Dials and listens on `/ws`, dials `/tls/ws`; a listener's certificates are the business of a reverse proxy.
///
/// libp2p-websocket (0.46) takes the name of the host from its address and resolves it itself; our names are resolved before
/// they come here, and stand in `/tls/sni/<name>`. It would send the number instead of the name to the proxy then, which
/// tells its sites apart by the name. So the name goes through it beside the number.
pub(super) fn build(config: tcp::Config) -> Readdressed<Web> {
    let tcp = Readdressed { inner: tcp::tokio::Transport::new(config), form: without_name };
    let mut web = websocket::Config::new(tcp);
    web.set_max_data_size(MAX_MESSAGE);
    Readdressed { inner: web, form: with_name }
}

type Web = websocket::Config<Readdressed<tcp::tokio::Transport>>;

/// `/ip4/…/tcp/443/tls/sni/example.org/ws` as `/ip4/…/dns/example.org/tcp/443/tls/ws`; others as they are.
fn with_name(addr: &Multiaddr) -> Multiaddr {
    let name = addr.iter().find_map(|part| match part {
        Protocol::Sni(name) => Some(name.into_owned()),
        _ => None,
    });
    let Some(name) = name else { return addr.clone() };
    let mut named = Multiaddr::empty();
    for part in addr.iter().filter(|part| !matches!(part, Protocol::Sni(_))) {
        let is_host = matches!(part, Protocol::Ip4(_) | Protocol::Ip6(_));
        named.push(part);
        if is_host {
            named.push(Protocol::Dns(name.as_str().into()));
        }
    }
    named
}

/// What is left of that for TCP.
fn without_name(addr: &Multiaddr) -> Multiaddr {
    addr.iter().filter(|part| !matches!(part, Protocol::Dns(_))).collect()
}

/// Passes what is dialled on in another form.
#[derive(Debug)]
pub(super) struct Readdressed<T> {
    inner: T,
    form: fn(&Multiaddr) -> Multiaddr,
}

impl<T: Transport + Unpin> Transport for Readdressed<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, addr: Multiaddr) -> Result<(), TransportError<Self::Error>> {
        self.inner.listen_on(id, addr)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, addr: Multiaddr, opts: DialOpts) -> Result<Self::Dial, TransportError<Self::Error>> {
        self.inner.dial((self.form)(&addr), opts)
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        Pin::new(&mut self.get_mut().inner).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
    use libp2p::core::{Endpoint, transport::PortUse};
    use tokio::{io::AsyncReadExt as _, net::TcpListener};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);
    const DIAL: DialOpts = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_name_goes_beside_the_number_and_not_to_tcp() {
        let given = addr("/ip4/192.0.2.1/tcp/443/tls/sni/example.org/ws");
        assert_eq!(with_name(&given), addr("/ip4/192.0.2.1/dns/example.org/tcp/443/tls/ws"));
        assert_eq!(without_name(&addr("/ip4/192.0.2.1/dns/example.org/tcp/443")), addr("/ip4/192.0.2.1/tcp/443"));
        for plain in ["/ip6/::1/tcp/80/ws", "/ip4/192.0.2.1/tcp/9999", "/ip4/192.0.2.1/udp/9999/quic-v1"] {
            assert_eq!(with_name(&addr(plain)), addr(plain));
        }
    }

    fn client() -> Readdressed<Web> {
        build(tcp::Config::default())
    }

    #[tokio::test]
    async fn the_server_is_asked_for_its_site_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let dial = client().dial(addr(&format!("/ip4/127.0.0.1/dns/seed.example/tcp/{port}/ws")), DIAL).expect("dials");
        tokio::spawn(dial);
        let mut head = Vec::new();
        let read = async {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a request"));
            }
        };
        tokio::time::timeout(LIMIT, read).await.expect("a request");
        let head = String::from_utf8_lossy(&head).to_lowercase();
        assert!(head.contains(&format!("host: seed.example:{port}")), "{head}");
    }

    #[tokio::test]
    async fn a_certificate_must_be_of_that_name() {
        let made = rcgen::generate_simple_self_signed(["seed.example".to_owned()]).expect("a certificate");
        let key = websocket::tls::PrivateKey::new(made.key_pair.serialize_der());
        let certificate = websocket::tls::Certificate::new(made.cert.der().to_vec());
        let mut server = websocket::Config::new(tcp::tokio::Transport::new(tcp::Config::default()));
        server.set_tls_config(websocket::tls::Config::new(key, [certificate.clone()]).expect("a key that fits"));
        server.listen_on(ListenerId::next(), addr("/ip4/127.0.0.1/tcp/0/tls/ws")).expect("listens");
        let mut server = server.boxed();
        let port = loop {
            if let TransportEvent::NewAddress { listen_addr, .. } = server.select_next_some().await {
                break listen_addr
                    .iter()
                    .find_map(|part| if let Protocol::Tcp(port) = part { Some(port) } else { None });
            }
        };
        tokio::spawn(async move {
            while let Some(event) = server.next().await {
                if let TransportEvent::Incoming { upgrade, .. } = event {
                    tokio::spawn(async move {
                        let Ok(mut stream) = upgrade.await else { return };
                        let mut said = [0; 5];
                        stream.read_exact(&mut said).await.expect("what was said");
                        stream.write_all(&said).await.expect("said again");
                        stream.flush().await.expect("sent");
                    });
                }
            }
        });
        let dial = async |name: &str| {
            let mut trusting = websocket::tls::Config::builder();
            trusting.add_trust(&certificate).expect("a certificate");
            let mut client = client();
            client.inner.set_tls_config(trusting.finish());
            let to = addr(&format!("/ip4/127.0.0.1/tcp/{}/tls/sni/{name}/ws", port.expect("TCP")));
            tokio::time::timeout(LIMIT, client.dial(to, DIAL).expect("dials")).await.expect("it ends")
        };
        let mut stream = dial("seed.example").await.expect("its name");
        stream.write_all(b"hello").await.expect("said");
        stream.flush().await.expect("sent");
        let mut echo = [0; 5];
        stream.read_exact(&mut echo).await.expect("heard");
        assert_eq!(&echo, b"hello");
        assert!(dial("other.example").await.is_err(), "the certificate is of another name");
    }
}
