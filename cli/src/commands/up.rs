//! `p2pnode up`: a node in the foreground, until Ctrl-C.

use std::{collections::HashSet, sync::Arc, time::Duration};

use futures::StreamExt as _;
use p2pnode::{
    Allow, Builder, Capability, Endpoint, ErrorCode, Multiaddr, Node, NodeEvent, TicketAddresses, nat::Relay, presets,
};
use serde_json::{Value, json};
use tokio::{sync::Semaphore, time::sleep};

use crate::{
    args::up::{self, Single, Up},
    background, config, connect,
    context::Ctx,
    control::{Daemon, Facts, Server, Socket},
    demo,
    error::CliError,
    hooks::{Hook, Standing},
    joined,
    output::{
        banner::Banner,
        feed::{self, Feed},
        json::millis,
        render::again,
    },
    port,
    profile::{self, Kept},
    program::{self, Answers, Program, Serves, Streams},
    ticket,
};

/// Saying goodbye may take this long.
const LEAVE: Duration = Duration::from_millis(1_500);

/// Addresses that come within this time of each other belong into the banner; it is not held up much longer.
const PAUSE: Duration = Duration::from_millis(10);
const ADDRESSES: u32 = 10;

/// Programs get TERM when the node stops; after their grace they are killed.
const PROGRAMS: Duration = Duration::from_millis(1_500);

/// Serves until something ends it.
pub(super) async fn run(ctx: &Ctx, args: Up) -> Result<u8, CliError> {
    if args.detach && !background::is_child() {
        // Wrong words are told before a process is started for them.
        Wanted::read(ctx, &args)?;
        return Box::pin(background::detach(ctx, &args)).await;
    }
    let mut ready = false;
    let outcome = serve(ctx, &args, &mut ready).await;
    if let Err(error) = &outcome {
        background::failed(error);
    }
    if !ctx.out.is_json() || outcome.as_ref().is_err_and(|error| error.exit() == 0) {
        return outcome;
    }
    let exit = outcome.as_ref().map_or_else(CliError::exit, |exit| *exit);
    let mut line = json!({"command": ctx.verb, "ok": outcome.is_ok(), "exit": exit, "ready": ready});
    line["up_ms"] = millis(ctx.started.elapsed());
    if let Err(error) = outcome {
        line["error"] = error.to_json();
    }
    ctx.out.event("summary", line).map(|()| exit)
}

async fn serve(ctx: &Ctx, args: &Up, ready: &mut bool) -> Result<u8, CliError> {
    let wanted = Wanted::read(ctx, args)?;
    let kept = Kept::take(ctx, args)?;
    let paths = profile::paths(&ctx.global)?;
    let socket = Socket::bind(&paths, kept.name())?;
    let turn = paths.take_turn();
    let (port, new, kept_name) = (wanted.port(args, kept.port())?, kept.is_new(), kept.name().to_owned());
    let name = args.name.clone().unwrap_or_else(|| kept.default_name());
    let builder = wanted.builder(args, port, &name);
    let builder = kept.into_builder(builder, port)?;
    let node = ctx.guard(None, Box::pin(async { Ok(builder.start().await?) })).await?;
    drop(turn);
    let hooks = Standing::start(ctx, &node, wanted.hooks.clone())?;
    let facts = Facts {
        socket: socket.path().to_owned(),
        home: ctx.global.home.clone(),
        asks: args.demo || wanted.ask.is_some(),
        serving: wanted.serving(args),
        detached: background::is_child(),
        any: args.allow == up::Allow::Any,
        started: Some(ctx.started),
        profile: kept_name,
    };
    let server = Server::start(socket, Daemon::new(node.clone(), facts));
    if background::is_child() {
        tokio::spawn(background::keep_log_small(background::log_path(&paths, &server.daemon().facts().profile)?));
    }
    let outcome = announce_and_watch(ctx, args, server.daemon(), &wanted, new, ready).await;
    drop(hooks);
    leave(&node).await;
    server.close().await;
    outcome
}

/// What the options ask for, checked before anything is touched.
struct Wanted {
    swarms: Vec<String>,
    team: Option<String>,
    capabilities: Vec<Capability>,
    listen: Vec<Multiaddr>,
    bootstrap: Vec<p2pnode::BootstrapAddr>,
    ask: Option<Arc<Program>>,
    serve: Vec<(String, Arc<Program>)>,
    single: Option<(Endpoint, Arc<Program>)>,
    slots: Arc<Semaphore>,
    /// Of `config.toml`, for these swarms.
    hooks: Vec<Hook>,
    /// How many more there are, for others.
    other_hooks: usize,
    mdns: bool,
    local: bool,
}

/// A card names one team.
fn one_team<'a>(given: Option<&'a str>, named: impl Iterator<Item = &'a str>) -> Result<Option<String>, CliError> {
    let mut teams: Vec<&str> = given.into_iter().chain(named).collect();
    teams.sort_unstable();
    teams.dedup();
    match teams.as_slice() {
        [] => Ok(None),
        [team] => Ok(Some((*team).to_owned())),
        several => {
            Err(CliError::usage(format!("a node is in one team: leave all but one of {} out", several.join(", ")))
                .try_this("p2pnode up garden --team backend"))
        }
    }
}

impl Wanted {
    fn read(ctx: &Ctx, args: &Up) -> Result<Self, CliError> {
        let given = args
            .swarms
            .iter()
            .map(String::as_str)
            .chain(args.swarms.is_empty().then_some(ctx.global.swarm.as_deref()).flatten());
        let places = given.map(connect::place).collect::<Result<Vec<_>, _>>()?;
        let team = one_team(args.team.as_deref(), places.iter().filter_map(|(_, team)| team.as_deref()))?;
        let mut swarms: Vec<String> = places.into_iter().map(|(swarm, _)| swarm).collect();
        let mut bootstrap = connect::bootstrap(ctx)?;
        if swarms.is_empty() {
            let tickets = ctx.global.bootstrap.iter().filter(|text| ticket::looks_like_one(text));
            swarms = tickets.map(|text| Ok(ticket::read(text)?.name().to_string())).collect::<Result<_, CliError>>()?;
        }
        // `serve` is for one swarm, and for as long as it runs.
        if args.single.is_none() {
            for joined in joined::read(&profile::paths(&ctx.global)?, profile::wanted(ctx, args))? {
                bootstrap.extend(joined.addresses());
                if !swarms.contains(&joined.swarm) {
                    swarms.push(joined.swarm);
                }
            }
        }
        if swarms.is_empty() {
            return Err(CliError::usage("which swarm? Any name will do; who uses the same one is in it")
                .try_also("p2pnode up garden --demo", "a node to play with")
                .try_also("p2pnode join TICKET", "the swarm of a ticket; `up` alone goes on with it"));
        }
        swarms.dedup();
        if args.demo && args.ask.is_some() {
            return Err(CliError::usage("--demo and --ask both answer questions: leave one of them out"));
        }
        let slots = Arc::new(Semaphore::new(program::AT_ONCE));
        let program = |option: String, command: &str| Program::parse(&option, command, slots.clone()).map(Arc::new);
        let single = args.single.as_ref().map(single_program).transpose()?;
        let serve =
            args.serve.iter().map(|(name, command)| Ok((name.clone(), program(format!("--serve {name}"), command)?)));
        // `serve` is for one endpoint; a node that goes `up` beside it would run each hook, too.
        let all = if args.single.is_none() { config::hooks(&profile::paths(&ctx.global)?)? } else { Vec::new() };
        let (hooks, others): (Vec<Hook>, Vec<Hook>) = all.into_iter().partition(|hook| hook.is_for(&swarms));
        Standing::check(&hooks)?;
        Ok(Self {
            swarms,
            team,
            capabilities: args.cap.iter().map(|text| capability(text)).collect::<Result<_, _>>()?,
            listen: args.listen.iter().map(|text| multiaddr(text)).collect::<Result<_, _>>()?,
            bootstrap,
            ask: args.ask.as_deref().map(|command| program("--ask".to_owned(), command)).transpose()?,
            serve: serve.collect::<Result<_, CliError>>()?,
            single,
            slots: slots.clone(),
            hooks,
            other_hooks: others.len(),
            mdns: !ctx.global.no_mdns,
            local: !ctx.global.no_local,
        })
    }

    /// None where the addresses were given.
    fn port(&self, args: &Up, kept: Option<u16>) -> Result<Option<u16>, CliError> {
        if self.listen.is_empty() { port::choose(args.port, kept).map(Some) } else { Ok(None) }
    }

    /// Names of all endpoints.
    fn serving(&self, args: &Up) -> Vec<String> {
        let demo = demo::SERVED.iter().filter(|name| args.demo && **name != "ask").map(ToString::to_string);
        let single = args.single.iter().map(|single| single.endpoint.clone());
        demo.chain(self.serve.iter().map(|(name, _)| name.clone())).chain(single).collect()
    }

    fn builder(&self, args: &Up, port: Option<u16>, name: &str) -> Builder {
        let mut builder = Node::builder(presets::Lan)
            .name(name)
            .mdns(self.mdns)
            .local(self.local)
            .dht(!args.no_dht)
            .hidden(args.hidden)
            .allow(if args.allow == up::Allow::Any { Allow::Any } else { Allow::Private })
            .relay(match args.relay {
                up::Relay::Auto => Relay::Auto,
                up::Relay::Off => Relay::Off,
                up::Relay::Server => Relay::Server,
            })
            .upnp(args.upnp)
            .bootstrap(self.bootstrap.iter().cloned())
            .exec(program::scheduled(self.slots.clone()));
        builder = match port {
            Some(port) => builder.port(port),
            None => builder.listen_all(self.listen.iter().cloned()),
        };
        if let Some(role) = &args.role {
            builder = builder.role(role);
        }
        if let Some(team) = &self.team {
            builder = builder.team(team);
        }
        builder = self.swarms.iter().fold(builder, |builder, swarm| builder.swarm(swarm));
        builder = self.capabilities.iter().cloned().fold(builder, |builder, capability| builder.capability(capability));
        self.handlers(args, builder, name)
    }

    fn handlers(&self, args: &Up, mut builder: Builder, name: &str) -> Builder {
        if args.demo {
            builder = demo::serve(builder, name);
        }
        if let Some(program) = &self.ask {
            builder = builder.ask_dyn(Arc::new(Answers(program.clone())));
        }
        for (name, program) in &self.serve {
            let endpoint = Endpoint::new(name).describe(format!("Runs {}", program.name()));
            builder = builder.endpoint_dyn(endpoint, Arc::new(Serves(program.clone())));
        }
        if let Some((endpoint, program)) = &self.single {
            let (endpoint, program) = (endpoint.clone(), program.clone());
            builder = match program.is_stream() {
                true => builder.endpoint_stream_dyn(endpoint, Arc::new(Streams(program))),
                false => builder.endpoint_dyn(endpoint, Arc::new(Serves(program))),
            };
        }
        builder
    }
}

/// What `serve` serves.
fn single_program(single: &Single) -> Result<(Endpoint, Arc<Program>), CliError> {
    let slots = Arc::new(Semaphore::new(single.concurrency));
    let option = format!("serve {}", single.endpoint);
    let program = Program::new(&option, single.command.clone(), slots)?;
    let program = program.env_allow(&single.env_allow).run_limit(single.run_limit).stream(single.stream);
    let describe = single.describe.clone().unwrap_or_else(|| format!("Runs {}", program.name()));
    let mut endpoint = Endpoint::new(&single.endpoint).describe(describe);
    if let Some(schema) = &single.schema {
        endpoint = endpoint.schema(schema);
    }
    if single.private {
        endpoint = endpoint.unlisted();
    }
    Ok((endpoint, Arc::new(program)))
}

/// `NAME=DESCRIPTION` or `NAME`.
fn capability(text: &str) -> Result<Capability, CliError> {
    let (name, description) = text.split_once('=').unwrap_or((text, ""));
    if name.trim().is_empty() {
        return Err(CliError::usage(format!("--cap \"{text}\" has no name")));
    }
    Ok(Capability::new(name.trim()).describe(description.trim()))
}

fn multiaddr(text: &str) -> Result<Multiaddr, CliError> {
    text.parse().map_err(|error| {
        CliError::usage(format!("--listen {text}: {error}"))
            .maybe("it must be a multiaddr, such as /ip4/0.0.0.0/tcp/9999 or /ip4/0.0.0.0/udp/9999/quic-v1")
            .try_also("p2pnode up garden --port 9999", "for all addresses of this host")
    })
}

async fn announce_and_watch(
    ctx: &Ctx,
    args: &Up,
    daemon: &Daemon,
    wanted: &Wanted,
    new: bool,
    ready: &mut bool,
) -> Result<u8, CliError> {
    let node = daemon.node();
    // Before the banner, so that nothing is missed while it is printed.
    let mut events = node.events();
    listening(node).await;
    let banner = banner(ctx, args, daemon, wanted, new);
    background::ready(banner_json(&banner));
    if ctx.out.is_json() {
        ctx.out.event("up", banner_json(&banner))?;
    } else {
        ctx.out.line(&format!("{}\n", banner.text(&ctx.out)))?;
    }
    *ready = true;
    if args.inject_panic {
        tokio::spawn(async { panic!("asked for by --inject-panic") });
    }
    let feed = Feed::new(&ctx.out, &node.listen_addrs());
    // Who was there before we listened to events is told as well, and once.
    let mut told = HashSet::new();
    for peer in node.peers() {
        told.insert(peer.id);
        tell(ctx, &feed, &NodeEvent::PeerJoined(peer))?;
    }
    let end = end(ctx, node);
    tokio::pin!(end);
    loop {
        tokio::select! {
            end = &mut end => return end,
            () = daemon.shutdown() => {
                ctx.out.say("stopped by `p2pnode down`");
                return Ok(0);
            }
            event = events.next() => match event {
                Some(NodeEvent::PeerJoined(peer)) if told.remove(&peer.id) => {}
                // What others say among themselves is for `watch`; what concerns this node has lines of its own.
                Some(NodeEvent::Conversation(_)) if !ctx.out.verbose => {}
                Some(event) => tell(ctx, &feed, &event)?,
                None => return Err(stopped(ctx)),
            },
        }
    }
}

/// The node has begun to listen; its addresses come in one by one.
async fn listening(node: &Node) {
    let mut known = 0;
    for _ in 0..ADDRESSES {
        sleep(PAUSE).await;
        let now = node.listen_addrs().len();
        if now > 0 && now == known {
            return;
        }
        known = now;
    }
}

/// A signal, the limit, or the end of the node itself.
pub(super) async fn end(ctx: &Ctx, node: &Node) -> Result<u8, CliError> {
    let limit = async {
        match ctx.left(None) {
            Some(left) => sleep(left).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        // A node that ends leaves first, and then tells those who watch it to stop: that is not their own end.
        biased;
        () = node.stopped() => Err(stopped(ctx)),
        code = ctx.stop.requested() => Err(CliError::interrupted(code)),
        () = limit => Ok(0),
        () = ctx.out.reader_gone() => Err(CliError::closed()),
    }
}

pub(super) fn stopped(ctx: &Ctx) -> CliError {
    if ctx.daemon.is_some() {
        return CliError::of(ErrorCode::AgentUnavailable, "the running node has stopped");
    }
    CliError::internal("the node has stopped by itself").try_also(again("-vv", ""), "to see why")
}

pub(super) fn tell(ctx: &Ctx, feed: &Feed<'_>, event: &NodeEvent) -> Result<(), CliError> {
    if ctx.out.is_json() {
        let (kind, fields) = feed::to_json(event);
        return ctx.out.event(&kind, fields);
    }
    match feed.line(event) {
        Some(line) => ctx.out.line(&format!("{}  {line}", ctx.out.clock())),
        None => Ok(()),
    }
}

/// Says goodbye; programs get their time to end.
async fn leave(node: &Node) {
    let _ = tokio::time::timeout(LEAVE, node.shutdown()).await;
    let ended = async {
        while program::alive() > 0 {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let _ = tokio::time::timeout(PROGRAMS, ended).await;
}

fn banner(ctx: &Ctx, args: &Up, daemon: &Daemon, wanted: &Wanted, new: bool) -> Banner {
    let node = daemon.node();
    let ask = wanted.ask.as_ref().map(|_| "ask".to_owned());
    Banner {
        name: node.name().to_owned(),
        id: node.peer_id().to_string(),
        new,
        profile: daemon.facts().profile.clone(),
        swarms: node.swarms(),
        any: args.allow == up::Allow::Any,
        listen: node.listen_addrs().iter().map(ToString::to_string).collect(),
        serving: ask
            .into_iter()
            .chain(wanted.serve.iter().map(|(name, _)| name.clone()))
            .chain(args.single.iter().map(|single| single.endpoint.clone()))
            .collect(),
        demo: args.demo,
        asks: args.demo || wanted.ask.is_some(),
        hooks: (wanted.hooks.len(), wanted.other_hooks),
        tickets: tickets(args, node),
        control: daemon.socket().display().to_string(),
        ready: ctx.started.elapsed(),
    }
}

/// With the addresses of this moment: what others see of it is known later only.
fn tickets(args: &Up, node: &Node) -> Vec<String> {
    let swarms = if args.invite { node.swarms() } else { Vec::new() };
    let made = |swarm: &String| node.ticket(swarm, TicketAddresses::Best).ok();
    swarms.iter().filter_map(made).map(|ticket| ticket.to_string()).collect()
}

fn banner_json(banner: &Banner) -> Value {
    json!({
        "peer_id": banner.id,
        "name": banner.name,
        "profile": banner.profile,
        "new_identity": banner.new,
        "swarms": banner.swarms,
        "listen": banner.listen,
        "control": banner.control,
        "pid": std::process::id(),
        "serving": if banner.demo { [&demo::SERVED.map(str::to_owned)[..], &banner.serving].concat() } else { banner.serving.clone() },
        "hooks": banner.hooks.0,
        "tickets": banner.tickets,
        "ready_ms": millis(banner.ready),
    })
}
