use std::net::IpAddr;

use libp2p_core::Multiaddr;

use super::address::ip_of;

/// One IPv4 address or one IPv6 /56: what one household or one rented machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Host([u8; 8]);

impl Host {
    /// None for addresses without an IP, such as those of the memory transport.
    pub(super) fn of(addr: &Multiaddr) -> Option<Self> {
        let mut host = [0; 8];
        match ip_of(addr)? {
            IpAddr::V4(ip) => {
                host[0] = 4;
                host[1..5].copy_from_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                host[0] = 6;
                host[1..8].copy_from_slice(&ip.octets()[..7]);
            }
        }
        Some(Self(host))
    }
}
