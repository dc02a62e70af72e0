//! Programs behind endpoints and questions: any command can serve, and nothing a peer sends can become a command.
//!
//! The command is an argument vector, split once at start by shell rules; no shell runs. What a peer sends goes to stdin,
//! never into the arguments. The environment is an allow-list. Every run is a process group of its own with bounds on
//! time, output, memory and open files, and the whole group ends with the run: background children of a script do not
//! outlive it (a program that wants that calls `setsid`).

mod child;
mod handler;
mod hooks;
mod input;
mod pump;
mod run;
mod scheduled;

use std::{
    env,
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::Semaphore;

pub(crate) use self::{
    child::{alive, kill_all},
    handler::{Answers, Serves, Streams},
    hooks::{Counts, Hooks},
    run::{Ended, Job, Run},
    scheduled::scheduled,
};
use crate::{error::CliError, output::render::quote};

/// Bounds of one run (limits.md row 42).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Wall clock.
    pub(crate) time: Duration,
    /// Between TERM and KILL.
    pub(crate) grace: Duration,
    /// Waiting for a free slot; after that the caller is told to come back.
    pub(crate) queue: Duration,
    /// Bytes on stdout; more is a failure.
    pub(crate) output: usize,
    /// Bytes of stderr that are kept, from its end.
    pub(crate) stderr: usize,
    /// Bytes of writable memory of each process.
    pub(crate) memory: u64,
    /// Open files of each process.
    pub(crate) files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            time: Duration::from_secs(300),
            grace: Duration::from_secs(1),
            queue: Duration::from_secs(1),
            output: 1024 * 1024,
            stderr: 64 * 1024,
            memory: 1024 * 1024 * 1024,
            files: 256,
        }
    }
}

/// How many programs one node runs at once, all its handlers together.
pub(crate) const AT_ONCE: usize = 4;

/// The exit code of a program that does not want the question (`EX_TEMPFAIL` of sysexits.h).
pub(crate) const NOT_ME: i32 = 75;

/// Variables a program sees besides `LC_*` and our own `P2PNODE_*`.
///
/// USER and LOGNAME are here because many tools (git, ssh) refuse to work without them; the program runs as that user
/// anyway and could ask the system.
const ENVIRONMENT: [&str; 7] = ["PATH", "HOME", "USER", "LOGNAME", "LANG", "TMPDIR", "TZ"];

/// A command that may be run many times.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    argv: Vec<String>,
    limits: Limits,
    slots: Arc<Semaphore>,
    /// Variables it sees besides the usual ones.
    env_allow: Vec<String>,
    /// Each line it prints is an item.
    stream: bool,
}

impl Program {
    /// Splits the command by shell rules and looks whether its program exists.
    ///
    /// `option` is what the user typed before it, for errors.
    pub(crate) fn parse(option: &str, command: &str, slots: Arc<Semaphore>) -> Result<Self, CliError> {
        Self::new(option, split(option, command)?, slots)
    }

    /// A command that is split already.
    pub(crate) fn new(option: &str, argv: Vec<String>, slots: Arc<Semaphore>) -> Result<Self, CliError> {
        let Some(name) = argv.first().filter(|name| !name.is_empty()) else {
            return Err(CliError::usage(format!("{option}: the command is empty")));
        };
        if find(name, env::var_os("PATH").as_deref()).is_none() {
            return Err(missing(option, name));
        }
        Ok(Self { argv, limits: Limits::default(), slots, env_allow: Vec::new(), stream: false })
    }

    /// Lets it see these variables too.
    pub(crate) fn env_allow(mut self, names: &[String]) -> Self {
        self.env_allow = names.to_vec();
        self
    }

    /// Each line it prints is an item: told at once, and a list in the end.
    pub(crate) fn stream(mut self, on: bool) -> Self {
        self.stream = on;
        self
    }

    pub(crate) fn is_stream(&self) -> bool {
        self.stream
    }

    /// Each run may take so long.
    pub(crate) fn run_limit(mut self, time: Option<Duration>) -> Self {
        self.limits.time = time.unwrap_or(self.limits.time);
        self
    }

    /// The program without its folder and arguments: what may be told to others.
    pub(crate) fn name(&self) -> String {
        let file = self.argv.first().map(Path::new).and_then(Path::file_name);
        file.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }
}

/// The words of a command, with a path that means the same to a node that runs in another folder. It counts from
/// `folder`; an empty one is where we are.
pub(crate) fn argv(option: &str, command: &str, folder: &Path) -> Result<Vec<String>, CliError> {
    let mut argv = split(option, command)?;
    let path = argv.first().map(Path::new).filter(|path| path.components().count() > 1);
    let path = path.map(|path| std::path::absolute(folder.join(path)));
    let whole = path.transpose().map_err(|error| CliError::io(option, &error))?;
    if let (Some(first), Some(whole)) = (argv.first_mut(), whole.as_deref().and_then(Path::to_str)) {
        whole.clone_into(first);
    }
    Ok(argv)
}

/// The words of a command, by shell rules.
fn split(option: &str, command: &str) -> Result<Vec<String>, CliError> {
    shlex::split(command).ok_or_else(|| {
        CliError::usage(format!("{option} {command}: a quote is not closed, or a backslash stands at the end"))
    })
}

fn missing(option: &str, name: &str) -> CliError {
    let error = CliError::usage(format!("{option}: there is no program \"{name}\" that may be run"));
    match name.contains('/') {
        false => error.looked("the folders in PATH"),
        true => error.maybe("the file is not there or not executable").try_this(format!("chmod +x {}", quote(name))),
    }
}

/// Where a program is, by the rules of `execvp`.
fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|file| runnable(file));
    }
    env::split_paths(path?).map(|folder| folder.join(name)).find(|file| runnable(file))
}

fn runnable(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

/// What a program may see of our own environment.
fn environment(all: impl Iterator<Item = (OsString, OsString)>, also: &[String]) -> Vec<(OsString, OsString)> {
    let allowed = |name: &OsStr| {
        let name = name.to_string_lossy();
        ENVIRONMENT.contains(&name.as_ref()) || name.starts_with("LC_") || also.iter().any(|also| *also == name)
    };
    all.filter(|(name, _)| allowed(name)).collect()
}

#[cfg(test)]
mod tests;
