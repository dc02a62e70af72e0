//! How many neighbours of one network the routing table takes. Pure.

use libp2p_kad::KBucketDistance;

/// Peers of one /24 (IPv6: /48) in the whole table: somebody with one network cannot surround us.
const PER_TABLE: usize = 3;
/// Peers of one /24 (IPv6: /48) in one bucket.
const PER_BUCKET: usize = 2;
/// Peers of one bucket whose ids lie in one part of it: whoever surrounds a key has all his ids there, and would have the
/// bucket, with a half of all other keys. Of twenty ids that lie as they fall, more are there once in ten thousand buckets.
pub(super) const PER_PART: usize = 4;
/// A part is one of 2^7.
const PART: u32 = 7;

/// Whether a peer of the network `net` may enter `bucket`, given the bucket and a network of every peer in the table.
pub(super) fn fits<B: PartialEq, N: PartialEq>(net: &N, bucket: &B, table: impl Iterator<Item = (B, N)>) -> bool {
    let (mut whole, mut here) = (0, 0);
    for (place, _) in table.filter(|(_, known)| known == net) {
        whole += 1;
        here += usize::from(place == *bucket);
    }
    whole < PER_TABLE && here < PER_BUCKET
}

/// Whether two peers of a bucket, so far from each other, are in the same part of it.
pub(super) fn is_close(apart: &KBucketDistance, bucket: u32) -> bool {
    apart.ilog2().is_none_or(|log| log.saturating_add(PART) < bucket)
}

#[cfg(test)]
mod tests {
    use libp2p_core::Multiaddr;
    use libp2p_identity::PeerId;
    use libp2p_kad::KBucketKey;

    use super::*;
    use crate::upkeep::address::neighbourhood;

    fn net(text: &str) -> Option<[u8; 7]> {
        neighbourhood(&text.parse::<Multiaddr>().expect("an address"))
    }

    #[test]
    fn one_network_does_not_fill_the_table() {
        let known = [(1, net("/ip4/1.2.3.4/tcp/1")), (1, net("/ip4/1.2.3.5/tcp/1"))];
        let newcomer = net("/ip4/1.2.3.99/udp/9/quic-v1");
        assert!(!fits(&newcomer, &1, known.into_iter()), "third in one bucket");
        assert!(fits(&newcomer, &2, known.into_iter()), "third in the table");
        let third = (2, net("/ip4/1.2.3.6/tcp/1"));
        assert!(!fits(&newcomer, &3, known.into_iter().chain([third])), "fourth in the table");
        assert!(fits(&net("/ip4/1.2.4.1/tcp/1"), &1, known.into_iter()), "another network");
    }

    #[test]
    fn a_lan_is_no_network() {
        assert_eq!(net("/ip4/192.168.1.200/tcp/1"), None);
    }

    #[test]
    fn ids_that_were_tried_are_close_and_others_are_not() {
        let own = KBucketKey::from(PeerId::random());
        let mut far: Vec<_> = std::iter::repeat_with(|| KBucketKey::from(PeerId::random()))
            .filter(|key| own.distance(key).ilog2() == Some(255))
            .take(2_000)
            .collect();
        let close = |of: &KBucketKey<PeerId>, among: &[KBucketKey<PeerId>]| {
            among.iter().filter(|other| *other != of && is_close(&of.distance(*other), 255)).count()
        };
        assert!(far.chunks(20).filter(|bucket| bucket.iter().any(|of| close(of, bucket) >= PER_PART)).count() <= 1);
        let target = far[0];
        far.sort_by_key(|key| target.distance(key));
        assert_eq!(close(&target, &far[..8]), 7, "of two thousand the eight nearest to a key");
    }
}
