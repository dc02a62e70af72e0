//! Which nodes run on this host, and which one is meant.

use std::{fs, path::PathBuf, time::Duration};

use futures::{StreamExt as _, stream};
use p2pnode::Paths;

use super::{about::About, client::Client, socket};
use crate::{
    args::Global,
    context::Ctx,
    error::{CliError, exit},
    profile::{self, DEFAULT},
};

/// Nodes looked at, at most, and at once.
const MOST: usize = 64;
const AT_ONCE: usize = 8;

/// A node that runs and answers.
#[derive(Debug, Clone)]
pub(crate) struct Running {
    /// Its socket.
    pub(crate) socket: PathBuf,
    /// What it says of itself.
    pub(crate) about: About,
}

/// Asks the node of a profile whether it lives. An error: it lives, and cannot be used.
pub(crate) async fn probe(paths: &Paths, profile: &str, limit: Duration) -> Result<Option<Running>, CliError> {
    let path = socket::path(paths, profile);
    if !path.exists() {
        return Ok(None);
    }
    // In a folder that others can enter, another may answer in its place.
    socket::private(paths.runtime())?;
    match tokio::time::timeout(limit, Client::new(path.clone()).about()).await {
        Ok(Ok(Some(about))) => Ok(Some(Running { socket: path, about })),
        Ok(Ok(None)) | Err(_) => Ok(None),
        Ok(Err(error)) => Err(error),
    }
}

/// All nodes of this user that answer in time.
pub(crate) async fn all(paths: &Paths, limit: Duration) -> Vec<Running> {
    let entries = fs::read_dir(paths.runtime()).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".sock").map(str::to_owned));
    let probes = names.take(MOST).map(|profile| async move { probe(paths, &profile, limit).await.ok().flatten() });
    let mut found: Vec<Running> = stream::iter(probes.collect::<Vec<_>>())
        .buffer_unordered(AT_ONCE)
        .filter_map(|running| async { running })
        .collect()
        .await;
    found.sort_by(|a, b| a.about.profile.cmp(&b.about.profile));
    found
}

/// The node that `status`, `down` and `logs` are about: of the chosen profile; else `default`, else the only one.
pub(crate) async fn the_one(ctx: &Ctx, limit: Duration) -> Result<Option<Running>, CliError> {
    let paths = profile::paths(&ctx.global)?;
    let first = probe(&paths, profile::chosen(&ctx.global), limit).await?;
    if first.is_some() || ctx.global.profile.is_some() {
        return Ok(first);
    }
    let mut others = all(&paths, limit).await;
    match others.len() {
        0 | 1 => Ok(others.pop()),
        _ => Err(which(&others)),
    }
}

/// The one that fits a command: `default`, else the only one that does.
pub(super) async fn fitting(
    global: &Global,
    limit: Duration,
    fits: impl Fn(&About) -> bool,
) -> Result<Option<Running>, CliError> {
    let paths = profile::paths(global)?;
    let first = probe(&paths, profile::chosen(global), limit).await?;
    let first = first.filter(|running| fits(&running.about));
    if first.is_some() || global.profile.is_some() {
        return Ok(first);
    }
    let mut others = all(&paths, limit).await;
    others.retain(|running| running.about.profile != DEFAULT && fits(&running.about));
    Ok(if others.len() == 1 { others.pop() } else { None })
}

fn which(running: &[Running]) -> CliError {
    let profiles: Vec<&str> = running.iter().map(|running| running.about.profile.as_str()).collect();
    let message = format!("{} nodes run: profiles {}", profiles.len(), profiles.join(", "));
    let error = CliError::new("ambiguous", exit::CONFLICT, message).detail("candidates", profiles.as_slice());
    let again = |profile: &&str| crate::output::render::again(&format!("-P {profile}"), "");
    profiles.iter().take(3).fold(error, |error, profile| error.try_this(again(profile)))
}
