//! How a node looks from outside.

use p2pnode::nat::{Mapping, Observed, Reachability, Report, Upnp};
use serde_json::{Value, json};

use super::{address, render::short_id, style::Glyphs};

/// All of it.
pub(crate) fn json(report: &Report) -> Value {
    let observed = |seen: &Observed| json!({"by": seen.by.to_string(), "from": seen.from.to_string(), "addr": seen.addr.to_string()});
    let tested = report.tested.iter().map(|one| json!({"addr": one.addr.to_string(), "error": one.error}));
    let relay = |one: &p2pnode::nat::Reservation| json!({"relay": one.relay.to_string(), "accepted": one.accepted});
    let mapped = if let Upnp::Mapped(addr) = &report.upnp { Some(addr.to_string()) } else { None };
    json!({
        "reachability": report.reachability.as_str(),
        "confirmed": report.confirmed.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "nat": {"tcp": report.tcp.map(Mapping::as_str), "udp": report.udp.map(Mapping::as_str)},
        "observed": report.observed.iter().map(observed).collect::<Vec<_>>(),
        "tested": tested.collect::<Vec<_>>(),
        "reservations": report.reservations.iter().map(relay).collect::<Vec<_>>(),
        "relayed_only": report.relayed_only,
        "relay_server": report.relays,
        "upnp": {"state": report.upnp.as_str(), "addr": mapped},
    })
}

/// On one line: `private: seen at 11.0.1.2:9999   NAT: cone   relay: 12D3KooWRl…`.
pub(crate) fn line(report: &Report, glyphs: Glyphs) -> String {
    let mut parts = vec![reached(report)];
    if let Some(mapping) = report.udp.or(report.tcp) {
        parts.push(format!("NAT: {}", mapping.as_str()));
    }
    parts.push(format!("relay: {}", relays(report, glyphs)));
    if report.upnp != Upnp::Off {
        parts.push(format!("UPnP: {}", upnp(&report.upnp)));
    }
    parts.join("   ")
}

/// Whether others reach it, and how that is known.
pub(crate) fn reached(report: &Report) -> String {
    let place = |addr: &p2pnode::Multiaddr| {
        let text = addr.to_string();
        address::socket(&text).unwrap_or(text)
    };
    match report.reachability {
        Reachability::Public => {
            let places: Vec<String> = report.confirmed.iter().map(ToString::to_string).collect();
            format!("public: {}", address::places(&places).join(", "))
        }
        Reachability::Private => match report.observed.first() {
            Some(seen) => format!("private: seen at {}", place(&seen.addr)),
            None => "private: others tried, and did not reach it".to_owned(),
        },
        Reachability::Unknown => "nobody outside has tried to reach it".to_owned(),
    }
}

/// Its places with relays, or why it has none.
pub(crate) fn relays(report: &Report, glyphs: Glyphs) -> String {
    let given = report.reservations.iter().filter(|one| one.accepted);
    let given: Vec<String> = given.map(|one| short_id(&one.relay.to_string(), glyphs.cut)).collect();
    match (report.relays, given.is_empty(), report.reachability) {
        (true, ..) => "carries circuits for members".to_owned(),
        (false, false, _) => given.join(", "),
        (false, true, Reachability::Private) => "no member offers one".to_owned(),
        (false, true, _) => "none needed".to_owned(),
    }
}

/// What became of asking the router.
pub(crate) fn upnp(upnp: &Upnp) -> String {
    match upnp {
        Upnp::Off => "the router is not asked (`p2pnode up --upnp` does)".to_owned(),
        Upnp::Searching => "the router has not answered yet".to_owned(),
        Upnp::Mapped(addr) => format!("the router opened {addr}"),
        Upnp::NoGateway => "no router takes such requests".to_owned(),
        Upnp::NotRoutable => "the router has no public address itself".to_owned(),
    }
}

/// What kind of router it is, with the evidence.
pub(crate) fn mapping(mapping: Mapping, seen: &[&Observed]) -> String {
    let places: Vec<String> = seen
        .iter()
        .map(|one| {
            let addr = one.addr.to_string();
            format!("{} by {}", address::socket(&addr).unwrap_or(addr), one.from)
        })
        .collect();
    let what = match mapping {
        Mapping::None => "none: others see the host's own address",
        Mapping::Same => "cone: one port for all",
        Mapping::Differs => "symmetric: another port for each, so no hole can be punched",
        Mapping::One => "there is a router; two hosts must look to tell its kind",
    };
    format!("{what} (seen at {})", places.join(", "))
}
