//! How many neighbours of one network the routing table takes. Pure.

use libp2p_core::Multiaddr;

use crate::upkeep::address::neighbourhood;

/// Peers of one /24 (IPv6: /48) in the whole table: somebody with one network cannot surround us.
const PER_TABLE: usize = 3;
/// Peers of one /24 (IPv6: /48) in one bucket.
const PER_BUCKET: usize = 2;

/// Whether a peer at `addr` may enter `bucket`, given the bucket and an address of every peer in the table. Private
/// addresses always may: a LAN is one network.
pub(super) fn fits<'a, B: PartialEq>(
    addr: &Multiaddr,
    bucket: &B,
    table: impl Iterator<Item = (B, &'a Multiaddr)>,
) -> bool {
    let Some(net) = neighbourhood(addr) else { return true };
    let (mut whole, mut here) = (0, 0);
    for (place, _) in table.filter(|(_, known)| neighbourhood(known) == Some(net)) {
        whole += 1;
        here += usize::from(place == *bucket);
    }
    whole < PER_TABLE && here < PER_BUCKET
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn one_network_does_not_fill_the_table() {
        let known = [(1, addr("/ip4/1.2.3.4/tcp/1")), (1, addr("/ip4/1.2.3.5/tcp/1"))];
        let table = || known.iter().map(|(bucket, addr)| (*bucket, addr));
        let newcomer = addr("/ip4/1.2.3.99/udp/9/quic-v1");
        assert!(!fits(&newcomer, &1, table()), "third in one bucket");
        assert!(fits(&newcomer, &2, table()), "third in the table");
        let third = (2, addr("/ip4/1.2.3.6/tcp/1"));
        assert!(!fits(&newcomer, &3, table().chain([(third.0, &third.1)])), "fourth in the table");
        assert!(fits(&addr("/ip4/1.2.4.1/tcp/1"), &1, table()), "another network");
    }

    #[test]
    fn a_lan_is_one_network() {
        let known: Vec<_> = (1..100).map(|n| addr(&format!("/ip4/192.168.1.{n}/tcp/1"))).collect();
        assert!(fits(&addr("/ip4/192.168.1.200/tcp/1"), &1, known.iter().map(|addr| (1, addr))));
    }
}
