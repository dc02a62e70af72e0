//! Harness for tests that run whole `p2pnode` processes.
//!
//! Each test has a [`Home`] of its own, so that tests see neither each other nor the user's nodes. Nothing waits by
//! sleeping: a test waits for a line of output or for a condition, with a deadline, and says what it saw instead.
#![forbid(unsafe_code)]

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Read},
    net::{TcpListener, UdpSocket},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

mod control;
mod lab;
mod netns;
mod victim;

pub use control::{Control, Reply, read, read_until};
pub use lab::{Lab, Router, may_make_routers};
pub use netns::{Namespace, may_make_namespaces};
pub use victim::{RECOVERY, Victim};

/// How long one command may take before it is killed: far more than any needs, so that a loaded machine is no failure.
pub const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// How long to wait for what takes a moment.
pub const SOON: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// Path of the program, in the profile of the test itself: as `cargo test --workspace` has built it beside the tests, or
/// built now.
///
/// `P2PNODE_TEST_BIN` names another program to test.
///
/// # Panics
/// If it cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match env::var_os("P2PNODE_TEST_BIN") {
        Some(path) => path.into(),
        None => build().unwrap_or_else(|error| panic!("p2pnode cannot be built: {error:#}")),
    })
}

fn build() -> anyhow::Result<PathBuf> {
    use anyhow::Context;
    // target/PROFILE/deps/TEST
    let exe = env::current_exe()?;
    let folder = exe.ancestors().nth(2).context("the test is not in a target folder")?;
    let target = folder.parent().context("the test is not in a target folder")?;
    let profile = match folder.file_name().and_then(OsStr::to_str).context("a profile without a name")? {
        "debug" => "dev",
        other => other,
    };
    let program = folder.join("p2pnode");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    if is_fresh(&program, &root) {
        return Ok(program);
    }
    let mut cargo = Command::new(env!("CARGO"));
    // What cargo tells this test of its own package would make build scripts (ring's) believe that all has changed.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.starts_with(own)) {
            cargo.env_remove(&*name);
        }
    }
    let output = cargo
        .args(["build", "-p", "p2pnode-cli", "--locked", "--profile", profile, "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .stdin(Stdio::null())
        .output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(program)
}

/// Whether the program is newer than all that it was made of: its sources, which cargo lists beside it, and what chooses
/// its dependencies. As cargo decides it; `cargo build` of the one package would, with other features than the workspace
/// has together, compile libp2p and the crates of this workspace once more.
fn is_fresh(program: &Path, root: &Path) -> bool {
    let changed = |path: &Path| fs::metadata(path)?.modified();
    let (Ok(built), Ok(list)) = (changed(program), fs::read_to_string(program.with_extension("d"))) else {
        return false;
    };
    let Some((_, sources)) = list.split_once(": ") else { return false };
    // Of its paths' spaces: `a\ b`.
    let sources = sources.replace("\\ ", "\0");
    let sources = sources.split_whitespace().map(|path| PathBuf::from(path.replace('\0', " ")));
    let manifests =
        ["Cargo.lock", "Cargo.toml", "behaviours/Cargo.toml", "behaviours/wire/Cargo.toml", "node/Cargo.toml"];
    let manifests = manifests.into_iter().chain(["cli/Cargo.toml"]).map(|path| root.join(path));
    sources.chain(manifests).all(|path| changed(&path).is_ok_and(|at| at <= built))
}

/// A port that nobody listens on right now, in TCP and in UDP. By chance, and below those that systems give to connections
/// on their way out: between this look and the start of a node another test makes a thousand of these.
///
/// # Panics
/// If the system has none.
pub fn free_port() -> u16 {
    const FROM: u64 = 10_000;
    const TO: u64 = 32_768;
    let free = (0..64).find_map(|_| {
        let port = u16::try_from(FROM + RandomState::new().hash_one(()) % (TO - FROM)).ok()?;
        let bound = TcpListener::bind(("0.0.0.0", port)).is_ok() && UdpSocket::bind(("0.0.0.0", port)).is_ok();
        bound.then_some(port)
    });
    free.expect("a port is free in both protocols")
}

/// Looks again and again until `condition` gives something, or the time is over.
pub fn until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return Some(found);
        }
        if start.elapsed() > limit {
            return None;
        }
        thread::sleep(POLL);
    }
}

/// A folder with everything of the nodes of one test, removed at its end.
#[derive(Debug)]
pub struct Home {
    folder: TempDir,
}

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

impl Home {
    /// An empty one.
    ///
    /// # Panics
    /// If no folder can be made.
    pub fn new() -> Self {
        let folder = TempDir::with_prefix("p2pnode-test-").unwrap_or_else(|error| panic!("no folder: {error}"));
        Self { folder }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes an executable script and returns its path as a word for a command line.
    ///
    /// # Panics
    /// If it cannot be written.
    pub fn script(&self, name: &str, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path().join(name);
        let written = fs::write(&path, format!("#!/bin/sh\n{text}\n"))
            .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(0o755)));
        written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        path.to_string_lossy().into_owned()
    }

    /// The program with this home and nothing else of the environment but `PATH`.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(binary());
        command.args(args);
        self.clean(&mut command);
        command
    }

    /// The same inside a network namespace.
    pub fn command_in<A: AsRef<OsStr>>(&self, space: &Namespace, args: impl IntoIterator<Item = A>) -> Command {
        let mut command = space.command(binary());
        command.args(args);
        self.clean(&mut command);
        command
    }

    fn clean(&self, command: &mut Command) {
        let path = env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/bin:/bin"));
        command.env_clear().env("PATH", path).env("HOME", self.path()).env("P2PNODE_HOME", self.path());
        command.current_dir(self.path()).stdin(Stdio::null());
    }

    /// Runs the program to its end, on this host only: `--no-mdns` comes first.
    ///
    /// # Panics
    /// If it does not start, or does not end within [`COMMAND_LIMIT`].
    pub fn run(&self, args: &[&str]) -> Output {
        run(self.command([&["--no-mdns"], args].concat()))
    }

    /// Runs the program to its end through the node that runs here.
    ///
    /// # Panics
    /// As for [`Home::run`].
    pub fn attached(&self, args: &[&str]) -> Output {
        run(self.command([&["--daemon"], args].concat()))
    }

    /// The same through the node of a profile.
    ///
    /// # Panics
    /// As for [`Home::run`].
    pub fn attached_as(&self, profile: &str, args: &[&str]) -> Output {
        run(self.command([&["--profile", profile, "--daemon"], args].concat()))
    }

    /// Starts `up --detach` with these arguments, `--no-mdns` and any free port.
    ///
    /// # Panics
    /// If it does not become ready.
    pub fn detached(&self, args: &[&str]) -> Background {
        let port = free_port().to_string();
        let up = self.run(&[&["--json", "up", "--detach", "--port", &port], args].concat()).exits(0);
        let told: serde_json::Value = serde_json::from_str(&up.stdout).unwrap_or_else(|error| panic!("{error}: {up}"));
        let text = |name: &str| told["data"][name].as_str().unwrap_or_else(|| panic!("no {name}: {up}")).to_owned();
        let pid = told["data"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok());
        let pid = pid.unwrap_or_else(|| panic!("no pid: {up}"));
        Background { pid, name: text("name"), id: text("peer_id"), control: Control::new(text("control")) }
    }

    /// Starts `up` with these arguments, `--no-mdns`, and any free port unless the arguments say which.
    ///
    /// # Panics
    /// If it does not start.
    pub fn up(&self, args: &[&str]) -> Node {
        let port = free_port().to_string();
        let mut all = vec!["--no-mdns", "up"];
        all.extend(args);
        if !args.contains(&"--port") {
            all.extend(["--port", &port]);
        }
        Node::start(self.command(all))
    }
}

/// What a command left behind.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// How it ended.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// From the start to the end.
    pub elapsed: Duration,
}

impl Output {
    /// Checks the exit code and that nothing panicked; shows everything if not so.
    ///
    /// # Panics
    /// If it is another.
    #[track_caller]
    pub fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code; output was:\n{self}");
        assert!(!self.stderr.contains("panicked"), "{self}");
        self
    }

    /// Checks that standard output has this text.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "stdout lacks {text:?}:\n{self}");
        self
    }

    /// Checks that standard error has this text.
    ///
    /// # Panics
    /// If it has not.
    #[track_caller]
    pub fn complains(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { status, stdout, stderr, elapsed, .. } = self;
        write!(f, "{status} after {elapsed:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Runs a command to its end, with nothing on its stdin.
///
/// # Panics
/// If it does not start, or does not end within [`COMMAND_LIMIT`].
pub fn run(mut command: Command) -> Output {
    let start = Instant::now();
    let shown = format!("{command:?}");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{shown}: {error}"));
    let readers = (read_all(child.stdout.take()), read_all(child.stderr.take()));
    let ended = until(COMMAND_LIMIT, || child.try_wait().transpose());
    let elapsed = start.elapsed();
    let status = match ended {
        Some(status) => status.unwrap_or_else(|error| panic!("{shown}: {error}")),
        None => {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{shown} did not end within {COMMAND_LIMIT:?}\n{}\n{}", join(readers.0), join(readers.1));
        }
    };
    Output { code: status.code(), status, stdout: join(readers.0), stderr: join(readers.1), elapsed }
}

fn read_all<R: Read + Send + 'static>(from: Option<R>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.map(|mut from| from.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn join(reader: thread::JoinHandle<String>) -> String {
    reader.join().unwrap_or_default()
}

/// Lines that a node has written so far, of both streams.
#[derive(Debug, Default)]
struct Lines {
    text: Mutex<String>,
    more: Condvar,
}

impl Lines {
    fn lock(&self) -> MutexGuard<'_, String> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(self: &Arc<Self>, from: impl Read + Send + 'static) -> thread::JoinHandle<()> {
        let lines = self.clone();
        thread::spawn(move || {
            let mut from = BufReader::new(from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
                lines.lock().push_str(&String::from_utf8_lossy(&line));
                lines.more.notify_all();
                line.clear();
            }
        })
    }
}

/// A process that serves until it is told to stop; dropped, it is killed.
#[derive(Debug)]
pub struct Node {
    child: Child,
    lines: Arc<Lines>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Node {
    /// Starts a command.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start(mut command: Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = Arc::<Lines>::default();
        let stdout = child.stdout.take().map(|stdout| lines.follow(stdout));
        let stderr = child.stderr.take().map(|stderr| lines.follow(stderr));
        Self { child, lines, readers: stdout.into_iter().chain(stderr).collect() }
    }

    /// Waits until it has said this, and returns everything it said so far.
    ///
    /// # Panics
    /// If it does not say it in time.
    #[track_caller]
    pub fn wait_for(&self, text: &str, limit: Duration) -> String {
        let end = Instant::now() + limit;
        let mut said = self.lines.lock();
        while !said.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the node did not say {text:?} within {limit:?}, but:\n{said}");
            said = self.lines.more.wait_timeout(said, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        said.clone()
    }

    /// Waits until it serves.
    #[track_caller]
    pub fn ready(self) -> Self {
        self.wait_for("ready in ", SOON);
        self
    }

    /// What it said so far.
    pub fn said(&self) -> String {
        self.lines.lock().clone()
    }

    /// The name it gave itself: the word after `node` in its first line.
    ///
    /// # Panics
    /// If it did not say it.
    #[track_caller]
    pub fn name(&self) -> String {
        let said = self.wait_for("ready in ", SOON);
        let mut words = said.split_whitespace().skip_while(|word| *word != "node").skip(1);
        words.next().unwrap_or_else(|| panic!("no name in:\n{said}")).to_owned()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory it has in use, in KiB, where the system tells it.
    pub fn rss_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What Ctrl-C does.
    ///
    /// # Panics
    /// If it cannot be sent.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        let sent = pid.map(|pid| kill_process(pid, Signal::INT));
        assert!(matches!(sent, Some(Ok(()))), "SIGINT was not sent: {sent:?}");
    }

    /// `kill -9`: it ends without a word to anybody.
    ///
    /// # Panics
    /// If it cannot be killed.
    pub fn kill9(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        assert!(killed.is_ok(), "kill -9: {killed:?}");
    }

    /// Waits for its end and returns its exit code. [`Self::said`] is all it said then: an end can be seen before the
    /// last lines are read.
    ///
    /// # Panics
    /// If it does not end in time, or leaves a child that goes on writing.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let ended: Option<io::Result<ExitStatus>> = until(limit, || {
            let ended = self.child.try_wait().transpose()?;
            self.readers.iter().all(thread::JoinHandle::is_finished).then_some(ended)
        });
        match ended {
            Some(Ok(status)) => status.code(),
            other => panic!("the node did not end within {limit:?} ({other:?}):\n{}", self.said()),
        }
    }
}

/// A node in the background; dropped, it is killed.
#[derive(Debug)]
pub struct Background {
    /// Its process.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// Its control socket.
    pub control: Control,
}

impl Background {
    /// What it tells of itself.
    #[track_caller]
    pub fn status(&self) -> serde_json::Value {
        self.control.get("/v1/status").json()["data"].take()
    }

    /// Waits until no command of a client runs but the one that asks.
    #[track_caller]
    pub fn is_idle(&self) {
        let idle = until(SOON, || (self.status()["load"]["commands"] == 1).then_some(()));
        assert!(idle.is_some(), "commands still run: {}", self.status());
    }

    /// `kill -9`.
    pub fn kill9(&self) {
        let pid = i32::try_from(self.pid).ok().filter(|pid| *pid > 0).and_then(Pid::from_raw);
        let _ = pid.map(|pid| kill_process(pid, Signal::KILL));
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill9();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- node {}\n{}---", self.pid(), self.said());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_said_last_is_there_when_it_has_ended() {
        for _ in 0..20 {
            let mut command = Command::new("sh");
            command.args(["-c", "seq 20000"]);
            let mut node = Node::start(command);
            assert_eq!(node.wait(SOON), Some(0));
            assert!(node.said().ends_with("\n20000\n"));
        }
    }
}
