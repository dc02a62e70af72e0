//! Whether a command goes through a node that runs, and how it does.

use std::{
    fs,
    hash::{BuildHasher as _, RandomState},
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::sleep;

use super::{
    BODY, LAST_WORDS,
    about::own_node,
    client::{Client, Frame, Frames},
    find::{self, Running},
    verbs::{self, Common},
};
use crate::{
    args::{
        Verb, dht,
        global::Mode,
        history::{Cleanup, History, HistoryVerb},
    },
    commands,
    context::Ctx,
    error::{CliError, exit},
    input,
    output::render::{again, typed},
    profile,
};

/// A node has so long to say that it lives, before a command starts one of its own.
const AT_ONCE: Duration = Duration::from_millis(100);

/// The same where there is no other way.
const PATIENT: Duration = Duration::from_secs(5);

/// Nodes that an error names.
const NAMED: usize = 3;

/// What came of it.
#[derive(Debug)]
pub(crate) enum Attached {
    /// A running node has done it.
    Done(Result<u8, CliError>),
    /// It is for this process.
    Here(Verb),
}

/// Gives a command to a node that runs, if there is one that fits ([`About::fits`](super::about::About::fits)), or if
/// the user wants that.
pub(crate) async fn attach(ctx: &Ctx, mut verb: Verb) -> Attached {
    let running = match choose(ctx, &verb).await {
        Ok(Some(running)) => running,
        Ok(None) => return Attached::Here(verb),
        Err(error) => return Attached::Done(Err(error)),
    };
    if let Err(error) = ctx.guard(None, input::read(&mut verb)).await {
        return Attached::Done(commands::failed_early(ctx, &verb, error));
    }
    if let Verb::History(history) = &mut verb {
        match Box::pin(confirmed(ctx, &running, history)).await {
            Ok(true) => {}
            Ok(false) => return Attached::Done(Ok(0)),
            Err(error) => return Attached::Done(Err(error)),
        }
    }
    let body = match written(ctx, &verb) {
        Ok(body) => body,
        Err(_) if !is_required(ctx, &verb) => return Attached::Here(verb),
        Err(error) => return Attached::Done(commands::failed_early(ctx, &verb, error)),
    };
    match run(ctx, &running, &verb, body).await {
        Err(error) if error.facts().code == "busy" && !is_required(ctx, &verb) => Attached::Here(verb),
        outcome => Attached::Done(outcome),
    }
}

/// Asks before something is removed for good, having shown what. Only the client has a terminal to ask in.
async fn confirmed(ctx: &Ctx, running: &Running, history: &mut History) -> Result<bool, CliError> {
    let HistoryVerb::Cleanup(cleanup) = &mut history.verb else { return Ok(true) };
    if cleanup.yes || cleanup.dry_run {
        return Ok(true);
    }
    if ctx.out.is_json() || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Err(commands::unasked());
    }
    cleanup.yes = true;
    let dry = Verb::History(History { verb: HistoryVerb::Cleanup(Cleanup { dry_run: true, ..cleanup.clone() }) });
    let body = written(ctx, &dry)?;
    run(ctx, running, &dry, body).await?;
    eprint!("remove this for good? [y/N] ");
    let answer = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map(|_| answer)
    });
    let answer = ctx.guard(None, async { Ok(answer.await) }).await?;
    Ok(matches!(answer, Ok(Ok(answer)) if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str())))
}

/// Whether nothing but a running node will do.
fn is_required(ctx: &Ctx, verb: &Verb) -> bool {
    verb.needs_running() || ctx.global.mode() == Mode::Daemon
}

/// The node to use; none for one of the command's own.
async fn choose(ctx: &Ctx, verb: &Verb) -> Result<Option<Running>, CliError> {
    let required = is_required(ctx, verb);
    if verb.is_without_node() {
        return Ok(None);
    }
    if let Verb::Artifact(args) = verb
        && args.is_local()
    {
        return Ok(None);
    }
    if let Verb::Schedule(args) = verb
        && !required
    {
        let wanted = !args.is_pure() && ctx.global.mode() != Mode::Ephemeral;
        return if wanted { ctx.guard(None, find::the_one(ctx, PATIENT)).await } else { Ok(None) };
    }
    if !verbs::has_route(verb) || (ctx.global.mode() == Mode::Ephemeral && !required) {
        return Ok(None);
    }
    match (own_node(verb, &ctx.global), required) {
        (Some(_), _) if verb.is_about_itself() => {}
        (Some(why), true) => {
            return Err(CliError::usage(format!("{why} needs a node of the command's own: leave out --daemon")));
        }
        (Some(_), false) => return Ok(None),
        (None, _) => {}
    }
    if required {
        let found = ctx.guard(None, find::the_one(ctx, PATIENT)).await?;
        return match found {
            None => Err(elsewhere(ctx, not_running(verb)).await),
            found => Ok(found),
        };
    }
    if verb.is_about_itself() {
        return ctx.guard(None, find::the_one(ctx, PATIENT)).await;
    }
    match ctx.guard(None, find::fitting(&ctx.global, AT_ONCE, |about| about.fits(verb, &ctx.global))).await {
        // A node of another version is no obstacle, but should be known of.
        Err(error) if error.facts().code == "api_version" => {
            ctx.out.note(&error.facts().message);
            Ok(None)
        }
        Err(error) if !error.facts().silent => Ok(None),
        other => other,
    }
}

/// `--daemon`, or a verb about the running node, and there is none.
pub(crate) fn not_running(verb: &Verb) -> CliError {
    let message = match verb {
        Verb::Status(_) => "not running; start with `p2pnode up`",
        Verb::Schedule(_) => "no node runs here: schedules belong to one that stays",
        Verb::Subscribe(args) if args.mail => "no node runs here: only one that stays has an inbox",
        Verb::Artifact(_) => "no node runs here that could serve it",
        Verb::Mute(_) | Verb::Unmute(_) | Verb::Block(_) | Verb::Unblock(_) => {
            "no node runs here that could remember it"
        }
        Verb::Names(_) => "no node runs here that could know names",
        Verb::Availability(_) => "no node runs here that others could ask for work",
        Verb::Invite(_) => "a ticket tells where a node is found, and none runs here",
        verb if verb.needs_running() => "work that must outlive the command needs a running node",
        _ => "no node runs here that the command could use",
    };
    let error = CliError::new("not_running", p2pnode::ErrorCode::AgentUnavailable.exit(), message).retryable(true);
    let error = error.try_also("p2pnode up garden --detach", "a node in the background");
    match verb {
        verb if verb.needs_running() => error,
        _ => error.try_also(again("--ephemeral", ""), "with a node of its own"),
    }
}

/// Names the nodes that do run, where one of another profile was looked for.
async fn elsewhere(ctx: &Ctx, error: CliError) -> CliError {
    let Ok(paths) = profile::paths(&ctx.global) else { return error };
    let running = find::all(&paths, PATIENT).await;
    let profiles: Vec<&str> = running.iter().map(|running| running.about.profile.as_str()).collect();
    if profiles.is_empty() {
        return error;
    }
    let word = if profiles.len() == 1 { "a node runs with the profile" } else { "nodes run with the profiles" };
    let error =
        error.looked(format!("profile {}", profile::chosen(&ctx.global))).detail("running", profiles.as_slice());
    let error = error.maybe(format!("{word} {}", profiles.join(", ")));
    profiles
        .iter()
        .take(NAMED)
        .fold(error, |error, name| error.try_also(format!("p2pnode -P {name} status"), "how it is"))
}

fn written(ctx: &Ctx, verb: &Verb) -> Result<String, CliError> {
    let common = Common {
        swarm: verb.swarm().or(ctx.global.swarm.as_deref()).map(str::to_owned),
        timeout: ctx.global.timeout,
        verbose: ctx.out.verbose,
    };
    let alone = |why: &str| CliError::usage(format!("{why}: leave out --daemon"));
    let body = verbs::write(verb, &common).ok_or_else(|| alone("JSON cannot hold one of the values"))?;
    match body.len() > BODY {
        true => Err(alone("the values have more than 1 MiB, which the running node does not take")),
        false => Ok(body),
    }
}

async fn run(ctx: &Ctx, running: &Running, verb: &Verb, body: String) -> Result<u8, CliError> {
    let (client, id) = (Client::new(running.socket.clone()), command_id());
    let terminal = ctx.out.terminal();
    let words = typed();
    let start = client.start(verb.name(), body, &id, &terminal, &words);
    let frames = tokio::select! {
        frames = start => frames?,
        code = ctx.stop.requested() => return Err(CliError::interrupted(code)),
    };
    follow(ctx, &client, &id, frames, file_of(verb)).await
}

/// Prints what comes. Ctrl-C is told to the node: the command's last words come from there.
async fn follow(
    ctx: &Ctx,
    client: &Client,
    id: &str,
    mut frames: Frames,
    file: Option<PathBuf>,
) -> Result<u8, CliError> {
    let reader_gone = ctx.out.reader_gone();
    tokio::pin!(reader_gone);
    let mut stopping = None;
    loop {
        let frame = tokio::select! {
            frame = frames.next() => frame,
            code = ctx.stop.requested(), if stopping.is_none() => {
                stopping = Some(code);
                // Whether it was heard shows in what comes.
                let _ = client.cancel(id, code).await;
                continue;
            }
            code = too_late(stopping) => return Err(CliError::interrupted(code)),
            () = &mut reader_gone => return Err(CliError::closed()),
        };
        match (frame, stopping) {
            (Ok(Frame::Out(data)), _) => ctx.out.bytes(&data)?,
            (Ok(Frame::Err(text)), _) => {
                let _ = io::stderr().lock().write_all(&text);
            }
            (Ok(Frame::File(data)), _) => write(file.as_deref(), &data)?,
            (Ok(Frame::Exit(code)), _) => return Ok(code),
            (Err(_), Some(code)) => return Err(CliError::interrupted(code)),
            (Err(error), None) => return Err(error),
        }
    }
}

/// The node was told to stop the command, and does not.
async fn too_late(stopping: Option<u8>) -> u8 {
    match stopping {
        Some(code) => {
            sleep(LAST_WORDS).await;
            code
        }
        None => std::future::pending().await,
    }
}

/// The file that the options name: only that is written, whatever the node says.
fn file_of(verb: &Verb) -> Option<PathBuf> {
    match verb {
        Verb::Call(call) => call.out.clone(),
        Verb::Dht(dht::Dht { verb: dht::Verb::Get { out, .. } }) => out.clone(),
        _ => None,
    }
}

fn write(file: Option<&Path>, data: &[u8]) -> Result<(), CliError> {
    let file =
        file.ok_or_else(|| CliError::new("internal", exit::INTERNAL, "the node sends a file that was not asked for"))?;
    fs::write(file, data).map_err(|error| CliError::io(file.display(), &error))
}

/// Only has to differ from those of other commands that run at the same time.
fn command_id() -> String {
    let random = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", random(), random())
}
