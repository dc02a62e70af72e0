//! `up --detach`: the same program in a session of its own. The parent waits until its child is ready or has failed, and
//! tells that; the child writes to its log.

use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use p2pnode::{Paths, Profile, ProfileError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, Command},
    time::sleep,
};

use crate::{
    args::up::Up,
    commands::old_path,
    connect::place,
    context::Ctx,
    control::{self, Running},
    error::{CliError, Facts, exit},
    output::{
        Out, escape_line,
        render::{again, short_id},
        style::Role,
    },
    profile,
};

/// Set for the child.
const CHILD: &str = "P2PNODE_DETACHED";

/// A node that starts has so long until it is ready.
const READY: Duration = Duration::from_secs(60);

/// A node that runs has so long to say so.
const ANSWER: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(50);

/// A larger log is renamed to `node.log.1`, which is lost then: two of these are kept.
const LOG: u64 = 10 * 1024 * 1024;

/// How often it is looked how large it is.
const WATCH: Duration = Duration::from_secs(5);

/// How it went, in the child's words to its parent.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Ready(Value),
    Failed(Facts),
}

/// Bytes of a report.
const REPORT: u64 = 1024 * 1024;

/// Where the child tells its parent how it went; nothing once it has.
static PARENT: Mutex<Option<File>> = Mutex::new(None);

/// The log of a profile.
pub(crate) fn log_path(paths: &Paths, profile: &str) -> Result<PathBuf, CliError> {
    // The name is checked there.
    paths.identity_path(profile)?;
    Ok(paths.state().join(profile).join("node.log"))
}

/// Whether this process was started by `up --detach`.
pub(crate) fn is_child() -> bool {
    env::var_os(CHILD).is_some()
}

/// Leaves the parent's session and terminal. From now on stdout is the log, as stderr is already.
pub(crate) fn enter() -> io::Result<()> {
    // Fails for the first process of a session, which needs none.
    let _ = rustix::process::setsid();
    let parent = rustix::io::fcntl_dupfd_cloexec(io::stdout(), 3)?;
    rustix::stdio::dup2_stdout(io::stderr())?;
    *PARENT.lock().unwrap_or_else(PoisonError::into_inner) = Some(parent.into());
    Ok(())
}

/// Tells the parent that the node is ready.
pub(crate) fn ready(up: Value) {
    report(&Report::Ready(up));
}

/// Tells the parent why there will be no node.
pub(crate) fn failed(error: &CliError) {
    report(&Report::Failed(error.facts().clone()));
}

fn report(report: &Report) {
    let parent = PARENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(mut parent), Ok(text)) = (parent, serde_json::to_vec(report)) {
        // It may have given up; the node does not care.
        let _ = parent.write_all(&text);
    }
}

/// Begins a new log whenever it is large, for as long as the node runs.
pub(crate) async fn keep_log_small(path: PathBuf) {
    loop {
        sleep(WATCH).await;
        if let Ok(Some(log)) = rotate(&path, LOG) {
            let _ = rustix::stdio::dup2_stdout(&log).and_then(|()| rustix::stdio::dup2_stderr(&log));
        }
    }
}

/// A new log, if the old one is large or there is none.
fn rotate(path: &Path, most: u64) -> io::Result<Option<File>> {
    match fs::metadata(path) {
        Ok(found) if found.len() <= most => return Ok(None),
        Ok(_) => fs::rename(path, old_path(path))?,
        Err(_) => {}
    }
    open(path).map(Some)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).read(true).mode(0o600).open(path)
}

/// Starts a node in the background, and returns when it is ready.
pub(crate) async fn detach(ctx: &Ctx, args: &Up) -> Result<u8, CliError> {
    let paths = profile::paths(&ctx.global)?;
    let named = ctx.global.profile.as_ref().or(args.name.as_ref());
    let name = named.map_or(profile::DEFAULT, String::as_str);
    let path = log_path(&paths, name)?;
    if let Some(running) = ctx.guard(None, running(&paths, name)).await? {
        return already(ctx, args, &running, &path).map(|()| 0);
    }
    let failed = |error: io::Error| CliError::io(path.display(), &error);
    let folder = path.parent().unwrap_or(Path::new("."));
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
    rotate(&path, LOG).map_err(failed)?;
    let log = open(&path).map_err(failed)?;
    let before = log.metadata().map_err(failed)?.len();
    let mut child = start(ctx, name, log)?;
    let said = tokio::select! {
        said = said(&mut child) => said,
        code = ctx.stop.requested() => {
            let _ = child.start_kill();
            return Err(CliError::interrupted(code));
        }
    };
    match said {
        Some(Report::Ready(up)) => show(ctx, &up, &path, false).map(|()| 0),
        Some(Report::Failed(facts)) => Err(facts.into()),
        None => Err(silent(&mut child, &path, before).await),
    }
}

/// The node of that profile. One that holds the profile, and does not answer yet, is waited for.
async fn running(paths: &Paths, name: &str) -> Result<Option<Running>, CliError> {
    let deadline = tokio::time::Instant::now() + ANSWER;
    loop {
        if let Some(running) = control::probe(paths, name, ANSWER).await? {
            return Ok(Some(running));
        }
        match Profile::open(paths, name) {
            Err(error @ ProfileError::Running { .. }) if tokio::time::Instant::now() > deadline => {
                return Err(error.into());
            }
            Err(ProfileError::Running { .. }) => sleep(LOOK).await,
            Err(error) => return Err(error.into()),
            Ok(_) => return Ok(None),
        }
    }
}

fn start(ctx: &Ctx, name: &str, log: File) -> Result<Child, CliError> {
    let failed = |error: io::Error| CliError::internal(format!("cannot start p2pnode in the background: {error}"));
    let mut command = Command::new(env::current_exe().map_err(failed)?);
    command.args(env::args_os().skip(1)).env(CHILD, "1");
    // It takes this profile and no free one: two that start at once are one.
    command.env("P2PNODE_PROFILE", name);
    if let Some(home) = &ctx.global.home {
        command.env("P2PNODE_HOME", home);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    command.spawn().map_err(failed)
}

/// What the child says, or nothing: it ended without a word, or takes too long.
async fn said(child: &mut Child) -> Option<Report> {
    let mut text = Vec::new();
    let stdout = child.stdout.take()?;
    let read = tokio::time::timeout(READY, stdout.take(REPORT).read_to_end(&mut text)).await;
    read.ok()?.ok()?;
    serde_json::from_slice(&text).ok()
}

/// It said nothing: what it wrote into its log is all there is.
async fn silent(child: &mut Child, path: &Path, before: u64) -> CliError {
    let _ = child.start_kill();
    let status = child.wait().await.map_or_else(|error| error.to_string(), |status| status.to_string());
    let mut text = String::new();
    let read = File::open(path).and_then(|mut log| {
        log.seek(SeekFrom::Start(before))?;
        log.take(4_096).read_to_string(&mut text)
    });
    let error = CliError::new("not_ready", exit::INTERNAL, format!("the node did not become ready ({status})"));
    let error = error.looked(path.display().to_string());
    if read.is_err() { error } else { text.lines().take(8).fold(error, |error, line| error.maybe(line)) }
}

/// R15: the same state as wanted is no error. Another swarm is another state.
fn already(ctx: &Ctx, args: &Up, running: &Running, log: &Path) -> Result<(), CliError> {
    let about = &running.about;
    for swarm in &args.swarms {
        let (swarm, _) = place(swarm)?;
        if !about.is_in(&swarm) {
            let message = format!("profile \"{}\" runs already, and is not in swarm \"{swarm}\"", about.profile);
            return Err(CliError::new("already_running", exit::CONFLICT, message)
                .looked(format!("process {}, which is in {}", about.pid, about.swarms.join(", ")))
                .detail("pid", about.pid)
                .try_also(format!("p2pnode join {swarm}"), "it joins that one, too")
                .try_also(again("-P b", ""), "another node beside it")
                .try_also("p2pnode down", "stop that one"));
        }
    }
    let up = json!({
        "peer_id": about.peer_id, "name": about.name, "profile": about.profile, "swarms": about.swarms,
        "pid": about.pid, "control": running.socket.display().to_string(),
    });
    show(ctx, &up, log, true)
}

fn show(ctx: &Ctx, up: &Value, log: &Path, already: bool) -> Result<(), CliError> {
    let mut data = up.clone();
    data["already_running"] = json!(already);
    data["log"] = json!(log.display().to_string());
    ctx.answer(data, ctx.meta(), || text(&ctx.out, up, log, already))
}

fn text(out: &Out, up: &Value, log: &Path, already: bool) -> String {
    let word = |name: &str| up[name].as_str().unwrap_or_default();
    let row = |label: &str, text: &str| format!("  {} {text}", out.style.paint(Role::Dim, &format!("{label:<9}")));
    let swarms: Vec<&str> = up["swarms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let how = if already { "already running" } else { "running in the background" };
    let profile = match word("profile") {
        profile::DEFAULT => String::new(),
        profile => format!(" -P {profile}"),
    };
    let status = out.style.paint(Role::Accent, &format!("p2pnode{profile} status"));
    let down = out.style.paint(Role::Accent, &format!("p2pnode{profile} down"));
    [
        format!(
            "{}   {}   {how}   process {}",
            out.style.paint(Role::Name, &escape_line(word("name"))),
            short_id(word("peer_id"), out.glyphs.cut),
            up["pid"]
        ),
        row("swarm", &swarms.join("   ")),
        row("control", &escape_line(word("control"))),
        row("log", &escape_line(&log.display().to_string())),
        format!("{status} tells how it is, {down} stops it"),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_log_is_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.log");
        assert!(rotate(&path, 4).unwrap().is_some(), "there was none");
        fs::write(&path, "1234").unwrap();
        assert!(rotate(&path, 4).unwrap().is_none());
        fs::write(&path, "12345").unwrap();
        assert!(rotate(&path, 4).unwrap().is_some());
        assert_eq!((fs::read(&path).unwrap(), fs::read(old_path(&path)).unwrap()), (Vec::new(), b"12345".to_vec()));
    }

    #[test]
    fn a_childs_error_is_the_parents() {
        let error = CliError::usage("no").maybe("why").try_also("this", "for that").detail("a", 1);
        let text = serde_json::to_string(&Report::Failed(error.facts().clone())).unwrap();
        let Ok(Report::Failed(facts)) = serde_json::from_str(&text) else { panic!("{text}") };
        assert_eq!(CliError::from(facts).facts(), error.facts());
    }
}
