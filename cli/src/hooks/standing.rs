//! The hooks of a node that stays.

use futures::StreamExt as _;
use p2pnode::{HandlerError, Node, NodeEvent};
use serde_json::json;
use tokio::task::JoinSet;

use super::trigger::{Muted, Trigger, offer};
use crate::{
    context::Ctx,
    error::CliError,
    output::{Out, escape_line},
    program::Hooks,
};

/// A program, and what wakes it.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    /// Where it is written, for errors.
    pub(crate) place: String,
    /// What wakes it.
    pub(crate) trigger: Trigger,
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
}

impl Hook {
    /// Whether a node in these swarms has a use for it.
    pub(crate) fn is_for(&self, swarms: &[String]) -> bool {
        self.trigger.swarms.as_ref().is_none_or(|wanted| wanted.iter().any(|swarm| swarms.contains(swarm)))
    }
}

/// Hooks at work. Dropped, it ends them: a program that runs gets TERM, then KILL.
#[derive(Debug)]
pub(crate) struct Standing {
    _task: JoinSet<()>,
}

impl Standing {
    /// Whether all programs are there.
    pub(crate) fn check(hooks: &[Hook]) -> Result<(), CliError> {
        runner(hooks).map(|_| ())
    }

    /// Begins to listen; what arrives from now on wakes them.
    pub(crate) fn start(ctx: &Ctx, node: &Node, hooks: Vec<Hook>) -> Result<Self, CliError> {
        let mut task = JoinSet::new();
        if !hooks.is_empty() {
            let (runner, muted) = (runner(&hooks)?, Muted::of(node, &ctx.global)?);
            // Beside the node's own output: whoever reads that slowly holds up no hook.
            task.spawn(run(ctx.out.clone(), node.events(), muted, hooks, runner));
        }
        Ok(Self { _task: task })
    }
}

fn runner(hooks: &[Hook]) -> Result<Hooks, CliError> {
    Hooks::new(hooks.iter().map(|hook| (hook.place.clone(), hook.argv.clone())))
}

async fn run(out: Out, mut events: p2pnode::Events, muted: Muted, hooks: Vec<Hook>, mut runner: Hooks) {
    loop {
        tokio::select! {
            (which, outcome) = runner.ended() => tell(&out, hooks.get(which), &outcome),
            event = events.next() => match event {
                Some(NodeEvent::Lagged(missed)) => warn(&out, &format!("{missed} events were too fast for the hooks")),
                Some(event) => wake(&out, &muted, &hooks, &mut runner, &event).await,
                None => return runner.close().await,
            },
        }
    }
}

async fn wake(out: &Out, muted: &Muted, hooks: &[Hook], runner: &mut Hooks, event: &NodeEvent) {
    for (which, hook) in hooks.iter().enumerate() {
        let Some(arrived) = hook.trigger.arrived(event) else { continue };
        match muted.has(&arrived.from.id).await {
            Ok(false) => offer(out, runner, which, arrived),
            Ok(true) => {}
            // Nobody who may be muted wakes a program.
            Err(error) => warn(out, &format!("{}: not run, for who is muted is unknown: {error}", hook.place)),
        }
    }
}

/// How a program ended: to people only what went wrong. That the reader has gone is for others to notice.
fn tell(out: &Out, hook: Option<&Hook>, outcome: &Result<(), HandlerError>) {
    let place = hook.map_or("", |hook| hook.place.as_str());
    let error = outcome.as_ref().err().map(|error| &error.message);
    if out.is_json() {
        let _ = out.event("hook", json!({"hook": place, "succeeded": error.is_none(), "error": error}));
    } else if let Some(error) = error {
        warn(out, &format!("{place}: the program failed: {error}"));
    }
}

/// With the time, as all that a node says: it may be read later.
fn warn(out: &Out, text: &str) {
    out.say(&format!("{}  hook     {}", out.clock(), escape_line(text)));
}
