//! `p2pnode down`: leaves and stops the node that runs.

use std::time::Duration;

use p2pnode::{Paths, Profile, ProfileError};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::json;
use tokio::time::sleep;

use crate::{
    context::Ctx,
    control::{self, Client},
    error::{CliError, exit},
    profile,
};

/// A node has so long to answer, and so long to say goodbye and end.
const ANSWER: Duration = Duration::from_secs(5);
const GONE: Duration = Duration::from_secs(15);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// Returns when the process has ended.
pub(super) async fn run(ctx: &Ctx) -> Result<(), CliError> {
    let paths = profile::paths(&ctx.global)?;
    let found = ctx.guard(None, control::the_one(ctx, ANSWER)).await;
    let (profile, pid) = match found {
        Ok(Some(running)) => {
            Client::new(running.socket.clone()).shut_down().await?;
            (running.about.profile, running.about.pid)
        }
        // A node of another version, or one that hangs, understands a signal.
        Ok(None) => terminate(&paths, profile::chosen(&ctx.global))?,
        Err(error) if error.facts().code == "api_version" => terminate(&paths, profile::chosen(&ctx.global))?,
        Err(error) => return Err(error),
    };
    if pid == 0 {
        return ctx.answer(json!({"profile": profile, "was_running": false}), ctx.meta(), || "not running".to_owned());
    }
    let gone = async {
        while is_locked(&paths, &profile) || lives(pid) {
            sleep(LOOK).await;
        }
        Ok(())
    };
    ctx.guard(Some(GONE), gone).await.map_err(|error| stays(error, pid))?;
    ctx.answer(json!({"profile": profile, "was_running": true, "pid": pid}), ctx.meta(), || {
        format!("stopped   profile {profile}   process {pid}")
    })
}

/// Who holds the profile is told to stop, if anybody does.
fn terminate(paths: &Paths, profile: &str) -> Result<(String, u32), CliError> {
    let pid = match Profile::open(paths, profile) {
        Err(ProfileError::Running { pid, .. }) => pid,
        Ok(_) => 0,
        Err(error) => return Err(error.into()),
    };
    if let Some(process) = process(pid) {
        kill_process(process, Signal::TERM)
            .map_err(|error| CliError::internal(format!("process {pid} cannot be told to stop: {error}")))?;
    }
    Ok((profile.to_owned(), pid))
}

fn is_locked(paths: &Paths, profile: &str) -> bool {
    matches!(Profile::open(paths, profile), Err(ProfileError::Running { .. }))
}

fn process(pid: u32) -> Option<Pid> {
    // 0 would be our own group.
    i32::try_from(pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw)
}

/// A process that has ended, and whose parent has not looked yet, does not live.
fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let is_zombie = stat.rsplit_once(')').is_some_and(|(_, state)| state.trim_start().starts_with('Z'));
    !is_zombie && process(pid).is_some_and(|pid| test_kill_process(pid).is_ok())
}

fn stays(error: CliError, pid: u32) -> CliError {
    if error.facts().silent {
        return error;
    }
    CliError::new("still_running", exit::INTERNAL, format!("process {pid} does not end"))
        .maybe("it waits for a program that it runs, or hangs")
        .try_also(format!("kill -9 {pid}"), "end it without a goodbye")
}
