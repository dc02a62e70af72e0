//! Where discovery has looked, in words.

use p2pnode::Looked;

use super::render::count;

/// `this host (1 node, other swarm), mDNS on eth0 wlan0 (3 libp2p peers, none in "gardne")`.
pub(crate) fn text(looked: &Looked, swarm: Option<&str>) -> String {
    let places = [local(looked, swarm), mdns(looked, swarm), bootstrap(looked)];
    let text = places.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if text.is_empty() {
        "nowhere: this host, mDNS and bootstrap addresses are all switched off".to_owned()
    } else {
        text
    }
}

fn local(looked: &Looked, swarm: Option<&str>) -> Option<String> {
    if !looked.local_enabled {
        return None;
    }
    Some(match (looked.local, swarm) {
        (0, _) => "this host (no node)".to_owned(),
        (nodes, None) => format!("this host ({})", count(nodes, "node", "nodes")),
        (nodes, Some(_)) => format!("this host ({}, other swarm)", count(nodes, "node", "nodes")),
    })
}

fn mdns(looked: &Looked, swarm: Option<&str>) -> Option<String> {
    if !looked.mdns_enabled {
        return None;
    }
    if looked.interfaces.is_empty() {
        return Some("mDNS (no network interface)".to_owned());
    }
    let peers = count(looked.libp2p_peers, "libp2p peer", "libp2p peers");
    let none = match swarm {
        Some(swarm) if looked.libp2p_peers > 0 => format!(", none in \"{swarm}\""),
        _ => String::new(),
    };
    Some(format!("mDNS on {} ({peers}{none})", looked.interfaces.join(" ")))
}

fn bootstrap(looked: &Looked) -> Option<String> {
    if looked.bootstrap == 0 {
        return None;
    }
    let failed: Vec<String> = looked.bootstrap_failed.iter().map(|(addr, why)| format!("{addr}: {why}")).collect();
    let all = count(looked.bootstrap, "bootstrap address", "bootstrap addresses");
    Some(if failed.is_empty() { all } else { format!("{all} ({})", failed.join("; ")) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_on_the_page() {
        let looked = Looked {
            local: 1,
            local_enabled: true,
            mdns_enabled: true,
            interfaces: vec!["eth0".into(), "wlan0".into()],
            libp2p_peers: 3,
            ..Looked::default()
        };
        let expected = "this host (1 node, other swarm), mDNS on eth0 wlan0 (3 libp2p peers, none in \"gardne\")";
        assert_eq!(text(&looked, Some("gardne")), expected);
        assert_eq!(
            text(&Looked::default(), None),
            "nowhere: this host, mDNS and bootstrap addresses are all switched off"
        );
        let alone = Looked { local_enabled: true, mdns_enabled: true, ..Looked::default() };
        assert_eq!(text(&alone, Some("x")), "this host (no node), mDNS (no network interface)");
        let far =
            Looked { bootstrap: 2, bootstrap_failed: vec![("h:1".into(), "refused".into())], ..Looked::default() };
        assert_eq!(text(&far, None), "2 bootstrap addresses (h:1: refused)");
    }
}
