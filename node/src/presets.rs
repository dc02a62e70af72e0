//! Environments. A preset sets what differs from the defaults; what a program sets afterwards wins.

use libp2p::Multiaddr;

use crate::builder::Builder;

/// Sets up a [`Builder`] for an environment.
pub trait Preset {
    /// Sets what differs.
    fn apply(self, builder: Builder) -> Builder;
}

impl<F: FnOnce(Builder) -> Builder> Preset for F {
    fn apply(self, builder: Builder) -> Builder {
        self(builder)
    }
}

fn all_interfaces(port: u16) -> [Multiaddr; 4] {
    let addr = |text: String| text.parse().expect("a constant address");
    [
        addr(format!("/ip4/0.0.0.0/tcp/{port}")),
        addr(format!("/ip4/0.0.0.0/udp/{port}/quic-v1")),
        addr(format!("/ip6/::/tcp/{port}")),
        addr(format!("/ip6/::/udp/{port}/quic-v1")),
    ]
}

/// A node among neighbours: finds others on this host and by multicast, listens on all interfaces, any port.
#[derive(Debug, Clone, Copy, Default)]
pub struct Lan;

impl Preset for Lan {
    fn apply(self, builder: Builder) -> Builder {
        builder.mdns(true).local(true).dht(true).listen_all(all_interfaces(0))
    }
}

/// A node on the open network: no multicast, others come from bootstrap addresses and the DHT.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wan;

impl Preset for Wan {
    fn apply(self, builder: Builder) -> Builder {
        builder.mdns(false).local(true).dht(true).listen_all(all_interfaces(0))
    }
}

/// A node for this host only: listens on loopback, finds others in the local registry or by bootstrap address.
#[derive(Debug, Clone, Copy, Default)]
pub struct Loopback;

impl Preset for Loopback {
    fn apply(self, builder: Builder) -> Builder {
        let addr = |text: &str| text.parse().expect("a constant address");
        let listen = [addr("/ip4/127.0.0.1/tcp/0"), addr("/ip4/127.0.0.1/udp/0/quic-v1")];
        builder.mdns(false).local(true).dht(true).listen_all(listen)
    }
}

/// A node that lives for one command: a fresh key, no listening, a guest in the DHT, never announced to others.
#[derive(Debug, Clone, Copy, Default)]
pub struct Command;

impl Preset for Command {
    fn apply(self, builder: Builder) -> Builder {
        builder.mdns(true).local(true).dht(true).ephemeral(true)
    }
}
