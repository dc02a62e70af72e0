//! Addresses for people.

/// `198.51.100.7:40112` or `[::1]:9999`, if the multiaddr has an IP address and a port.
pub(crate) fn socket(addr: &str) -> Option<String> {
    let (ip, port, _) = parts(addr)?;
    Some(if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
}

/// The IP address of a multiaddr; none if that is the one of a relay.
pub(crate) fn ip(addr: &str) -> Option<&str> {
    if is_relayed(addr) {
        return None;
    }
    parts(addr).map(|(ip, ..)| ip)
}

/// IP address, port and transport.
fn parts(addr: &str) -> Option<(&str, &str, &'static str)> {
    let mut words = addr.strip_prefix('/')?.split('/');
    let ip = matches!(words.next()?, "ip4" | "ip6").then(|| words.next()).flatten()?;
    let (protocol, port) = (words.next()?, words.next()?);
    let transport = match protocol {
        "tcp" if words.any(|word| matches!(word, "ws" | "wss" | "x-parity-ws" | "x-parity-wss")) => "websocket",
        "tcp" => "tcp",
        _ => "quic",
    };
    Some((ip, port, transport))
}

/// Places with their transports, this host's own last: `192.168.1.25:9999 (quic, tcp)`.
pub(crate) fn places(addrs: &[String]) -> Vec<String> {
    let mut places: Vec<(String, Vec<&str>)> = Vec::new();
    for addr in addrs.iter().filter(|addr| !is_relayed(addr)) {
        let Some((place, (_, _, transport))) = socket(addr).zip(parts(addr)) else {
            places.push((addr.clone(), Vec::new()));
            continue;
        };
        match places.iter_mut().find(|(known, _)| *known == place) {
            Some((_, transports)) if !transports.contains(&transport) => transports.push(transport),
            Some(_) => {}
            None => places.push((place, vec![transport])),
        }
    }
    places.sort_by_key(|(place, _)| (is_loopback(place), place.starts_with('[')));
    let show = |(place, mut transports): (String, Vec<&str>)| {
        transports.sort_unstable();
        if transports.is_empty() { place } else { format!("{place} ({})", transports.join(", ")) }
    };
    places.into_iter().map(show).collect()
}

/// Places beyond these are left to JSON.
const PLACES: usize = 4;

/// Where a node listens, on one line: no more than a few places, and none that are of no use without the name of an
/// interface.
pub(crate) fn line(addrs: &[String], cut: &str) -> String {
    let of_use = |addr: &&String| !addr.starts_with("/ip6/fe80:") && !is_relayed(addr);
    let addrs: Vec<String> = addrs.iter().filter(of_use).cloned().collect();
    let all = places(&addrs);
    let more = all.len().saturating_sub(PLACES);
    let mut line = all.into_iter().take(PLACES).collect::<Vec<_>>().join("   ");
    if more > 0 {
        line.push_str(&format!("   {cut} {more} more"));
    }
    line
}

/// Whether a multiaddr stays on this host.
pub(crate) fn is_here(addr: &str) -> bool {
    ip(addr).and_then(|ip| ip.parse::<std::net::IpAddr>().ok()).is_some_and(|ip| ip.is_loopback())
}

/// Whether a multiaddr leads over a relay: its first part is where that is.
fn is_relayed(addr: &str) -> bool {
    addr.contains("/p2p-circuit")
}

fn is_loopback(place: &str) -> bool {
    place.starts_with("127.") || place.starts_with("[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_grouped() {
        let addrs = [
            "/ip4/127.0.0.1/tcp/9999",
            "/ip4/192.168.1.25/tcp/9999",
            "/ip6/::1/udp/9999/quic-v1",
            "/ip4/192.168.1.25/udp/9999/quic-v1",
            "/ip4/192.168.1.25/udp/9999/quic-v1/p2p/x",
            "/ip4/11.0.0.1/tcp/4001/p2p/x/p2p-circuit/p2p/y",
            "/ip4/192.168.1.25/tcp/80/ws",
            "/memory/7",
        ];
        let places = places(&addrs.map(str::to_owned));
        let here = ["127.0.0.1:9999 (tcp)", "[::1]:9999 (quic)"];
        assert_eq!(places[..3], ["192.168.1.25:9999 (quic, tcp)", "192.168.1.25:80 (websocket)", "/memory/7"]);
        assert_eq!(places[3..], here);
        assert_eq!(ip("/ip4/10.0.0.7/tcp/1"), Some("10.0.0.7"));
        assert_eq!(socket("/dns4/x/tcp/1"), None);
        assert_eq!(socket("nonsense"), None);
    }
}
