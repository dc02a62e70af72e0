//! `p2pnode schedule next`: when something will run.

use p2pnode::{
    ScheduleInfo,
    jiff::{Timestamp, civil, tz::TimeZone},
    schedule::Schedule,
};
use serde_json::{Value, json};

use super::notes;
use crate::{
    args::schedule::Next,
    context::Ctx,
    error::CliError,
    output::schedules::{full, moment, rfc3339},
};

/// Without `-n`.
const COUNT: u32 = 5;

/// Prints times.
pub(super) async fn run(ctx: &Ctx, args: &Next) -> Result<(), CliError> {
    let zone = super::zone(args.tz.as_deref())?;
    match &args.what {
        Some(text) if args.is_expression() => {
            let rule = Schedule::parse(text, &zone)?;
            let from = from(args, rule.time_zone())?;
            if args.from.is_none() {
                rule.first_run(from)?;
            }
            show(ctx, &rule, rule.upcoming(from), args, from)
        }
        Some(name) => {
            let info = one(ctx, name).await?;
            let Some(rule) = &info.schedule else { return Err(unreadable(&info)) };
            match &args.from {
                Some(_) => {
                    let from = from(args, rule.time_zone())?;
                    show(ctx, rule, rule.upcoming(from), args, from)
                }
                None if info.paused => Err(paused(&info)),
                None => show(ctx, rule, info.upcoming(), args, Timestamp::now()),
            }
        }
        None => each(ctx, args).await,
    }
}

fn paused(info: &ScheduleInfo) -> CliError {
    let error = CliError::new("paused", crate::error::exit::CONFLICT, format!("schedule \"{}\" is paused", info.name));
    error.try_this(format!("p2pnode schedule resume {}", info.name))
}

fn unreadable(info: &ScheduleInfo) -> CliError {
    let why = info.problem.as_deref().unwrap_or_default();
    CliError::internal(format!("schedule \"{}\" cannot be read: {why}", info.name))
        .try_also(format!("p2pnode schedule rm {}", info.name), "then add it again")
}

async fn one(ctx: &Ctx, name: &str) -> Result<ScheduleInfo, CliError> {
    let all = super::all(ctx).await?;
    let near = p2pnode::near(name, all.iter().map(|info| info.name.as_str()));
    let found = all.into_iter().find(|info| info.name == name);
    found.ok_or_else(|| p2pnode::SchedulesError::Unknown { name: name.to_owned(), near }.into())
}

/// A day, a day with a time, or a time with its offset.
fn from(args: &Next, zone: &TimeZone) -> Result<Timestamp, CliError> {
    let Some(text) = args.from.as_deref().map(str::trim) else { return Ok(Timestamp::now()) };
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let civil = text.parse::<civil::DateTime>();
    let at = civil.ok().and_then(|civil| civil.to_zoned(zone.clone()).ok()).map(|zoned| zoned.timestamp());
    // A run at the very beginning of the day is one of that day.
    let before = at.and_then(|at| at.checked_sub(p2pnode::jiff::SignedDuration::from_millis(1)).ok());
    before.ok_or_else(|| {
        CliError::usage(format!("--from {text}: no day"))
            .maybe("days are written 2026-10-24, times 2026-10-24T15:30 or 2026-10-24T15:30:00Z")
    })
}

fn show(
    ctx: &Ctx,
    rule: &Schedule,
    times: impl Iterator<Item = Timestamp>,
    args: &Next,
    from: Timestamp,
) -> Result<(), CliError> {
    let times: Vec<Timestamp> = times.take(args.count.unwrap_or(COUNT) as usize).collect();
    let told: Vec<Option<String>> = times.iter().map(|at| notes::clock(rule, *at)).collect();
    let sun = notes::sun(rule, from);
    let entry = |(at, note): (&Timestamp, &Option<String>)| json!({"at": rfc3339(*at), "note": note});
    let data = json!({
        "when": rule.to_string(),
        "next": times.iter().zip(&told).map(entry).collect::<Vec<_>>(),
        "note": sun,
    });
    ctx.answer(data, super::meta(ctx), || {
        let line = |(at, note): (&Timestamp, &Option<String>)| {
            let note = note.as_ref().map(|note| format!("   ({note})")).unwrap_or_default();
            format!("{}{note}", full(*at, rule.time_zone()))
        };
        times.iter().zip(&told).map(line).collect::<Vec<_>>().join("\n")
    })?;
    if let Some(note) = sun.filter(|_| !ctx.out.is_json()) {
        ctx.out.note(&note);
    }
    Ok(())
}

/// The next run of each schedule, the soonest first.
async fn each(ctx: &Ctx, args: &Next) -> Result<(), CliError> {
    if args.from.is_some() {
        return Err(CliError::usage("--from is for one schedule: name it, or write an expression"));
    }
    let mut all: Vec<(Timestamp, ScheduleInfo)> =
        super::all(ctx).await?.into_iter().filter_map(|info| Some((info.next?, info))).collect();
    all.sort_by_key(|(at, _)| *at);
    all.truncate(args.count.map_or(usize::MAX, |count| count as usize));
    let data: Value = all.iter().map(|(at, info)| json!({"name": info.name, "at": rfc3339(*at)})).collect();
    ctx.answer(data, super::meta(ctx), || {
        let (now, zone) = (Timestamp::now(), ctx.out.zone());
        let width = all.iter().map(|(_, info)| info.name.len()).max().unwrap_or_default();
        let line = |(at, info): &(Timestamp, ScheduleInfo)| {
            let next = info.schedule.as_ref().map(|rule| moment(*at, rule, now, &zone, false)).unwrap_or_default();
            format!("{:width$}  {next}", info.name)
        };
        match all.is_empty() {
            true => "nothing is going to run".to_owned(),
            false => all.iter().map(line).collect::<Vec<_>>().join("\n"),
        }
    })
}
