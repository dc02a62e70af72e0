//! `p2pnode join`, `leave` and `invite`.

use std::time::Duration;

use p2pnode::{
    BootstrapAddr, ErrorCode, InviteError, JoinError, Node, PeerState, TicketAddresses, ticket_seeds,
    wire::{ids::PeerKey, ticket::Ticket},
};
use serde_json::{Value, json};

use crate::{
    args::{
        Verb,
        join::{Invite, InviteVerb, Join, Leave},
    },
    connect::{self, Session, Want},
    context::Ctx,
    control::not_running,
    error::CliError,
    joined,
    output::{
        escape_line,
        json::{Meta, millis},
        render::{count, duration, short_id},
    },
    profile,
    ticket::{self, Place},
};

/// Somebody of the swarm shall have greeted us within this time; who is asked for an address far away takes a while.
const MEET: Duration = Duration::from_secs(10);

/// Where nothing says that somebody is there.
const LOOK: Duration = Duration::from_secs(2);

/// Between two looks at what has failed.
const GLANCE: Duration = Duration::from_millis(50);

/// After the first one others may follow for so long, so that the number told is not always one.
const OTHERS: Duration = Duration::from_millis(150);

/// Joins, and keeps it for the next time.
pub(super) async fn join(ctx: &Ctx, args: &Join) -> Result<(), CliError> {
    let place = Place::read(&given(ctx, args.ticket.as_deref()).await?)?;
    let goal = match &place {
        Place::Ticket(ticket) => Goal { swarm: ticket.name().to_string(), seeds: ticket_seeds(ticket) },
        Place::Swarm(name) => Goal { swarm: name.clone(), seeds: connect::bootstrap(ctx)? },
        Place::Address(address) => {
            let swarms = connect::visible(ctx, Want::One(None), Some(address)).await?;
            Goal { swarm: swarms.concat(), seeds: vec![address.clone()] }
        }
    };
    match &ctx.daemon {
        Some(daemon) => {
            let node = daemon.node();
            let new = node.join(&goal.swarm, goal.seeds.clone()).await.map_err(failed)?;
            joined::add(&profile::paths(&ctx.global)?, &daemon.facts().profile, &goal.swarm, &goal.seeds)?;
            let there = met(ctx, node, &goal).await;
            goal.told(ctx, node, there, new)
        }
        None => {
            // Whether it is there is found out before it is kept.
            let node = connect::start_for(ctx, &goal.swarm, &goal.seeds).await?;
            let there = met(ctx, &node, &goal).await;
            let outcome = goal.told(ctx, &node, there, true);
            connect::leave(node).await;
            if outcome.is_ok() {
                joined::add(&profile::paths(&ctx.global)?, profile::chosen(&ctx.global), &goal.swarm, &goal.seeds)?;
            }
            outcome
        }
    }
}

/// Which swarm, and where it is.
struct Goal {
    swarm: String,
    seeds: Vec<BootstrapAddr>,
}

/// What was typed stands for. A client has read it already, and has no files opened here.
async fn given(ctx: &Ctx, word: Option<&str>) -> Result<String, CliError> {
    match ctx.daemon {
        Some(_) => Ok(word.unwrap_or_default().to_owned()),
        None => ticket::given(word).await,
    }
}

/// Waits for somebody of the swarm. How many are there.
async fn met(ctx: &Ctx, node: &Node, goal: &Goal) -> usize {
    let wait = if goal.seeds.is_empty() { LOOK } else { MEET };
    let wait = ctx.left(None).map_or(wait, |left| left.min(wait));
    let is_there =
        |peer: &p2pnode::Peer| !peer.ephemeral && peer.state == PeerState::Online && peer.swarms.contains(&goal.swarm);
    let came = tokio::select! {
        came = node.wait_until(wait, |peers| peers.iter().any(is_there)) => came,
        () = refused(node, goal) => false,
    };
    if !came {
        return 0;
    }
    tokio::time::sleep(OTHERS).await;
    node.peers().iter().filter(|peer| is_there(peer)).count()
}

/// All addresses have failed; never if there is none.
async fn refused(node: &Node, goal: &Goal) {
    let failed = || {
        let failed = node.looked().bootstrap_failed;
        goal.seeds.iter().all(|seed| failed.iter().any(|(addr, _)| *addr == seed.to_string()))
    };
    while goal.seeds.is_empty() || !failed() {
        tokio::time::sleep(GLANCE).await;
    }
}

impl Goal {
    fn told(&self, ctx: &Ctx, node: &Node, there: usize, new: bool) -> Result<(), CliError> {
        let daemon = ctx.daemon.is_some();
        if there == 0 && !self.seeds.is_empty() {
            return Err(self.nobody(node, daemon));
        }
        let data = json!({
            "swarm": self.swarm,
            "new": new,
            "peers": there,
            "seeds": self.seeds.iter().map(ToString::to_string).collect::<Vec<_>>(),
        });
        let meta = Meta::from([
            ("via", json!(if daemon { "daemon" } else { "ephemeral" })),
            ("elapsed_ms", millis(ctx.started.elapsed())),
        ]);
        ctx.answer(data, meta, || {
            let name = escape_line(&self.swarm);
            let peers = match there {
                0 => "nobody else is here yet".to_owned(),
                there => count(there, "peer", "peers"),
            };
            let verb = if new { "joined" } else { "already in" };
            let next = if daemon { "" } else { "\np2pnode up takes part in it, p2pnode ask asks it" };
            format!("{verb} {name}   {peers}   {}{next}", duration(ctx.started.elapsed()))
        })
    }

    /// Each address, and why it did not answer.
    fn nobody(&self, node: &Node, daemon: bool) -> CliError {
        let message = format!("nobody of \"{}\" was reached", self.swarm);
        let mut error = CliError::of(ErrorCode::AgentUnavailable, message);
        let failed = node.looked().bootstrap_failed;
        for seed in self.seeds.iter().map(ToString::to_string) {
            let why = failed.iter().find(|(addr, _)| *addr == seed).map_or("no answer", |(_, why)| why.as_str());
            // A reason may begin with the address itself.
            let why = why.strip_prefix(&seed).map_or(why, |why| why.trim_start_matches([':', ' ']));
            error = error.maybe(format!("{seed}: {why}"));
        }
        if daemon {
            error = error.maybe("the running node is in the swarm now, and keeps trying");
        }
        error
            .maybe("who made the ticket is down, has moved, or is behind a router that lets nothing in")
            .try_also("p2pnode netcheck", "what routers do here")
            .detail("swarm", self.swarm.as_str())
    }
}

fn failed(error: JoinError) -> CliError {
    match error {
        JoinError::SwarmName(error) => CliError::usage(error.to_string()),
        JoinError::TooManySwarms { .. } => CliError::of(ErrorCode::Overloaded, error.to_string())
            .try_also("p2pnode up SWARM", "a node of its own for this one, with --profile NAME"),
        other => CliError::of(ErrorCode::AgentUnavailable, other.to_string()),
    }
}

/// Forgets a swarm.
pub(super) fn leave(ctx: &Ctx, args: &Leave) -> Result<(), CliError> {
    let swarm = connect::swarm_name(&args.swarm)?;
    let (paths, profile) = (profile::paths(&ctx.global)?, profile::chosen(&ctx.global));
    if !joined::remove(&paths, profile, &swarm)? {
        let known = joined::read(&paths, profile)?.into_iter().map(|joined| joined.swarm).collect::<Vec<_>>();
        let known = if known.is_empty() { "it has joined none".to_owned() } else { known.join(", ") };
        return Err(CliError::of(ErrorCode::NotFound, format!("profile {profile} has not joined \"{swarm}\""))
            .looked(known)
            .maybe("a swarm that `up` names is left by not naming it any more"));
    }
    let meta = Meta::from([("elapsed_ms", millis(ctx.started.elapsed()))]);
    ctx.answer(json!({"swarm": swarm}), meta, || {
        format!("forgotten: {}   a node that runs stays in it until it stops", escape_line(&swarm))
    })
}

/// Makes a ticket, or shows one.
pub(super) async fn invite(ctx: &Ctx, args: &Invite) -> Result<(), CliError> {
    if let Some(InviteVerb::Inspect { ticket }) = &args.verb {
        let ticket = ticket::read(given(ctx, ticket.as_deref()).await?.trim())?;
        let meta = Meta::from([("elapsed_ms", millis(ctx.started.elapsed()))]);
        return ctx.answer(inspected(&ticket), meta, || shown(ctx, &ticket));
    }
    let Some(daemon) = ctx.daemon.as_deref() else { return Err(not_running(&Verb::Invite(args.clone()))) };
    let session = Session::open(ctx, Want::One(args.invite_swarm.as_deref()), None).await?;
    let ticket = made(daemon.node(), session.swarm(), args.addr.into())?;
    let meta = Meta::from([("via", json!("daemon")), ("elapsed_ms", millis(ctx.started.elapsed()))]);
    let mut data = inspected(&ticket);
    data["ticket"] = json!(ticket.to_string());
    if !ctx.out.is_json() {
        ctx.out.say(&format!("on the other host:  p2pnode join {}", cut(&ticket)));
    }
    ctx.answer(data, meta, || ticket.to_string())
}

/// A ticket, or why there is none.
pub(super) fn made(node: &Node, swarm: &str, which: TicketAddresses) -> Result<Ticket, CliError> {
    node.ticket(swarm, which).map_err(|error| match &error {
        InviteError::NotJoined { .. } => CliError::of(ErrorCode::NotFound, error.to_string()),
        InviteError::NoAddress { .. } => CliError::of(ErrorCode::NotFound, error.to_string())
            .maybe("routers let nobody in, and no member runs as a relay")
            .try_also("p2pnode netcheck", "what routers do here")
            .try_also("p2pnode invite --addr lan", "for this network"),
        _ => CliError::internal(error.to_string()),
    })
}

/// For people: the whole of it is on stdout.
fn cut(ticket: &Ticket) -> String {
    let text = ticket.to_string();
    match (text.get(..12), text.get(text.len().saturating_sub(3)..)) {
        (Some(head), Some(tail)) if text.len() > 24 => format!("{head}…{tail}"),
        _ => text,
    }
}

fn id(key: &PeerKey) -> String {
    p2pnode::peer_of(key).map_or_else(|| "a key that is none".to_owned(), |peer| peer.to_string())
}

fn inspected(ticket: &Ticket) -> Value {
    let peers = ticket.peers().iter().map(|peer| {
        let addresses = p2pnode::ticket_addresses(peer).map(|addr| addr.to_string()).collect::<Vec<_>>();
        json!({"peer_id": id(&peer.peer), "addresses": addresses})
    });
    json!({"swarm": ticket.name().as_str(), "mode": "open", "peers": peers.collect::<Vec<_>>()})
}

fn shown(ctx: &Ctx, ticket: &Ticket) -> String {
    let mut lines = vec![format!("swarm {}   open: who knows the name can join", escape_line(ticket.name().as_str()))];
    for peer in ticket.peers() {
        let short = short_id(&id(&peer.peer), ctx.out.glyphs.cut);
        let addresses: Vec<String> = p2pnode::ticket_addresses(peer).map(|addr| format!("  {short}  {addr}")).collect();
        match addresses.is_empty() {
            true => lines.push(format!("  {short}  no address: it is looked for by its id")),
            false => lines.extend(addresses),
        }
    }
    lines.join("\n")
}
