//! Nodes of one process that tell each other something.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use p2pnode::{BootstrapAddr, Node, Said, Value, presets};
use serde_json::json;
use tokio::{sync::Notify, task::JoinSet};

use super::{
    due,
    pace::Pace,
    tally::{Tally, grouped},
};
use crate::{
    args::bench::Gossip,
    context::Ctx,
    error::{CliError, exit},
    output::{
        json::millis,
        render::{seconds, size},
    },
};

/// What is told.
const SUBJECT: &str = "bench.note";

/// Others that each node is introduced to; gossip adds connections until it has its mesh.
const INTRODUCTIONS: usize = 4;

/// Connecting may take so long, and the last message to arrive after the last was sent.
const READY: Duration = Duration::from_secs(60);
const LATE: Duration = Duration::from_secs(10);

/// A message that tries whether all hear each other: often enough while the mesh grows, each second.
const TRIAL: Duration = Duration::from_secs(1);

/// What came where.
struct Heard {
    /// By number: when it was due, and at how many it is.
    notes: Mutex<HashMap<u64, (Instant, usize)>>,
    tallies: Mutex<(Tally, Tally)>,
    others: usize,
    more: Notify,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Heard {
    fn sent(&self, number: u64, due: Instant) {
        lock(&self.notes).insert(number, (due, 0));
    }

    fn came(&self, number: u64) {
        let now = Instant::now();
        let mut notes = lock(&self.notes);
        let Some((sent, at)) = notes.get_mut(&number) else { return };
        *at += 1;
        let (span, all) = (now.saturating_duration_since(*sent), *at == self.others);
        if all {
            notes.remove(&number);
        }
        drop(notes);
        let mut tallies = lock(&self.tallies);
        tallies.0.add(span);
        if all {
            tallies.1.add(span);
        }
        drop(tallies);
        self.more.notify_one();
    }

    /// Until all that was sent is everywhere.
    async fn settled(&self) {
        loop {
            let more = self.more.notified();
            if lock(&self.notes).is_empty() {
                return;
            }
            more.await;
        }
    }
}

pub(super) async fn run(ctx: &Ctx, args: &Gossip) -> Result<u8, CliError> {
    let most = u64::try_from(p2pnode::wire::limits::EVENT_MAX / 2).unwrap_or(u64::MAX);
    if args.size > most {
        return Err(CliError::usage(format!("--size: a message of this measurement takes at most {most} bytes")));
    }
    let mut nodes = Vec::new();
    let outcome = measure(ctx, args, &mut nodes).await;
    let mut leaving = JoinSet::new();
    for node in nodes {
        leaving.spawn(crate::connect::leave(node));
    }
    leaving.join_all().await;
    outcome
}

/// `nodes` holds those that have started, however it went.
async fn measure(ctx: &Ctx, args: &Gossip, nodes: &mut Vec<Node>) -> Result<u8, CliError> {
    let heard = Arc::new(Heard {
        notes: Mutex::default(),
        tallies: Mutex::default(),
        others: args.nodes as usize - 1,
        more: Notify::new(),
    });
    let started = Instant::now();
    // Ends with this function.
    let mut readers = JoinSet::new();
    ctx.guard(Some(READY), start(args, nodes, &heard, &mut readers)).await?;
    ctx.guard(Some(READY), ready(nodes, &heard)).await?;
    if !ctx.out.is_json() {
        let (count, of, ready) = (grouped(args.count.into()), size(args.size as usize), seconds(started.elapsed()));
        let (nodes, rate) = (args.nodes, args.rate);
        ctx.out.line(&format!(
            "gossip   {nodes} nodes   {count} messages of {of}   {rate} a second   (ready in {ready})"
        ))?;
    }
    *lock(&heard.tallies) = Default::default();
    let began = Instant::now();
    let pad = "x".repeat(args.size as usize);
    let mut pace = Pace::new(began, Some(args.rate), None, Some(args.count));
    let (mut sent, mut refused) = (0_u64, Tally::default());
    let mut notes = due(move || pace.next(Instant::now()))?;
    let sending = async {
        while let Some((number, due)) = notes.recv().await {
            let Some(node) = nodes.get(usize::try_from(number).unwrap_or(0) % nodes.len()) else { break };
            heard.sent(number, due);
            match node.emit(SUBJECT, &(number, &pad)).await {
                Ok(_) => sent += 1,
                Err(error) => {
                    lock(&heard.notes).remove(&number);
                    refused.fail(&CliError::from(error).facts().code);
                }
            }
        }
        // What is late is lost for the measurement.
        let _ = tokio::time::timeout(LATE, heard.settled()).await;
        Ok(())
    };
    let stopped = ctx.guard(None, sending).await.err();
    let elapsed = began.elapsed();
    let tallies = std::mem::take(&mut *lock(&heard.tallies));
    tell(ctx, args, (sent, &refused), elapsed, &tallies, stopped)
}

async fn start(
    args: &Gossip,
    nodes: &mut Vec<Node>,
    heard: &Arc<Heard>,
    readers: &mut JoinSet<()>,
) -> Result<(), CliError> {
    let swarm = format!("bench-{}", p2pnode::Identity::generate().peer_id().to_string().to_lowercase());
    let swarm: String = swarm.chars().take(24).collect();
    for number in 0..args.nodes {
        let mut builder = Node::builder(presets::Loopback).swarm(&swarm).name(format!("bench-{number}"));
        builder = builder.local(false).dht(false);
        // Not the last ones: a chain would be measured, not a mesh.
        let step = (nodes.len() / INTRODUCTIONS).max(1);
        let seeds = nodes.iter().step_by(step).take(INTRODUCTIONS).filter_map(address);
        let node = Box::pin(builder.bootstrap(seeds).start()).await?;
        let mut notes = node.subscribe(SUBJECT).map_err(|error| CliError::usage(error.to_string()))?;
        let heard = heard.clone();
        readers.spawn(async move {
            while let Some(event) = notes.next().await {
                if let Said::Emitted { data: Value::Array(data), .. } = &event.said
                    && !event.own
                    && let Some(number) = data.first().and_then(Value::as_u64)
                {
                    heard.came(number);
                }
            }
        });
        nodes.push(node);
    }
    Ok(())
}

fn address(node: &Node) -> Option<BootstrapAddr> {
    let address = node.listen_addrs().into_iter().find(|address| address.to_string().contains("/tcp/"))?;
    format!("{address}/p2p/{}", node.peer_id()).parse().ok()
}

/// All hear the first, and the first hears all.
async fn ready(nodes: &[Node], heard: &Heard) -> Result<(), CliError> {
    // Numbers that no message has.
    for (trial, node) in (u64::MAX / 2..).zip(nodes.iter().cycle()) {
        heard.sent(trial, Instant::now());
        node.emit(SUBJECT, &(trial, "")).await?;
        if tokio::time::timeout(TRIAL, heard.settled()).await.is_ok() && trial > u64::MAX / 2 {
            return Ok(());
        }
        lock(&heard.notes).clear();
    }
    Ok(())
}

fn tell(
    ctx: &Ctx,
    args: &Gossip,
    (sent, refused): (u64, &Tally),
    elapsed: Duration,
    (each, last): &(Tally, Tally),
    stopped: Option<CliError>,
) -> Result<u8, CliError> {
    let due = sent * u64::from(args.nodes - 1);
    let ratio = if due == 0 { 0.0 } else { each.done() as f64 / due as f64 };
    let error = stopped.or_else(|| {
        (each.done() == 0).then(|| CliError::new("not_delivered", exit::CHECK, "no message came anywhere".to_owned()))
    });
    if ctx.out.is_json() {
        let exit = error.as_ref().map_or(0, CliError::exit);
        let mut line = json!({
            "command": ctx.verb, "bench": "gossip", "ok": error.is_none(), "exit": exit, "nodes": args.nodes,
            "size": args.size, "rate_wanted": args.rate, "sent": sent, "refused": refused.failures(),
            "due": due, "delivered": each.done(), "delivery_ratio": ratio, "complete": last.done(),
            "elapsed_ms": millis(elapsed), "each": each.json(), "last": last.json(),
        });
        if let Some(error) = error {
            line["error"] = error.to_json();
        }
        ctx.out.event("summary", line)?;
        return Ok(exit);
    }
    let (came, of, whole) = (grouped(each.done()), grouped(due), grouped(last.done()));
    let percent = (ratio * 1e4).floor() / 100.0;
    let sent = format!("{} sent in {}", grouped(sent), seconds(elapsed));
    ctx.out.line(&format!("  {came} of {of} delivered   {percent} %   {sent}, {whole} of them everywhere"))?;
    if refused.failed() > 0 {
        ctx.out.line(&format!("  {} not sent: {}", grouped(refused.failed()), refused.reasons()))?;
    }
    for (name, tally) in [("to each", each), ("to the last", last)] {
        if tally.done() > 0 {
            ctx.out.line(&format!("  {name:11}   {}", tally.percentiles()))?;
        }
    }
    if each.done() > 0 {
        ctx.out.line(&format!("  {}", each.drawing(ctx.out.glyphs)))?;
    }
    error.map_or(Ok(0), Err)
}
