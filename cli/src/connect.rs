//! How a command gets its node. The only file that knows: in a process of its own a talking command starts a node with
//! a fresh key, which nobody is told about and which leaves when the command ends; for a client of the control socket it
//! borrows the node that runs. A command sees a [`Session`] and does not care.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use p2pnode::wire::ids::{SwarmName, Team};
use p2pnode::{BootstrapAddr, ErrorCode, Looked, Node, Peer, SwarmSeen, Target, TargetError, presets};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    context::Ctx,
    control::Daemon,
    error::CliError,
    names,
    output::{
        address,
        json::{Meta, millis},
    },
    profile,
};

/// How long the first look around may take; with a bootstrap address somebody far away may have to answer.
const LOOK: Duration = Duration::from_secs(3);
const LOOK_FAR: Duration = Duration::from_secs(10);

/// How long one address may take to answer: it is the target, without it there is nothing to do.
const LOOK_THERE: Duration = Duration::from_secs(5);

/// Between two looks at what is known of swarms.
const GLANCE: Duration = Duration::from_millis(5);

/// After the first swarm of this host is known, others may follow for this long.
const OTHERS: Duration = Duration::from_millis(50);

/// Verbs whose node takes part in conversations.
const TALKING: [&str; 5] = ["ask", "broadcast", "emit", "subscribe", "watch"];

/// Saying goodbye may take this long.
const LEAVE: Duration = Duration::from_millis(1_500);

/// In which swarms a command wants to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want<'a> {
    /// In one: the named one, else the only one there is.
    One(Option<&'a str>),
    /// In the named one, else in all there are.
    All(Option<&'a str>),
    /// In none: it only looks around.
    Nowhere,
}

/// A node for one command.
#[derive(Debug)]
pub(crate) struct Session {
    node: Node,
    swarms: Vec<String>,
    /// Of the swarm that was named, only this team.
    team: Option<String>,
    started: Instant,
    far: bool,
    /// Whose node it is; none if it is the command's own.
    daemon: Option<Arc<Daemon>>,
    /// A swarm was named: who is elsewhere is of no interest.
    narrow: bool,
}

impl Session {
    /// Starts a node in the wanted swarms. `target` is whom the command is about, if it is about somebody: it may name
    /// a swarm or be an address.
    pub(crate) async fn open(ctx: &Ctx, want: Want<'_>, target: Option<&str>) -> Result<Self, CliError> {
        if let Some(daemon) = &ctx.daemon {
            return Self::borrow(ctx, daemon, want, target);
        }
        let address = target.map(address_of).transpose()?.flatten();
        let (name, team) = named(ctx, want, target)?;
        let swarms = match (want, name) {
            (Want::Nowhere, _) => Vec::new(),
            (_, Some(name)) => vec![name],
            (want, None) => visible(ctx, want, address.as_ref()).await?,
        };
        let mut seeds: Vec<BootstrapAddr> = address.into_iter().collect();
        if want != Want::Nowhere {
            seeds.extend(joined_at(ctx, &swarms)?);
        }
        let node = start(ctx, &swarms, &seeds, true).await?;
        let far = !seeds.is_empty() || !ctx.global.bootstrap.is_empty();
        Ok(Self { node, swarms, team, started: ctx.started, far, daemon: None, narrow: false })
    }

    /// Takes the node that runs, for as much of it as is wanted.
    fn borrow(ctx: &Ctx, daemon: &Arc<Daemon>, want: Want<'_>, target: Option<&str>) -> Result<Self, CliError> {
        let (node, joined) = (daemon.node().clone(), daemon.node().swarms());
        let (name, team) = named(ctx, want, target)?;
        let narrow = name.is_some();
        let swarms = match (want, name) {
            (Want::Nowhere, _) => Vec::new(),
            (_, Some(name)) if joined.contains(&name) => vec![name],
            (_, Some(name)) => return Err(elsewhere(&node, &name)),
            (Want::One(_), None) if joined.len() > 1 => return Err(crate::error::node::which_swarm(&joined)),
            (_, None) => joined,
        };
        let far = target.map(address_of).transpose()?.flatten().is_some();
        Ok(Self { node, swarms, team, started: ctx.started, far, daemon: Some(daemon.clone()), narrow })
    }

    /// Whom a call, a ping or a question is for: in the named swarm, if the node is in others too.
    pub(crate) fn target(&self, target: &str) -> Target {
        let name = target != "." && !target.contains([':', '/', '@']) && target.parse::<p2pnode::PeerId>().is_err();
        let elsewhere = self.is_borrowed() && self.narrow && self.node.swarms().len() > 1;
        match elsewhere && name {
            true => Target::from(format!("{target}@{}", self.swarm())),
            false => Target::from(target),
        }
    }

    /// The peers a command may tell of: members of its swarms, and the node that it borrows, which others would see too.
    pub(crate) fn peers(&self) -> Vec<Peer> {
        self.seen(self.node.peers())
    }

    /// The same with those of whom only others tell.
    pub(crate) fn roster(&self) -> Vec<Peer> {
        self.seen(self.node.roster())
    }

    fn seen(&self, mut peers: Vec<Peer>) -> Vec<Peer> {
        peers.extend(self.daemon.as_ref().and_then(|daemon| daemon.itself()));
        let here = |peer: &Peer| self.daemon.is_none() || peer.swarms.iter().any(|swarm| self.swarms.contains(swarm));
        peers.retain(|peer| here(peer) && self.team.as_ref().is_none_or(|team| peer.team.as_ref() == Some(team)));
        peers.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        peers
    }

    /// One peer, waited for while discovery goes on.
    pub(crate) async fn peer(&self, target: &str) -> Result<Peer, TargetError> {
        match self.daemon.as_ref().filter(|daemon| daemon.about().is(target)).and_then(|daemon| daemon.itself()) {
            Some(itself) => Ok(itself),
            None => self.node.peer(self.target(target)).await,
        }
    }

    /// Whether what happens in this swarm concerns the command.
    pub(crate) fn covers(&self, swarm: &str) -> bool {
        self.daemon.is_none() || self.swarms.iter().any(|own| own == swarm)
    }

    /// Whether the node is one that runs anyway.
    pub(crate) fn is_borrowed(&self) -> bool {
        self.daemon.is_some()
    }

    /// The node.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// The swarm of a command that wants one.
    pub(crate) fn swarm(&self) -> &str {
        self.swarms.first().map_or("", String::as_str)
    }

    /// The same with the team, if one was named: `garden/backend`.
    pub(crate) fn place(&self) -> String {
        self.team.as_ref().map_or_else(|| self.swarm().to_owned(), |team| format!("{}/{team}", self.swarm()))
    }

    /// All swarms the command is in.
    pub(crate) fn swarms(&self) -> &[String] {
        &self.swarms
    }

    /// Whether somebody far away was asked to introduce us: then things take longer.
    pub(crate) fn is_far(&self) -> bool {
        self.far
    }

    /// Waits for the first look around.
    pub(crate) async fn discovered(&self) {
        self.node.discovered(if self.far { LOOK_FAR } else { LOOK }).await;
    }

    /// `meta` of an answer.
    pub(crate) fn meta(&self) -> Meta {
        let swarm = if self.swarms.len() == 1 { json!(self.swarms[0]) } else { json!(self.swarms) };
        Meta::from([
            ("via", json!(if self.is_borrowed() { "daemon" } else { "ephemeral" })),
            ("node", json!(self.node.peer_id().to_string())),
            ("swarm", swarm),
            ("elapsed_ms", millis(self.started.elapsed())),
        ])
    }

    /// Leaves, unless the node runs anyway.
    pub(crate) async fn close(self) {
        if self.is_borrowed() {
            return;
        }
        leave(self.node).await;
    }
}

/// Runs a command's work on a session and leaves afterwards, however it went.
pub(crate) async fn with<T>(
    ctx: &Ctx,
    want: Want<'_>,
    target: Option<&str>,
    work: impl AsyncFnOnce(&Session) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let session = ctx.guard(None, Session::open(ctx, want, target)).await?;
    let outcome = work(&session).await;
    session.close().await;
    outcome
}

/// The swarm that was named: in the command, in the target (`name@swarm`), by option or environment.
fn named(ctx: &Ctx, want: Want<'_>, target: Option<&str>) -> Result<(Option<String>, Option<String>), CliError> {
    let given = match want {
        Want::One(name) | Want::All(name) => name,
        Want::Nowhere => None,
    };
    let in_target = || target.filter(|target| !target.contains([':', '/']))?.rsplit_once('@').map(|(_, swarm)| swarm);
    let Some(text) = given.or_else(in_target).or(ctx.global.swarm.as_deref()) else { return Ok((None, None)) };
    let (name, team) = place(text)?;
    Ok((Some(name), team))
}

/// The node that runs is not in the swarm that was named.
fn elsewhere(node: &Node, name: &str) -> CliError {
    let swarms = node.swarms().join(", ");
    CliError::of(ErrorCode::NotFound, format!("the running node is not in swarm \"{name}\""))
        .looked(format!("{}, which is in {swarms}", node.name()))
        .detail("swarms", node.swarms())
        .try_also(crate::output::render::again("--ephemeral", ""), "with a node of its own")
}

/// A well-formed swarm name, in its normal form.
pub(crate) fn swarm_name(text: &str) -> Result<String, CliError> {
    match place(text)? {
        (swarm, None) => Ok(swarm),
        (swarm, Some(_)) => Err(CliError::usage(format!("{text} is a team, not a swarm: leave it at {swarm}"))),
    }
}

/// `garden` or `garden/backend`: swarm and team, in their normal form.
pub(crate) fn place(text: &str) -> Result<(String, Option<String>), CliError> {
    let (swarm, team) = text.split_once('/').map_or((text, None), |(swarm, team)| (swarm, Some(team)));
    let wrong = |error: p2pnode::wire::ids::NameError| CliError::usage(error.to_string());
    let swarm: SwarmName = swarm.parse().map_err(wrong)?;
    let team: Option<Team> = team.map(str::parse).transpose().map_err(wrong)?;
    Ok((swarm.to_string(), team.map(|team| team.to_string())))
}

/// The address, if the target is one; names have no colons and slashes.
pub(crate) fn address_of(target: &str) -> Result<Option<BootstrapAddr>, CliError> {
    if target.starts_with("cap:") || target.starts_with("role:") || !target.contains([':', '/']) {
        return Ok(None);
    }
    target.parse().map(Some).map_err(|error: p2pnode::AddrError| CliError::usage(error.to_string()))
}

/// Looks which swarms there are: on this host, else anywhere. A node can only join when it starts, so the one that
/// looks is not the one that talks.
pub(crate) async fn visible(
    ctx: &Ctx,
    want: Want<'_>,
    address: Option<&BootstrapAddr>,
) -> Result<Vec<String>, CliError> {
    // Who is at an address is told by nobody else.
    let seeds = address.map_or_else(|| joined_at(ctx, &[]), |address| Ok(vec![address.clone()]))?;
    let scout = start(ctx, &[], &seeds, address.is_none()).await?;
    let (nearest, look) = match address {
        Some(_) => ("bootstrap", LOOK_THERE),
        None => ("local", if ctx.global.bootstrap.is_empty() && seeds.is_empty() { LOOK } else { LOOK_FAR }),
    };
    tokio::select! {
        _ = scout.discovered(look) => {}
        () = seen_by(&scout, nearest) => {}
    }
    if let Some(address) = address.filter(|_| scout.looked().libp2p_peers == 0) {
        return Err(crate::error::node::unreachable(&scout, address));
    }
    let seen = scout.swarms_seen();
    let near = seen.iter().filter(|swarm| swarm.seen_by.iter().any(|by| by == nearest));
    let mut names: Vec<String> = near.map(|swarm| swarm.name.clone()).collect();
    if names.is_empty() && address.is_none() {
        names = seen.iter().map(|swarm| swarm.name.clone()).collect();
    }
    let outcome = match (want, names.len()) {
        (Want::One(_), 0) => Err(crate::error::node::no_swarm(&scout)),
        (Want::One(_), 2..) => Err(crate::error::node::which_swarm(&names)),
        _ => Ok(names),
    };
    // It has told nobody of itself: there is nobody to say goodbye to.
    drop(scout);
    outcome
}

/// Swarms of this host win: once they are known, nobody has to wait for the network.
async fn seen_by(scout: &Node, how: &str) {
    while !scout.swarms_seen().iter().any(|swarm| swarm.seen_by.iter().any(|by| by == how)) {
        sleep(GLANCE).await;
    }
    sleep(OTHERS).await;
}

/// Starts a node for one command. Unless it looks `around`, it only asks at those addresses.
async fn start(ctx: &Ctx, swarms: &[String], seeds: &[BootstrapAddr], around: bool) -> Result<Node, CliError> {
    let (mdns, local) = (around && !ctx.global.no_mdns, around && !ctx.global.no_local);
    let mut builder = Node::builder(presets::Command).name(names::of_command()).mdns(mdns).local(local);
    if TALKING.contains(&ctx.verb) {
        builder = builder.gossip(true);
    }
    if local {
        builder = builder.paths(profile::paths(&ctx.global)?);
    }
    for swarm in swarms {
        builder = builder.swarm(swarm);
    }
    let given = if around { bootstrap(ctx)? } else { Vec::new() };
    let builder = builder.bootstrap(given.into_iter().chain(seeds.iter().cloned()));
    // Boxed: half of a node lives in this future.
    Ok(Box::pin(builder.start()).await?)
}

/// A node for one command in that swarm, which also looks there.
pub(crate) async fn start_for(ctx: &Ctx, swarm: &str, seeds: &[BootstrapAddr]) -> Result<Node, CliError> {
    start(ctx, &[swarm.to_owned()], seeds, true).await
}

/// A node of one command ends.
pub(crate) async fn leave(node: Node) {
    // A node that cannot leave in time is gone a moment later all the same.
    let _ = tokio::time::timeout(LEAVE, node.shutdown()).await;
}

/// The bootstrap addresses of the options, those of tickets among them.
pub(crate) fn bootstrap(ctx: &Ctx) -> Result<Vec<BootstrapAddr>, CliError> {
    let all = ctx.global.bootstrap.iter().map(|text| crate::ticket::bootstrap(text));
    Ok(all.collect::<Result<Vec<_>, _>>()?.concat())
}

/// Where the profile has found these swarms before, or any swarm if none is given.
fn joined_at(ctx: &Ctx, swarms: &[String]) -> Result<Vec<BootstrapAddr>, CliError> {
    let joined = crate::joined::read(&profile::paths(&ctx.global)?, profile::chosen(&ctx.global))?;
    let wanted = joined.iter().filter(|joined| swarms.is_empty() || swarms.contains(&joined.swarm));
    Ok(wanted.flat_map(crate::joined::Joined::addresses).collect())
}

/// Adds to an error where its command has looked, in words and for programs.
pub(crate) fn looked(error: CliError, node: &Node, swarm: Option<&str>) -> CliError {
    let looked = looked_of(node);
    let places = [("local", looked.local_enabled), ("mdns", looked.mdns_enabled), ("bootstrap", looked.bootstrap > 0)];
    let places: Vec<&str> = places.into_iter().filter(|(_, used)| *used).map(|(place, _)| place).collect();
    error
        .looked(crate::output::looked::text(&looked, swarm))
        .detail("looked_in", places)
        .detail("libp2p_peers", looked.libp2p_peers)
        .detail("swarms_seen", looked.swarms_seen)
}

/// Where a node has looked. Nodes of this host in other swarms are not dialled, so discovery does not count them.
pub(crate) fn looked_of(node: &Node) -> Looked {
    let mut looked = node.looked();
    let here = |swarm: &SwarmSeen| !swarm.joined && swarm.seen_by.iter().any(|by| by == "local");
    let others = node.swarms_seen().iter().filter(|swarm| here(swarm)).map(|swarm| swarm.nodes).max();
    // A node that has run for a while counts only what it found first.
    let beside = |peer: &Peer| peer.path.as_ref().is_some_and(|path| address::is_here(&path.addr.to_string()));
    let beside = node.peers().iter().filter(|peer| !peer.ephemeral && beside(peer)).count();
    looked.local = looked.local.max(others.unwrap_or_default()).max(beside);
    looked
}
