//! `p2pnode netcheck`: what routers do to this host, and how it is reached from outside.

use std::time::{Duration, Instant};

use p2pnode::{
    BootstrapAddr, Multiaddr, Node, Peer, PeerState,
    nat::{Mapping, Observed, Report},
    presets, upkeep,
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};

use crate::{
    args::reach::Netcheck,
    connect,
    context::Ctx,
    error::CliError,
    names,
    output::{
        address,
        json::{Meta, millis},
        reach,
        render::duration,
        style::Role,
    },
};

/// Addresses asked. Two tell the kind of a router, more only that one of them is gone.
const MAX_ASKED: usize = 8;

/// Members are asked as well if there are fewer to ask: the kind of a router shows in what two hosts see, and one may be gone.
const ENOUGH: usize = 3;

/// What one transport showed.
struct Probe {
    reached: usize,
    listen: Vec<String>,
    report: Report,
    mapping: Option<Mapping>,
}

/// A bootstrap address, and how long a TCP connection took.
struct Seed {
    addr: String,
    latency: Result<Duration, String>,
}

/// Looks and tells.
pub(super) async fn run(ctx: &Ctx, args: &Netcheck) -> Result<(), CliError> {
    let seeds = seeds(ctx)?;
    let work = async {
        let (tcp, udp, latencies) =
            tokio::join!(probe(&seeds, false, args.wait), probe(&seeds, true, args.wait), latencies(&seeds, args.wait));
        Ok((tcp?, udp?, latencies))
    };
    let (tcp, udp, latencies) = ctx.guard(None, Box::pin(work)).await?;
    let found = Found { tcp, udp, seeds: latencies, mdns: !ctx.global.no_mdns };
    let via = if ctx.daemon.is_some() { "daemon" } else { "ephemeral" };
    let meta = Meta::from([("via", json!(via)), ("elapsed_ms", millis(ctx.started.elapsed()))]);
    let report = ctx.daemon.as_ref().map(|daemon| daemon.node().reach());
    ctx.answer(found.json(report.as_ref()), meta, || found.text(ctx, report.as_ref()))
}

/// Those of the options, and of the node that runs; then members in the Internet.
fn seeds(ctx: &Ctx) -> Result<Vec<BootstrapAddr>, CliError> {
    let mut seeds = connect::bootstrap(ctx)?;
    let running = ctx.daemon.iter().flat_map(|daemon| daemon.node().looked().bootstrap_addrs);
    for seed in running.filter_map(|text| text.parse::<BootstrapAddr>().ok()) {
        if !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    for seed in ctx.daemon.iter().flat_map(|daemon| daemon.node().peers()).filter_map(|peer| in_internet(&peer)) {
        if seeds.len() < ENOUGH && !seeds.contains(&seed) {
            seeds.push(seed);
        }
    }
    seeds.truncate(MAX_ASKED);
    Ok(seeds)
}

/// Where a member can be asked, if that is in the Internet.
fn in_internet(peer: &Peer) -> Option<BootstrapAddr> {
    let mut known = peer.addresses.iter().map(|known| &known.addr).filter(|_| peer.state == PeerState::Online);
    let public = known.find(|addr| upkeep::is_public(addr) && !upkeep::is_web(addr))?;
    address::socket(&public.to_string())?.parse().ok()
}

async fn resolved(seed: &BootstrapAddr) -> Vec<Multiaddr> {
    seed.resolve().await.unwrap_or_default()
}

/// Asks all of them over one transport, from a port that is listened on: what a router makes of that one counts.
async fn probe(seeds: &[BootstrapAddr], udp: bool, wait: Duration) -> Result<Probe, CliError> {
    let mut asked: Vec<BootstrapAddr> = Vec::new();
    for seed in seeds {
        let fits = |addr: &&Multiaddr| addr.to_string().contains("/udp/") == udp;
        let addrs = resolved(seed).await;
        asked.extend(addrs.iter().find(fits).and_then(|addr| addr.to_string().parse().ok()));
    }
    let listen = if udp {
        ["/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/udp/0/quic-v1"]
    } else {
        ["/ip4/0.0.0.0/tcp/0", "/ip6/::/tcp/0"]
    };
    let listen = listen.map(|addr| addr.parse::<Multiaddr>()).into_iter().flatten();
    let builder = Node::builder(presets::Command).name(names::of_command()).mdns(false).local(false).dht(false);
    let node = Box::pin(builder.listen_all(listen).bootstrap(asked.iter().cloned()).start()).await?;
    let until = Instant::now() + wait;
    let enough = || {
        let seen = seen(&node.reach(), udp).len();
        seen >= asked.len().min(2)
    };
    while !enough() && Instant::now() < until {
        tokio::time::sleep(GLANCE).await;
    }
    let report = node.reach();
    let probe = Probe {
        reached: node.looked().libp2p_peers,
        listen: node.listen_addrs().iter().map(ToString::to_string).collect(),
        mapping: if udp { report.udp } else { report.tcp },
        report,
    };
    node.shutdown().await;
    Ok(probe)
}

/// Between two looks at what has been told.
const GLANCE: Duration = Duration::from_millis(20);

fn seen(report: &Report, udp: bool) -> Vec<&Observed> {
    report.observed.iter().filter(|one| one.addr.to_string().contains("/udp/") == udp).collect()
}

async fn latencies(seeds: &[BootstrapAddr], wait: Duration) -> Vec<Seed> {
    let one = async |seed: &BootstrapAddr| {
        let place = resolved(seed).await.iter().find_map(|addr| address::socket(&addr.to_string()));
        let latency = match place {
            None => Err("its name does not resolve".to_owned()),
            Some(place) => {
                let started = Instant::now();
                match timeout(wait, TcpStream::connect(&place)).await {
                    Ok(Ok(_)) => Ok(started.elapsed()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("no answer".to_owned()),
                }
            }
        };
        Seed { addr: seed.to_string(), latency }
    };
    futures::future::join_all(seeds.iter().map(one)).await
}

/// What was found out.
struct Found {
    tcp: Probe,
    udp: Probe,
    seeds: Vec<Seed>,
    mdns: bool,
}

impl Found {
    /// Whether packets come and go. Not known where nobody was asked.
    fn udp(&self) -> Option<bool> {
        if self.seeds.is_empty() { None } else { Some(self.udp.reached > 0) }
    }

    /// This host's own addresses of a family, without those of loopback and links.
    fn own(&self, six: bool) -> Vec<String> {
        let ips = self.tcp.listen.iter().filter_map(|addr| address::ip(addr));
        let wanted =
            |ip: &&str| ip.contains(':') == six && !ip.starts_with("127.") && *ip != "::1" && !ip.starts_with("fe80");
        let mut ips: Vec<String> = ips.filter(wanted).map(str::to_owned).collect();
        ips.dedup();
        ips
    }

    fn json(&self, node: Option<&Report>) -> Value {
        let seed = |seed: &Seed| json!({"addr": seed.addr, "latency_ms": seed.latency.as_ref().ok().copied().map(millis), "error": seed.latency.as_ref().err()});
        let probe = |probe: &Probe, udp| {
            let one = |one: &&Observed| json!({"by": one.by.to_string(), "from": one.from.to_string(), "addr": one.addr.to_string()});
            let observed: Vec<Value> = seen(&probe.report, udp).iter().map(one).collect();
            json!({"kind": probe.mapping.map(Mapping::as_str), "observed": observed})
        };
        json!({
            "udp": self.udp(),
            "ipv4": self.own(false),
            "ipv6": self.own(true),
            "nat": {"tcp": probe(&self.tcp, false), "udp": probe(&self.udp, true)},
            "bootstrap": self.seeds.iter().map(seed).collect::<Vec<_>>(),
            "mdns": self.mdns,
            "node": node.map(reach::json),
        })
    }

    fn text(&self, ctx: &Ctx, node: Option<&Report>) -> String {
        let row =
            |label: &str, text: &str| format!("{} {text}", ctx.out.style.paint(Role::Dim, &format!("{label:<10}")));
        let nobody = "nobody was asked: give --bootstrap, or start a node";
        let own = |six| {
            let own = self.own(six);
            if own.is_empty() { "no address".to_owned() } else { own.join(", ") }
        };
        let nat = |probe: &Probe, udp| match (probe.mapping, self.seeds.is_empty()) {
            (Some(mapping), _) => reach::mapping(mapping, &seen(&probe.report, udp)),
            (None, true) => nobody.to_owned(),
            (None, false) => "nobody outside answered".to_owned(),
        };
        let udp = match self.udp() {
            Some(true) => "yes",
            Some(false) => "no: QUIC was not answered",
            None => nobody,
        };
        let mut lines = vec![
            row("UDP", udp),
            row("IPv4", &own(false)),
            row("IPv6", &own(true)),
            row("NAT, TCP", &nat(&self.tcp, false)),
            row("NAT, UDP", &nat(&self.udp, true)),
        ];
        for seed in &self.seeds {
            let how = seed.latency.as_ref().map_or_else(Clone::clone, |latency| duration(*latency));
            lines.push(row("bootstrap", &format!("{}   {how}", seed.addr)));
        }
        lines.push(row("mDNS", if self.mdns { "on" } else { "off" }));
        if let Some(report) = node {
            lines.push(row("reached", &reach::reached(report)));
            lines.push(row("relay", &reach::relays(report, ctx.out.glyphs)));
            lines.push(row("UPnP", &reach::upnp(&report.upnp)));
        }
        lines.join("\n")
    }
}
