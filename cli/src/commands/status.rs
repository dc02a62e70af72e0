//! `p2pnode status`: a node that runs, on one screen.

use std::time::Duration;

use p2pnode::{Peer, PeerState};
use serde_json::{Value, json};

use crate::{
    args::{
        Verb,
        daemon::{Availability, Status},
    },
    context::Ctx,
    control::{Daemon, not_running},
    error::{CliError, exit},
    output::{
        address, escape_line,
        json::{Meta, millis},
        reach,
        render::{count, duration, short_id, size},
        style::Role,
    },
};

/// Asking the routing table may take this long; a node that is busy has other things to tell.
const TABLE: Duration = Duration::from_secs(1);

/// Members of one swarm, this node included.
struct Swarm {
    name: String,
    online: usize,
    suspect: usize,
    offline: usize,
}

/// What there is to tell.
struct Screen {
    swarms: Vec<Swarm>,
    listen: Vec<String>,
    table: Option<usize>,
    connections: usize,
    calls: (u64, u64),
    rss: Option<u64>,
    problems: Vec<String>,
}

/// Tells how it is. Runs in the node's process; elsewhere there is none to tell of.
pub(super) async fn run(ctx: &Ctx, args: &Status) -> Result<u8, CliError> {
    let Some(daemon) = ctx.daemon.as_deref() else {
        return Err(not_running(&Verb::Status(args.clone())));
    };
    let screen = Screen::look(daemon).await;
    let meta = Meta::from([
        ("via", json!("daemon")),
        ("node", json!(daemon.node().peer_id().to_string())),
        ("elapsed_ms", millis(ctx.started.elapsed())),
    ]);
    ctx.answer(screen.json(daemon), meta, || screen.text(ctx, daemon))?;
    Ok(if args.strict && !screen.problems.is_empty() { exit::CHECK } else { 0 })
}

/// Tells others whether the node takes work, or prints what it tells.
pub(super) async fn availability(ctx: &Ctx, args: &Availability) -> Result<(), CliError> {
    let Some(daemon) = ctx.daemon.as_deref() else {
        return Err(not_running(&Verb::Availability(args.clone())));
    };
    let card = daemon.node().card();
    let told = || card.as_ref().map(p2pnode::Availability::of).unwrap_or_default();
    let availability = args.availability.map_or_else(told, Into::into);
    if args.availability.is_some() {
        daemon.node().set_availability(availability).await;
    }
    let text = availability.as_str();
    ctx.answer(json!({"availability": text}), super::mute::meta(ctx), || text.to_owned())
}

impl Screen {
    async fn look(daemon: &Daemon) -> Self {
        let (node, stats) = (daemon.node(), daemon.node().stats());
        // Those it has met, and those of whom others tell.
        let members = node.roster();
        let swarms = node.swarms().into_iter().map(|name| Swarm::count(&members, name)).collect();
        let table = tokio::time::timeout(TABLE, node.dht().table()).await;
        let listen: Vec<String> = node.listen_addrs().iter().map(ToString::to_string).collect();
        let mut problems: Vec<String> = daemon.warning().into_iter().collect();
        if listen.is_empty() {
            problems.push("it listens nowhere: others cannot reach it".to_owned());
        }
        Self {
            swarms,
            listen,
            table: table.ok().and_then(Result::ok).map(|table| table.len()),
            connections: node.looked().libp2p_peers,
            calls: (stats.fast_calls + stats.classic_calls, stats.fast_served + stats.classic_served),
            rss: rss(),
            problems,
        }
    }

    fn json(&self, daemon: &Daemon) -> Value {
        let (node, facts) = (daemon.node(), daemon.facts());
        let swarm = |swarm: &Swarm| {
            json!({
                "name": swarm.name, "mode": "open",
                "online": swarm.online, "suspect": swarm.suspect, "offline": swarm.offline,
            })
        };
        json!({
            "name": node.name(),
            "peer_id": node.peer_id().to_string(),
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "profile": facts.profile,
            "detached": facts.detached,
            "control": daemon.socket().display().to_string(),
            "uptime_ms": millis(daemon.uptime()),
            "swarms": self.swarms.iter().map(swarm).collect::<Vec<_>>(),
            "network": {
                "listen": self.listen, "allow": if facts.any { "any" } else { "private" },
                "reach": reach::json(&node.reach()),
            },
            "dht": {"peers": self.table},
            "serving": daemon.serving(),
            "load": {
                "connections": self.connections, "calls_made": self.calls.0, "calls_served": self.calls.1,
                "commands": daemon.running(), "rss_bytes": self.rss,
            },
            "health": {"ok": self.problems.is_empty(), "problems": self.problems},
        })
    }

    fn text(&self, ctx: &Ctx, daemon: &Daemon) -> String {
        let (node, out) = (daemon.node(), &ctx.out);
        let row = |label: &str, text: &str| format!("  {} {text}", out.style.paint(Role::Dim, &format!("{label:<9}")));
        let mut lines = vec![format!(
            "{}   {}   up {}   p2pnode {}",
            out.style.paint(Role::Name, &escape_line(node.name())),
            short_id(&node.peer_id().to_string(), out.glyphs.cut),
            duration(daemon.uptime()),
            env!("CARGO_PKG_VERSION")
        )];
        let width = self.swarms.iter().map(|swarm| swarm.name.chars().count()).max().unwrap_or_default();
        for (at, swarm) in self.swarms.iter().enumerate() {
            let label = if at == 0 { "swarms" } else { "" };
            lines.push(row(label, &format!("{:width$} (open)   {}", swarm.name, swarm.text())));
        }
        lines.push(row("network", &address::line(&self.listen, out.glyphs.cut)));
        lines.push(row("", &reach::line(&node.reach(), out.glyphs)));
        let table = self.table.map(|peers| format!("{} in the table", count(peers, "peer", "peers")));
        lines.push(row("dht", table.as_deref().unwrap_or("did not answer")));
        let serving = daemon.serving();
        if !serving.is_empty() {
            lines.push(row("serving", &escape_line(&serving.join(", "))));
        }
        lines.push(row("load", &self.load(daemon)));
        let health = match self.problems.is_empty() {
            true => out.style.paint(Role::Ok, "ok"),
            false => out.style.paint(Role::Warn, &escape_line(&self.problems.join("; "))),
        };
        lines.push(row("health", &health));
        lines.join("\n")
    }

    fn load(&self, daemon: &Daemon) -> String {
        let (made, served) = self.calls;
        let connected = count(self.connections, "connection", "connections");
        let commands = count(daemon.running(), "command", "commands");
        let rss = self.rss.and_then(|bytes| usize::try_from(bytes).ok()).map(|bytes| format!("   {} rss", size(bytes)));
        format!("{connected}   calls {made} made, {served} served   {commands}{}", rss.unwrap_or_default())
    }
}

impl Swarm {
    fn count(members: &[Peer], name: String) -> Self {
        let here = || members.iter().filter(|peer| !peer.ephemeral && peer.swarms.contains(&name));
        let count = |state| here().filter(|peer| peer.state == state).count();
        Self {
            // This node is one of them, as in the list of members.
            online: count(PeerState::Online) + 1,
            suspect: count(PeerState::Suspect),
            offline: count(PeerState::Offline),
            name,
        }
    }

    fn text(&self) -> String {
        format!("{} online   {} suspect   {} offline", self.online, self.suspect, self.offline)
    }
}

/// Memory in use, where the system tells it in a file.
fn rss() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}
