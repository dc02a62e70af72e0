//! Ranges of IP addresses that mean something.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A private range, or one that has no hosts on the Internet: an interface in it means that its addresses may be near.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Private {
    Ten,
    OneSevenTwo,
    OneNineTwo,
    /// 100.64.0.0/10: carriers, overlay networks.
    Shared,
    /// 198.18.0.0/15: test networks.
    Benchmark,
    /// 192.0.2.0/24, 198.51.100.0/24, 203.0.113.0/24: documentation, and therefore laboratories.
    Documentation([u8; 3]),
    UniqueLocal,
    /// 2001:db8::/32 and 3fff::/20.
    DocumentationSix,
    /// fec0::/10, deprecated but routed in places.
    SiteLocal,
}

impl Private {
    pub(super) fn of(ip: IpAddr) -> Option<Self> {
        match embedded(ip) {
            IpAddr::V4(ip) => match ip.octets() {
                [10, ..] => Some(Self::Ten),
                [172, second, ..] if second & 0xf0 == 16 => Some(Self::OneSevenTwo),
                [192, 168, ..] => Some(Self::OneNineTwo),
                [100, second, ..] if second & 0xc0 == 64 => Some(Self::Shared),
                [198, second, ..] if second & 0xfe == 18 => Some(Self::Benchmark),
                [a, b, c, _] if ip.is_documentation() => Some(Self::Documentation([a, b, c])),
                _ => None,
            },
            IpAddr::V6(ip) if ip.is_unique_local() => Some(Self::UniqueLocal),
            IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfec0 => Some(Self::SiteLocal),
            IpAddr::V6(ip) => match ip.segments() {
                [0x2001, 0xdb8, ..] => Some(Self::DocumentationSix),
                [0x3fff, second, ..] if second < 0x1000 => Some(Self::DocumentationSix),
                _ => None,
            },
        }
    }
}

/// The IPv4 address inside an IPv6 one that routers or the kernel turn into it; otherwise `ip`.
pub(super) fn embedded(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let s = six.segments();
    let tail = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match s {
        // Mapped, and the deprecated compatible form; `::` and `::1` stay what they are.
        [0, 0, 0, 0, 0, 0xffff, high, low] => tail(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => tail(high, low),
        // NAT64 and 6to4.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => tail(high, low),
        [0x2002, high, low, ..] => tail(high, low),
        _ => ip,
    }
}

/// Services that hand out a machine's credentials: AWS and most others, AWS over IPv6, Alibaba, Oracle, Azure.
pub(super) fn is_metadata(ip: IpAddr) -> bool {
    const FOUR: [Ipv4Addr; 5] = [
        Ipv4Addr::new(169, 254, 169, 254),
        Ipv4Addr::new(169, 254, 170, 2),
        Ipv4Addr::new(100, 100, 100, 200),
        Ipv4Addr::new(192, 0, 0, 192),
        Ipv4Addr::new(168, 63, 129, 16),
    ];
    const SIX: [Ipv6Addr; 2] =
        [Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)];
    match ip {
        IpAddr::V4(ip) => FOUR.contains(&ip),
        IpAddr::V6(ip) => SIX.contains(&ip),
    }
}

pub(super) fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

pub(super) fn is_multicast(ip: IpAddr) -> bool {
    ip.is_multicast() || matches!(ip, IpAddr::V4(ip) if ip.is_broadcast())
}

/// An address of the Internet.
pub(super) fn is_public(ip: IpAddr) -> bool {
    let ip = embedded(ip);
    let nowhere = ip.is_loopback() || ip.is_unspecified() || is_link_local(ip) || is_multicast(ip) || is_reserved(ip);
    !nowhere && Private::of(ip).is_none() && !is_metadata(ip)
}

/// "This network", protocol assignments, discard, and class E.
pub(super) fn is_reserved(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, ..] = ip.octets();
            first == 0 || first >= 240 || ip.octets().starts_with(&[192, 0, 0])
        }
        IpAddr::V6(ip) => ip.segments()[0] == 0x100,
    }
}
