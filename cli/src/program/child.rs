//! One process group: started with bounds, signalled as a whole, never left behind.

use std::{
    collections::HashSet,
    env, io,
    os::fd::OwnedFd,
    process::{ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
};

use command_fds::{CommandFdExt as _, FdMapping};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    net::unix::pipe,
    process::{ChildStderr, ChildStdin, ChildStdout, Command},
    signal::unix::{self, SignalKind},
};

use super::{Limits, environment};

/// Groups that run now, so that a hurried exit can take them along.
static LIVE: Mutex<Option<HashSet<Pid>>> = Mutex::new(None);

/// Kills every program at once: the process is about to exit.
pub(crate) fn kill_all() {
    for group in LIVE.lock().unwrap_or_else(PoisonError::into_inner).iter().flatten() {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// How many programs run now.
pub(crate) fn alive() -> usize {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, HashSet::len)
}

/// A process group by its leader, which has not been reaped: so its number cannot belong to anybody else.
#[derive(Debug)]
struct Group(Pid);

impl Group {
    fn new(leader: Pid) -> Self {
        LIVE.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().insert(leader);
        Self(leader)
    }

    fn signal(&self, signal: Signal) {
        // Nobody left to receive it: that is what we wanted.
        let _ = kill_process_group(self.0, signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        if let Some(live) = LIVE.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            live.remove(&self.0);
        }
    }
}

/// The ends of a program's pipes that are ours.
#[derive(Debug)]
pub(super) struct Pipes {
    pub(super) stdin: ChildStdin,
    pub(super) stdout: ChildStdout,
    pub(super) stderr: ChildStderr,
    pub(super) progress: pipe::Receiver,
}

/// A running program. Dropping it kills its whole group.
#[derive(Debug)]
pub(super) struct Child {
    // Fields drop in this order: the group is signalled while its leader is still unreaped.
    group: Group,
    leader: tokio::process::Child,
    changed: unix::Signal,
}

impl Child {
    /// Starts the program in a group of its own, with bounds.
    pub(super) fn spawn(
        argv: &[String],
        env_allow: &[String],
        variables: &[(&'static str, String)],
        limits: &Limits,
    ) -> io::Result<(Self, Pipes)> {
        // Before the start, so that no exit goes unnoticed.
        let changed = unix::signal(SignalKind::child())?;
        let (progress, theirs) = io::pipe()?;
        let mut leader = command(argv, env_allow, variables, theirs.into())?.spawn()?;
        let pid = leader.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let group = Group::new(pid.ok_or_else(|| io::Error::other("the program has no process id"))?);
        bound(group.0, limits);
        let missing = || io::Error::other("a pipe to the program is missing");
        let pipes = Pipes {
            stdin: leader.stdin.take().ok_or_else(missing)?,
            stdout: leader.stdout.take().ok_or_else(missing)?,
            stderr: leader.stderr.take().ok_or_else(missing)?,
            progress: pipe::Receiver::from_owned_fd(progress.into())?,
        };
        Ok((Self { group, leader, changed }, pipes))
    }

    /// Resolves when the leader has ended. It stays a zombie, and so keeps its group's number, until [`Child::reap`].
    pub(super) async fn ended(&mut self) {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        while let Ok(None) = waitid(WaitId::Pid(self.group.0), options) {
            if self.changed.recv().await.is_none() {
                return;
            }
        }
    }

    /// Asks the whole group to end.
    pub(super) fn terminate(&self) {
        self.group.signal(Signal::TERM);
    }

    /// Kills what is left of the group and collects the leader.
    pub(super) async fn reap(self) -> io::Result<ExitStatus> {
        let Self { group, mut leader, changed: _ } = self;
        drop(group);
        leader.wait().await
    }
}

/// Descriptor 3 needs `command-fds`: passing one to a child takes `pre_exec`, which is unsafe and so forbidden here.
fn command(
    argv: &[String],
    env_allow: &[String],
    variables: &[(&'static str, String)],
    progress: OwnedFd,
) -> io::Result<Command> {
    let [name, arguments @ ..] = argv else { return Err(io::ErrorKind::InvalidInput.into()) };
    let mut command = Command::new(name);
    command
        .args(arguments)
        .env_clear()
        .envs(environment(env::vars_os(), env_allow))
        .envs(variables.iter().map(|(name, value)| (name, value.replace('\0', ""))))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command.fd_mappings(vec![FdMapping { parent_fd: progress, child_fd: 3 }]).map_err(io::Error::other)?;
    Ok(command)
}

/// Bounds memory and open files.
///
/// Set from outside right after the start, not by `setrlimit` in `pre_exec`, which is unsafe and so forbidden here: a
/// program has some microseconds without bounds, children started later inherit them.
///
/// Memory is bounded by `RLIMIT_DATA` (private writable pages), not by `RLIMIT_AS` (addresses): with 1 GiB of addresses
/// `java` does not start and Node.js fails at its first `fetch`, since both reserve far more than they use.
#[cfg(target_os = "linux")]
fn bound(leader: Pid, limits: &Limits) {
    use rustix::process::{Resource, Rlimit, prlimit};
    for (resource, most) in [(Resource::Data, limits.memory), (Resource::Nofile, limits.files)] {
        // Fails only if the program has ended already.
        let _ = prlimit(Some(leader), resource, Rlimit { current: Some(most), maximum: Some(most) });
    }
}

/// Other systems have no way to bound a process from outside.
#[cfg(not(target_os = "linux"))]
fn bound(_leader: Pid, _limits: &Limits) {}
