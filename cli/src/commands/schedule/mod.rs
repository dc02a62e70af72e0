//! `p2pnode schedule`: what the running node does by itself.

mod next;
mod notes;

use p2pnode::{
    Action, Added, ScheduleInfo, Schedules,
    jiff::{Timestamp, tz::TimeZone},
    schedule::{self, Options},
    store::{Store, StoreError},
};
use serde_json::{Value, json};

use crate::{
    args::schedule::{Add, Schedule, Verb},
    context::Ctx,
    control::not_running,
    error::CliError,
    input,
    output::{
        json::{Meta, millis},
        schedules::{info_json, moment, table},
    },
    profile,
};

/// Wrong words are told before a node is looked for.
pub(super) fn check(ctx: &Ctx, args: &mut Schedule) -> Result<(), CliError> {
    let Verb::Add(add) = &mut args.verb else { return Ok(()) };
    parse(add)?.first_run(Timestamp::now())?;
    if add.action.is_none() {
        add.action = Some(action(add, ctx.global.swarm.as_deref())?);
    }
    Ok(())
}

/// What the words of the command line mean.
fn action(add: &Add, given: Option<&str>) -> Result<Action, CliError> {
    let swarm = crate::connect::swarm_name;
    match (add.ask.as_slice(), add.broadcast.as_slice(), add.emit.as_slice(), &add.exec) {
        ([name, text], ..) => Ok(Action::Ask { swarm: swarm(name)?, text: text.clone() }),
        (_, [name, endpoint, args @ ..], ..) => Ok(Action::Broadcast {
            swarm: swarm(name)?,
            endpoint: endpoint.clone(),
            args: args.iter().map(|word| input::value(word)).collect::<Result<_, _>>()?,
        }),
        (_, _, [subject, data @ ..], _) => Ok(Action::Emit {
            swarm: given.map(swarm).transpose()?,
            subject: subject.clone(),
            data: data.first().map_or(Ok(p2pnode::Value::Nil), |word| input::value(word))?,
        }),
        (_, _, _, Some(command)) => {
            Ok(Action::Exec { argv: crate::program::argv("--exec", command, std::path::Path::new(""))? })
        }
        _ => Err(CliError::usage("a schedule does one of --ask, --broadcast, --emit, --exec")),
    }
}

/// The rule of the options.
fn parse(add: &Add) -> Result<schedule::Schedule, CliError> {
    let zone = zone(add.tz.as_deref())?;
    let text = match add.jitter {
        Some(jitter) => format!("{} jitter {}ms", add.when, jitter.as_millis()),
        None => add.when.clone(),
    };
    // UTC goes without saying.
    Ok(if add.tz.is_some() { schedule::Schedule::parse(&text, &zone)? } else { text.parse()? })
}

/// A time zone by name or offset; without one, UTC.
fn zone(name: Option<&str>) -> Result<TimeZone, CliError> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    // The library reads zones only where they stand in a schedule.
    match format!("cron @daily {name}").parse::<schedule::Schedule>() {
        Ok(schedule) => Ok(schedule.time_zone().clone()),
        Err(error) => {
            let wrong = CliError::usage(format!("--tz {name}: {}", error.reason()));
            Err(error.hint().into_iter().fold(wrong, CliError::maybe))
        }
    }
}

/// Does one of them.
pub(super) async fn run(ctx: &Ctx, args: Schedule) -> Result<(), CliError> {
    match args.verb {
        Verb::List {} => list(ctx).await,
        Verb::Next(args) => next::run(ctx, &args).await,
        Verb::Add(args) => add(ctx, *args).await,
        Verb::Rm { name } => {
            let removed = node(ctx, "rm")?.remove(&name).await?;
            let words = if removed { "removed" } else { "there is none of that name" };
            told(ctx, &name, "removed", removed, words)
        }
        Verb::Run { name } => {
            node(ctx, "run")?.run(&name).await?;
            told(ctx, &name, "started", true, "started")
        }
        Verb::Pause { name } => {
            let changed = node(ctx, "pause")?.pause(&name).await?;
            told(ctx, &name, "changed", changed, if changed { "paused" } else { "paused already" })
        }
        Verb::Resume { name } => {
            let schedules = node(ctx, "resume")?;
            let changed = schedules.resume(&name).await?;
            told(ctx, &name, "changed", changed, if changed { "goes on" } else { "was not paused" })
        }
    }
}

fn told(ctx: &Ctx, name: &str, field: &str, value: bool, words: &str) -> Result<(), CliError> {
    ctx.answer(json!({"name": name, field: value}), meta(ctx), || format!("{name}: {words}"))
}

/// The schedules of the node in whose process this runs.
fn node(ctx: &Ctx, verb: &str) -> Result<Schedules, CliError> {
    let running = ctx.daemon.as_ref().and_then(|daemon| daemon.node().schedules());
    running.ok_or_else(|| not_running(&crate::args::Verb::Schedule(of(verb))))
}

/// Some verb about schedules, for an error.
fn of(name: &str) -> Schedule {
    Schedule { verb: Verb::Run { name: name.to_owned() } }
}

fn meta(ctx: &Ctx) -> Meta {
    let Some(daemon) = &ctx.daemon else { return ctx.meta() };
    let node = json!(daemon.node().peer_id().to_string());
    Meta::from([("via", json!("daemon")), ("node", node), ("elapsed_ms", millis(ctx.started.elapsed()))])
}

async fn add(ctx: &Ctx, add: Add) -> Result<(), CliError> {
    let schedules = node(ctx, "add")?;
    let rule = parse(&add)?;
    let action = add.action.clone().ok_or_else(|| CliError::usage("schedule add: missing field `action`"))?;
    let options = Options {
        run_at_start: add.run_now.then_some(true).or(add.no_run_now.then_some(false)),
        overlap: add.overlap,
        catch_up: add.catch_up,
    };
    let added = match add.replace {
        true => schedules.replace(&add.name, rule.clone(), action, options).await?,
        false => schedules.add(&add.name, rule.clone(), action, options).await?,
    };
    let info = schedules.get(&add.name).await?;
    let now = Timestamp::now();
    let note = notes::sun(&rule, now);
    let mut data = info_json(&info);
    data["added"] = json!(match added {
        Added::New => "new",
        Added::Already => "already",
        Added::Replaced => "replaced",
    });
    data["note"] = json!(note);
    ctx.answer(data, meta(ctx), || {
        let so = if added == Added::Already { "already so; " } else { "" };
        let next = info.next.map(|next| moment(next, &rule, now, &ctx.out.zone(), true));
        let next = next.map_or_else(|| "paused".to_owned(), |next| format!("next run {next}"));
        let note = note.map(|note| format!("  note: {note}")).unwrap_or_default();
        format!("{so}{next}.{note}")
    })
}

/// All schedules, of the node that runs, or of the store.
async fn all(ctx: &Ctx) -> Result<Vec<ScheduleInfo>, CliError> {
    if let Some(schedules) = ctx.daemon.as_ref().and_then(|daemon| daemon.node().schedules()) {
        return Ok(schedules.list().await);
    }
    let file = profile::paths(&ctx.global)?.store_path(profile::chosen(&ctx.global))?;
    if !file.exists() {
        return Ok(Vec::new());
    }
    let opened = tokio::task::spawn_blocking(move || Store::open_read_only(&file)).await;
    let store = opened.unwrap_or(Err(StoreError::Closed))?;
    Ok(Schedules::kept(&store).await?)
}

async fn list(ctx: &Ctx) -> Result<(), CliError> {
    let all = all(ctx).await?;
    let data: Value = all.iter().map(info_json).collect();
    ctx.answer(data, meta(ctx), || match all.is_empty() {
        true => "no schedules".to_owned(),
        false => table(&all, &ctx.out, Timestamp::now()),
    })?;
    for info in &all {
        if let Some(problem) = &info.problem {
            ctx.out.note(&format!("{} is not carried out: {problem}", info.name));
        }
    }
    if ctx.daemon.is_none() && !all.is_empty() {
        ctx.out.note("no node runs, so none of them does; p2pnode up starts one");
    }
    Ok(())
}
